"""Optional dependencies: imported where they are used, named with their extra when absent."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType


def require(*modules: str, extra: str) -> None:
    """Raise ImportError with the command that installs ``extra`` if a module is absent.

    Parameters
    ----------
    modules : str
        Import names, such as ``"sklearn"``.
    extra : str
        The extra of this package that brings them.

    Examples
    --------
    >>> from slidecell._extras import require
    >>> require("json", extra="detect")
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"{name} is not installed: pip install 'slidecell[{extra}]'"
            ) from error


def home_of(
    name: str, homes: Mapping[str, str], *, room: str, needs: str, extra: str
) -> ModuleType:
    """Import the module that defines a name of a room, for the room's ``__getattr__``.

    Parameters
    ----------
    name : str
    homes : mapping of str to str
        The module of each name.
    room : str
        The name of the room itself.
    needs : str
        The package that its modules import.
    extra : str
        The extra of this package that brings it, which the ImportError names if it is absent.

    Examples
    --------
    >>> from slidecell._extras import home_of
    >>> homes = {"dumps": "json"}
    >>> home_of("dumps", homes, room="slidecell.room", needs="json", extra="detect").__name__
    'json'
    >>> home_of("eval", homes, room="slidecell.room", needs="json", extra="detect")
    Traceback (most recent call last):
    AttributeError: module 'slidecell.room' has no attribute 'eval'
    """
    if name not in homes:
        raise AttributeError(f"module {room!r} has no attribute {name!r}")
    try:
        return importlib.import_module(homes[name])
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == needs:
            require(needs, extra=extra)  # names the extra
        raise

"""Optional dependencies: imported where they are used, named with their extra when absent."""

from __future__ import annotations

import importlib


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

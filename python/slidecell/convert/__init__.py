"""Conversion of networks to models: what a network computes (`graph`), and its readers.

Names that need torch are imported when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slidecell._extras import require

if TYPE_CHECKING:
    from slidecell.convert.compare import check_against
    from slidecell.convert.interfaces import RecurrentLayer, SequenceNetwork
    from slidecell.convert.torch_modules import read_module, to_metadata

_HOMES = {
    "RecurrentLayer": "slidecell.convert.interfaces",
    "SequenceNetwork": "slidecell.convert.interfaces",
    "check_against": "slidecell.convert.compare",
    "read_module": "slidecell.convert.torch_modules",
    "to_metadata": "slidecell.convert.torch_modules",
}

__all__ = ["RecurrentLayer", "SequenceNetwork", "check_against", "read_module", "to_metadata"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("torch", extra="train")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

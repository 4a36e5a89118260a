"""Conversion of networks to models: what a network computes (`graph`), and its readers.

Each name is imported when it is asked for: torch modules need torch, the others numpy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slidecell._extras import home_of

if TYPE_CHECKING:
    from slidecell.convert.compare import check_against
    from slidecell.convert.interfaces import RecurrentLayer, SequenceNetwork
    from slidecell.convert.keras_live import check_against_keras
    from slidecell.convert.keras_models import read_keras
    from slidecell.convert.lowering import lower
    from slidecell.convert.onnx_check import check_against_runtime
    from slidecell.convert.onnx_reader import read_onnx
    from slidecell.convert.onnx_writer import onnx_bytes
    from slidecell.convert.state_dicts import read_state_dict
    from slidecell.convert.torch_modules import read_module, to_metadata

_HOMES = {
    "RecurrentLayer": "slidecell.convert.interfaces",
    "SequenceNetwork": "slidecell.convert.interfaces",
    "check_against": "slidecell.convert.compare",
    "check_against_keras": "slidecell.convert.keras_live",
    "check_against_runtime": "slidecell.convert.onnx_check",
    "lower": "slidecell.convert.lowering",
    "onnx_bytes": "slidecell.convert.onnx_writer",
    "read_keras": "slidecell.convert.keras_models",
    "read_module": "slidecell.convert.torch_modules",
    "read_onnx": "slidecell.convert.onnx_reader",
    "read_state_dict": "slidecell.convert.state_dicts",
    "to_metadata": "slidecell.convert.torch_modules",
}

__all__ = [
    "RecurrentLayer",
    "SequenceNetwork",
    "check_against",
    "check_against_keras",
    "check_against_runtime",
    "lower",
    "onnx_bytes",
    "read_keras",
    "read_module",
    "read_onnx",
    "read_state_dict",
    "to_metadata",
]


def __getattr__(name: str) -> Any:
    home = home_of(name, _HOMES, room=__name__, needs="torch", extra="train")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

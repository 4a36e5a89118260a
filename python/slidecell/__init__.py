"""Fused LSTM and GRU kernels that score every sliding window of a time series.

The base package needs numpy alone; `slidecell.training` needs torch, `slidecell.detect` and the
command line need the extra ``detect``.
"""

from __future__ import annotations

from slidecell._cmake import get_cmake_dir, get_include
from slidecell._core import (
    UnsupportedError,
    __version__,
    active_isa,
    available_isas,
    set_isa,
)
from slidecell.config import show_config
from slidecell.model import SequenceModel
from slidecell.recurrent import GRU, LSTM
from slidecell.windows import WindowPlan, entity_offsets, sliding_windows

__all__ = [
    "GRU",
    "LSTM",
    "SequenceModel",
    "UnsupportedError",
    "WindowPlan",
    "__version__",
    "active_isa",
    "available_isas",
    "entity_offsets",
    "get_cmake_dir",
    "get_include",
    "set_isa",
    "show_config",
    "sliding_windows",
]

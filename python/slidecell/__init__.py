"""Fused LSTM and GRU kernels that score every sliding window of a time series.

The package imports numpy alone, and narwhals when a DataFrame comes; `slidecell.training` needs
torch, `slidecell.detect` and the command line need the extra ``detect``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slidecell._cmake import get_cmake_dir, get_include
from slidecell._core import (
    UnsupportedError,
    __version__,
    active_isa,
    available_isas,
    set_isa,
)
from slidecell.config import show_config
from slidecell.flags import FlagAudit, Flags
from slidecell.model import SequenceModel
from slidecell.recurrent import GRU, LSTM, RNN
from slidecell.stream import Stream
from slidecell.windows import WindowPlan, entity_offsets, sliding_windows

if TYPE_CHECKING:
    from slidecell.live.monitor import Event, Monitor

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Event",
    "FlagAudit",
    "Flags",
    "Monitor",
    "SequenceModel",
    "Stream",
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


def __getattr__(name: str) -> Any:
    # Few programs have a monitor; the thresholds take as long to import as all the rest.
    if name in {"Event", "Monitor"}:
        from slidecell.live import monitor

        return getattr(monitor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

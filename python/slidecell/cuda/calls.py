"""The first steps of every public call: find the device, the stream and the engine."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slidecell.cuda.arrays import device_array, is_device_array
from slidecell.cuda.availability import require
from slidecell.cuda.engine import Engine

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

# Engines by model (or by an LSTM's, GRU's or RNN's weights, which change when others are
# loaded) and device. A model that is no longer used takes its weights off the device.
_ENGINES: weakref.WeakKeyDictionary[Any, dict[int, Engine]] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def cupy_runtime(value: Any, name: str) -> AbstractContextManager[Any]:
    """Runtime on the device and in the stream of the caller's array, or of CuPy's for host's."""
    require("cupy")
    from slidecell.cuda.cupy_runtime import caller_stream

    if not is_device_array(value):
        return caller_stream("cupy", None)
    interface = value.detach() if hasattr(value, "detach") else value
    shape = [f"d{n}" for n in range(len(interface.__cuda_array_interface__["shape"]))]
    array = device_array(value, name, list(shape))
    return caller_stream(array.library, array.device)


def engine_of(key: Any, runtime: Any, make: Callable[[], Engine]) -> Engine:
    """Engine of a model on a device, made once."""
    with _LOCK:
        by_device = _ENGINES.setdefault(key, {})
        if runtime.index not in by_device:
            by_device[runtime.index] = make()
        return by_device[runtime.index]


def check_on_cpu(series: Any, name: str = "series") -> None:
    """TypeError for a device array."""
    if is_device_array(series):
        raise TypeError(f"{name}: expected a host array for backend='cpu', got a device array")

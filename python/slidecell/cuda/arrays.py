"""Find the library and the device of an array, and check that a kernel can read it.

Device arrays are known by ``__cuda_array_interface__`` (CuPy, torch, Numba) and are never copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arrays import real_array
from slidecell.cuda.structs import DTYPES

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """A C-contiguous array on a device, and the object that it belongs to."""

    name: str  # of the argument
    ptr: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    library: str  # "cupy", "torch", "numba", ...
    device: int | None  # None: the interface does not tell
    stream: int | None  # that the array's content is ready in; None: nothing to wait for
    owner: Any

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize


def _interface(value: Any, name: str) -> dict[str, Any] | None:
    if isinstance(value, np.ndarray):
        return None
    if getattr(value, "requires_grad", False) and hasattr(value, "detach"):
        value = value.detach()  # torch refuses its interface to tensors that record gradients
    interface: dict[str, Any] | None = getattr(value, "__cuda_array_interface__", None)
    if interface is None and hasattr(value, "__dlpack_device__"):
        kind, index = (int(number) for number in value.__dlpack_device__())
        if kind not in {1, 3}:  # CPU, pinned
            raise TypeError(
                f"{name}: {type(value).__name__} on DLPack device ({kind}, {index}) has no "
                f"__cuda_array_interface__; pass cupy.from_dlpack({name})"
            )
    return interface


def is_device_array(value: Any) -> bool:
    """Return whether a value lies on a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.cuda.arrays import is_device_array
    >>> is_device_array(np.zeros(3)), is_device_array([1, 2])
    (False, False)
    """
    return _interface(value, "array") is not None


def _device_index(value: Any) -> int | None:
    device = getattr(value, "device", None)
    for attribute in ("index", "id"):  # torch, CuPy
        index = getattr(device, attribute, None)
        if isinstance(index, int):
            return index
    return None


def _shape_text(shape: Sequence[Any]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def device_array(value: Any, name: str, shape: Sequence[int | str]) -> DeviceArray:
    """Check a device array against a shape: numbers must match, names stand for any size.

    Raises
    ------
    TypeError
        If it is no device array, masked, or not of real numbers.
    ValueError
        If its shape or memory layout does not fit.
    """
    interface = _interface(value, name)
    if interface is None:
        raise TypeError(
            f"{name}: expected a device array like the others, got {type(value).__name__}"
        )
    if interface.get("mask") is not None:
        raise TypeError(f"{name}: expected no mask")
    dtype = np.dtype(interface["typestr"])
    if dtype.kind + str(dtype.itemsize) not in DTYPES or not dtype.isnative:
        raise TypeError(f"{name}: expected real numbers, got dtype {dtype}")
    got = tuple(int(n) for n in interface["shape"])
    fits = len(got) == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(shape, got, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected {_shape_text(shape)}, got {_shape_text(got)}")
    _check_contiguous(name, interface.get("strides"), got, dtype.itemsize)
    stream = interface.get("stream") if interface.get("version", 0) >= 3 else None
    return DeviceArray(
        name=name,
        ptr=int(interface["data"][0] or 0),
        shape=got,
        dtype=dtype,
        library=type(value).__module__.split(".", maxsplit=1)[0],
        device=_device_index(value),
        stream=None if stream is None else int(stream),
        owner=value,
    )


def _check_contiguous(
    name: str, strides: Sequence[int] | None, shape: Sequence[int], itemsize: int
) -> None:
    if strides is None or 0 in shape:
        return
    step = itemsize
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != step:
            raise ValueError(
                f"{name}: expected a C-contiguous device array, got strides "
                f"{_shape_text(strides)} of shape {_shape_text(shape)}; copy it first"
            )
        step *= size


def same_device(arrays: Sequence[DeviceArray]) -> int | None:
    """Device of all arrays that know it; ValueError if they lie on different ones."""
    known = [array for array in arrays if array.device is not None]
    for array in known[1:]:
        if array.device != known[0].device:
            raise ValueError(
                f"{array.name}: expected an array on device {known[0].device} like "
                f"{known[0].name}, got device {array.device}"
            )
    return known[0].device if known else None


def device_output(value: Any, shape: Sequence[int], read: DeviceArray) -> DeviceArray:
    """Check a device array that results are to be written to, beside the one that is read."""
    out = device_array(value, "out", list(shape))
    if out.dtype != np.float32:
        raise ValueError(f"out: expected float32, got {out.dtype}")
    interface = _interface(value, "out")
    if interface is not None and interface["data"][1]:
        raise ValueError("out: expected a writeable device array, got one that is read-only")
    same_device([read, out])
    if out.ptr < read.ptr + read.nbytes and read.ptr < out.ptr + out.nbytes:
        raise ValueError(f"out: shares memory with {read.name}")
    return out


def host_output(value: Any, shape: Sequence[int], read: npt.NDArray[Any]) -> Floats:
    """Check a numpy array that results are to be written to, beside the one that is read."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"out: expected a numpy array, got {type(value).__name__}")
    if value.shape != tuple(shape) or value.dtype != np.float32 or not value.flags.c_contiguous:
        raise ValueError(
            f"out: expected a float32 array {_shape_text(shape)}, C-contiguous, got "
            f"{_shape_text(value.shape)} of dtype {value.dtype}"
        )
    if not value.flags.writeable:
        raise ValueError("out: expected a writeable array, got one that is read-only")
    if np.may_share_memory(value, read):
        raise ValueError("out: shares memory with series")
    return value


def host_array(value: Any, name: str, shape: Sequence[int | str]) -> npt.NDArray[Any]:
    """Check a host array as `device_array` does; any layout, a copy only where numpy needs one."""
    if _interface(value, name) is not None:
        raise TypeError(f"{name}: expected a host array like the others, got a device array")
    array = real_array(value, name=name)
    if array.dtype.kind + str(array.dtype.itemsize) not in DTYPES:
        array = array.astype(np.float64)  # long doubles lose nothing that float32 would keep
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected {_shape_text(shape)}, got {_shape_text(array.shape)}")
    return array

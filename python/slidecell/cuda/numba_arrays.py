"""The caller's arrays as Numba's device arrays, and results as the caller's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.cuda.arrays import (
    DeviceArray,
    device_array,
    host_array,
    is_device_array,
    same_device,
)
from slidecell.cuda.numba_kernels import cuda


def empty(*shape: int) -> Any:
    """Make a float32 device array."""
    return cuda.device_array(shape, np.float32)


def upload(array: npt.ArrayLike) -> Any:
    """Copy an array to the device."""
    return cuda.to_device(np.ascontiguousarray(array))


def _plain(value: Any) -> Any:
    """Without torch's record of gradients, which no other library takes."""
    return value.detach() if hasattr(value, "detach") else value


@contextmanager
def on_device_of(value: Any, name: str) -> Iterator[None]:
    """Work on the device of the caller's array, after what its library has started there.

    Numba's kernels have a stream of their own, so the host waits before and after them.
    """
    index = None
    if is_device_array(value):
        shape = _plain(value).__cuda_array_interface__["shape"]
        found = device_array(value, name, [str(n) for n in shape])
        index = found.device
        if found.library == "torch":  # the interface of others tells the stream
            import torch

            torch.cuda.current_stream(index).synchronize()
    try:
        with nullcontext() if index is None else cuda.gpus[index]:
            yield
            cuda.synchronize()
    except Exception as error:  # Numba's own class, which its simulator lacks
        if "OUT_OF_MEMORY" not in str(error):
            raise
        raise MemoryError(
            "cuda: too little memory on the device for backend 'numba', which holds a whole "
            "series; backend='cupy' works by chunks"
        ) from error


class Input:
    """An array of the caller on the device, and how results go back to where it came from."""

    def __init__(
        self,
        value: Any,
        name: str,
        shape: Sequence[int | str],
        *,
        beside: Input | None = None,
    ) -> None:
        """With ``beside`` the array must lie where that one does, on the device as float32."""
        self.place: DeviceArray | None = None
        if beside.place is not None if beside else is_device_array(value):
            self.place = device_array(value, name, shape)
            if beside is not None and beside.place is not None:
                same_device([beside.place, self.place])
                if self.place.dtype != np.float32:
                    raise TypeError(f"{name}: expected float32, got dtype {self.place.dtype}")
            self.shape = self.place.shape
            self.array = cuda.as_cuda_array(_plain(value))
        else:
            host = host_array(value, name, shape)
            self.shape = host.shape
            # Numba knows no float16 and no bool arrays in all versions; float32 holds both.
            narrow = host.dtype.itemsize < 4 or host.dtype.kind == "b" or beside is not None
            self.array = upload(host.astype(np.float32) if narrow else host)

    def give(self, array: Any) -> Any:
        """Hand a device array to the caller."""
        if self.place is None:
            return array.copy_to_host()
        if self.place.library == "torch":
            import torch

            return torch.as_tensor(array, device=f"cuda:{self.place.device or 0}")
        if self.place.library == "cupy":
            import cupy

            return cupy.asarray(array)
        return array

    def give_host(self, array: npt.NDArray[np.float32]) -> Any:
        """Hand a host array to the caller."""
        return array if self.place is None else self.give(upload(array))

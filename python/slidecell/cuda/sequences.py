"""`forward` and `step` of an `LSTM`, `GRU` or `RNN`: batch rows are windows that share no rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.cuda import structs
from slidecell.cuda.arrays import (
    DeviceArray,
    device_array,
    host_array,
    is_device_array,
    same_device,
)
from slidecell.cuda.chunks import Vectors
from slidecell.cuda.engine import Engine
from slidecell.cuda.network_weights import Network
from slidecell.cuda.pipeline import DeviceSource, HostSource, Rows, most_of, settled
from slidecell.cuda.runtime import Memory, Runtime
from slidecell.cuda.structs import SINKS, struct
from slidecell.windows import WindowPlan

_CHUNK_ROWS = 2**22


class _Batch:
    """Float32 arrays of one batch, checked, on the device: on the host or the device before."""

    def __init__(self, runtime: Runtime, x: Any, shape: list[int | str]) -> None:
        self.runtime, self.on_device = runtime, is_device_array(x)
        self._held: list[Any] = [x]
        self._arrays: list[DeviceArray] = []
        self.x: Any
        if self.on_device:
            self.x = device_array(x, "x", shape)
            self._arrays.append(self.x)
            runtime.adopt(self.x)
        else:
            self.x = host_array(x, "x", shape)

    def float32(self, value: Any, name: str, shape: list[int | str]) -> int:
        """Address of a state."""
        if self.on_device:
            array = device_array(value, name, shape)
            if array.dtype != np.float32:
                raise TypeError(f"{name}: expected float32, got dtype {array.dtype}")
            self._arrays.append(array)
            same_device(self._arrays)
            self.runtime.adopt(array)
            self._held.append(value)
            return array.ptr
        host = host_array(value, name, shape).astype(np.float32)
        memory = self.runtime.upload(host)
        self._held.append(memory)
        return memory.ptr

    def result(self, shape: tuple[int, ...]) -> tuple[int, Any]:
        """Address of a result, and the array or memory that it is."""
        if self.on_device:
            array = self.runtime.array(shape, self.x.library)
            return device_array(array, "out", list(shape)).ptr, array
        memory = self.runtime.memory(max(4, int(np.prod(shape)) * 4))
        return memory.ptr, memory

    def give(self, result: Any, shape: tuple[int, ...]) -> Any:
        """Hand a result to the caller, for host arrays as a numpy array."""
        if not isinstance(result, Memory):
            return result
        runtime = self.runtime
        host = runtime.pinned(max(4, int(np.prod(shape)) * 4))
        runtime.copy_out(host, result.ptr, runtime.main)
        runtime.synchronize(runtime.record(runtime.main))
        return host.view(np.float32)[: int(np.prod(shape))].reshape(shape).copy()


def given_states(network: Network, state: Any) -> dict[str, Any]:
    """Return a caller's initial states by name, none for None: ``h0``, and ``c0`` where there is c.

    Raises
    ------
    ValueError
        If they are not as many as the cell has.
    """
    if state is None:
        return {}
    names = [f"{name}0" for name in network.encoder[0].traits.states]
    parts = (state,) if len(names) == 1 else tuple(state)
    if len(parts) != len(names):
        raise ValueError(f"state: expected ({', '.join(names)}), got {len(parts)} arrays")
    return dict(zip(names, parts, strict=True))


def _lengths(runtime: Runtime, lengths: npt.ArrayLike | None, N: int, T: int) -> Memory | None:
    if lengths is None:
        return None
    values = np.asarray(lengths)
    if values.shape != (N,) or values.dtype.kind not in "iu":
        raise ValueError(
            f"lengths: expected [{N}] integers, got {list(values.shape)} of dtype {values.dtype}"
        )
    if N and (values.min() < 0 or values.max() > T):
        raise ValueError(f"lengths: expected 0 to {T}, got {values.min()} to {values.max()}")
    return runtime.upload(values.astype(np.int64))


def forward(
    engine: Engine, x: Any, state: Any, lengths: npt.ArrayLike | None, *, outputs: bool = True
) -> tuple[Any, tuple[Any, ...]]:
    """Run x [N,T,I], states [L,N,H] -> out [N,T,H] (None without ``outputs``), final states."""
    runtime, network = engine.runtime, engine.network
    batch = _Batch(runtime, x, ["N", "T", network.input_size])
    N, T, features = batch.x.shape
    if T < 1:
        raise ValueError("x: expected [N, T, I] with T >= 1, got T = 0")
    layers, H = len(network.encoder), network.encoder[0].hidden_size
    states = network.encoder[0].traits.states
    state_shape = (layers, N, H)
    addresses = [
        batch.float32(value, name, list(state_shape))
        for name, value in given_states(network, state).items()
    ]
    finals = [batch.result(state_shape) for _ in states]
    for n, (ptr, _) in enumerate(finals):  # where lengths are 0 the state stays as it was
        if addresses:
            runtime.copy_on_device(ptr, addresses[n], int(np.prod(state_shape)) * 4)
        else:
            runtime.fill(ptr, int(np.prod(state_shape)) * 4, 0, runtime.main)
    out_shape = (N, T, H)
    out_ptr, out = batch.result(out_shape) if outputs else (0, None)
    held_lengths = _lengths(runtime, lengths, N, T)
    sink = struct(
        structs.SINK,
        sink=SINKS.index("sequence"),
        out=out_ptr,
        windows=N,
        **{f"{name}_n": ptr for name, (ptr, _) in zip(states, finals, strict=True)},
        **{f"{name}0": ptr for name, ptr in zip(states, addresses, strict=False)},
        lengths=0 if held_lengths is None else held_lengths.ptr,
    )
    if N > 0:
        _run(engine, batch, (N, T, features), sink)
    shaped = None if out is None else batch.give(out, out_shape)
    return shaped, tuple(batch.give(array, state_shape) for _, array in finals)


def _run(engine: Engine, batch: _Batch, shape: tuple[int, int, int], sink: Any) -> None:
    """Chunks of batch rows: one entity of N*T rows, whose windows are T rows, T rows apart."""
    N, T, features = shape
    runtime = engine.runtime
    vectors = Vectors.of(WindowPlan([0, N * T], window=T, horizon=0, stride=T))
    chunks = list(vectors.chunks(max(_CHUNK_ROWS, structs.VECTOR * T)))
    most = most_of(chunks, lambda chunk: chunk.rows)
    source: DeviceSource | HostSource
    if batch.on_device:
        source = DeviceSource(batch.x.ptr, features, batch.x.dtype)
    else:
        source = HostSource(runtime, batch.x.reshape(N * T, features), most)
    with settled([source]):
        rows = Rows(runtime, source, most, marks=False)
        windows = engine.windows(runtime, vectors)
        plan = engine.plan(T, T, "highest")
        for chunk in chunks:
            engine.launch(plan, rows.load(chunk), windows(chunk), sink)

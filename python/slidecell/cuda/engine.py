"""A network on one device: its weights, its plans, and the launches of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.cuda import structs
from slidecell.cuda.chunks import Chunk, Vectors
from slidecell.cuda.kept import KeptArrays
from slidecell.cuda.kernel_plan import KernelPlan
from slidecell.cuda.network_weights import Network
from slidecell.cuda.pipeline import chunk_limits, most_of
from slidecell.cuda.plan import plan_network
from slidecell.cuda.runtime import Entry, Memory, Runtime, entry_of
from slidecell.cuda.structs import SINKS, Struct, struct


@dataclass(frozen=True, eq=False)
class Head:
    """What a model predicts, beside its network."""

    targets: tuple[int, ...]  # columns
    center: npt.NDArray[np.float64] | None  # [F] scaler, if any
    scale: npt.NDArray[np.float64] | None
    whiten: npt.NDArray[np.float32] | None  # [D, D] error statistics, if any
    shift: npt.NDArray[np.float32] | None  # [D]


def head_of(metadata: Mapping[str, Any]) -> Head:
    """Take the head's surroundings from a model's metadata."""
    features = metadata["encoder"][0]["input_size"]
    scaler, error = metadata["scaler"], metadata["error"]
    center = scale = whiten = shift = None
    if scaler is not None:
        center = np.asarray(scaler["center"], np.float64)
        scale = np.asarray(scaler["scale"], np.float64)
    if error is not None and "whiten" in error:
        matrix = np.asarray(error["whiten"], np.float64)
        whiten = matrix.astype(np.float32)
        # Summed one after the other, as the CPU's model does.
        total = np.zeros(len(matrix))
        for column, mean in zip(matrix.T, error["mean"], strict=True):
            total -= column * mean
        shift = total.astype(np.float32)
    targets = metadata["targets"]
    chosen = range(features) if targets is None else targets
    return Head(tuple(chosen), center, scale, whiten, shift)


@dataclass(frozen=True)
class ScoreOptions:
    """As `SequenceModel.score`'s."""

    precision: str = "highest"
    reduction: str = "mse"
    aggregate: str = "window"
    per_feature: bool = False


class Engine:
    """A network's weights on a device, and the launches that compute with them."""

    def __init__(self, runtime: Runtime, network: Network, head: Head | None = None) -> None:
        self.runtime, self.network, self.head = runtime, network, head
        self._plans: dict[tuple[int, int, str], KernelPlan] = {}
        self._kept = KeptArrays(runtime)

    def plan(self, window: int, stride: int, precision: str) -> KernelPlan:
        """Plan, made once."""
        key = (window, stride, precision)
        if key not in self._plans:
            self._plans[key] = plan_network(
                self.network,
                self.runtime.device,
                window=window,
                stride=stride,
                precision=precision,
            )
        return self._plans[key]

    def constant(self, name: str, value: npt.NDArray[Any] | None) -> Memory | None:
        """Upload an array once; None stays None."""
        return None if value is None else self._kept.use(name, lambda: value)

    def address(self, name: str, value: npt.NDArray[Any] | None) -> int:
        """Address of `constant`, 0 for None."""
        memory = self.constant(name, value)
        return 0 if memory is None else memory.ptr

    def _net(self, plan: KernelPlan) -> Struct:
        weights = self._kept.use(f"weights {plan.kernel} {plan.precision}", plan.packed.data)
        net = struct(
            structs.NET,
            weights=weights.ptr,
            weights_words=plan.packed.words,
            encoder_layers=len(self.network.encoder),
            decoder_layers=len(self.network.decoder),
            **plan.packed.net,
        )
        for n, layer in enumerate(self.network.layers):
            entry = net["layers"][0, n]
            entry["cell"], entry["activation"], entry["recurrent_activation"] = layer.codes
            entry["input"], entry["hidden"] = layer.input_size, layer.hidden_size
            for name, value in {**plan.packed.layers[n], **plan.layers[n]}.items():
                entry[name] = value
        return net

    @staticmethod
    def windows(runtime: Runtime, vectors: Vectors) -> Callable[[Chunk], Struct]:
        """Struct `WINDOWS` of a chunk; the numbers of all entities are uploaded once per call."""
        numbers = np.stack([vectors.offsets, vectors.first_vector, vectors.first_window])
        held, row = runtime.upload(numbers), numbers[0].nbytes

        def of(chunk: Chunk) -> Struct:
            return struct(
                structs.WINDOWS,
                offsets=held.ptr,
                first_vector=held.ptr + row,
                first_window=held.ptr + 2 * row,
                first=chunk.first,
                last=chunk.last,
                entities=len(vectors.offsets) - 1,
                window=vectors.window,
                horizon=vectors.horizon,
                stride=vectors.stride,
            )

        return of

    def launch(self, plan: KernelPlan, series: Struct, windows: Struct, sink: Struct) -> None:
        """Start a plan's kernel on one chunk."""
        kind = structs.FMA if plan.kernel == "fma" else structs.MMA
        args = struct(
            kind, series=series, windows=windows, net=self._net(plan), sink=sink, **plan.arguments
        )
        vectors = int(windows["last"][0] - windows["first"][0])
        tiles = -(-vectors // (plan.columns // structs.VECTOR))
        grid = max(1, min(plan.grid, tiles))
        scratch = plan.arguments.get("scratch_words", 0)
        held = self.runtime.memory(scratch * 4 * grid) if scratch else None
        if held is not None:
            args["scratch"] = held.ptr
        self.start(entry_of(plan), grid, args)

    def start(self, entry: Entry, grid: int, args: Struct) -> None:
        """Start a kernel that may use what the model keeps on the device."""
        self.runtime.launch(entry, grid, args)
        self._kept.used()

    def sink(self, name: str, **values: Any) -> Struct:
        """Struct `SINK` of this kind."""
        head = self.head
        assert head is not None
        targets = np.asarray(head.targets, np.int32)
        return struct(
            structs.SINK,
            sink=SINKS.index(name),
            targets=len(targets),
            target=self.address("targets", targets),
            **values,
        )

    def scaler(self) -> tuple[Memory | None, Memory | None]:
        """Center and scale of all features."""
        head = self.head
        assert head is not None
        return self.constant("center", head.center), self.constant("scale", head.scale)

    def chunks(
        self, vectors: Vectors, window_bytes: int, chunk_bytes: int
    ) -> tuple[list[Chunk], int]:
        """Chunks whose rows and results fit, and the most rows of one."""
        rows, windows = chunk_limits(vectors, self.network.input_size, window_bytes, chunk_bytes)
        chunks = list(vectors.chunks(rows, windows))
        return chunks, most_of(chunks, lambda chunk: chunk.rows)


def elementwise(name: str, arguments_type: str) -> Entry:
    """Entry of a kernel that any number of threads may run."""
    return Entry(name, arguments_type, threads=256)

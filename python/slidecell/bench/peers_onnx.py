"""ONNX Runtime's ways to score."""

from __future__ import annotations

import logging
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from slidecell.bench import batches
from slidecell.bench.batches import Batch
from slidecell.bench.contestants import Ways
from slidecell.bench.workloads import Floats, ScoreWorkload
from slidecell.convert import onnx_bytes
from slidecell.model import SequenceModel

__all__ = ["has_int8", "inputs_of", "quantised", "score", "score_graph", "session"]


def score_graph(model: SequenceModel, *, time_major: bool, batch: int | str = "n") -> bytes:
    """Return a network's scores of scaled windows as an ONNX graph, no row of them missing."""
    network = SequenceModel({**model.metadata, "scaler": None}, model.tensors)
    return onnx_bytes(
        network, prediction=False, marks_missing=False, time_major=time_major, batch=batch
    )


def inputs_of(model: SequenceModel, batch: Batch) -> dict[str, Floats]:
    """Return what such a graph reads of a batch."""
    x = np.ascontiguousarray(batch.x)
    if batch.y is None:
        return {"x": x}
    targets = list(model.metadata["targets"] or range(model.input_size))
    truth = batch.y.reshape(-1, model.horizon, len(targets))
    y = np.zeros((len(truth), model.horizon, model.input_size), np.float32)
    y[:, :, targets] = truth
    return {"x": x, "y": y}


def session(model: bytes, threads: int, *, spinning: bool = True) -> Any:
    """Start a session with all graph optimisations on so many threads."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.log_severity_level = 3  # no warning about what it could not find out of the system
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def has_int8(workload: ScoreWorkload) -> bool:
    """Return whether ONNX Runtime multiplies some states of a network in 8 bits: of LSTMs alone."""
    return any(layer["cell"] == "lstm" for layer in workload.model.metadata["encoder"])


def quantised(model: bytes) -> bytes:
    """Return the graph with 8-bit weights, by ONNX Runtime's own dynamic quantisation."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it asks for a preparation that changes nothing
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            graph = onnx.load_model_from_string(model)
            quantize_dynamic(graph, path, weight_type=QuantType.QInt8, per_channel=True)
            return path.read_bytes()
    finally:
        logging.getLogger().setLevel(level)


def score(workload: ScoreWorkload, threads: int, *, int8: bool = False) -> Ways:
    """Batches of windows, bound to the caller's memory, batch-first or time-major.

    On several threads: one batch after the other on all of them, whose idle ones spin or sleep, or
    one batch per thread. With `int8` dynamically quantised. Prepared: the session, all windows and
    targets, each batch contiguous in its layout, and the bindings.
    """

    @cache  # within the first call, which is not counted
    def runner(time_major: bool, requests: int, spinning: bool) -> Any:
        each = threads if requests == 1 else 1
        graph = score_graph(workload.model, time_major=time_major)
        return session(quantised(graph) if int8 else graph, each, spinning=spinning)

    @cache
    def prepared(size: int, time_major: bool, requests: int, spinning: bool) -> Any:
        found, scores = [], np.empty(workload.work, np.float32)
        for batch in batches.batches_of(workload, size, time_major=time_major):
            binding = runner(time_major, requests, spinning).io_binding()
            inputs = inputs_of(workload.model, batch)
            for name, array in inputs.items():
                binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
            part = scores[batch.first : batch.end]
            binding.bind_output("score", "cpu", 0, np.float32, part.shape, part.ctypes.data)
            found.append((binding, inputs, part))  # the arrays must outlive the binding
        return found, scores

    def run(size: int, time_major: bool, requests: int, spinning: bool) -> Floats:
        bound, scores = prepared(size, time_major, requests, spinning)
        runs = runner(time_major, requests, spinning).run_with_iobinding

        def scored(item: Any) -> Floats:
            runs(item[0])
            part: Floats = item[2]
            return part

        for _ in batches.each(scored, bound, requests):
            pass
        answer: Floats = scores
        return answer

    together = [(1, True)] if threads == 1 else [(threads, False), (1, False), (1, True)]
    return {
        f"batch {size}{', time-major' if time_major else ''}{_text(threads, requests, spins)}": (
            partial(run, size, time_major, requests, spins)
        )
        for requests, spins in together
        for size in workload.batches
        for time_major in (True, False)
    }


def _text(threads: int, requests: int, spinning: bool) -> str:
    if requests > 1:
        return f", {requests} at a time"
    return ", no spinning" if threads > 1 and not spinning else ""

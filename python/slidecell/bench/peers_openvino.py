"""OpenVINO's ways to score."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from slidecell.bench import batches
from slidecell.bench.contestants import Ways
from slidecell.bench.peers_onnx import inputs_of, score_graph
from slidecell.bench.workloads import Floats, ScoreWorkload

__all__ = ["compiled", "has", "score"]


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def has(precision: str) -> Callable[[Any], bool]:
    """Return whether this processor computes in ``"bf16"`` or ``"f16"``, as a test of workloads."""

    def takes(_job: Any) -> bool:
        if "ONEDNN_MAX_CPU_ISA" in os.environ:  # which hides such instructions from oneDNN alone
            return False
        return precision.upper() in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    return takes


def compiled(model: bytes, threads: int, *, hint: str = "LATENCY", precision: str = "f32") -> Any:
    """Compile an ONNX model file for so many threads."""
    settings = {
        "PERFORMANCE_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    if hint == "THROUGHPUT":
        settings["NUM_STREAMS"] = threads
    return _core().compile_model(_core().read_model(model), "CPU", settings)


def score(workload: ScoreWorkload, threads: int, *, precision: str = "f32") -> Ways:
    """Batches of one static shape in shared memory, by both hints.

    LATENCY: one batch after the other on all threads. THROUGHPUT: a stream per thread, all batches
    asynchronous. On one thread the two differ in nothing but the call. Prepared: the compiled
    model, all windows and targets, each batch contiguous in its layout (the last one padded), and
    one bound request per batch.
    """

    @cache  # within the first call, which is not counted
    def prepared(size: int, time_major: bool, hint: str) -> Any:
        import openvino

        data = score_graph(workload.model, time_major=time_major, batch=size)
        model = compiled(data, threads, hint=hint, precision=precision)
        cut = batches.batches_of(workload, size, time_major=time_major, padded=True)
        scores = np.empty(len(cut) * size, np.float32)
        requests, kept = [], []
        for number, batch in enumerate(cut):
            request = model.create_infer_request()
            kept.append(inputs_of(workload.model, batch))
            for name, array in kept[-1].items():
                request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
            part = scores[number * size : (number + 1) * size]
            request.set_tensor("score", openvino.Tensor(part, shared_memory=True))
            requests.append(request)
        return requests, scores, (cut, kept)  # the arrays must outlive the requests

    def run(size: int, time_major: bool, hint: str) -> Floats:
        requests, scores, _ = prepared(size, time_major, hint)
        if hint == "LATENCY":
            for request in requests:
                request.infer()
        else:
            for request in requests:
                request.start_async()
            for request in requests:
                request.wait()
        answer: Floats = scores[: workload.work]
        return answer

    hints = ("LATENCY",) if threads == 1 else ("THROUGHPUT", "LATENCY")
    return {
        f"batch {size}{', time-major' if time_major else ''}, {hint}": partial(
            run, size, time_major, hint
        )
        for hint in hints
        for size in workload.batches
        for time_major in (True, False)
    }

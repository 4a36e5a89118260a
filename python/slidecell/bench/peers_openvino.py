"""OpenVINO's ways to score."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np

from slidecell.bench import batches
from slidecell.bench.contestants import Ways
from slidecell.bench.peers_onnx import inputs_of, score_graph
from slidecell.bench.workloads import Floats, ScoreWorkload

__all__ = ["compiled", "has", "has_int8", "quantised", "score"]


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


def has_int8(workload: ScoreWorkload) -> bool:
    """Return whether OpenVINO has a network's layers in 8 bits: LSTMs of a forecaster."""
    metadata = workload.model.metadata
    return not metadata["decoder"] and all(x["cell"] == "lstm" for x in metadata["encoder"])


def quantised(model: bytes, inputs: Mapping[str, Floats]) -> tuple[Any, dict[str, Floats]]:
    """Return an ONNX model file in 8 bits, by NNCF, and the first states that it reads beside x.

    These are zeros [N, 1, H]. OpenVINO's LSTM takes 8 bits only where weights are plain constants
    and the first state is an input whose range is known; it codes rows and states by one scale, so
    that both must show both signs.
    """
    import nncf
    from openvino import opset13
    from openvino.passes import ConstantFolding, Manager

    network = _core().read_model(model)
    folding = Manager()
    folding.register_pass(ConstantFolding())  # of the gates' order
    folding.run_passes(network)
    states: dict[str, Floats] = {}
    for layer in [op for op in network.get_ops() if op.get_type_name() == "LSTMSequence"]:
        name = f"h0_{len(states)}"
        states[name] = np.zeros(list(layer.input_value(1).get_shape()), np.float32)
        state = opset13.parameter(states[name].shape, np.float32, name=name)
        state.output(0).get_tensor().set_names({name})
        layer.input(1).replace_source_output(state.output(0))
        network.add_parameters([state])
    network.validate_nodes_and_infer_types()
    rng = np.random.default_rng(0)
    seen = dict(inputs) | {
        name: rng.uniform(-1, 1, zeros.shape).astype(np.float32) for name, zeros in states.items()
    }
    samples = nncf.Dataset([seen, {**seen, "x": -seen["x"]}])
    level = logging.getLogger("nncf").level
    logging.getLogger("nncf").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its bars
            return nncf.quantize(network, samples, subset_size=2), states
    finally:
        logging.getLogger("nncf").setLevel(level)


def compiled(model: Any, threads: int, *, hint: str = "LATENCY", precision: str = "f32") -> Any:
    """Compile an ONNX model file, or OpenVINO's model, for so many threads."""
    settings = {
        "PERFORMANCE_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    if hint == "THROUGHPUT":
        settings["NUM_STREAMS"] = threads
    read = _core().read_model(model) if isinstance(model, bytes) else model
    return _core().compile_model(read, "CPU", settings)


def score(
    workload: ScoreWorkload, threads: int, *, precision: str = "f32", int8: bool = False
) -> Ways:
    """Batches of one static shape in shared memory, by both hints; with `int8` quantised.

    LATENCY: one batch after the other on all threads. THROUGHPUT: a stream per thread, all batches
    asynchronous. On one thread the two differ in nothing but the call. Prepared: the compiled
    model, all windows and targets, each batch contiguous in its layout (the last one padded), and
    one bound request per batch.
    """

    @cache  # within the first call, which is not counted
    def prepared(size: int, time_major: bool, hint: str) -> Any:
        import openvino

        cut = batches.batches_of(workload, size, time_major=time_major, padded=True)
        network: Any = score_graph(workload.model, time_major=time_major, batch=size)
        states: dict[str, Floats] = {}
        if int8:
            network, states = quantised(network, inputs_of(workload.model, cut[0]))
        model = compiled(network, threads, hint=hint, precision=precision)
        scores = np.empty(len(cut) * size, np.float32)
        requests, kept = [], []
        for number, batch in enumerate(cut):
            request = model.create_infer_request()
            kept.append(inputs_of(workload.model, batch) | states)
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

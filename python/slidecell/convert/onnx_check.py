"""Compares a compiled model with the ONNX file that it was made of, run by ONNX Runtime."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.agreement import (
    COARSE_TOLERANCE,
    TOLERANCE,
    refuse_difference,
    unusual_rows,
    usual_rows,
)
from slidecell.convert.onnx_reader import OnnxReading

__all__ = ["check_against_runtime"]

Floats = npt.NDArray[np.float32]

_CHECK_WINDOWS = 32
_INPUT_TYPES = {1: np.float32, 10: np.float16, 11: np.float64}


def check_against_runtime(reading: OnnxReading, model: Any) -> bool:
    """Compare the compiled `model` with the file; return whether ONNX Runtime could do it.

    ValueError with the figure if they differ by more than 1e-4 (of the largest output, where that
    is above 1) on random windows, or by more than 1e-3 on windows of large values, spikes and
    zeros. Only those nodes are run that were read, from memory.

    Parameters
    ----------
    reading : OnnxReading
    model : SequenceModel
        Without a scaler.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            _part(reading).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # which prints
        )
    except Exception as error:  # of onnxruntime's own types, which it does not list
        warnings.warn(
            "onnx: ONNX Runtime cannot run it, so that its answers were not compared with the "
            f"model's: {error}",
            RuntimeWarning,
            stacklevel=3,
        )
        return False
    each = reading.batch or _CHECK_WINDOWS
    count = -(-_CHECK_WINDOWS // each) * each
    rows = usual_rows(count, model.window + model.horizon, model.input_size)
    for x, tolerance, what in (
        (rows, TOLERANCE, "random windows"),
        (unusual_rows(rows), COARSE_TOLERANCE, "windows with large values"),
    ):
        answers = _answers(session, x[:, : model.window], each, reading)
        # Each window is an entity of its own, so that none overlaps another.
        series = x.reshape(-1, model.input_size)
        offsets = np.arange(count + 1, dtype=np.int64) * x.shape[1]
        ours = [model.predict(series, offsets)]
        if len(answers) == 2:
            ours.append(model.predict_log_variance(series, offsets))
        for mine, theirs, part in zip(ours, answers, ("", "the log variances of "), strict=False):
            if theirs.size != mine.size:
                raise ValueError(
                    f"onnx: expected it to return {list(mine.shape)}, got {list(theirs.shape)}"
                )
            refuse_difference("onnx", mine, theirs.reshape(mine.shape), tolerance, part + what)
    return True


def _answers(session: Any, windows: Floats, each: int, reading: OnnxReading) -> list[Floats]:
    """Return what the file answers for windows [N, W, F], in batches of `each`."""
    dtype = _INPUT_TYPES[reading.input.type.tensor_type.elem_type]
    parts: list[list[Floats]] = []
    for start in range(0, len(windows), each):
        x = windows[start : start + each].astype(dtype)
        x = np.ascontiguousarray(x.swapaxes(0, 1)) if reading.time_first else x
        try:
            answers = session.run(None, {reading.input.name: x})
        except Exception as error:  # of onnxruntime's own types
            raise ValueError(f"onnx: it fails on x {list(x.shape)}: {error}") from error
        parts.append(
            [
                np.asarray(
                    answer.swapaxes(0, 1) if reading.time_first and answer.ndim == 3 else answer,
                    np.float32,
                ).reshape(len(windows[start : start + each]), -1)
                for answer in answers
            ]
        )
    return [np.concatenate(answer) for answer in zip(*parts, strict=True)]


def _part(reading: OnnxReading) -> Any:
    """Return a model of the nodes that were read, with all weights inside."""
    from onnx import ModelProto, numpy_helper

    whole = reading.file.model
    part = ModelProto(ir_version=whole.ir_version)
    part.opset_import.extend(whole.opset_import)
    part.graph.name = "read"
    part.graph.node.extend(reading.nodes)
    part.graph.input.append(reading.input)
    part.graph.output.extend(whole.graph.output)
    part.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in reading.constants.items()
    )
    return part

"""Compares a compiled model with the torch module that it was made of."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell.convert.agreement import probe_rows, unusual_rows
from slidecell.convert.interfaces import CompiledModel, SequenceNetwork
from slidecell.convert.probes import refuse_what_layers_do_not_do
from slidecell.convert.torch_attributes import find_parts
from slidecell.convert.torch_modules import Reading, TimeFirst, evaluated, read_module

__all__ = ["check_against"]

# Largest difference to the module, relative to its largest output where that is above 1.
_TOLERANCE = 1e-4
_COARSE_TOLERANCE = 1e-3  # where large inputs make sums whose rounding is as much


def check_against(module: nn.Module, model: CompiledModel, reading: Reading | None = None) -> None:
    """Compare the compiled `model` with `module` in ``eval`` mode on random windows.

    ValueError with the figure if they differ by more than 1e-4 (of the largest output, where
    that is above 1); on windows of large values, spikes and zeros by more than 1e-3. Where no
    graph told what the module does, ValueError, too, if it changes values before, between or after
    its layers, whatever they are. The module's training flags stay as they were.

    Parameters
    ----------
    module : nn.Module
    model : SequenceModel
        Without a scaler.
    reading : Reading, optional
        What the model was made of; None: the module is read once more.
    """
    if reading is None:
        reading = read_module(module, model.window, columns=model.input_size)
    rows = probe_rows(model)
    with evaluated(module) as reference, torch.no_grad():
        asked = TimeFirst(reference) if reading.time_first else reference
        _compare(asked, model, rows, _TOLERANCE, "random windows")
        _compare(asked, model, unusual_rows(rows), _COARSE_TOLERANCE, "windows with large values")
        if not reading.exported:
            parts = _layers_to_probe(reference)
            refuse_what_layers_do_not_do(
                reference, *parts, window=model.window, input_size=model.input_size
            )


def _layers_to_probe(module: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return the first layer, the last and the head."""
    if isinstance(module, SequenceNetwork):
        return module.encoder[0], [*module.encoder, *module.decoder][-1], module.head
    recurrent, head = find_parts(module)
    return recurrent, recurrent, head


def _compare(
    module: nn.Module,
    model: CompiledModel,
    rows: npt.NDArray[np.float32],  # [N, W+K, F]
    tolerance: float,
    what: str,
) -> None:
    window = model.window
    count, length = rows.shape[:2]
    # Each window is an entity of its own, so that none overlaps another.
    offsets = np.arange(count + 1, dtype=np.int64) * length
    ours = model.predict(rows.reshape(count * length, -1), offsets)  # [N, K or W, targets]
    x = torch.from_numpy(rows[:, :window].copy())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections", UserWarning)
            expected = module(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"module: it fails on x {list(x.shape)}: {error}") from error
    answers = [*expected.values()] if isinstance(expected, dict) else expected
    if isinstance(answers, (tuple, list)) and len(answers) == 2:
        _compare_numbers(ours, answers[0], tolerance, what)
        predict: Any = model.predict_log_variance  # type: ignore[attr-defined]  # with two outputs
        variances = predict(rows.reshape(count * length, -1), offsets)
        _compare_numbers(variances, answers[1], tolerance, f"the log variances of {what}")
    else:
        _compare_numbers(ours, expected, tolerance, what)


def _compare_numbers(
    ours: npt.NDArray[np.float32], expected: Any, tolerance: float, what: str
) -> None:
    count, steps, columns = ours.shape
    if not isinstance(expected, Tensor) or expected.numel() != ours.size:
        came = list(expected.shape) if isinstance(expected, Tensor) else type(expected).__name__
        raise ValueError(
            f"module: expected it to return [N, {steps * columns}], got {came} for N={count}"
        )
    theirs = expected.to(torch.float32).numpy().reshape(ours.shape)
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(ours - theirs).max())
    bound = tolerance * max(1.0, float(np.abs(theirs).max()))
    if not difference <= bound:  # NaN is no match either
        raise ValueError(
            f"module: its outputs differ from the layers and the head that were read from it by "
            f"{difference:.3g} on {what}, more than {bound:.3g}. It must apply its head to the "
            "last step alone (bidirectional: to both directions' final h, h_n, not to out[:, -1]) "
            "and nothing else"
        )

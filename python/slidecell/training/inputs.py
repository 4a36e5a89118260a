"""Check the series that `fit` is given, and convert it for the trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell._arguments import as_fraction, whole_number
from slidecell.scaling import as_series, finite_rows
from slidecell.tables.window_split import BoolArray, split_windows, usable_windows
from slidecell.training.batches import WindowBatches
from slidecell.training.trainer import Part

Validation: TypeAlias = "float | tuple[npt.ArrayLike, npt.ArrayLike | None]"


@dataclass(frozen=True)
class TrainingData:
    """Both parts on the device, and what was left out.

    Attributes
    ----------
    training, held_out : Part
    skipped : int
        Windows that touch a row that is not finite.
    purged : int
        Windows that straddle the cut.
    validation_rows : ndarray of bool, [S] or None
        Rows of the series that are held out, if some are.
    """

    training: Part
    held_out: Part
    skipped: int
    purged: int
    validation_rows: BoolArray | None


def load_training_data(
    module: nn.Module,
    series: npt.ArrayLike | Tensor,
    offsets: npt.ArrayLike | None,
    *,
    validation: Validation,
    keys: npt.ArrayLike | None,
    stride: int,
    seed: int,
    device: torch.device,
) -> TrainingData:
    """`series` [S, F], offsets [G+1] -> both parts, as `fit` describes them."""
    window, horizon = check_module(module)
    own = validation if isinstance(validation, tuple) else None
    fraction = 0.0 if own is not None else as_fraction("validation", validation)
    rows = _as_rows(series, module, "series")
    windows = usable_windows(
        finite_rows(rows), offsets, window=window, horizon=horizon, stride=stride
    )
    split = split_windows(
        windows,
        offsets,
        rows=len(rows),
        length=window + horizon,
        fraction=fraction,
        keys=keys,
        seed=seed,
    )
    batches = _batches(module, rows, device)
    training = Part(batches, _to_device(split.training, device))
    if own is None:
        held_out = Part(batches, _to_device(split.validation, device))
        held_rows = split.validation_rows if fraction else None
        return TrainingData(training, held_out, windows.skipped, split.purged, held_rows)
    if len(own) != 2:
        raise ValueError(f"validation: expected (series, offsets), got {len(own)} values")
    own_rows = _as_rows(own[0], module, "validation")
    own_windows = usable_windows(
        finite_rows(own_rows), own[1], window=window, horizon=horizon, stride=stride
    )
    if len(own_windows.starts) == 0:
        raise ValueError(
            f"validation: expected at least one window of {window + horizon} finite rows, "
            f"got none in {len(own_rows)} rows"
        )
    held_out = Part(_batches(module, own_rows, device), _to_device(own_windows.starts, device))
    return TrainingData(training, held_out, windows.skipped + own_windows.skipped, 0, None)


def check_module(module: nn.Module) -> tuple[int, int]:
    """Return the module's window and horizon."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch module, got {type(module).__name__}")
    window, horizon = getattr(module, "window", None), getattr(module, "horizon", None)
    if not isinstance(window, int) or not isinstance(horizon, int):
        raise TypeError(
            "module: expected a Forecaster, an Autoencoder or a module with integer attributes "
            f"'window' and 'horizon', got {type(module).__name__}"
        )
    return whole_number("module.window", window, least=1), whole_number(
        "module.horizon", horizon, least=0
    )


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that require gradients, of which there must be some."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("module: expected parameters that require gradients, got none")
    return parameters


def check_device(device: torch.device | str | None, home: torch.device) -> torch.device:
    """Return the device to train on, `home` by default."""
    if device is None:
        return home
    result = torch.device(device)
    if result.type == "cuda" and not torch.cuda.is_available():
        from slidecell import UnsupportedError

        raise UnsupportedError(f"device: torch sees no CUDA device here, got {str(device)!r}")
    return result


def reset_parameters(module: nn.Module) -> None:
    """Draw all weights anew, by the module's own ``reset_parameters`` or by those of its parts."""
    reset: Callable[[], None] | None = getattr(module, "reset_parameters", None)
    if reset is not None:
        reset()
        return
    for name, part in module.named_modules():
        if next(part.parameters(recurse=False), None) is None:
            continue
        reset = getattr(part, "reset_parameters", None)
        if reset is None:
            raise ValueError(
                f"module: {name or type(part).__name__} has weights but no reset_parameters(); "
                "pass warm_start=True to train from its present weights"
            )
        reset()


def _as_rows(
    series: npt.ArrayLike | Tensor, module: nn.Module, name: str
) -> npt.NDArray[np.float32]:
    """`series` [S, F] -> float32, contiguous; the caller's memory where it is that already."""
    array = as_series(series.detach().cpu().numpy() if isinstance(series, Tensor) else series)
    expected = getattr(module, "input_size", array.shape[1])
    if array.shape[1] != expected:
        raise ValueError(
            f"{name}: expected [S, {expected}] (module input_size={expected}), "
            f"got {list(array.shape)}"
        )
    with np.errstate(over="ignore"):
        # torch warns of memory that it may not write to, though it never does here.
        return np.require(array, dtype=np.float32, requirements=["C", "W", "A"])


def _to_device(starts: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(starts)).to(device)


def _batches(
    module: nn.Module, rows: npt.NDArray[np.float32], device: torch.device
) -> WindowBatches:
    window, horizon = check_module(module)
    dtype = next(module.parameters()).dtype
    return WindowBatches(
        torch.from_numpy(rows).to(device, dtype),
        window=window,
        horizon=horizon,
        targets=getattr(module, "targets", None),
    )

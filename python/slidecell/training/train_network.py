"""Training of a network for detectors: scaled, on as many threads as pay, compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from slidecell.training.settings import TrainingSettings
from slidecell.windows import WindowPlan

if TYPE_CHECKING:
    from torch import nn

    from slidecell._choices import ScalerKind
    from slidecell.model import SequenceModel
    from slidecell.training import History

__all__ = ["Part", "train_network"]

Part: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]  # rows [S, F], offsets [G+1]

# Multiply-adds per step in time of a batch below which training stays on one thread. From here on
# two threads are 1.4 times as fast or more on compiled layers, and as fast as one where other
# programs have both cores; below that they lose up to two fifths there.
_WORTH_THREADS = 1 << 20
# Of networks that torch computes: its threads spin while they wait, and where other programs want
# the cores two of them take up to twenty times as long as one.
_WORTH_TORCH_THREADS = 1 << 24


def train_network(
    make: Callable[[int], nn.Module],
    training: Part,
    held_out: Part,
    *,
    scaler: Any,
    settings: TrainingSettings,
    features: Sequence[str] | None = None,
    warm_start: bool = False,
    progress: bool | Callable[[int, int, float, float | None], object] = False,
) -> tuple[SequenceModel, History]:
    """Fit scaler and network on the training rows, and compile.

    Parameters
    ----------
    make : callable
        Gets F and returns a `Forecaster` or an `Autoencoder`.
    training, held_out : (rows [S, F], offsets [G+1])
        Raw rows. Those held out tell when to stop; there may be none.
    scaler : str, mapping or None
        A kind, fitted on the training rows; or a fitted scaler, as `slidecell.scaling` makes it.
    settings : TrainingSettings
        Without a held-out part `patience` is without effect; `validation` is, always.
    features : sequence of str, optional
        Names that the model keeps.
    warm_start : bool
        Go on from the module's weights.
    progress : bool or callable
        As for `slidecell.training.fit`.

    Returns
    -------
    model : SequenceModel
        With its scaler: it takes raw rows.
    history : History

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.training.settings import TrainingSettings
    >>> from slidecell.training.train_network import train_network
    >>> from slidecell.training import Forecaster
    >>> rows = np.sin(np.arange(200) / 5)[:, None]
    >>> model, history = train_network(
    ...     lambda features: Forecaster(features, 4, window=8),
    ...     (rows[:150], np.array([0, 150])),
    ...     (rows[150:], np.array([0, 50])),
    ...     scaler="minmax",
    ...     settings=TrainingSettings(epochs=2),
    ... )
    >>> history.training_windows, history.validation_windows, model.scaler["kind"]
    (142, 42, 'minmax')
    """
    from slidecell.model import SequenceModel
    from slidecell.scaling import apply_scaler, fit_scaler
    from slidecell.training import fit, seeded, torch_threads

    _check_device(settings.device)
    rows, offsets = training
    fitted = fit_scaler(rows, cast("ScalerKind", scaler)) if isinstance(scaler, str) else scaler
    has_held_out = len(held_out[0]) > 0
    with seeded(settings.seed):  # drawing weights leaves torch's global generator alone
        module = make(rows.shape[1])
    threads = _training_threads(module, rows.shape[1], offsets, settings)
    with torch_threads(threads), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections", UserWarning)  # is only slower
        history = fit(
            module,
            apply_scaler(fitted, rows),
            offsets,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            lr=settings.lr,
            optimizer=settings.optimizer,
            loss=settings.loss,
            clip_grad_norm=settings.clip_grad_norm,
            validation=(apply_scaler(fitted, held_out[0]), held_out[1]) if has_held_out else 0.0,
            patience=settings.patience if has_held_out else None,
            warm_start=warm_start,
            seed=settings.seed,
            device=settings.device,
            progress=progress,
        )
    names = None if features is None else list(features)
    model = SequenceModel.from_torch(module).with_metadata(scaler=fitted, features=names)
    return model, history


def _check_device(device: Any) -> None:
    """Refuse a device that torch does not know; torch's own errors do not name the argument."""
    import torch

    try:
        torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"device: expected a device of torch, got {device!r}") from error


def _training_threads(
    module: Any, features: int, offsets: npt.NDArray[np.int64], settings: TrainingSettings
) -> int | None:
    """Threads to train on; None: torch's own setting."""
    from slidecell.training.layers import mostly_compiled

    if settings.num_threads is not None:
        return settings.num_threads
    windows = len(WindowPlan(offsets, window=module.window, horizon=module.horizon))
    batch = settings.batch_size or min(2048, max(32, windows // 50))
    widest = max(layer.hidden_size for layer in (*module.encoder, *module.decoder))
    work = batch * 4 * widest * (widest + max(widest, features))
    least = _WORTH_THREADS if mostly_compiled(module) else _WORTH_TORCH_THREADS
    return 1 if work < least else None

"""`fit`: train a forecaster or an autoencoder on all windows of a series."""

from __future__ import annotations

import time

import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell._arguments import as_positive, whole_number
from slidecell.training.history import History, TrainingInterrupted
from slidecell.training.inputs import (
    Validation,
    check_device,
    check_module,
    load_training_data,
    reset_parameters,
    trainable,
)
from slidecell.training.layers import mostly_compiled
from slidecell.training.objective import Loss, OptimizerFactory, make_loss, make_optimizer
from slidecell.training.progress import ProgressCallback, make_reporter
from slidecell.training.seeds import draw_seed, seeded
from slidecell.training.threads import kernel_threads, torch_threads
from slidecell.training.trainer import Run, Step


def fit(
    module: nn.Module,
    series: npt.ArrayLike | Tensor,
    offsets: npt.ArrayLike | None = None,
    *,
    epochs: int = 50,
    batch_size: int | None = None,
    lr: float = 1e-3,
    optimizer: str | OptimizerFactory = "adam",
    loss: str | Loss = "mse",
    validation: Validation = 0.2,
    keys: npt.ArrayLike | None = None,
    patience: int | None = None,
    clip_grad_norm: float | None = None,
    stride: int = 1,
    warm_start: bool = False,
    seed: int | None = None,
    device: torch.device | str | None = None,
    progress: bool | ProgressCallback = True,
) -> History:
    """`series` [S, F] (scaled), offsets [G+1] -> `module` trained on its windows, and the history.

    Windows that touch a row with NaN or infinity are skipped. The module ends up in ``eval``
    mode, on the device it came from, with the weights of the best epoch: the lowest validation
    loss or, without a validation part, the last completed epoch.

    Where compiled layers have most of the weights, they run on all threads that torch has, and
    torch on one: see `torch_threads`. The bits are then the same on any number of threads.

    Parameters
    ----------
    module : Forecaster or Autoencoder
        Or any module with integer attributes ``window`` and ``horizon`` (0: it predicts its
        own input) that maps [N, W, F] as they do; ``input_size`` and ``targets`` are heeded.
    series : array_like or Tensor, [S, F]
        Real numbers, cast once to float32.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]``; windows never cross. Default: one entity.
    epochs : int
    batch_size : int, optional
        Default: a fiftieth of the training windows, within 32 and 2048.
    lr : float
    optimizer : {"adam", "adamw", "sgd", "rmsprop"} or callable
        A callable gets the parameters and returns an optimizer; `lr` is then its own matter.
    loss : {"mse", "mae", "huber"} or callable
        A callable gets prediction and target, [N, K*targets] or [N, W, F], and returns the mean
        over the batch.
    validation : float or (series, offsets)
        Share of the windows to hold out, as whole keys; with one key, its last part by time,
        without the windows that straddle the cut. 0: none. Or a series of its own.
    keys : array_like, [G], optional
        Entity of each segment, where gaps cut entities into several. Default: all differ.
    patience : int, optional
        Stop after so many epochs in a row without a lower validation loss.
    clip_grad_norm : float, optional
        Bound on the norm of all gradients together.
    stride : int
        Between the windows of an entity.
    warm_start : bool
        Go on from the module's weights, which also compete as "epoch 0" for the best ones. By
        default the weights are drawn anew.
    seed : int, optional
        Of initial weights, split, order and dropout; torch's global state is left as it was.
        Default: drawn from torch's global generator.
    device : torch.device or str, optional
        Default: where the module is.
    progress : bool or callable
        True: a bar on stderr if that is a terminal. A callable gets
        ``(epoch, epochs, train_loss, validation_loss or None)`` after each epoch.

    Returns
    -------
    History

    Raises
    ------
    TrainingInterrupted
        A KeyboardInterrupt with ``.history``. The best weights so far are in the module; if no
        epoch was completed, those at the interrupt.
    ValueError
        On arguments that do not fit; its subclass DivergenceError if the loss is not finite any
        more. The module then holds its best weights so far.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.training import Forecaster, fit
    >>> series = np.sin(np.arange(300) / 5)[:, None]
    >>> history = fit(Forecaster(1, 8, window=8), series, epochs=3, seed=0, progress=False)
    >>> history.epochs, history.training_windows, history.validation_windows
    (3, 226, 58)
    """
    began = time.perf_counter()
    epochs = whole_number("epochs", epochs, least=1)
    patience = None if patience is None else whole_number("patience", patience, least=1)
    clip = None if clip_grad_norm is None else as_positive("clip_grad_norm", clip_grad_norm)
    lr = as_positive("lr", lr)
    if batch_size is not None:
        batch_size = whole_number("batch_size", batch_size, least=1)
    seed = draw_seed() if seed is None else whole_number("seed", seed, least=0)
    loss_function = make_loss(loss)
    reporter = make_reporter(progress)
    check_module(module)
    parameters = trainable(module)
    home = parameters[0].device
    target = check_device(device, home)
    data = load_training_data(
        module,
        series,
        offsets,
        validation=validation,
        keys=keys,
        stride=stride,
        seed=seed,
        device=target,
    )
    training_windows = len(data.training.starts)
    history = History(
        training_windows=training_windows,
        validation_windows=len(data.held_out.starts),
        skipped_windows=data.skipped,
        purged_windows=data.purged,
        batch_size=batch_size or min(2048, max(32, training_windows // 50)),
        seed=seed,
        validation_rows=data.validation_rows,
    )
    if patience is not None and history.validation_windows == 0:
        raise ValueError("patience: early stopping needs a validation part, got validation=0")
    with seeded(seed, device=target):
        if not warm_start:
            reset_parameters(module)
        module.to(target)
        try:
            step = Step(module, loss_function, make_optimizer(optimizer, parameters, lr), clip)
            run = Run(step, data.training, data.held_out, history, reporter)
            alone = mostly_compiled(module)  # which no module on another device is
            with torch_threads(1 if alone else None, kernels=kernel_threads()):
                run.train(epochs, patience=patience, warm=warm_start)
        except KeyboardInterrupt as interrupt:
            raise TrainingInterrupted(history) from interrupt
        finally:
            module.to(home)
            module.eval()
            history.seconds = time.perf_counter() - began
    return history

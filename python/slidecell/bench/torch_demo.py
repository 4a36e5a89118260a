"""The demo's comparison: the same windows scored by slidecell and by torch's own layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import nn

    from slidecell.model import SequenceModel

__all__ = ["compare_scoring", "torch_peer"]

_BATCHES = (512, 1024, 2048, 4096, 8192)
_SEARCHED = 20_000  # windows that choose torch's setting: each setting scores them twice
_REPEATS = 5

Floats = npt.NDArray[np.float32]


def torch_peer(model: SequenceModel, *, batch_first: bool = True) -> nn.Module:
    """Return a forecaster's network made of ``torch.nn.LSTM`` or ``GRU`` and ``torch.nn.Linear``.

    The weights are copied from the compiled model. The modules of `slidecell.training` would be no
    peer: they run on this package's kernels, in inference too. The network takes scaled windows
    [N, W, F], or [W, N, F] without `batch_first`, and predicts [N, K*F].

    Examples
    --------
    >>> import slidecell as sc
    >>> from slidecell.bench.torch_demo import torch_peer
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(3, 5, window=4))
    >>> [type(part).__name__ for part in torch_peer(model).modules()]
    ['Network', 'ModuleList', 'LSTM', 'ModuleList', 'Linear']
    """
    from slidecell.bench.peers_torch import Network

    return Network(model, batch_first=batch_first)


def compare_scoring(
    model: SequenceModel,
    series: npt.NDArray[Any],
    offsets: npt.NDArray[np.int64],
    *,
    num_threads: int | None = None,
) -> dict[str, Any]:
    """Time the scoring of all windows of a series by slidecell and by torch's own layers.

    Torch runs `torch_peer` in inference mode, on windows that were built beforehand, in the best
    of several batch sizes and both layouts. Both run on the same number of threads, alternately;
    the times are medians.

    Parameters
    ----------
    model : SequenceModel
        A forecaster with a scaler.
    series : ndarray, [S, F]
        Raw rows.
    offsets : ndarray of int64, [G+1]
    num_threads : int, optional
        Default: as torch is set.
    """
    import torch

    from slidecell.scaling import apply_scaler
    from slidecell.windows import WindowPlan, sliding_windows

    before = torch.get_num_threads()
    threads = num_threads or before
    scaled = apply_scaler(model.scaler, series)
    began = time.perf_counter()
    windows, targets = sliding_windows(
        scaled, window=model.window, horizon=model.horizon, offsets=offsets
    )
    build_seconds = time.perf_counter() - began

    def score() -> Floats:
        return model.score(series, offsets, num_threads=threads)

    torch.set_num_threads(threads)
    try:
        setting, torch_score = _fastest_setting(model, windows, targets)
        score(), torch_score()  # to warm up
        pairs = [(_seconds(score), _seconds(torch_score)) for _ in range(_REPEATS)]
        scores, torch_scores = score(), torch_score()
    finally:
        torch.set_num_threads(before)
    plan = WindowPlan(offsets, window=model.window, horizon=model.horizon)
    ends = plan.starts() + model.window + model.horizon - 1
    seconds, torch_seconds = np.median(pairs, axis=0).tolist()
    return {
        "windows": len(windows),
        "window": model.window,
        "threads": threads,
        "slidecell_seconds": seconds,
        "torch_seconds": torch_seconds,
        "torch_layer": _layer_name(model),
        "torch_setting": setting,
        "torch_version": torch.__version__,
        "build_seconds": build_seconds,
        "max_difference": float(np.nanmax(np.abs(scores[ends] - torch_scores))),
        "max_score": float(np.nanmax(torch_scores)),
    }


def _layer_name(model: SequenceModel) -> str:
    """Return the name of torch's recurrent layer in the peer, such as ``torch.nn.LSTM``."""
    return f"torch.nn.{model.metadata['encoder'][0]['cell'].upper()}"


def _fastest_setting(
    model: SequenceModel, windows: Floats, targets: Floats
) -> tuple[str, Callable[[], Floats]]:
    """Return torch's fastest setting for windows [N, W, F], targets [N, K, F], and its scorer."""
    found: dict[tuple[bool, int], float] = {}
    modules = {layout: torch_peer(model, batch_first=layout) for layout in (True, False)}
    some = slice(0, _SEARCHED)
    for batch_first, module in modules.items():
        for size in _BATCHES:
            score = _scorer(module, windows[some], targets[some], size, batch_first=batch_first)
            score()  # to warm up
            found[batch_first, size] = _seconds(score)
    batch_first, size = min(found, key=lambda setting: found[setting])
    name = f"batches of {size:,}{'' if batch_first else ', time-major'}"
    return name, _scorer(modules[batch_first], windows, targets, size, batch_first=batch_first)


def _scorer(
    module: nn.Module, windows: Floats, targets: Floats, size: int, *, batch_first: bool
) -> Callable[[], Floats]:
    """Return a function that scores windows [N, W, F] against targets [N, K, F] in torch: [N].

    The windows are put into the batches' layout here, outside of the time that is measured.
    """
    import torch

    batches = []
    for first in range(0, len(windows), size):
        x = torch.from_numpy(windows[first : first + size])
        y = torch.from_numpy(targets[first : first + size]).flatten(1)
        batches.append((x if batch_first else x.transpose(0, 1).contiguous(), y))

    def score() -> Floats:
        with torch.inference_mode():
            parts = [(module(x) - y).square().mean(dim=1) for x, y in batches]
            scores: Floats = torch.cat(parts).numpy()
        return scores

    return score


def _seconds(run: Callable[[], Floats]) -> float:
    """Return the seconds that one call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began

"""Batches of windows, gathered by index from one copy of the series."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class WindowBatches:
    """Gathers inputs and targets of any windows; nothing is materialised beyond the batch.

    Overlapping windows are rows of a strided view, so that one ``index_select`` copies whole
    windows of W*F numbers: twice the rate of an index per row on the machine it was tried on.

    Parameters
    ----------
    series : Tensor, [S, F]
        Contiguous.
    window, horizon : int
        W and K; with K = 0 the window is its own target.
    targets : sequence of int, optional
        Columns of the target; all by default.
    """

    def __init__(
        self, series: Tensor, *, window: int, horizon: int, targets: Sequence[int] | None = None
    ) -> None:
        self._inputs = _windows_of(series, window)
        self._ahead = _windows_of(series, horizon) if horizon else None
        self._window = window
        self._targets = None if targets is None else torch.tensor(targets, device=series.device)

    def gather(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Copy out the windows at `starts` [N]: x [N, W, F] and y [N, K*targets], or x itself."""
        x = self._inputs.index_select(0, starts)
        if self._ahead is None:
            return x, x
        y = self._ahead.index_select(0, starts + self._window)
        if self._targets is not None:
            y = y.index_select(2, self._targets)
        return x, y.flatten(1)


def _windows_of(series: Tensor, length: int) -> Tensor:
    """`series` [S, F] -> view [S - length + 1, length, F]."""
    rows, columns = series.shape
    return series.as_strided((max(0, rows - length + 1), length, columns), (columns, columns, 1))

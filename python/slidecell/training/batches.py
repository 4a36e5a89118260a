"""Batches of windows, gathered by index from one copy of the series."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slidecell import _core
from slidecell.training.threads import kernel_threads


class WindowBatches:
    """Gathers inputs and targets of any windows; nothing is materialised beyond the batch.

    Rows of float32 in the CPU's memory are gathered by the compiled window builder. Elsewhere
    overlapping windows are rows of a strided view, so that one ``index_select`` copies whole
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
        self._series = series
        self._window = window
        self._horizon = horizon
        self._targets = None if targets is None else torch.tensor(targets, device=series.device)
        compiled = series.device.type == "cpu" and series.dtype == torch.float32
        self._rows = series.numpy() if compiled else None

    def gather(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Copy out the windows at `starts` [N]: x [N, W, F] and y [N, K*targets], or x itself."""
        x, y = self._viewed(starts) if self._rows is None else self._compiled(starts)
        if self._horizon and self._targets is not None:
            y = y.index_select(2, self._targets)
        return x, y.flatten(1) if self._horizon else x

    def _compiled(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Return x [N, W, F] and y [N, K, F]."""
        n, columns = len(starts), self._series.shape[1]
        x = torch.empty(n, self._window, columns)
        y = torch.empty(n, self._horizon, columns)
        out = (x.numpy(), y.numpy()) if self._horizon else x.numpy()
        _core.gather_rows(
            self._rows, starts.numpy(), self._window, self._horizon, out, kernel_threads()
        )
        return x, y

    def _viewed(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same by means of torch."""
        x = _windows_of(self._series, self._window).index_select(0, starts)
        if not self._horizon:
            return x, x
        return x, _windows_of(self._series, self._horizon).index_select(0, starts + self._window)


def shuffled(starts: Tensor, generator: torch.Generator) -> Tensor:
    """Put `starts` [n] in a random order, drawn on the CPU: the same on every device."""
    # 32 bits take half the time of 64 and give the same order; index_select, a fifth of `starts[]`.
    dtype = torch.int32 if len(starts) < 2**31 else torch.int64
    order = torch.randperm(len(starts), generator=generator, dtype=dtype)
    return starts.index_select(0, order.to(starts.device))


def _windows_of(series: Tensor, length: int) -> Tensor:
    """`series` [S, F] -> view [S - length + 1, length, F]."""
    rows, columns = series.shape
    return series.as_strided((max(0, rows - length + 1), length, columns), (columns, columns, 1))

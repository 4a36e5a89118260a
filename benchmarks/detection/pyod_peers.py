"""PyOD's detectors, where it is installed, on series: on windows, or as it does it itself."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_choice, whole_number

Floats = npt.NDArray[np.float64]

# By the name on the command line: the module, and the class.
PEERS = {
    "pyod-iforest": ("pyod.models.iforest", "IForest"),
    "pyod-pca": ("pyod.models.pca", "PCA"),
    "pyod-lstmad": ("pyod.models.ts_lstm", "LSTMAD"),
}
_OF_SERIES = "pyod-lstmad"
_WINDOW = 10


def installed() -> bool:
    """Return whether PyOD can be imported."""
    return importlib.util.find_spec("pyod") is not None


def make_peer(name: str, options: dict[str, Any], seed: int) -> PyodDetector:
    """Return an unfitted detector of PyOD; an option that it lacks is a ValueError."""
    if not installed():
        raise ValueError(f"{name}: PyOD is not installed: pip install pyod")
    module, kind = PEERS[name]
    made = getattr(importlib.import_module(module), kind)
    given = dict(options)
    own = {} if name == _OF_SERIES else {key: given.pop(key, None) for key in ("window", "align")}
    try:
        known = made().get_params()
        if "random_state" in known:
            given.setdefault("random_state", seed)
        estimator = made(**given)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error
    if name == _OF_SERIES:
        return PyodSeries(estimator, seed)
    return PyodWindows(estimator, window=own["window"] or _WINDOW, align=own["align"] or "end")


class PyodDetector:
    """A detector of PyOD on rows that are scaled to 0 .. 1 in the training part."""

    align = "end"
    threshold_: float

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, train: npt.ArrayLike) -> PyodDetector:
        """Fit on rows [n, F]."""
        rows = np.asarray(train, np.float64)
        self.low_ = np.nanmin(rows, axis=0)
        span = np.nanmax(rows, axis=0) - self.low_
        self.span_ = np.where(span > 0, span, 1.0)
        self.threshold_ = self._fit((rows - self.low_) / self.span_)
        return self

    def score_samples(self, test: npt.ArrayLike) -> Floats:
        """Rows [m, F] -> their scores [m]; NaN where there is none."""
        return self._score((np.asarray(test, np.float64) - self.low_) / self.span_)

    def _fit(self, rows: Floats) -> float:
        raise NotImplementedError

    def _score(self, rows: Floats) -> Floats:
        raise NotImplementedError


class PyodWindows(PyodDetector):
    """A detector of vectors on flattened windows.

    ``end``: a window's score stands at its last row. ``cover``: a row has the mean over all
    windows that cover it.
    """

    def __init__(self, estimator: Any, *, window: int, align: str) -> None:
        super().__init__(estimator)
        self.window = whole_number("window", window, least=1)
        self.align = as_choice("align", align, ("end", "cover"))

    def _fit(self, rows: Floats) -> float:
        windows, complete = self._windows(rows)
        self.estimator.fit(windows[complete])
        scores = self._placed(self.estimator.decision_scores_, complete)
        percentile = 100 * (1 - self.estimator.contamination)
        return float(np.percentile(scores[~np.isnan(scores)], percentile))

    def _score(self, rows: Floats) -> Floats:
        windows, complete = self._windows(rows)
        if not complete.any():
            return np.full(len(rows), np.nan)
        return self._placed(self.estimator.decision_function(windows[complete]), complete)

    def _windows(self, rows: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return windows [n, W * F], and which of them lack no value [n]."""
        if len(rows) < self.window:
            raise ValueError(f"window={self.window}: the series has {len(rows)} rows")
        view = np.lib.stride_tricks.sliding_window_view(rows, self.window, axis=0)
        flat = view.transpose(0, 2, 1).reshape(len(view), -1)
        return flat, np.isfinite(flat).all(axis=1)

    def _placed(self, found: Floats, complete: npt.NDArray[np.bool_]) -> Floats:
        """Scores of the complete windows -> scores of rows, NaN where there is none."""
        n, W = len(complete), self.window
        if self.align == "end":
            scores = np.full(n + W - 1, np.nan)
            scores[W - 1 :][complete] = found
            return scores
        values = np.zeros(n)
        values[complete] = found
        counts = np.convolve(complete.astype(np.float64), np.ones(W))
        sums = np.convolve(values, np.ones(W))
        return np.where(counts > 0.5, sums / np.maximum(counts, 1.0), np.nan)


class PyodSeries(PyodDetector):
    """PyOD's LSTMAD, which forecasts the series itself; the first window's rows have no score."""

    def __init__(self, estimator: Any, seed: int) -> None:
        super().__init__(estimator)
        self.seed = seed

    def _fit(self, rows: Floats) -> float:
        import torch

        torch.manual_seed(self.seed)
        self.estimator.fit(rows)
        return float(self.estimator.threshold_)

    def _score(self, rows: Floats) -> Floats:
        scores = np.array(self.estimator.decision_function(rows), np.float64)
        scores[: self.estimator.window_size] = np.nan  # it fills them with its threshold
        return scores

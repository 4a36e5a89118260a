"""What the detectors share that look at a window as one flat vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell._arguments import as_choice, whole_number
from slidecell.detect.base import Detector
from slidecell.detect.fitted_values import read_scaler
from slidecell.detect.fitting import constant_columns
from slidecell.detect.row_smoothing import ALIGNMENTS, Align, columns_of_means
from slidecell.detect.scales import ScalerKind, fit_rows_scaler, scale
from slidecell.detect.shares import shares_of_sum
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.window_split import usable_windows
from slidecell.tables.windowed import TooFewWindowsError, refuse_no_window

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts

__all__ = ["ALIGNMENTS", "Align", "FlatWindowsDetector"]


class FlatWindowsDetector(Detector):
    """Scores of windows as vectors [W * F], straight from the series on compiled kernels.

    ``align="end"`` puts a window's score at its last row: nothing later is used, and the first rows
    of an entity have none. ``align="cover"`` gives a row the mean of the scores of all complete
    windows of its entity that cover it: it looks ahead, and no stream can do it.

    Columns that are constant where the detector is fitted carry no weight there, and count exactly
    as they are where they move later.
    """

    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing", "window", "align")

    window: int
    align: Align
    scaler: ScalerKind | None
    num_threads: int | None
    scaler_: dict[str, Any]
    _compiled: Any = None  # _core.WindowScorer, made when it is first used

    # Rows after a window that its score needs.
    _horizon: ClassVar[int] = 0

    @property
    def has_feature_parts(self) -> bool:
        """Whether `feature_parts` has an answer."""
        return True

    def shares_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's share of the scores of ``chosen`` rows of a table: [n, F]."""
        shares = shares_of_sum(self._scores_at(rows, chosen, self._smoothed_columns))
        return self._too_large_shares(rows, chosen, shares)

    def _row_scaler(self) -> dict[str, Any]:
        return self.scaler_

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("window", self.window, least=1)
        as_choice("align", self.align, ALIGNMENTS)

    def _window_rows(self) -> int | None:
        if self._at_fit("align") == "cover":
            return None  # later rows count too
        return int(self._at_fit("window")) + self._horizon

    def shortest_series(self) -> int:
        """Return how many rows an entity needs at least, so that one of them has a score."""
        return int(self._at_fit("window")) + self._horizon

    def score_last(
        self, windows: Floats, seen: Ints, *, num_threads: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Score the last row of windows [n, W + K, F], not smoothed: [n]."""
        del seen  # a row that never came is a missing one
        n, length, features = windows.shape
        scores: npt.NDArray[np.float32] = self._scorer.score(
            windows.reshape(n * length, features),
            np.arange(0, n * length + 1, length),
            per_feature=False,
            num_threads=self.num_threads if num_threads is None else num_threads,
        )[length - 1 :: length]
        if not np.isfinite(scores).all():
            self._mark_too_large(Rows(windows[:, -1], np.array([0, n])), scores)
        return scores

    def _stream_rows(self) -> int | None:
        if self._score_length() is None:
            return None
        return int(self._at_fit("window")) + self._horizon

    @property
    def _scorer(self) -> Any:
        """What was learnt, compiled."""
        if self._compiled is None:
            self._compiled = self._make_scorer()
        return self._compiled

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made of: the compiled part is made anew."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_compiled"}

    @abstractmethod
    def _fit_windows(self, rows: Rows) -> None:
        """Learn from rows of which some window is complete; `scaler_` is there."""

    @abstractmethod
    def _make_scorer(self) -> Any:
        """Return the compiled scorer of what was learnt."""

    def _fit(self, rows: Rows) -> None:
        refuse_no_window(rows, window=self.window, horizon=self._horizon)
        self.scaler_ = self._fit_scaler(rows)
        self._compiled = None
        self._fit_windows(rows)

    def _fit_scaler(self, rows: Rows) -> dict[str, Any]:
        """Fit the scaler; without one, constant columns are still centred."""
        if self.scaler is not None:
            found = fit_rows_scaler(rows, self.scaler)
            assert found is not None
            return found
        values = rows.floats()[rows.complete()]
        constant = constant_columns(values) if len(values) else []
        center = np.zeros(rows.num_features)
        center[constant] = values[0, constant] if len(values) else 0.0
        ones = np.ones(rows.num_features)
        return {
            "kind": None,
            "center": center.tolist(),
            "scale": ones.tolist(),
            "constant": constant,
        }

    def _varying(self) -> list[int]:
        """Return the columns that vary where the detector was fitted."""
        constant = set(self.scaler_["constant"])
        return [f for f in range(len(self.scaler_["center"])) if f not in constant]

    def _flat(self) -> Any:
        return _core.FlatWindows(
            window=self._at_fit("window"),
            features=len(self.scaler_["center"]),
            varying=self._varying(),
            center=self.scaler_["center"],
            scale=self.scaler_["scale"],
        )

    def _starts(self, rows: Rows, most: int | None = None, *, least: int = 1) -> Ints:
        """Return the first rows of complete windows, at most so many, evenly spaced."""
        starts = usable_windows(
            self._usable_rows(rows),
            rows.offsets,
            window=self.window,
            horizon=self._horizon,
            stride=1,
        ).starts
        if len(starts) < least:
            raise TooFewWindowsError(
                f"{rows.source}: expected at least {least} windows of "
                f"{self.window + self._horizon} rows without a missing value, got {len(starts)}"
            )
        if most is None or len(starts) <= most:
            return starts
        return starts[np.linspace(0, len(starts) - 1, most).round().astype(np.int64)]

    def _windows(self, rows: Rows, starts: Ints) -> Floats:
        """Return scaled windows of the varying columns, flat: [n, (W + K) * V]."""
        length = self.window + self._horizon
        values = scale(self.scaler_, rows.floats())[:, self._varying()]
        # As the kernels see them.
        values = values.astype(np.float32).astype(np.float64)
        windows: Floats = values[starts[:, None] + np.arange(length)].reshape(len(starts), -1)
        return windows

    def _window_chunks(self, rows: Rows, starts: Ints, size: int = 8192) -> Iterator[Floats]:
        """Yield `_windows` by chunks, so that their memory stays small."""
        for at in range(0, len(starts), size):
            yield self._windows(rows, starts[at : at + size])

    def _at_ends(self, rows: Rows, *, per_feature: bool = False) -> npt.NDArray[np.float32]:
        """Score every window at the last row that it needs."""
        refuse_no_window(rows, window=self._at_fit("window"), horizon=self._horizon)
        scores: npt.NDArray[np.float32] = self._scorer.score(
            rows.features, rows.offsets, per_feature=per_feature, num_threads=self.num_threads
        )
        self._mark_too_large(rows, scores)
        return scores

    def _aligned(self, rows: Rows, scores: npt.NDArray[np.float32]) -> Floats:
        """Return scores [S] or [S, F] of windows at their last rows as `align` wants them."""
        if self._at_fit("align") == "end":
            return scores.astype(np.float64)
        ahead = self._at_fit("window") - 1
        return columns_of_means(
            scores, rows, before=0, after=ahead, own=False, num_threads=self.num_threads
        )

    def _score(self, rows: Rows) -> npt.NDArray[Any]:
        return self._aligned(rows, self._at_ends(rows))

    def _column_errors(self, rows: Rows) -> npt.NDArray[Any]:
        """Return what each column adds to a score, before a root is taken: [S, F]."""
        return self._aligned(rows, self._at_ends(rows, per_feature=True))

    def _smoothed_columns(self, rows: Rows) -> npt.NDArray[Any]:
        return self._smooth(rows, self._column_errors(rows))

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["scaler"] = self.scaler_
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        found = read_scaler(parts.values, self.n_features_in_)
        if found is None or len(found["constant"]) >= self.n_features_in_:
            raise ValueError("'scaler': expected one with a column that varies")
        self.scaler_ = found
        self._restore_windows(parts)

    @abstractmethod
    def _restore_windows(self, parts: Parts) -> None:
        """Take what `_parts` returned of the class's own; `scaler_` is there."""

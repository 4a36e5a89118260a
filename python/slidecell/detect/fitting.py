"""How a detector is fitted: which rows train, and which of them the threshold is calibrated on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from slidecell._arguments import whole_number
from slidecell.detect.decision import apply_rule, asks_for_rate, choose_rule, fit_rule
from slidecell.detect.fitted_values import names_array
from slidecell.detect.saved_detector import SavedDetector
from slidecell.tables.rows import Floats, Rows
from slidecell.tables.split import last_rows
from slidecell.thresholds import Threshold

__all__ = ["FittingDetector", "constant_columns"]

_MOST_THREADS = 2**31 - 1

Bools = npt.NDArray[np.bool_]
F = TypeVar("F", bound="FittingDetector")


class FittingDetector(SavedDetector):
    """The part of a detector that learns; see `slidecell.detect.base.Detector`."""

    contamination: float | None
    missing: Any

    def held_out(self, rows: Rows) -> Bools:
        """Return which of the rows that `fit` is given would train nothing, bool [S].

        Those by which a network stops in time; or else, where the threshold is set by a rate, the
        last fifth of each entity's rows. So it is for a network too where each entity has a rate
        of its own to meet.
        """
        if self._calibrates_on_all():
            return np.zeros(len(rows), np.bool_)
        return last_rows(rows)

    def rows_to_stop(self) -> int | None:
        """Return the rows of a window by which `fit` stops in time; None: it has no use for any."""
        return None

    def _calibrates_on_all(self) -> bool:
        """Return whether the rule is fitted on the scores of all fitted rows: it is no rate."""
        return not asks_for_rate(choose_rule(self.contamination, self.threshold))

    def _calibrates_each_entity(self) -> bool:
        """Return whether each entity needs rows of its own that train nothing."""
        rule = choose_rule(self.contamination, self.threshold)
        return rule.by_entity and asks_for_rate(rule)

    def _fit_rows(self, rows: Rows, held: Bools | None = None) -> None:
        """Do as `fit`, with rows that are in order.

        ``held`` [S] are the rows that train nothing. Default: as `held_out` chooses them.
        """
        with self._unchanged_on_error():
            self._check_parameters()
            self._remember_parameters()
            self._table = {} if rows.options is None else rows.options.to_dict()
            rows = self._filled(rows)
            self._set_features(rows)
            if held is None:
                held = self.held_out(rows)
            if held.any():
                self._set_features(rows.take(~held))
            self._learn(rows, held)
            self._set_threshold(rows, held)
            self._keep_statistics(rows)

    def _learn(self, rows: Rows, held: Bools) -> None:
        """Learn from the rows that are not held out."""
        self._fit(training_part(rows, held))

    @abstractmethod
    def _fit(self, rows: Rows) -> None:
        """Learn from rows of which no column is without values; they are filled if asked."""

    @abstractmethod
    def _filled(self, rows: Rows) -> Rows:
        """Return the rows with missing values filled from the past, if `missing` asks for it."""

    @abstractmethod
    def _smoothed_score(self, rows: Rows) -> npt.NDArray[Any]:
        """Score rows, filled if asked, and smooth the scores: [S], in their order."""

    @abstractmethod
    def _keep_statistics(self, rows: Rows) -> None:
        """Keep what the fitted rows and their scores look like, to compare others with it."""

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Leave the detector as it was if a fit fails, instead of half of two fits."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_parameters(self) -> None:
        """Check what would fail late, or without its name; a class adds its own."""
        choose_rule(self.contamination, self.threshold)
        if self.missing not in ("skip", "ffill"):
            raise ValueError(f"missing: expected 'skip' or 'ffill', got {self.missing!r}")
        threads = getattr(self, "num_threads", None)
        if threads is not None and whole_number("num_threads", threads, least=1) > _MOST_THREADS:
            raise ValueError(f"num_threads: expected at most {_MOST_THREADS}, got {threads}")

    def _set_features(self, rows: Rows) -> None:
        """Check the training rows' columns and remember them."""
        if len(rows) < 2:
            raise ValueError(
                f"{rows.source}: expected at least 2 rows to fit, got n_samples={len(rows)}"
            )
        values = rows.floats()
        empty = np.flatnonzero(np.isnan(values).all(axis=0))
        if len(empty):
            raise ValueError(f"{rows.source}: column {rows.label(int(empty[0]))} has no values")
        self._set_constant(rows, constant_columns(values))
        self.n_features_in_ = rows.num_features
        if rows.names is not None:
            self.feature_names_in_ = names_array(rows.names)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _set_constant(self, rows: Rows, constant: list[int]) -> None:
        if len(constant) == rows.num_features:
            raise ValueError(
                f"{rows.source}: all columns are constant; nothing can be learnt from them"
            )
        names = rows.names
        self.constant_features_ = constant if names is None else [names[c] for c in constant]

    def _fitted_scores(self, rows: Rows, held: Bools) -> npt.NDArray[Any]:
        """Score the rows that were just fitted, of which some were held out: [S]."""
        del held
        return self._smoothed_score(rows)

    def _set_threshold(self, rows: Rows, held: Bools) -> None:
        scores = self._fitted_scores(rows, held).astype(np.float64)
        if np.isnan(scores).all():
            raise ValueError(f"{rows.source}: no row has a score: every one has a missing value")
        if not np.isfinite(scores).any():
            raise ValueError(f"{rows.source}: no row has a finite score: the values are too large")
        self._calibrate(rows, scores, held)
        self._set_scores(rows.restore(scores, np.nan))

    def _calibrate(self, rows: Rows, scores: Floats, held: Bools) -> None:
        """Fit the rule on scores [S] of the fitted rows, of which some are finite."""
        rule = choose_rule(self.contamination, self.threshold)
        calibrates = np.ones(len(rows), np.bool_)
        if asks_for_rate(rule) and np.isfinite(scores[held]).any():
            calibrates = held
        self.calibration_rows_ = rows.restore(calibrates, False)
        self._use_rule(fit_rule(rule, rows, scores, calibrates, gap=self.event_gap()))
        if not rule.is_constant:
            self.labels_ = rows.restore(apply_rule(rule, rows, scores).astype(np.int64), 0)

    def _use_rule(self, rule: Threshold) -> None:
        self.rule_ = rule
        self.threshold_ = np.float64(rule.threshold)

    @abstractmethod
    def event_gap(self) -> int:
        """Return how many rows there may be between two flags of one event, unless one is asked."""

    def _set_scores(self, scores: Floats) -> None:
        self.decision_scores_ = scores
        self.scored_share_ = float((~np.isnan(scores)).mean())
        if self.rule_.is_constant:
            self.labels_ = (scores > self.threshold_).astype(np.int64)


def training_part(rows: Rows, held: Bools) -> Rows:
    """Return the rows that are not held out [S]: all, as they are, where none is.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.fitting import training_part
    >>> from slidecell.tables.rows import Rows
    >>> rows = Rows(np.arange(4.0)[:, None], np.array([0, 4]))
    >>> part = training_part(rows, np.array([False, False, False, True]))
    >>> len(part), part.source
    (3, 'X without the rows held out')
    """
    if not held.any():
        return rows
    return replace(rows.take(~held), source=f"{rows.source} without the rows held out")


def constant_columns(values: Floats) -> list[int]:
    """Columns of [S, F] in which all values that are there are equal; NaN counts for none.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.fitting import constant_columns
    >>> constant_columns(np.array([[1.0, 5.0], [2.0, np.nan], [3.0, 5.0]]))
    [1]
    """
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    constant: list[int] = np.flatnonzero(low == high).tolist()
    return constant

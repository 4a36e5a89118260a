"""What all detectors share: rows in, scores and flags out, in input order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from slidecell.detect.audited import check_audited, judged_scores
from slidecell.detect.decision import apply_rule, rate_times
from slidecell.detect.fitting import FittingDetector
from slidecell.detect.registry import no_such_setting
from slidecell.detect.scorers import refuse_in_sklearn_metrics
from slidecell.detect.shares import (
    chosen_places,
    scores_at,
    share_out,
    shares_of_maximum,
    shares_of_sum,
)
from slidecell.detect.streamed_detector import StreamedDetector
from slidecell.detect.training_statistics import TrainingStatistics
from slidecell.scaling import too_large_cells
from slidecell.tables.arrays import take_rows
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.thresholds.constant import FixedThreshold
from slidecell.thresholds.per_entity import PerEntityThreshold
from slidecell.thresholds.rate import RateThreshold
from slidecell.thresholds.rate_text import read_rate

if TYPE_CHECKING:
    from slidecell._choices import Speculate
    from slidecell.flags import FlagAudit
    from slidecell.model import SequenceModel
    from slidecell.thresholds import RateSeen, Threshold

__all__ = ["SHARED_SETTINGS", "Alignment", "Detector", "FeatureReduction"]

# Settings of the command line that a detector may do without: one that draws no random number has
# no use for a seed.
SHARED_SETTINGS = frozenset({"random_state", "num_threads", "progress"})

Alignment: TypeAlias = Literal["end", "cover"] | None
FeatureReduction: TypeAlias = Literal["mean", "max"] | None

D = TypeVar("D", bound="Detector")


class Detector(FittingDetector, StreamedDetector):
    """Scores of the rows of series, and flags where they exceed a threshold.

    The convention is PyOD's: a higher score is more anomalous, `predict` and `labels_` are 1 for
    an anomaly and 0 otherwise. ``score_samples`` and ``decision_function`` are the same. A row
    where no window ends, or whose window has a missing value, scores NaN and is not flagged. A row
    with a finite value that float32 cannot hold, once it is scaled, scores infinity and is flagged;
    the other windows that touch it score NaN.

    X is an array [S, F] in the order of time, with `offsets` [G+1] where it holds several
    entities: entity g owns rows ``offsets[g]:offsets[g+1]`` and no window crosses. Or it is a
    DataFrame (pandas, polars, modin, pyarrow, DuckDB), whose columns are matched by name when
    scored; with the constructor's `entity` and `time`, its rows may come in any order, and
    answers, arrays of numpy, are in that order. A Series is a DataFrame of one column, and a lazy
    frame is refused.

    Detectors are scikit-learn estimators (``get_params``, ``set_params``, ``clone``) but, with
    labels 0 and 1 and scores of the other sign, no ``OutlierMixin``, so that its checks are not
    theirs. Of scikit-learn's estimator checks these do not apply: ``check_complex_data`` and
    ``check_dtype_object`` (both are a TypeError here, as everywhere in this package); and to
    detectors with windows ``check_methods_sample_order_invariance`` (rows are a series, their
    order matters) and ``check_methods_subset_invariance`` (a piece shorter than a window is
    refused).

    Parameters
    ----------
    contamination : float, optional
        Share of the training scores above the threshold, 0 < contamination < 1, as PyOD has it:
        the threshold is the percentile ``100 * (1 - contamination)`` of the scores of all training
        rows. Default: `threshold` decides.
    threshold : Threshold, str or float, optional
        The rule that flags rows: one of `slidecell.thresholds`, which is copied, and fitted on the
        training scores; a rate, such as ``"3/day"`` or ``"0.1%"``, see `RateThreshold`; or a fixed
        value. Default: ``RateThreshold()``, about one event in 1,000 rows. A rate is calibrated on
        rows that train nothing: those that a network holds out to stop in time, of other detectors
        the last fifth of each entity's rows.
    missing : {"skip", "ffill"}
        ``skip``: what touches a missing value (NaN, infinity) has no score. ``ffill``: a missing
        value takes the last one before it in its entity, in training and in scoring.
    entity, time : hashable, optional
        Columns of a DataFrame.

    Attributes
    ----------
    decision_scores_ : ndarray of float64, [S]
        Scores of the training rows, in input order.
    rule_ : Threshold
        The fitted rule.
    threshold_ : float64
        What its first score is compared with; NaN where a rule has no such value.
    calibration_rows_ : ndarray of bool, [S]
        Training rows whose scores gave the threshold, in input order.
    labels_ : ndarray of int64, [S]
        1 where the rule flags the training score: where it is above the threshold.
    scored_share_ : float
        Share of the training rows that have a score.
    constant_features_ : list
        Features that do not vary in the rows that train: their names, or their numbers. They are
        kept, and centred where features are scaled.
    n_features_in_ : int
    feature_names_in_ : ndarray of object, [F]
        Of a DataFrame: text, or what else names its columns.
    training_statistics_ : TrainingStatistics or None
        What the fitted rows and their scores look like: see `slidecell.detect.drift`. None where
        a folder of version 0.1 or a model file was loaded.
    """

    contamination: float | None
    # Whether a score is of its row alone, and no matter of where windows stand.
    _of_rows: ClassVar[bool] = False

    missing: Literal["skip", "ffill"]
    entity: Hashable | None
    time: Hashable | None

    def fit(self: D, X: Any, y: object = None, *, offsets: npt.ArrayLike | None = None) -> D:
        """Learn from rows [S, F] what is normal, and set the threshold.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
        y : object
            Ignored.
        offsets : array_like of int, [G+1], optional
            Where each entity begins. Default: one entity.

        Returns
        -------
        Detector
            Itself.
        """
        del y
        self._fit_rows(take_rows(X, offsets, self._columns()))
        return self

    def score_samples(
        self, X: Any, *, offsets: npt.ArrayLike | None = None, smoothed: bool = True
    ) -> Floats:
        """Rows [S, F] -> their scores [S], higher = more anomalous; NaN where there is none.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
        offsets : array_like of int, [G+1], optional
        smoothed : bool
            False: scores before the detector smooths them, each of its own row. Threshold and
            `predict` are for smoothed ones. Both are the same where a detector smooths nothing.
        """
        rows = self._known_rows(X, offsets)
        return self._restored(rows, self.score_rows(rows, smoothed=smoothed))

    def decision_function(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Floats:
        """Do as `score_samples`: rows [S, F] -> their scores [S].

        Raises
        ------
        ValueError
            If a scorer of scikit-learn asks for a metric that takes no row without a score, and
            there is one: `slidecell.adapters.scorer` leaves it out.
        """
        scores = self.score_samples(X, offsets=offsets)
        refuse_in_sklearn_metrics(scores)
        return scores

    def predict(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Ints:
        """Rows [S, F] -> 1 where the rule flags the score, else 0: int64 [S].

        Of most rules that is where the score is above ``threshold_``.
        """
        rows = self._known_rows(X, offsets)
        flags = self.flag_rows(rows, self.score_rows(rows))
        return rows.restore(flags.astype(np.int64), 0)

    def fit_predict(
        self, X: Any, y: object = None, *, offsets: npt.ArrayLike | None = None
    ) -> Ints:
        """Fit to rows [S, F] and return their ``labels_`` [S]: 1 for an anomaly."""
        return self.fit(X, y, offsets=offsets).labels_

    def feature_scores(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Floats:
        """Rows [S, F] -> each feature's own score [S, F].

        Their mean or maximum (``feature_reduction``) over the features is `score_samples`.

        Raises
        ------
        ValueError
            If the detector has no score per feature.
        """
        rows = self._known_rows(X, offsets)
        return self._restored(rows, self._smoothed_features(self._filled(rows)))

    def feature_parts(
        self, X: Any, rows: npt.ArrayLike | None = None, *, offsets: npt.ArrayLike | None = None
    ) -> Floats:
        """Return each feature's part in the scores of chosen rows of X [S, F]: [n, F].

        A row's parts add up to its score: see `slidecell.detect.attribution.feature_attribution`.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
        rows : array_like of int, [n], optional
            Rows of X, in any order, also repeatedly. Default: all.
        offsets : array_like of int, [G+1], optional

        Raises
        ------
        ValueError
            If the detector has no score per feature.
        """
        known = self._known_rows(X, offsets)
        return self.parts_at(known, chosen_places(rows, known))

    def rows_needed(self) -> int | None:
        """Return how many rows a score depends on, its own the last.

        A series may be cut anywhere with so many rows less one of overlap, and its scores are the
        same. None: a score depends on all rows before it, or nobody knows.
        """
        return None if self._fills() else self._score_length()

    def shortest_series(self) -> int:
        """Return how many rows an entity needs at least, so that one of them has a score."""
        return self._window_rows() or 1

    def score_rows(
        self, rows: Rows, *, fill: bool | None = None, smoothed: bool = True
    ) -> npt.NDArray[Any]:
        """Return the scores of rows of a table, [S] in the rows' own order.

        ``fill`` says whether missing values are filled from the past. Default: as `missing` was at
        `fit`. ``smoothed`` as for `score_samples`.
        """
        if self._fills() if fill is None else fill:
            rows = rows.filled()
        return self._smoothed_score(rows) if smoothed else self._score(rows)

    def flag_rows(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return which rows of a table are flagged by their scores, bool [S]; NaN never is."""
        # As float64, for numpy 1 would round the threshold to the type of float32 scores.
        values = scores.astype(np.float64, copy=False)
        rule = self.fitted_rule()
        if rule is None or rule.is_constant:
            return np.asarray(values > self.threshold_)
        return apply_rule(rule, rows, values)

    def audited_scores(
        self, rows: Rows, *, speculate: Speculate, audit: int = 1024
    ) -> tuple[npt.NDArray[Any], FlagAudit]:
        """Return scores of rows of a table [S], by which `flag_rows` raises audited flags.

        Missing values have been filled if that was asked. Scores of flagged rows are exact, others
        may be cheap: see `SequenceModel.flag`. The second is how many flags may be missing.

        Raises
        ------
        UnsupportedError
            As `check_audited`.
        """
        return judged_scores(self, rows, None, speculate, audit)

    def check_audited(self) -> None:
        """Refuse a detector that has no audited flags.

        Raises
        ------
        UnsupportedError
            If the detector is no network, if its scores are not those of whole windows at their
            last rows, or not of ``precision="highest"``.
        """
        check_audited(self)

    def rate_seen(
        self,
        rows: Rows,
        scores: npt.NDArray[Any],  # [S]
        chosen: npt.NDArray[np.bool_],  # [S]
    ) -> RateSeen | None:
        """Compare the rate that was asked with that of chosen rows; None without such a rule."""
        rule = self.fitted_rule()
        times = rate_times(rows)
        pooled = rule.pooled if isinstance(rule, PerEntityThreshold) else rule
        if not isinstance(pooled, RateThreshold):
            return None
        if times is None and read_rate(pooled.met).of == "time":
            return None
        if isinstance(rule, PerEntityThreshold):
            names = rows.segment_names()
            return rule.seen(scores, rows.offsets, entities=names, times=times, rows=chosen)
        return pooled.seen(scores, rows.offsets, times=times, rows=chosen)

    def fitted_rule(self) -> Threshold | None:
        """Return the rule behind `predict`; None: no row is flagged.

        A class of one's own that sets its ``threshold_`` itself has a fixed one.
        """
        rule: Threshold | None = self.__dict__.get("rule_")
        return FixedThreshold(float(self.threshold_)) if rule is None else rule

    def event_gap(self) -> int:
        """Return how many rows there may be between two flags of one event, unless one is asked.

        It is the number of rows before its own that a score depends on: scores further apart have
        nothing in common. Of a network these are its windows' rows.
        """
        needed = self.rows_needed()
        return (self.shortest_series() if needed is None else needed) - 1

    def parts_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's part in the scores of ``chosen`` rows of a table: [n, F]."""
        return share_out(self._scores_at(rows, chosen), self.shares_at(rows, chosen))

    def shares_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's share of the scores of ``chosen`` rows of a table: [n, F]."""
        if self.feature_reduction is None:
            raise ValueError(f"detector: {type(self).__name__} has no score per feature")
        errors = self._scores_at(rows, chosen, self._smoothed_features)
        of = shares_of_sum if self.feature_reduction == "mean" else shares_of_maximum
        return self._too_large_shares(rows, chosen, of(errors))

    def rows_explained(self) -> tuple[int | None, bool]:
        """Return how many rows `shares_at` depends on for one row, its own the last; None: unknown.

        The second says whether missing values among them have to be filled first, which the
        detector itself would do from rows before them. Other filling is that of who reads the rows.
        """
        return self._score_length(), False

    def _too_large_shares(self, rows: Rows, chosen: Ints, shares: Floats) -> Floats:
        """Give the rows that are too large to the cells which are: shares [n, F]."""
        some = Rows(rows.features[chosen], np.array([0, len(chosen)]))
        cells = self.too_large_cells(some)
        large = cells.any(axis=1) & some.complete()
        shares[large] = cells[large] / cells[large].sum(axis=1, keepdims=True)
        return shares

    def losses(self, rows: Rows) -> npt.NDArray[Any] | None:
        """Return the loss of each window, at its last row [S], by which two fits compare.

        None: scores of two fits are on different scales.
        """
        del rows
        return None

    def fit_again(self, rows: Rows) -> None:
        """Fit on new rows; a network goes on from its weights."""
        self.fit(rows)

    def fit_rule(self, rows: Rows) -> None:
        """Set the threshold anew on labelled rows, where the rule is one that labels choose."""

    def check_rule(self, rows: Rows) -> None:
        """Raise a ValueError if the threshold cannot be set on rows like these."""

    def threshold_state(self) -> dict[str, Any] | None:
        """Return the rule behind `predict` as a model file keeps it; None: no row is flagged."""
        rule = self.fitted_rule()
        return None if rule is None else rule.state()

    def score_notes(self) -> list[str]:
        """Return what a reader of the scores should know."""
        rule = self.fitted_rule()
        return rule.notes() if isinstance(rule, PerEntityThreshold) else []

    def table_options(self) -> dict[str, Any]:
        """Return how a file has to be read for this detector: fields of `TableOptions`.

        They are those of the file that it was fitted on, or what the parameters say.
        """
        columns = {"entity": self.entity, "time": self.time}
        named = {role: name for role, name in columns.items() if isinstance(name, str)}
        return {"duplicates": "keep", **named, **self._table, "missing": self._at_fit("missing")}

    def live_model(self) -> SequenceModel:
        """Return the model that streams of C++ score with, its threshold and smoothing included.

        Every detector has a `stream` in Python.

        Raises
        ------
        ValueError
            If the detector is no network that streams can run as it scores.
        """
        raise ValueError(
            f"{type(self).__name__} is no network that streams can run: it has a stream of its own"
        )

    @property
    def alignment(self) -> Alignment:
        """Which rows a score depends on.

        "end": on none after its own. "cover": on those of all windows that cover it. None: on its
        own alone, which is both.
        """
        if self._of_rows:
            return None
        aligned: Alignment = self._at_fit("align") if hasattr(self, "align") else "end"
        return aligned

    @property
    def has_feature_parts(self) -> bool:
        """Whether `feature_parts` has an answer."""
        return self.feature_reduction is not None

    @property
    def scoring_model(self) -> SequenceModel | None:
        """The model whose scores and flags are the detector's; None if there is none."""
        return None

    @property
    def network(self) -> SequenceModel | None:
        """The compiled network behind the scores; None if there is none."""
        return None

    @classmethod
    def from_settings(cls: type[D], settings: Mapping[str, Any]) -> D:
        """Return an unfitted detector by the settings of the command line.

        Parameters
        ----------
        settings : mapping
            Parameters of the constructor, as far as they were given; `SHARED_SETTINGS` are
            left out where a detector has no use for them.

        Raises
        ------
        ValueError
            If the detector lacks one.
        """
        names = set(cls._get_param_names())
        odd = sorted(set(settings) - names - SHARED_SETTINGS)
        if odd:
            raise no_such_setting(cls.__name__, odd[0], settings[odd[0]])
        return cls(**{name: value for name, value in settings.items() if name in names})

    @classmethod
    def takes_setting(cls, name: str) -> bool:
        """Return whether the command line's setting of this name is one of the detector."""
        return name in cls._get_param_names()

    @property
    def feature_reduction(self) -> FeatureReduction:
        """How `feature_scores` become scores, "mean" or "max"; None where there are none."""
        return None

    def _score_features(self, rows: Rows) -> npt.NDArray[Any]:
        """Score each feature of rows, filled if asked: [S, F], in their order."""
        del rows
        raise ValueError(f"feature_scores: a {type(self).__name__} has no score per feature")

    def _smooth(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Smooth scores of rows, [S], or of their features, [S, F]; here: leave them as they are.

        What a threshold judges are smoothed scores.
        """
        del rows
        return scores

    def _smoothed_score(self, rows: Rows) -> npt.NDArray[Any]:
        return self._smooth(rows, self._score(rows))

    def _smoothed_features(self, rows: Rows) -> npt.NDArray[Any]:
        return self._smooth(rows, self._score_features(rows))

    def too_large_cells(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which cells of a table are finite, but too large for the scores: bool [S, F].

        float32 cannot hold them, scaled as `fit` found. Their rows score infinity.
        """
        return too_large_cells(self._row_scaler(), rows.features)

    def too_large_rows(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which rows of a table score infinity for such a cell, bool [S].

        A row with a missing value has no score, whatever else it holds.
        """
        return self.too_large_cells(rows).any(axis=1) & rows.complete()

    def _row_scaler(self) -> Mapping[str, Any] | None:
        """Return the scaler of the rows, if there is one."""
        return None

    def _usable_rows(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return the rows that are whole, bool [S]: without a missing or too large value."""
        return rows.complete() & ~self.too_large_cells(rows).any(axis=1)

    def _mark_too_large(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Set scores [S], or those of features [S, F], to infinity where rows are too large.

        Of features, those whose value it is; the others of the row have none, NaN.
        """
        cells = self.too_large_cells(rows)
        if cells.any():
            large = cells.any(axis=1) & rows.complete()
            scores[large] = np.inf if scores.ndim == 1 else np.where(cells[large], np.inf, np.nan)
        return scores

    def _window_rows(self) -> int | None:
        """Return how many rows a score depends on where none is filled; None: unknown."""
        return None

    def _scores_at(
        self, rows: Rows, chosen: Ints, score: Callable[[Rows], npt.NDArray[Any]] | None = None
    ) -> Floats:
        """Scores [n], or what ``score`` returns of them, of the chosen rows."""
        rows = self._filled(rows)
        scores = scores_at(rows, chosen, self._score_length(), score or self._smoothed_score)
        if scores.ndim == 1:  # rows before the first window, which are not scored here
            self._mark_too_large(Rows(rows.features[chosen], np.array([0, len(chosen)])), scores)
        return scores

    def _score_length(self) -> int | None:
        """Return `_window_rows`, unless a class that derives from its own scores in another way."""
        for kind in type(self).__mro__:
            if "_window_rows" in vars(kind):
                return self._window_rows()
            if {"_score", "_score_features", "_smooth"} & set(vars(kind)):
                return None
        return None

    @staticmethod
    def _restored(rows: Rows, scores: npt.NDArray[Any]) -> Floats:
        """Bring scores [S, ...] to input order, as float64."""
        return rows.restore(scores.astype(np.float64, copy=False), np.nan)

    def _columns(
        self,
        features: tuple[Any, ...] = (),
        *,
        max_gap: str | None = None,
        time_format: str | None = None,
    ) -> TableOptions:
        """Return how a DataFrame is read."""
        return TableOptions(
            time=self.time,
            entity=self.entity,
            features=features,
            max_gap=None if self.time is None else max_gap,
            duplicates="keep",
            time_format=time_format,
        )

    def _known_rows(self, X: Any, offsets: npt.ArrayLike | None) -> Rows:
        """Take rows with the features of `fit`."""
        check_is_fitted(self, "threshold_")
        known = getattr(self, "feature_names_in_", None)
        # Rows of a file that was cut at gaps are cut alike here: windows score what they scored.
        columns = self._columns(
            () if known is None else tuple(known.tolist()),
            max_gap=self._table.get("max_gap"),
            time_format=self._table.get("time_format"),
        )
        rows = take_rows(X, offsets, columns)
        if len(rows) == 0:
            raise ValueError("X: expected at least 1 row, got 0")
        if rows.num_features != self.n_features_in_:
            raise ValueError(
                f"X: expected [S, {self.n_features_in_}] (n_features_in_={self.n_features_in_}), "
                f"got {list(rows.features.shape)}: X has {rows.num_features} features, but "
                f"{type(self).__name__} is expecting {self.n_features_in_} features as input"
            )
        return rows

    def _filled(self, rows: Rows) -> Rows:
        """Return the rows with missing values filled from the past, if `missing` asks for it."""
        return rows.filled() if self._fills() else rows

    def _fills(self) -> bool:
        return bool(self._at_fit("missing") == "ffill")

    def _keep_statistics(self, rows: Rows) -> None:
        """Keep what the fitted rows and their scores look like, to compare others with it."""
        self.training_statistics_ = TrainingStatistics.of(
            rows.features,
            self.decision_scores_,
            order=rows.order_of_time(),
            segments=rows.segment_numbers(),
            entities=rows.entity_numbers(),
            names=rows.names_of_entities(),
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

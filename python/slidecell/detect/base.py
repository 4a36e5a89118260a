"""What all detectors share: rows in, scores and flags out, in input order."""

from __future__ import annotations

import numbers
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from slidecell.detect.saved import read_constants, read_names
from slidecell.tables.rows import Floats, Ints, Rows, Source, take_rows
from slidecell.thresholds.state_values import whole

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts

__all__ = ["Detector", "FeatureReduction"]

FeatureReduction: TypeAlias = Literal["mean", "max"] | None

D = TypeVar("D", bound="Detector")


class Detector(BaseEstimator, ABC):  # type: ignore[misc]
    """Scores of the rows of series, and flags where they exceed a threshold.

    The convention is PyOD's: a higher score is more anomalous, `predict` and `labels_` are 1 for
    an anomaly and 0 otherwise. ``score_samples`` and ``decision_function`` are the same. A row
    where no window ends, or whose window has a missing value, scores NaN and is not flagged.

    X is an array [S, F] in the order of time, with `offsets` [G+1] where it holds several
    entities: entity g owns rows ``offsets[g]:offsets[g+1]`` and no window crosses. Or it is a
    DataFrame (pandas, polars), whose columns are matched by name when scored; with the
    constructor's `entity` and `time`, its rows may come in any order, and answers are in that
    order.

    Detectors are scikit-learn estimators (``get_params``, ``set_params``, ``clone``) but, with
    labels 0 and 1 and scores of the other sign, no ``OutlierMixin``, so that its checks are not
    theirs. Of scikit-learn's estimator checks these do not apply: ``check_complex_data`` and
    ``check_dtype_object`` (both are a TypeError here, as everywhere in this package); and to
    detectors with windows ``check_methods_sample_order_invariance`` (rows are a series, their
    order matters) and ``check_methods_subset_invariance`` (a piece shorter than a window is
    refused).

    Parameters
    ----------
    contamination : float
        Share of the training scores above the threshold, 0 < contamination < 1.
    missing : {"skip", "ffill"}
        ``skip``: what touches a missing value (NaN, infinity) has no score. ``ffill``: a missing
        value takes the last one before it in its entity, in training and in scoring.
    entity, time : hashable, optional
        Columns of a DataFrame.

    Attributes
    ----------
    decision_scores_ : ndarray of float64, [S]
        Scores of the training rows, in input order.
    threshold_ : float64
        ``np.nanpercentile(decision_scores_, 100 * (1 - contamination))``.
    labels_ : ndarray of int64, [S]
        1 where the training score is above the threshold.
    scored_share_ : float
        Share of the training rows that have a score.
    constant_features_ : list
        Features that do not vary in the rows that train: their names, or their numbers. They are
        kept, and centred where features are scaled.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, [F]
        Of a DataFrame.
    """

    # Parameters that scoring reads. What counts are their values at `fit`: with others, scores
    # and threshold would no longer belong together.
    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing",)
    _fitted_parameters: dict[str, Any]

    contamination: float
    missing: Literal["skip", "ffill"]
    entity: Hashable | None
    time: Hashable | None

    decision_scores_: Floats
    labels_: Ints
    threshold_: np.float64
    scored_share_: float
    constant_features_: list[str] | list[int]
    n_features_in_: int
    feature_names_in_: npt.NDArray[np.object_]

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
        self._fit_rows(take_rows(X, offsets, Source(self.entity, self.time)))
        return self

    def score_samples(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Floats:
        """Rows [S, F] -> their scores [S], higher = more anomalous; NaN where there is none."""
        rows = self._known_rows(X, offsets)
        return rows.restore(self._score_rows(rows))

    def decision_function(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Floats:
        """Do as `score_samples`: rows [S, F] -> their scores [S]."""
        return self.score_samples(X, offsets=offsets)

    def predict(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Ints:
        """Rows [S, F] -> 1 where the score is above ``threshold_``, else 0: int64 [S]."""
        scores = self.score_samples(X, offsets=offsets)
        return (scores > self.threshold_).astype(np.int64)  # NaN is above nothing

    def feature_scores(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Floats:
        """Rows [S, F] -> each feature's own score [S, F].

        Their mean or maximum (``feature_reduction``) over the features is `score_samples`.

        Raises
        ------
        ValueError
            If the detector has no score per feature.
        """
        rows = self._known_rows(X, offsets)
        return rows.restore(self._score_features(rows.filled() if self._fills() else rows))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector to a folder: whole, or not at all, and without pickle.

        A detector that was saved there before is replaced.

        Raises
        ------
        OSError
            If the folder cannot be written, or holds something else.
        ValueError, TypeError
            If a part of the detector cannot be saved, or a parameter was set after `fit` that
            scores depend on; the text names it.
        """
        from slidecell.detect.storage import save_detector

        save_detector(self, path)

    @classmethod
    def load(cls: type[D], path: str | os.PathLike[str]) -> D:
        """Read a folder written by `save`.

        Raises
        ------
        OSError
            If it cannot be read.
        ValueError
            If it is damaged or of another class; the text names the place.
        """
        from slidecell.detect.storage import load_detector

        detector = load_detector(path)
        if not isinstance(detector, cls):
            raise ValueError(
                f"{os.fspath(path)}: expected a {cls.__name__}, got a {type(detector).__name__}"
            )
        return detector

    def save_into(self, folder: Path) -> None:
        """Write all parts to a folder that is there: what `save` does, without its safety."""
        from slidecell.detect.storage import write_parts

        self._check_parameters()
        for name, fitted in self._fitted_parameters.items():
            if getattr(self, name) != fitted:
                raise ValueError(
                    f"{name}: fitted with {fitted!r}, and set to {getattr(self, name)!r} since: "
                    "fit again, or set it back"
                )
        write_parts(folder, self._parts())

    @classmethod
    def load_from(cls: type[D], folder: Path) -> D:
        """Read what `save_into` wrote."""
        from slidecell.detect.storage import check_params, read_parts

        parts = read_parts(folder)
        try:
            if parts.kind != cls.__name__:
                raise ValueError(f"expected a {cls.__name__}, got a {parts.kind}")
            check_params(parts.params, cls._saved_names())
            detector = cls._make(parts)
            detector._check_parameters()
            detector._remember_parameters()
            detector._restore(parts)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{folder}: {error}") from error
        return detector

    @property
    def feature_reduction(self) -> FeatureReduction:
        """How `feature_scores` become scores, "mean" or "max"; None where there are none."""
        return None

    @abstractmethod
    def _fit(self, rows: Rows) -> None:
        """Learn from rows of which no column is without values; they are filled if asked."""

    @abstractmethod
    def _score(self, rows: Rows) -> npt.NDArray[Any]:
        """Score rows, filled if asked: [S], in their order."""

    def _score_features(self, rows: Rows) -> npt.NDArray[Any]:
        """Score each feature of rows, filled if asked: [S, F], in their order."""
        del rows
        raise ValueError(f"feature_scores: a {type(self).__name__} has no score per feature")

    def _fit_rows(self, rows: Rows) -> None:
        """Do as `fit`, with rows that are in order."""
        with self._unchanged_on_error():
            self._check_parameters()
            self._remember_parameters()
            if self._fills():
                rows = rows.filled()
            self._set_features(rows)
            self._fit(rows)
            self._set_threshold(rows)

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

    def _score_rows(self, rows: Rows) -> npt.NDArray[Any]:
        """Do as `score_samples`, with rows that are in order, and in their order: [S]."""
        return self._score(rows.filled() if self._fills() else rows)

    def _known_rows(self, X: Any, offsets: npt.ArrayLike | None) -> Rows:
        """Take rows with the features of `fit`."""
        check_is_fitted(self, "threshold_")
        known = getattr(self, "feature_names_in_", None)
        features = None if known is None else tuple(known.tolist())
        rows = take_rows(X, offsets, Source(self.entity, self.time, features))
        if len(rows) == 0:
            raise ValueError("X: expected at least 1 row, got 0")
        if rows.features != self.n_features_in_:
            raise ValueError(
                f"X: expected [S, {self.n_features_in_}] (n_features_in_={self.n_features_in_}), "
                f"got {list(rows.values.shape)}: X has {rows.features} features, but "
                f"{type(self).__name__} is expecting {self.n_features_in_} features as input"
            )
        return rows

    @classmethod
    def _saved_names(cls) -> set[str]:
        """Return the names of the parameters that are saved as text."""
        return set(cls._get_param_names())

    @classmethod
    def _make(cls: type[D], parts: Parts) -> D:
        """Return an unfitted detector."""
        return cls(**parts.params)

    def _parts(self) -> Parts:
        """Return all that a folder keeps; a class adds what it has beyond this."""
        from slidecell.detect.storage import Parts

        names = getattr(self, "feature_names_in_", None)
        params = {name: getattr(self, name) for name in sorted(self._saved_names())}
        values = {
            "n_features_in": self.n_features_in_,
            "feature_names_in": None if names is None else names.tolist(),
            "constant_features": self.constant_features_,
        }
        arrays = {
            "decision_scores": self.decision_scores_,
            "threshold": np.array([self.threshold_]),
        }
        return Parts(type(self).__name__, params, values, arrays)

    def _restore(self, parts: Parts) -> None:
        """Take what `_parts` returned, checked; a class adds what it has beyond this."""
        values = parts.values
        features = whole(values, "n_features_in")
        names = read_names(values, features)
        self.n_features_in_ = features
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        self.constant_features_ = read_constants(values, names or range(features))
        self.threshold_ = parts.array("threshold", 1)[0]
        self._set_scores(parts.array("decision_scores", None))

    def _fills(self) -> bool:
        return bool(self._at_fit("missing") == "ffill")

    def _remember_parameters(self) -> None:
        """Keep the parameters that scores depend on, for `set_params` must not change scores."""
        self._fitted_parameters = {name: getattr(self, name) for name in self._scoring_parameters}

    def _at_fit(self, name: str) -> Any:
        """Return a parameter as it was at `fit`; before that, as it is."""
        return self.__dict__.get("_fitted_parameters", {}).get(name, getattr(self, name))

    def _check_parameters(self) -> None:
        """Check what would fail late, or without its name; a class adds its own."""
        if not isinstance(self.contamination, numbers.Real):
            raise TypeError(
                f"contamination: expected a share between 0 and 1, got {self.contamination!r}"
            )
        if not 0.0 < self.contamination < 1.0:
            raise ValueError(
                f"contamination: expected a share between 0 and 1, got {self.contamination!r}"
            )
        if self.missing not in ("skip", "ffill"):
            raise ValueError(f"missing: expected 'skip' or 'ffill', got {self.missing!r}")

    def _set_features(self, rows: Rows) -> None:
        """Check the training rows' columns and remember them."""
        if len(rows) < 2:
            raise ValueError(f"X: expected at least 2 rows to fit, got n_samples={len(rows)}")
        values = rows.floats()
        empty = np.flatnonzero(np.isnan(values).all(axis=0))
        if len(empty):
            raise ValueError(f"X: column {rows.label(int(empty[0]))} has no values")
        self._set_constant(rows, constant_columns(values))
        self.n_features_in_ = rows.features
        if rows.names is not None:
            self.feature_names_in_ = np.array(rows.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _set_constant(self, rows: Rows, constant: list[int]) -> None:
        if len(constant) == rows.features:
            raise ValueError("X: all columns are constant; nothing can be learnt from them")
        names = rows.names
        self.constant_features_ = constant if names is None else [names[c] for c in constant]

    def _set_threshold(self, rows: Rows) -> None:
        scores = rows.restore(self._score(rows))
        if np.isnan(scores).all():
            raise ValueError("X: no row has a score: every one has a missing value")
        self.threshold_ = np.float64(np.nanpercentile(scores, 100.0 * (1.0 - self.contamination)))
        self._set_scores(scores)

    def _set_scores(self, scores: Floats) -> None:
        self.decision_scores_ = scores
        self.scored_share_ = float((~np.isnan(scores)).mean())
        self.labels_ = (scores > self.threshold_).astype(np.int64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def constant_columns(values: Floats) -> list[int]:
    """Columns of [S, F] in which all values that are there are equal; NaN counts for none.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.base import constant_columns
    >>> constant_columns(np.array([[1.0, 5.0], [2.0, np.nan], [3.0, 5.0]]))
    [1]
    """
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    constant: list[int] = np.flatnonzero(low == high).tolist()
    return constant

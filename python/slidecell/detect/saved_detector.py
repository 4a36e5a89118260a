"""How a fitted detector is saved and loaded: its parameters, and what `fit` found."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from slidecell.detect.decision import plain_threshold, read_threshold, rule_of_percentile
from slidecell.detect.fitted_values import (
    names_array,
    plain_names,
    read_constants,
    read_names,
    read_table_options,
)
from slidecell.detect.storage import (
    Parts,
    check_params,
    placed,
    read_detector,
    read_parts,
    save_detector,
    write_parts,
)
from slidecell.detect.training_statistics import TrainingStatistics
from slidecell.tables.rows import Floats, Ints
from slidecell.thresholds import Threshold, threshold_from_state
from slidecell.thresholds.state_values import mapping, whole

__all__ = ["SavedDetector"]

S = TypeVar("S", bound="SavedDetector")


class SavedDetector(BaseEstimator, ABC):  # type: ignore[misc]
    """The part of a detector that folders keep; see `slidecell.detect.base.Detector`."""

    # Parameters that scoring reads. What counts are their values at `fit`: with others, scores
    # and threshold would no longer belong together.
    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing",)
    # Parameters that folders of version 0.1 lack, with the values that they were written with.
    _earlier_parameters: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    _fitted_parameters: dict[str, Any]
    _table: dict[str, Any]  # fields of `TableOptions`, of the file or frame that was fitted
    training_statistics_: TrainingStatistics | None = None

    contamination: float | None
    threshold: Threshold | str | float | None = None  # a class of one's own may do without

    decision_scores_: Floats
    labels_: Ints
    calibration_rows_: npt.NDArray[np.bool_]
    rule_: Threshold
    threshold_: np.float64
    scored_share_: float
    constant_features_: list[Any]
    n_features_in_: int
    feature_names_in_: npt.NDArray[np.object_]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector to a folder: whole, or not at all, and without pickle.

        A detector that was saved there before is replaced: at every moment there is the old one or
        the new one, also where the process is killed. Other files in the folder stay. A symbolic
        link at ``path`` is followed.

        Raises
        ------
        OSError
            If the folder cannot be written, or holds something else.
        ValueError, TypeError
            If a part of the detector cannot be saved, or a parameter was set after `fit` that
            scores depend on; the text names it.
        """
        save_detector(self, path)

    @classmethod
    def load(cls: type[S], path: str | os.PathLike[str]) -> S:
        """Read a folder written by `save`.

        Raises
        ------
        OSError
            If it cannot be read.
        ValueError
            If it is damaged or of another class; the text names the place.
        """
        detector = read_detector(path)
        if not isinstance(detector, cls):
            raise ValueError(
                f"{os.fspath(path)}: expected a {cls.__name__}, got a {type(detector).__name__}"
            )
        return detector

    def save_into(self, folder: Path) -> None:
        """Write all parts to a folder that is there: what `save` does, without its safety."""
        self._check_parameters()
        for name, fitted in self._fitted_parameters.items():
            if getattr(self, name) != fitted:
                raise ValueError(
                    f"{name}: fitted with {fitted!r}, and set to {getattr(self, name)!r} since: "
                    "fit again, or set it back"
                )
        write_parts(folder, self._parts())

    @classmethod
    def load_from(cls: type[S], folder: Path) -> S:
        """Read what `save_into` wrote."""
        parts = read_parts(folder)
        try:
            if parts.kind != cls.__name__:
                raise ValueError(f"expected a {cls.__name__}, got a {parts.kind}")
            for name, value in cls._earlier_parameters.items():
                parts.params.setdefault(name, value)
            check_params(parts.params, cls._saved_names())
            detector = cls._make(parts)
            if "threshold" in cls._get_param_names():
                detector.set_params(threshold=read_threshold(parts.values.get("threshold")))
            detector._check_parameters()
            detector._remember_parameters()
            detector._restore(parts)
            detector.training_statistics_ = TrainingStatistics.from_arrays(
                parts.arrays, detector.n_features_in_
            )
        except (ValueError, TypeError) as error:
            raise placed(error, folder) from error
        return detector

    @classmethod
    def _saved_names(cls) -> set[str]:
        """Return the names of the parameters that are saved as text."""
        return set(cls._get_param_names()) - {"threshold"}

    @classmethod
    def _make(cls: type[S], parts: Parts) -> S:
        """Return an unfitted detector."""
        return cls(**parts.params)

    def _parts(self) -> Parts:
        """Return all that a folder keeps; a class adds what it has beyond this."""
        names = getattr(self, "feature_names_in_", None)
        params = {name: getattr(self, name) for name in sorted(self._saved_names())}
        values = {
            "n_features_in": self.n_features_in_,
            "feature_names_in": None if names is None else plain_names(names.tolist()),
            "constant_features": plain_names(self.constant_features_),
            "table": self._table,
            "threshold": plain_threshold(self.threshold),
            "rule": self.rule_.state(),
        }
        arrays = {
            "decision_scores": self.decision_scores_,
            "threshold": np.array([self.threshold_]),
        }
        if self.training_statistics_ is not None:
            arrays |= self.training_statistics_.arrays()
        if not self.calibration_rows_.all():
            arrays["calibration_rows"] = self.calibration_rows_
        if not self.rule_.is_constant:
            arrays["labels"] = self.labels_.astype(np.float64)
        return Parts(type(self).__name__, params, values, arrays)

    def _restore(self, parts: Parts) -> None:
        """Take what `_parts` returned, checked; a class adds what it has beyond this."""
        values = parts.values
        features = whole(values, "n_features_in")
        names = read_names(values, features)
        self.n_features_in_ = features
        if names is not None:
            self.feature_names_in_ = names_array(names)
        self.constant_features_ = read_constants(values, names or range(features))
        self._table = read_table_options(values)
        self.threshold_ = parts.array("threshold", 1)[0]
        self.rule_ = self._read_rule(values.get("rule"))
        scores = parts.array("decision_scores", None)
        self.calibration_rows_ = parts.flags("calibration_rows", len(scores))
        if not self.rule_.is_constant:
            self.labels_ = (parts.array("labels", len(scores)) == 1.0).astype(np.int64)
        self._set_scores(scores)

    def _read_rule(self, saved: Any) -> Threshold:
        """Return the fitted rule; version 0.1 kept its value alone."""
        value = float(self.threshold_)
        if saved is None:
            if self.contamination is None:
                raise ValueError("'rule': missing")
            return rule_of_percentile(self.contamination, value)
        rule = threshold_from_state(mapping(saved, "'rule'"))
        if not np.array_equal(np.float64(rule.threshold), self.threshold_, equal_nan=True):
            raise ValueError(f"'rule': expected the threshold {value!r}, got {rule.threshold!r}")
        return rule

    def _remember_parameters(self) -> None:
        """Keep the parameters that scores depend on, for `set_params` must not change scores."""
        self._fitted_parameters = {name: getattr(self, name) for name in self._scoring_parameters}

    def _at_fit(self, name: str) -> Any:
        """Return a parameter as it was at `fit`; before that, as it is."""
        return self.__dict__.get("_fitted_parameters", {}).get(name, getattr(self, name))

    @abstractmethod
    def _check_parameters(self) -> None:
        """Check what would fail late, or without its name."""

    @abstractmethod
    def _set_scores(self, scores: Floats) -> None:
        """Keep the scores of the fitted rows."""

"""What normalisers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from slidecell.thresholds.scores import Floats, as_scores, training_part

N = TypeVar("N", bound="Normaliser")

__all__ = ["Normaliser", "spread_or_one"]


class Normaliser(ABC):
    """A fixed, never falling map that brings the scores of different detectors to one scale.

    It is fitted on training scores and then stays: a normalised score depends on that score alone,
    not on those before or after it. A greater score never becomes a smaller one, also above the
    training maximum and below the minimum: nothing is clipped. NaN stays NaN, infinity infinity.
    """

    kind: ClassVar[str]

    def fit(self: N, training_scores: npt.ArrayLike) -> N:
        """Take the scale from training scores [S]; those that are not finite are left out.

        Scores that are all equal (up to rounding) have no scale: they are centred, and differences
        from them count as they are.

        Returns
        -------
        Normaliser
            Itself.

        Raises
        ------
        ValueError
            If no score is finite, or they lie so far apart that float64 cannot hold the distance.
        """
        scores = training_part(training_scores)
        with np.errstate(over="ignore"):
            spread = scores.max() - scores.min()
        if not np.isfinite(spread):
            raise ValueError(
                "training_scores: expected a range that float64 holds, got "
                f"{scores.min()} to {scores.max()}"
            )
        self._fit(scores)
        return self

    def apply(self, scores: npt.ArrayLike) -> Floats:
        """Normalise scores [S]: float64 [S].

        Raises
        ------
        ValueError
            Before `fit`.
        """
        if not self._is_fitted():
            raise ValueError(f"{type(self).__name__}: call fit before it is used")
        return self._apply(as_scores(scores))

    def apply_one(self, score: float) -> float:
        """Normalise one score: what `apply` makes of it."""
        return float(self.apply([score])[0])

    def fresh(self: N) -> N:
        """Return one with the same settings that is not fitted."""
        return type(self)(**self._settings())

    def state(self) -> dict[str, Any]:
        """Return settings and what `fit` found, ready for JSON."""
        return {"kind": self.kind, **self._settings(), **self._reference()}

    @abstractmethod
    def _fit(self, scores: Floats) -> None:
        """Take the scale from finite scores [n], n >= 1."""

    @abstractmethod
    def _apply(self, scores: Floats) -> Floats: ...

    @abstractmethod
    def _is_fitted(self) -> bool: ...

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""

    @abstractmethod
    def _reference(self) -> dict[str, Any]:
        """Return what `fit` found; empty before it."""

    @abstractmethod
    def _load_reference(self, state: Mapping[str, Any]) -> None:
        """Take what `_reference` returned, if it is there."""


def spread_or_one(spread: float, scores: Floats) -> float:
    """Return the spread of scores [n]; 1 where it is nothing but rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.fusion.base import spread_or_one
    >>> spread_or_one(0.0, np.ones(3)), spread_or_one(0.5, np.array([1.0, 1.5]))
    (1.0, 0.5)
    """
    largest = float(np.abs(scores).max())
    # Scores are sums of many float64 terms; float32 ones are rounded more coarsely, but then
    # equal errors are equal bits. Below the smallest normal number a quotient would overflow.
    floor = max(8.0 * np.finfo(np.float64).eps * largest, float(np.finfo(np.float64).tiny))
    return float(spread) if spread > floor else 1.0

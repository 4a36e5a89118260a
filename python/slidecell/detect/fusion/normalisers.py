"""Normalisers that shift and scale: min-max, z and its robust variant; and all of them by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from slidecell.detect.fusion.base import Normaliser, spread_or_one
from slidecell.detect.fusion.rank import RankNormaliser
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.state_values import mapping, number

__all__ = [
    "MinMaxNormaliser",
    "Normaliser",
    "RobustNormaliser",
    "ZNormaliser",
    "as_normaliser",
    "normaliser_from_state",
]

# E|x| of a standard normal x is sqrt(2/pi); its quartiles lie 1.349 apart.
_SD_PER_IQR = 0.7413011092528010
_SD_PER_MEAN_DEVIATION = 1.2533141373155001


class _Affine(Normaliser):
    """(score - center) / scale, with scale > 0."""

    _center: float | None = None
    _scale = 1.0

    @property
    def center(self) -> float | None:
        """The score that becomes 0; None before `fit`."""
        return self._center

    @property
    def scale(self) -> float:
        """The distance that becomes 1."""
        return self._scale

    def _apply(self, scores: Floats) -> Floats:
        assert self._center is not None
        # Both roundings are monotone, and so is the whole.
        return np.asarray((scores - self._center) / self._scale)

    def apply_one(self, score: float) -> float:
        """Normalise one score: what `apply` makes of it."""
        if self._center is None:
            return super().apply_one(score)  # which says what is missing
        return (score - self._center) / self._scale

    def _is_fitted(self) -> bool:
        return self._center is not None

    def _settings(self) -> dict[str, Any]:
        return {}

    def _reference(self) -> dict[str, Any]:
        return {} if self._center is None else {"center": self._center, "scale": self._scale}

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        if "center" in state or "scale" in state:
            center, scale = number(state, "center"), number(state, "scale")
            if not scale > 0.0:
                raise ValueError(f"state: 'scale': expected a number above 0, got {scale}")
            self._center, self._scale = center, scale


class MinMaxNormaliser(_Affine):
    """Training minimum to 0, training maximum to 1; others in proportion, beyond them too.

    Outliers among the training scores set the scale: one score of a thousand times the others
    leaves those between 0 and 0.001. ``trim`` takes quantiles in the place of the extremes.

    Parameters
    ----------
    trim : float
        0 and 1 stand at the quantiles trim and 1 - trim of the training scores, 0 <= trim < 0.5.

    Examples
    --------
    >>> from slidecell.detect.fusion import MinMaxNormaliser
    >>> MinMaxNormaliser().fit([2.0, 3.0, 4.0]).apply([2.0, 3.0, 8.0, float("nan")]).tolist()
    [0.0, 0.5, 3.0, nan]
    """

    kind = "minmax"

    def __init__(self, trim: float = 0.0) -> None:
        if not 0.0 <= trim < 0.5:
            raise ValueError(f"trim: expected 0 <= trim < 0.5, got {trim!r}")
        self.trim = float(trim)

    def _fit(self, scores: Floats) -> None:
        low, high = np.quantile(scores, [self.trim, 1.0 - self.trim])
        self._center, self._scale = float(low), spread_or_one(high - low, scores)

    def _settings(self) -> dict[str, Any]:
        return {"trim": self.trim}


class ZNormaliser(_Affine):
    """Training scores to mean 0 and standard deviation 1 (ddof 0).

    Outliers among the training scores shift the mean and widen the deviation: see
    `RobustNormaliser`.

    Examples
    --------
    >>> from slidecell.detect.fusion import ZNormaliser
    >>> ZNormaliser().fit([1.0, 3.0]).apply([2.0, 3.0, 10.0]).tolist()
    [0.0, 1.0, 8.0]
    """

    kind = "z"

    def _fit(self, scores: Floats) -> None:
        # Squares of numbers near the largest would overflow, those of tiny ones vanish.
        size = float(np.abs(scores).max()) or 1.0
        scaled = scores / size
        self._center = float(scaled.mean() * size)
        self._scale = spread_or_one(float(scaled.std() * size), scores)


class RobustNormaliser(_Affine):
    """Training median to 0, interquartile range to 1.349, as a normal distribution's.

    Up to a quarter of the training scores, however large, move it by no more than the ranks they
    take. Where more than half of the scores are equal the range is 0; the mean distance from the
    median, times 1.253, takes its place [1]_.

    References
    ----------
    .. [1] B. Iglewicz, D. Hoaglin (1993), "How to detect and handle outliers", section 3.3.

    Examples
    --------
    >>> from slidecell.detect.fusion import RobustNormaliser
    >>> normaliser = RobustNormaliser().fit([1.0, 2.0, 3.0, 4.0, 1e6])
    >>> normaliser.center, round(normaliser.scale, 3)
    (3.0, 1.483)
    """

    kind = "robust"

    def _fit(self, scores: Floats) -> None:
        low, middle, high = np.quantile(scores, [0.25, 0.5, 0.75])
        scale = _SD_PER_IQR * (high - low)
        if spread_or_one(scale, scores) != scale:
            scale = _SD_PER_MEAN_DEVIATION * float(np.abs(scores - middle).mean())
        self._center, self._scale = float(middle), spread_or_one(scale, scores)


_KINDS: dict[str, type[Normaliser]] = {
    kind.kind: kind for kind in (MinMaxNormaliser, ZNormaliser, RobustNormaliser, RankNormaliser)
}


def as_normaliser(normaliser: str | Normaliser) -> Normaliser:
    """Return an unfitted normaliser: of this name, or with the settings of this one.

    Examples
    --------
    >>> from slidecell.detect.fusion import as_normaliser
    >>> as_normaliser("minmax").fit([1.0, 2.0]).apply([3.0]).tolist()
    [2.0]
    """
    if isinstance(normaliser, Normaliser):
        return normaliser.fresh()
    if not isinstance(normaliser, str) or normaliser not in _KINDS:
        raise ValueError(f"normaliser: expected {_known()} or a Normaliser, got {normaliser!r}")
    return _KINDS[normaliser]()


def normaliser_from_state(state: object) -> Normaliser:
    """Return the normaliser whose `Normaliser.state` this is.

    Raises
    ------
    ValueError
        If it is damaged; the text names the place.

    Examples
    --------
    >>> from slidecell.detect.fusion import ZNormaliser, normaliser_from_state
    >>> state = ZNormaliser().fit([1.0, 3.0]).state()
    >>> normaliser_from_state(state).apply([4.0]).tolist()
    [2.0]
    """
    found = mapping(state, "normaliser")
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"normaliser: expected a kind of {_known()}, got {kind!r}")
    # The constructors take numbers alone, which the state names as they do.
    made = as_normaliser(kind)
    settings = {name: number(found, name) for name in made._settings()}
    made = cast(Any, _KINDS[kind])(**settings)
    made._load_reference(found)
    return cast(Normaliser, made)


def _known() -> str:
    return ", ".join(map(repr, _KINDS))

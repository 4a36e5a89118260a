"""The kinds of thresholds by name, and a threshold from what was saved of it."""

from __future__ import annotations

from slidecell.thresholds.base import Threshold
from slidecell.thresholds.constant import (
    BestFThreshold,
    ContaminationThreshold,
    FixedThreshold,
    PercentileThreshold,
)
from slidecell.thresholds.cusum import CusumThreshold
from slidecell.thresholds.dynamic import DynamicThreshold
from slidecell.thresholds.per_entity import PerEntityThreshold
from slidecell.thresholds.rate import RateThreshold
from slidecell.thresholds.rolling import RollingQuantileThreshold
from slidecell.thresholds.spot import SpotThreshold
from slidecell.thresholds.state_values import mapping

__all__ = ["threshold_from_state"]

_KINDS: dict[str, type[Threshold]] = {
    rule.kind: rule
    for rule in (
        BestFThreshold,
        ContaminationThreshold,
        CusumThreshold,
        DynamicThreshold,
        FixedThreshold,
        PerEntityThreshold,
        PercentileThreshold,
        RateThreshold,
        RollingQuantileThreshold,
        SpotThreshold,
    )
}


def threshold_from_state(state: object) -> Threshold:
    """Return the threshold whose `Threshold.state` this is, or which a model's metadata holds.

    Raises
    ------
    ValueError
        If it is damaged; the text names the place.

    Examples
    --------
    >>> from slidecell.thresholds import threshold_from_state
    >>> threshold_from_state({"kind": "percentile", "percentile": 95.0, "value": 0.25}).update(0.3)
    True
    """
    saved = mapping(state, "threshold")
    kind = saved.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        known = ", ".join(map(repr, sorted(_KINDS)))
        raise ValueError(f"threshold: expected a kind of {known}, got {kind!r}")
    try:
        made = _KINDS[kind](**_KINDS[kind].settings_from(saved))
        # A setting that is left out has its default.
        made.load_state({**made._settings(), **saved})
    except TypeError as error:
        raise ValueError(f"threshold: {kind}: {error}") from None
    return made

"""The kinds of thresholds by name, and a threshold from what was saved of it."""

from __future__ import annotations

from slidecell.thresholds.base import Threshold, rule_from_state
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
    return rule_from_state(state, _KINDS)

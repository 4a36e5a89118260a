"""Rules that turn scores into alarms, batch and streaming; per entity, causal."""

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
from slidecell.thresholds.dynamic_batch import DynamicAnomalies, dynamic_threshold
from slidecell.thresholds.events import (
    Event,
    EventChange,
    EventTracker,
    find_events,
    worst_first,
)
from slidecell.thresholds.per_entity import PerEntityThreshold
from slidecell.thresholds.rate import RateSeen, RateThreshold
from slidecell.thresholds.registry import threshold_from_state
from slidecell.thresholds.rolling import RollingQuantileThreshold
from slidecell.thresholds.spot import SpotThreshold

__all__ = [
    "BestFThreshold",
    "ContaminationThreshold",
    "CusumThreshold",
    "DynamicAnomalies",
    "DynamicThreshold",
    "Event",
    "EventChange",
    "EventTracker",
    "FixedThreshold",
    "PerEntityThreshold",
    "PercentileThreshold",
    "RateSeen",
    "RateThreshold",
    "RollingQuantileThreshold",
    "SpotThreshold",
    "Threshold",
    "dynamic_threshold",
    "find_events",
    "threshold_from_state",
    "worst_first",
]

"""Settings of rules and smoothings are refused by name, and never cut down to whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from slidecell.thresholds import (
    BestFThreshold,
    ContaminationThreshold,
    CusumThreshold,
    FixedThreshold,
    PercentileThreshold,
    RollingQuantileThreshold,
    SpotThreshold,
    threshold_from_state,
)
from slidecell.thresholds.smoothing import EWMA


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: FixedThreshold("a"), "value: expected a number, got 'a'"),
        (lambda: FixedThreshold(None), "value: expected a number, got None"),
        (lambda: PercentileThreshold("95"), "percentile: expected a number, got '95'"),
        (lambda: ContaminationThreshold(True), "contamination: expected a number, got True"),
        (lambda: BestFThreshold([1, 2]), r"beta: expected a number, got \[1, 2\]"),
        (lambda: CusumThreshold("a"), "k: expected a number, got 'a'"),
        (lambda: CusumThreshold(h="a"), "h: expected a number, got 'a'"),
        (lambda: CusumThreshold(decay="a"), "decay: expected a number, got 'a'"),
        (lambda: RollingQuantileThreshold("a"), "quantile: expected a number, got 'a'"),
        (lambda: SpotThreshold("a"), "q: expected a number, got 'a'"),
        (lambda: SpotThreshold(level="a"), "level: expected a number, got 'a'"),
        (lambda: EWMA("a"), "alpha: expected a number, got 'a'"),
    ],
)
def test_threshold_argument_that_is_no_number(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(TypeError, match=f"^{text}"):
        make()


@pytest.mark.parametrize("value", [2.7, 3.0, True, "a"])
def test_threshold_argument_that_is_not_whole(value: Any) -> None:
    for make, name in (
        (lambda: CusumThreshold(first=value), "first"),
        (lambda: RollingQuantileThreshold(0.5, 9, min_scores=value), "min_scores"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{name}: expected .*, got {value!r}"):
            make()


def test_threshold_arguments_of_numpy() -> None:
    assert CusumThreshold(np.float32(0.5), first=np.int64(3)).first == 3
    assert RollingQuantileThreshold(0.5, 9, min_scores=np.int32(4)).min_scores == 4
    assert FixedThreshold(np.float32(0.5)).threshold == 0.5


def test_threshold_state_with_a_setting_of_another_type() -> None:
    with pytest.raises(ValueError, match=r"threshold: percentile: .*expected a number, got '95'"):
        threshold_from_state({"kind": "percentile", "percentile": "95", "value": 0.5})

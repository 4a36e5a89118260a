"""Which rule turns a detector's scores into flags, fitted on the scores of its training rows."""

from __future__ import annotations

import copy
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Floats, Rows
from slidecell.thresholds import (
    BestFThreshold,
    FixedThreshold,
    PercentileThreshold,
    PerEntityThreshold,
    RateThreshold,
    Threshold,
    threshold_from_state,
)
from slidecell.thresholds.state_values import mapping

__all__ = [
    "apply_rule",
    "asks_for_rate",
    "choose_rule",
    "fit_rule",
    "plain_threshold",
    "rate_times",
    "read_threshold",
    "rule_of_percentile",
]

Bools = npt.NDArray[np.bool_]


def choose_rule(contamination: Any, threshold: Any) -> Threshold:
    """Return the rule that the parameters of a detector ask for, not fitted yet.

    Raises
    ------
    TypeError, ValueError
        If both are given, or one is none that a detector can take.

    Examples
    --------
    >>> from slidecell.detect.decision import choose_rule
    >>> [choose_rule(*given).kind for given in ((None, None), (0.1, None), (None, 2.5))]
    ['rate', 'percentile', 'fixed']
    >>> choose_rule(None, "3/day").rate
    '3/day'
    """
    if contamination is not None:
        if not isinstance(contamination, numbers.Real):
            raise TypeError(
                f"contamination: expected a share between 0 and 1, got {contamination!r}"
            )
        if not 0.0 < float(contamination) < 1.0:
            raise ValueError(
                f"contamination: expected a share between 0 and 1, got {contamination!r}"
            )
        if threshold is not None:
            raise ValueError(
                f"contamination, threshold: expected one of them, got {contamination!r} and "
                f"{threshold!r}"
            )
        return PercentileThreshold(100.0 * (1.0 - float(contamination)))
    if threshold is None:
        return RateThreshold()
    if isinstance(threshold, BestFThreshold):
        raise ValueError(
            "threshold: a BestFThreshold is chosen on labels, which fit does not have: fit it on "
            "labelled scores, and give its value"
        )
    if isinstance(threshold, Threshold):
        return copy.deepcopy(threshold)
    try:
        if isinstance(threshold, str):
            return RateThreshold(threshold)
        if isinstance(threshold, numbers.Real) and not isinstance(threshold, bool):
            return FixedThreshold(float(threshold))
    except ValueError as error:
        raise ValueError(f"threshold: {error}") from None
    raise TypeError(
        f"threshold: expected a Threshold, a rate as '3/day', or a number, got {threshold!r}"
    )


def fit_rule(
    rule: Threshold,
    rows: Rows,
    scores: Floats,  # [S]
    held_out: Bools,  # [S]
    *,
    gap: int,
) -> Threshold:
    """Return the rule, fitted on the scores [S] of the rows that a detector was fitted on.

    A rate is calibrated on those that trained nothing; other rules take the scores of all rows.

    Parameters
    ----------
    rule : Threshold
    rows : Rows
    scores : ndarray of float64, [S]
    held_out : ndarray of bool, [S]
    gap : int
        Of events, for a rate that has none of its own.
    """
    of_rate: dict[str, Any] = {
        "times": rate_times(rows),
        "held_out": held_out if held_out.any() else None,
        "gap": gap,
    }
    if isinstance(rule, PerEntityThreshold):
        return rule.fit(scores, rows.offsets, entities=rows.segment_names(), **of_rate)
    if isinstance(rule, RateThreshold):
        return rule.fit(scores, rows.offsets, **of_rate)
    return rule.fit(scores)


def apply_rule(rule: Threshold, rows: Rows, scores: npt.NDArray[Any]) -> Bools:
    """Return which rows of a table a fitted rule flags by their scores [S]: bool [S]."""
    names = rows.segment_names() if rule.by_entity else None
    return rule.apply(scores, rows.offsets, entities=names)


def asks_for_rate(rule: Threshold | None) -> bool:
    """Return whether a rule is calibrated on rows that train nothing.

    Examples
    --------
    >>> from slidecell.detect.decision import asks_for_rate
    >>> from slidecell.thresholds import PercentileThreshold, PerEntityThreshold, RateThreshold
    >>> rules = (RateThreshold(), PercentileThreshold(), PerEntityThreshold(RateThreshold()))
    >>> [asks_for_rate(rule) for rule in rules]
    [True, False, True]
    """
    inner = rule.rule if isinstance(rule, PerEntityThreshold) else rule
    return isinstance(inner, RateThreshold)


def rate_times(rows: Rows) -> npt.NDArray[Any] | None:
    """Return the times of rows [S] as a rate takes them: dates, or numbers; None without any."""
    if rows.times is None or rows.times.kind != "date":
        return None if rows.times is None else rows.times.values
    return rows.times.values.astype("datetime64[ns]")


def rule_of_percentile(contamination: Any, value: float) -> Threshold:
    """Return the rule of a detector that version 0.1 saved: a percentile, with its value."""
    state = {"kind": "percentile", "percentile": 100.0 * (1.0 - contamination), "value": value}
    return threshold_from_state(state)


def plain_threshold(threshold: Any) -> Any:
    """Return the parameter ``threshold`` as JSON has it.

    Examples
    --------
    >>> from slidecell.detect.decision import plain_threshold
    >>> from slidecell.thresholds import FixedThreshold
    >>> plain_threshold("1%"), plain_threshold(FixedThreshold(2.0))
    ('1%', {'kind': 'fixed', 'value': 2.0})
    """
    if not isinstance(threshold, Threshold):
        return threshold if threshold is None or isinstance(threshold, str) else float(threshold)
    return {"kind": threshold.kind, **threshold._settings()}


def read_threshold(saved: Any) -> Any:
    """Return the parameter ``threshold`` from what `plain_threshold` returned.

    Examples
    --------
    >>> from slidecell.detect.decision import read_threshold
    >>> read_threshold({"kind": "rate", "rate": "3/day", "gap": None}).rate
    '3/day'
    """
    if saved is None or isinstance(saved, (str, float)):
        return saved
    return threshold_from_state(mapping(saved, "'threshold'"))

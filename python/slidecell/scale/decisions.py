"""Smoothed scores, flags and events of entities whose rows come in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.scale.open_events import OpenEvents
from slidecell.tables.rows import Ints, Rows
from slidecell.thresholds.per_entity import PerEntityThreshold
from slidecell.thresholds.state_values import mapping

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.thresholds import Threshold
    from slidecell.thresholds.smoothing import Smoothing

__all__ = ["Decisions"]

Bools = npt.NDArray[np.bool_]


class Decisions:
    """What is decided of each entity, in the order of its rows.

    Parameters
    ----------
    detector : Detector
    smoothing : Smoothing, optional
        Of scores that have not been smoothed yet.
    gap : int
        Of events.
    name : callable
        Returns an entity's name by its code.
    """

    def __init__(
        self,
        detector: Detector,
        smoothing: Smoothing | None,
        *,
        gap: int,
        name: Callable[[int], str],
    ) -> None:
        self._detector = detector
        self._smoothing = smoothing
        rule = detector.fitted_rule()
        per_entity = rule if isinstance(rule, PerEntityThreshold) else None
        one = rule if per_entity is None else per_entity.pooled
        self._rule = None if one is None or one.is_constant else rule
        state = detector.threshold_state()
        value = None if state is None else state.get("value")
        self._value = None if value is None else float(value)
        # What all scores are compared with, where that is all that a detector does.
        self._one: float | None = None
        if (
            rule is not None
            and rule.is_constant
            and not rule.by_entity
            and rule.threshold == detector.threshold_
        ):
            self._one = rule.threshold
        self._name = name
        self._own = per_entity
        self._smoothings: dict[int, Smoothing] = {}
        self._rules: dict[int, Threshold] = {}
        self.events = OpenEvents(gap, self._limit)

    @property
    def by_row(self) -> bool:
        """Whether a flag follows from its row's own smoothed score."""
        return self._rule is None

    def smooth(self, codes: Ints, scores: npt.NDArray[Any], begins: Bools) -> npt.NDArray[Any]:
        """Return the scores [B] smoothed, each entity's from where its last segment stopped."""
        if self._smoothing is None:
            return scores
        kept, smoothing = self._smoothings, self._smoothing
        return _one_by_one(
            codes, scores, begins, kept=kept, fresh=lambda _: smoothing.fresh(), dtype=np.float64
        )

    def flag(
        self, codes: Ints, rows: Rows, scores: npt.NDArray[Any], begins: Bools
    ) -> npt.NDArray[np.bool_]:
        """Return which rows [B] are flagged by their smoothed scores."""
        values = scores.astype(np.float64, copy=False)
        if self._one is not None:
            return np.asarray(values > self._one)
        if self._rule is None:
            return self._detector.flag_rows(rows, scores)
        kept, fresh = self._rules, self._fresh_rule
        return _one_by_one(codes, values, begins, kept=kept, fresh=fresh, dtype=np.bool_)

    def _fresh_rule(self, entity: int) -> Threshold:
        """Return the rule that follows an entity's scores, at its start."""
        assert self._rule is not None
        own = None if self._own is None else self._own.for_entity(self._name(entity))
        return (own or self._rule).fresh()

    def _limit(self, entity: int) -> float | None:
        """Return what the areas of an entity's events lie above."""
        if self._own is None or self._rule is not None:
            return self._value
        return self._own.for_entity(self._name(entity)).threshold

    def state(self) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
        """Return the state as JSON has it, and what stands for open events' first and last rows."""
        events, places = self.events.state()
        text = {
            "smoothings": {str(e): kept.running() for e, kept in sorted(self._smoothings.items())},
            "rules": {str(e): kept.running() for e, kept in sorted(self._rules.items())},
            "events": events,
        }
        return text, places

    def load_state(self, text: Mapping[str, Any], places: list[tuple[Any, Any]]) -> None:
        """Go on from what `state` returned; ValueError if it is damaged."""
        for entity, running in mapping(text.get("smoothings"), "smoothings").items():
            assert self._smoothing is not None  # of the same detector
            self._smoothings[int(entity)] = self._smoothing.fresh()
            self._smoothings[int(entity)].load_running(running)
        for entity, running in mapping(text.get("rules"), "rules").items():
            self._rules[int(entity)] = self._fresh_rule(int(entity))
            self._rules[int(entity)].load_running(running)
        self.events.load_state(mapping(text.get("events"), "events"), places)


def _one_by_one(
    codes: Ints,
    scores: npt.NDArray[Any],
    begins: Bools,
    *,
    kept: dict[int, Any],
    fresh: Callable[[int], Any],
    dtype: Any,
) -> npt.NDArray[Any]:
    """Return what each score's object makes of it, [B]: one for each entity's segment."""
    answers = np.empty(len(scores), dtype)
    cuts = np.flatnonzero(np.diff(codes, prepend=-1).astype(np.bool_) | begins).tolist()
    for start, end in zip(cuts, [*cuts[1:], len(codes)], strict=True):
        entity = int(codes[start])
        if begins[start] or entity not in kept:
            kept[entity] = fresh(entity)
        update = kept[entity].update
        answers[start:end] = [update(score) for score in scores[start:end].tolist()]
    return answers

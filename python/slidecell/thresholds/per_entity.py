"""A threshold of its own for each entity, where its scores suffice for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from slidecell._arguments import whole_number
from slidecell.evaluate.inputs import as_labels, as_offsets
from slidecell.thresholds.base import Threshold, rule_from_state
from slidecell.thresholds.constant import (
    BestFThreshold,
    ContaminationThreshold,
    FixedThreshold,
    PercentileThreshold,
)
from slidecell.thresholds.cusum import CusumThreshold
from slidecell.thresholds.dynamic import DynamicThreshold
from slidecell.thresholds.exposure import read_exposure
from slidecell.thresholds.rate import RateSeen, RateThreshold
from slidecell.thresholds.rate_text import read_rate
from slidecell.thresholds.rolling import RollingQuantileThreshold
from slidecell.thresholds.scores import Floats, as_scores
from slidecell.thresholds.spot import SpotThreshold
from slidecell.thresholds.state_values import mapping, texts, whole

__all__ = ["PerEntityThreshold"]

# Rules that can be saved as those of entities.
_INNER: dict[str, type[Threshold]] = {
    rule.kind: rule
    for rule in (
        ContaminationThreshold,
        CusumThreshold,
        PercentileThreshold,
        RateThreshold,
        SpotThreshold,
    )
}
_LISTED = 5  # entities that a note names
_FOLLOWS = "it follows the scores of each entity by itself already"


class PerEntityThreshold(Threshold):
    """A rule that is fitted for each entity on that entity's own scores.

    Entities whose scores are too few, or are no basis for the rule, take the one that is fitted on
    the scores of all entities; so does an entity that was not there when the rule was fitted.
    `notes` says which, and why. Entities are known by their keys, as texts; where there are none,
    by their places "0", "1", ...

    Parameters
    ----------
    rule : Threshold
        What is fitted for each: a `RateThreshold`, `PercentileThreshold`, `ContaminationThreshold`,
        `SpotThreshold` or `CusumThreshold`. A rate of events in time in all entities together
        (``3/day``) is shared out equally among those that are observed at once.
    least : int
        Fewest finite scores of an entity that a rule of its own is fitted on; of a rate those that
        calibrate.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds import PercentileThreshold, PerEntityThreshold
    >>> rule = PerEntityThreshold(PercentileThreshold(50.0), least=3)
    >>> scores = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 5.0]
    >>> rule = rule.fit(scores, [0, 3, 6, 7], entities=["a", "b", "c"])
    >>> [rule.for_entity(name).threshold for name in ("a", "b", "c", "d")]
    [2.0, 20.0, 5.0, 5.0]
    >>> rule.apply([4.0, 4.0], [0, 1, 2], entities=["a", "b"]).tolist()
    [True, False]
    >>> rule.notes()[0].split(", ")
    ['1 of 3 entities has fewer than 3 rows for a threshold of its own', \
'and takes that of all: c (1 row)']
    """

    kind = "per_entity"
    by_entity: ClassVar[bool] = True

    def __init__(self, rule: Threshold, *, least: int = 100) -> None:
        if not isinstance(rule, Threshold):
            raise TypeError(f"rule: expected a Threshold, got {rule!r}")
        why = _why_not(rule)
        if why:
            raise ValueError(
                f"rule: expected one that is fitted on scores, for each entity another; a "
                f"{type(rule).__name__} is none: {why}"
            )
        self.rule = _unfitted(rule)
        self.least = whole_number("least", least, least=1)
        self._pooled: Threshold | None = None
        self._own: dict[str, Threshold] = {}
        self._few: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._current: Threshold | None = None

    @classmethod
    def settings_from(cls, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments from a saved state."""
        found = super().settings_from(saved)
        if "rule" in found:
            found["rule"] = rule_from_state(found["rule"], _INNER)
        return found

    def fit(
        self,
        training_scores: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        entities: Sequence[str] | None = None,
        times: npt.ArrayLike | None = None,
        held_out: npt.ArrayLike | None = None,
        gap: int = 0,
    ) -> PerEntityThreshold:
        """Fit the rule on the training scores [S] of all entities, and on those of each.

        Parameters
        ----------
        training_scores : array_like, [S]
            In time order within an entity; NaN where a row has none.
        offsets : array_like of int, [G+1], optional
            Where each segment begins. Default: one entity.
        entities : sequence of str [G], optional
            The entity of each segment. Default: each is one, "0", "1", ...
        times, held_out, gap
            Of a rate: see `RateThreshold.fit`.

        Raises
        ------
        ValueError
            If the scores of all entities are no basis for the rule.
        """
        scores = as_scores(training_scores, name="training_scores")
        bounds = as_offsets(offsets, len(scores))
        names = self._names(entities, len(bounds) - 1)
        given = None if times is None else np.asarray(times)
        held = None if held_out is None else as_labels(held_out, len(scores), name="held_out") > 0
        one = self.rule
        pooled = self._fitted(one, scores, bounds, times=given, held_out=held, gap=gap)
        if isinstance(one, RateThreshold):
            one = _shared_out(one, scores, bounds, given)
        of_entity: dict[str, list[slice]] = {}
        for name, (first, end) in zip(names, pairwise(bounds.tolist()), strict=True):
            of_entity.setdefault(name, []).append(slice(first, end))
        calibrates = np.isfinite(scores)
        if held is not None and isinstance(one, RateThreshold):
            calibrates &= held
        own: dict[str, Threshold] = {}
        few: dict[str, int] = {}
        refused: dict[str, str] = {}
        for name, parts in of_entity.items():
            rows = np.concatenate([np.arange(part.start, part.stop) for part in parts])
            count = int(calibrates[rows].sum())
            if count < self.least:
                few[name] = count
                continue
            inner = np.cumsum([0, *(part.stop - part.start for part in parts)])
            of_rate = {
                "times": None if given is None else given[rows],
                "held_out": None if held is None else held[rows],
            }
            try:
                own[name] = self._fitted(one, scores[rows], inner, **of_rate, gap=gap)
            except ValueError as error:
                refused[name] = str(error)
        self._pooled, self._own, self._few, self._refused = pooled, own, few, refused
        self.reset()
        return self

    @staticmethod
    def _fitted(
        rule: Threshold, scores: Floats, offsets: npt.NDArray[np.int64], **of_rate: Any
    ) -> Threshold:
        made = _unfitted(rule)
        if isinstance(made, RateThreshold):
            return made.fit(scores, offsets, **of_rate)
        return made.fit(scores)

    def for_entity(self, entity: str) -> Threshold:
        """Return the rule of an entity, as it begins."""
        self._need_reference()
        assert self._pooled is not None
        return self._own.get(entity, self._pooled).fresh()

    @property
    def pooled(self) -> Threshold:
        """The rule of entities that have none of their own."""
        self._need_reference()
        assert self._pooled is not None
        return self._pooled

    @property
    def own(self) -> dict[str, Threshold]:
        """The rules of those that have one, by entity."""
        self._need_reference()
        return dict(self._own)

    def origin(self, entity: str) -> str:
        """Return where an entity's threshold comes from, in words.

        Examples
        --------
        >>> from slidecell.thresholds import PercentileThreshold, PerEntityThreshold
        >>> rule = PerEntityThreshold(PercentileThreshold(), least=2).fit([1, 2, 3], [0, 2, 3])
        >>> [rule.origin(entity) for entity in ("0", "1", "2")]
        ['its own', 'all entities: 1 row', 'all entities: not in training']
        """
        self._need_reference()
        if entity in self._own:
            return "its own"
        if entity in self._few:
            return f"all entities: {_rows(self._few[entity])}"
        return f"all entities: {self._refused.get(entity, 'not in training')}"

    def notes(self, entities: Iterable[str] | None = None) -> list[str]:
        """Return which entities take the threshold of all, and why.

        Parameters
        ----------
        entities : iterable of str, optional
            Those that are scored: which of them were not there when the rule was fitted is said
            too.
        """
        self._need_reference()
        known, notes = len(self._own) + len(self._few) + len(self._refused), []
        if self._few:
            listed = [f"{name} ({_rows(count)})" for name, count in self._few.items()]
            has, its, takes = _agreeing(len(listed))
            notes.append(
                f"{len(listed)} of {known} entities {has} fewer than {self.least} rows for a "
                f"threshold of {its} own, and {takes} that of all: {_some(listed)}"
            )
        if self._refused:
            listed = [f"{name} ({why})" for name, why in self._refused.items()]
            notes.append(
                f"{len(listed)} of {known} entities {_agreeing(len(listed))[2]} the threshold of "
                f"all entities: {_some(listed, 1)}"
            )
        unseen = [name for name in dict.fromkeys(entities or ()) if not self._knows(name)]
        if unseen:
            some = "1 entity" if len(unseen) == 1 else f"{len(unseen)} entities"
            notes.append(
                f"training did not see {some}, which {_agreeing(len(unseen))[2]} the threshold of "
                f"all entities: {_some(unseen)}"
            )
        return notes

    def seen(
        self,
        scores: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        entities: Sequence[str] | None = None,
        times: npt.ArrayLike | None = None,
        rows: npt.ArrayLike | None = None,
    ) -> RateSeen | None:
        """Compare the rate that was asked with that of scores [S]: see `RateThreshold.seen`.

        None where the rule is no rate, or where entities met different ones, as they may if none
        was asked.
        """
        pooled = self.pooled
        if not isinstance(pooled, RateThreshold):
            return None
        if self.rule_rate is None and any(
            isinstance(rule, RateThreshold) and rule.met != pooled.met
            for rule in self._own.values()
        ):
            return None
        flags = self.apply(scores, offsets, entities=entities)
        return pooled.seen(scores, offsets, times=times, rows=rows, flags=flags)

    @property
    def rule_rate(self) -> str | None:
        """The rate that was asked for; None where the rule is another."""
        return self.rule.rate if isinstance(self.rule, RateThreshold) else None

    @property
    def threshold(self) -> float:
        """What the next score of an entity that is not known is compared with."""
        self._need_reference()
        assert self._current is not None
        return self._current.threshold

    def reset(self) -> None:
        """Begin a new entity, one that is not known."""
        self._current = None if self._pooled is None else self._pooled.fresh()

    def running(self) -> Any:
        """Return what scores have changed in the rule of an entity that is not known."""
        return None if self._current is None else self._current.running()

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        if self._current is not None:
            self._current.load_running(running)
        else:
            super().load_running(running)

    def _knows(self, entity: str) -> bool:
        return entity in self._own or entity in self._few or entity in self._refused

    def _settings(self) -> dict[str, Any]:
        return {
            "rule": {"kind": self.rule.kind, **self.rule._settings()},
            "least": self.least,
        }

    def _reference(self) -> dict[str, Any]:
        if self._pooled is None:
            return {}
        return {
            "fitted": {
                "pooled": self._pooled.state(),
                "own": {name: rule.state() for name, rule in self._own.items()},
                "few": dict(self._few),
                "refused": dict(self._refused),
            }
        }

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        self._pooled, self._own, self._few, self._refused = None, {}, {}, {}
        if "fitted" not in state:
            return
        found = mapping(state["fitted"], "state: 'fitted'")
        self._pooled = self._one_of(rule_from_state(found.get("pooled"), _INNER), "pooled")
        for name, saved in mapping(found.get("own"), "state: 'own'").items():
            self._own[name] = self._one_of(rule_from_state(saved, _INNER), name)
        few = mapping(found.get("few"), "state: 'few'")
        self._few = {name: whole(few, name) for name in few}
        refused = mapping(found.get("refused"), "state: 'refused'")
        texts({"refused": list(refused.values())}, "refused")
        self._refused = dict(refused)

    def _one_of(self, rule: Threshold, name: str) -> Threshold:
        if type(rule) is not type(self.rule) or not rule._is_fitted():
            raise ValueError(
                f"state: {name!r}: expected a fitted rule {self.rule.kind!r}, got {rule!r}"
            )
        return rule

    def _is_fitted(self) -> bool:
        return self._pooled is not None

    def _judge(self, score: float) -> bool:
        assert self._current is not None
        return self._current._judge(score)


def _why_not(rule: Threshold) -> str:
    """Return why a rule is the same for each entity; "" where it is not."""
    if isinstance(rule, FixedThreshold):
        return "its value is given"
    if isinstance(rule, BestFThreshold):
        return "it is chosen on labels"
    if isinstance(rule, PerEntityThreshold):
        return "it is per entity already"
    if isinstance(rule, (DynamicThreshold, RollingQuantileThreshold)):
        return _FOLLOWS
    if isinstance(rule, CusumThreshold) and rule.first is not None:
        return _FOLLOWS
    return ""


def _unfitted(rule: Threshold) -> Threshold:
    """Return a rule with the same settings."""
    return type(rule)(**rule._settings())


def _shared_out(
    rule: RateThreshold,
    scores: Floats,
    offsets: npt.NDArray[np.int64],
    times: npt.NDArray[Any] | None,
) -> RateThreshold:
    """Return the rule of one entity: of a rate of events in time in all of them, its part."""
    if rule.rate is None:
        return rule
    rate = read_rate(rule.rate)
    if rate.of != "time" or rate.by_entity:
        return rule
    number = rate.number / read_exposure(scores, offsets, times).at_once
    text = f"{number:.12f}".rstrip("0").rstrip(".")
    return RateThreshold(f"{text}/entity{rate.unit}", gap=rule.gap)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _agreeing(count: int) -> tuple[str, str, str]:
    return ("has", "its", "takes") if count == 1 else ("have", "their", "take")


def _some(names: list[str], most: int = _LISTED) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

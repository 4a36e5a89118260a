"""The interface that thresholds share."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from slidecell._arrays import one_number
from slidecell.thresholds.scores import Floats, as_scores, entity_slices
from slidecell.thresholds.state_values import mapping

Bools = npt.NDArray[np.bool_]
T = TypeVar("T", bound="Threshold")

__all__ = ["Bools", "Threshold", "rule_from_state"]


class Threshold(ABC):
    """A rule that turns scores into alarms, in a batch and one score at a time.

    An alarm is raised where a score is strictly above the threshold that the scores before it
    made. A NaN score raises none and changes nothing; an infinite one is judged and changes
    nothing. `apply` begins each entity as `reset` does: as after `fit`.
    """

    kind: ClassVar[str]
    is_constant: ClassVar[bool] = False
    """Whether no score changes the threshold."""
    by_entity: ClassVar[bool] = False
    """Whether entities have rules of their own: see `PerEntityThreshold`."""

    def fit(self: T, training_scores: npt.ArrayLike) -> T:
        """Take the reference from training scores [S]; a rule that needs none ignores them.

        Scores that are not finite are left out.

        Returns
        -------
        Threshold
            Itself.
        """
        as_scores(training_scores, name="training_scores")
        return self

    def update(self, score: float) -> bool:
        """Take an entity's next score; return whether it raises an alarm.

        Raises
        ------
        ValueError
            Before `fit`, where the rule needs a reference.
        """
        self._need_reference()
        value = one_number(score, name="score")
        return value == value and self._judge(value)  # noqa: PLR0124  # NaN differs from itself

    def apply(
        self,
        scores: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        entities: Sequence[str] | None = None,
    ) -> Bools:
        """Return which of the scores [S] raise an alarm: bool [S], as `update` would one by one.

        The object's own state takes no part and stays as it is.

        Parameters
        ----------
        scores : array_like, [S]
            In time order within an entity.
        offsets : array_like of int, [G+1], optional
            Entity g owns scores ``offsets[g]:offsets[g+1]``. Default: one entity.
        entities : sequence of str [G], optional
            Keys of the entities, for a rule that knows them. Default: "0", "1", ...

        Returns
        -------
        ndarray of bool, [S]
        """
        self._need_reference()
        values = as_scores(scores)
        alarms = np.zeros(len(values), np.bool_)
        parts = entity_slices(offsets, len(values))
        names = self._names(entities, len(parts))
        if self.is_constant and not self.by_entity:  # one value for all
            return self._series(values)
        for rows, name in zip(parts, names, strict=True):
            alarms[rows] = self.for_entity(name)._series(values[rows])
        return alarms

    def for_entity(self: T, entity: str) -> Threshold:
        """Return the rule that judges an entity, by its key, as it begins."""
        del entity
        return self.fresh()

    @staticmethod
    def _names(entities: Sequence[str] | None, count: int) -> Sequence[str]:
        if entities is None:
            return list(map(str, range(count)))
        if len(entities) != count:
            raise ValueError(f"entities: expected {count}, one per segment, got {len(entities)}")
        return entities

    @property
    @abstractmethod
    def threshold(self) -> float:
        """The value that the next score is compared with; NaN while there is none yet."""

    @abstractmethod
    def reset(self) -> None:
        """Begin a new entity: forget the scores since `fit`."""

    def fresh(self: T) -> T:
        """Return a copy that shares the reference and has seen no score since `fit`."""
        made = copy.copy(self)
        made.reset()
        return made

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({settings})"

    @classmethod
    def settings_from(cls, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments from a saved state, as far as they are there."""
        return {name: saved[name] for name in inspect.signature(cls).parameters if name in saved}

    def state(self) -> dict[str, Any]:
        """Return settings, reference and running state, ready for JSON."""
        running = self.running()
        state = {"kind": self.kind, **self._settings(), **self._reference()}
        return state if running is None else {**state, "running": running}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the state that `state` returned, bit for bit.

        Raises
        ------
        ValueError
            If it is damaged, of another kind or of other settings; nothing is changed then.
        """
        for key, own in {"kind": self.kind, **self._settings()}.items():
            if state.get(key) != own:
                raise ValueError(
                    f"state: {key!r}: expected {own!r} as in this threshold, got {state.get(key)!r}"
                )
        loaded = copy.copy(self)
        loaded._load_reference(state)
        loaded.reset()
        if "running" in state:
            loaded.load_running(state["running"])
        self.__dict__.update(loaded.__dict__)

    def running(self) -> Any:
        """Return the part of the state that scores change, ready for JSON; None if none does."""
        return None

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        if running is not None:
            raise ValueError(f"state: {self.kind} keeps nothing of the scores, got {running!r}")

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""

    def _reference(self) -> dict[str, Any]:
        """Return what `fit` found; empty before it, or where nothing is fitted."""
        return {}

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        """Take what `_reference` returned, if it is there."""
        del state

    def _is_fitted(self) -> bool:
        """Return whether the rule has the reference that it needs."""
        return True

    def _need_reference(self) -> None:
        if not self._is_fitted():
            raise ValueError(f"{type(self).__name__}: call fit before it is used")

    @abstractmethod
    def _judge(self, score: float) -> bool:
        """Take a score that is not NaN."""

    def _series(self, scores: Floats) -> Bools:
        """Judge one entity's scores [n] from its beginning; `self` may be used up."""
        judge = self._judge
        return np.array([v == v and judge(v) for v in scores.tolist()], np.bool_)  # noqa: PLR0124


def rule_from_state(state: object, kinds: Mapping[str, type[Threshold]]) -> Threshold:
    """Return the threshold whose `Threshold.state` this is, of one of these kinds.

    Raises
    ------
    ValueError
        If it is damaged, or of another kind; the text names the place.
    """
    saved = mapping(state, "threshold")
    kind = saved.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        known = ", ".join(map(repr, sorted(kinds)))
        raise ValueError(f"threshold: expected a kind of {known}, got {kind!r}")
    try:
        made = kinds[kind](**kinds[kind].settings_from(saved))
        # A setting that is left out has its default.
        made.load_state({**made._settings(), **saved})
    except TypeError as error:
        raise ValueError(f"threshold: {kind}: {error}") from None
    return made

"""Which entities of many are far from their training, in memory that has an end.

An entity has a place, in which its rows are gathered until they are as many as a stretch of
training has. They are compared with its training then, and the place is emptied. Where there are
more entities than places they take turns.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell.detect.entity_stretches import EntityStretches
from slidecell.detect.streams.state import Saved, array_of, resized
from slidecell.detect.stretches import QUANTILES

__all__ = ["MOST_CELLS", "EntityCause", "EntityWindows", "FarColumn"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
EntityCause: TypeAlias = Literal["distribution", "still", "missing"]

_CAUSES: tuple[EntityCause, ...] = ("distribution", "still", "missing")
_MIDDLE = len(QUANTILES) // 2

MOST_CELLS = 1 << 22  # of all places: 16 MiB
_FIRST_PLACES = 4
_IDLE = 4  # so many rows for each that all places hold: who had none of them seems to be gone
_AT_FIRST = 2.0  # times the limit: so far a column need not be far twice in a row
_AT_ONCE = 32  # entities that are compared at once: the others wait, so that no row takes long
_MOST_COMPARED = 1 << 16  # entities whose last comparison is remembered


class FarColumn(NamedTuple):
    """A column in which an entity is far from its training.

    Attributes
    ----------
    column : int
    cause : {"distribution", "still", "missing"}
    times : float
        How many times the limit is reached.
    level, spread : float
        How far its middle has moved, in standard deviations of training, and how many times as wide
        its values lie, both beside its stretches of training as a whole.
    missing : float
        Share of the values.
    again : bool
        Whether it was far when its entity was compared before, too.
    """

    column: int
    cause: EntityCause
    times: float
    level: float
    spread: float
    missing: float
    again: bool


class EntityWindows:
    """Gathers the rows of entities, and compares those of each with its own training.

    Parameters
    ----------
    training : EntityStretches
    most_cells : int
        Values that are kept at most, of all entities and columns, in 4 bytes each.

    Attributes
    ----------
    places : int
        Entities that are watched at once, at most.
    rows : int
        Rows so far.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.entity_stretches import EntityStretches
    >>> from slidecell.detect.entity_windows import EntityWindows
    >>> rng = np.random.default_rng(0)
    >>> owners = np.arange(6000) % 3
    >>> kept = EntityStretches.of(rng.normal(size=(6000, 1)), owners, ["a", "b", "c"])
    >>> windows = EntityWindows(kept)
    >>> moved = rng.normal(size=(450, 1)) + 5.0 * (owners[:450, None] == 1)
    >>> windows.add(moved, ["a", "b", "c"] * 150)
    >>> [(name, far.column, far.cause, round(far.level)) for name, far in windows.far()]
    [('b', 0, 'distribution', 5)]
    """

    def __init__(self, training: EntityStretches, *, most_cells: int = MOST_CELLS) -> None:
        self._training = training
        columns = len(training.unit)
        self.places = max(most_cells // (training.rows * columns), 1)
        self.rows = 0
        self._values: Singles = np.zeros((0, training.rows, columns), np.float32)
        self._filled: Ints = np.zeros(0, np.int64)
        self._seen: Ints = np.zeros(0, np.int64)  # after how many rows a place had its last one
        self._owners: list[Hashable] = []
        self._place: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, None] = {}  # for a place: who comes first is the first
        self._full: dict[int, None] = {}  # places that are to be compared, the first one first
        # After how many rows an entity was compared last, the oldest first; and what was far then.
        self._compared: dict[Hashable, int] = {}
        self._far: dict[Hashable, tuple[FarColumn, ...]] = {}

    def add(self, values: Floats, entities: Sequence[Hashable]) -> None:
        """Take rows [n, C], and whose each of them is.

        A row that finds the place of its entity full is let go: what is compared is a sample.
        """
        self.rows += len(values)
        given = np.array([self._place_of(name) for name in entities], np.int64)
        rows = np.flatnonzero(given >= 0)
        rows = rows[np.argsort(given[rows], kind="stable")]
        places = given[rows]
        self._seen[places] = self.rows
        at = self._filled[places] + np.arange(len(rows)) - np.searchsorted(places, places)
        fits = at < self._training.rows
        rows, places = rows[fits], places[fits]
        self._values[places, at[fits]] = self._training.scaled(values[rows])
        np.add.at(self._filled, places, 1)
        full = np.unique(places[self._filled[places] == self._training.rows])
        self._full |= dict.fromkeys(full.tolist())
        self._compare_some()
        self._take_idle()

    def far(self) -> list[tuple[Hashable, FarColumn]]:
        """Return which entities are far, and in which column, the farthest first.

        An entity counts as long as it sends rows. A column that is less than twice as far as the
        limit has to be so twice in a row: of many entities one is a little too far now and then.
        One in which half of the entities are far, or more, is no matter of one of them.
        """
        found = [
            (name, far)
            for name, columns in self._far.items()
            if self._sends(name)
            for far in columns
            if far.again or far.times >= _AT_FIRST
        ]
        counts = np.bincount([far.column for _, far in found], minlength=1)
        few = 2 * counts < len(self._compared)
        return sorted(
            ((name, far) for name, far in found if few[far.column]), key=lambda one: -one[1].times
        )

    def saved(self) -> Saved:
        """Return the state, to go on from elsewhere."""
        count = len(self._owners)
        text = {
            "rows": self.rows,
            "owners": self._owners,
            "waiting": list(self._waiting),
            "full": list(self._full),
            "compared": [
                [name, rows, [_listed(far) for far in self._far.get(name, ())]]
                for name, rows in self._compared.items()
            ],
        }
        parts = {
            "values": self._values[:count].astype("<f4").tobytes(),
            "filled": self._filled[:count].astype("<i8").tobytes(),
            "seen": self._seen[:count].astype("<i8").tobytes(),
        }
        return Saved(text, parts)

    def restore(self, saved: Saved) -> None:
        """Take what `saved` returned beside the same training.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is damaged.
        """
        text = saved.text
        owners, waiting, full = text["owners"], text["waiting"], text["full"]
        count = len(owners)
        if count > self.places or len(set(owners)) != count:
            raise ValueError(f"owners: expected at most {self.places} different names")
        values = array_of(saved, "values", np.empty((count, *self._values.shape[1:]), np.float32))
        filled, seen = (
            array_of(saved, name, np.empty(count, np.int64)) for name in ("filled", "seen")
        )
        most = self._training.rows
        if ((filled < 0) | (filled > most)).any() or not set(full) <= set(range(count)):
            raise ValueError(f"filled: expected 0 to {most}, and in full their places")
        compared, far = {}, {}
        for name, rows, columns in text["compared"]:
            compared[name] = int(rows)
            if columns:
                far[name] = tuple(self._read_column(column) for column in columns)
        self.rows = int(text["rows"])
        self._owners, self._place = list(owners), {name: n for n, name in enumerate(owners)}
        self._values, self._filled, self._seen = values, filled, seen
        self._waiting, self._full = dict.fromkeys(waiting), dict.fromkeys(full)
        self._compared, self._far = compared, far

    def _read_column(self, found: Sequence[Any]) -> FarColumn:
        column, cause, *numbers, again = found
        if cause not in _CAUSES or column not in range(self._values.shape[2]):
            raise ValueError(f"compared: expected a column and a cause, got {found!r:.60}")
        times, level, spread, missing = (math.nan if n is None else float(n) for n in numbers)
        return FarColumn(column, cause, times, level, spread, missing, bool(again))

    def _sends(self, name: Hashable) -> bool:
        """Tell whether an entity has had a row while others had so many as are compared."""
        if name in self._waiting:
            return True
        place = self._place.get(name)
        last = self._compared[name] if place is None else int(self._seen[place])
        return self.rows - last <= self._training.rows * len(self._compared)

    def _place_of(self, name: Hashable) -> int:
        """Return an entity's place; -1 while it waits for one."""
        place = self._place.get(name)
        if place is not None:
            return place
        if len(self._owners) == self.places:
            if len(self._waiting) < _MOST_COMPARED:
                self._waiting[name] = None
            return -1
        place = self._place[name] = len(self._owners)
        self._owners.append(name)
        if place == len(self._values):
            count = min(max(2 * place, _FIRST_PLACES), self.places)
            self._values = resized(self._values, count, 0.0)
            self._filled, self._seen = (
                resized(kept, count, 0) for kept in (self._filled, self._seen)
            )
        return place

    def _pass_on(self, place: int) -> None:
        """Empty a place, and give it to the entity that has waited longest, if one waits."""
        self._filled[place] = 0
        self._full.pop(place, None)
        if not self._waiting:
            return
        name = next(iter(self._waiting))
        del self._waiting[name], self._place[self._owners[place]]
        self._owners[place], self._place[name] = name, place
        self._seen[place] = self.rows

    def _take_idle(self) -> None:
        """Pass on the place whose entity has had no row for longest, if it seems to be gone."""
        if self._waiting:
            place = int(self._seen[: len(self._owners)].argmin())
            if self.rows - self._seen[place] > _IDLE * self._training.rows * self.places:
                self._pass_on(place)

    def _compare_some(self) -> None:
        """Compare the entities whose places are full, a few at once, and empty their places."""
        chosen = list(self._full)[:_AT_ONCE]
        if not chosen:
            return
        values = self._values[chosen]
        missing = np.isnan(values).mean(axis=1)
        for place, own, sketch, lacks in zip(
            chosen, values, self._training.sketch(values), missing, strict=True
        ):
            name = self._owners[place]
            self._compared.pop(name, None)
            self._compared[name] = self.rows
            found = self._compare(name, own, sketch, lacks)
            if found:
                self._far[name] = found
            else:
                self._far.pop(name, None)
            self._pass_on(place)
        while len(self._compared) > _MOST_COMPARED:
            name = next(iter(self._compared))
            del self._compared[name]
            self._far.pop(name, None)

    def _compare(
        self, name: Hashable, values: Singles, sketch: Singles, missing: Floats
    ) -> tuple[FarColumn, ...]:
        """Return the columns in which the rows of an entity [n, C] are far from its training."""
        kept = self._training
        with np.errstate(invalid="ignore"):
            distance = kept.distance(sketch, name)
            far, lacks = distance > kept.far, missing > kept.missing
        if not (far | lacks).any():
            return ()
        found = []
        usual = kept.of_entity(name)
        before = {one.column for one in self._far.get(name, ())}
        for column in np.flatnonzero(far | lacks).tolist():
            times = float(distance[column] / kept.far[column])
            cause: EntityCause = "distribution"
            if not far[column]:
                times, cause = float(missing[column] / kept.missing[column]), "missing"
            elif np.nanmax(values[:, column]) == np.nanmin(values[:, column]):
                cause = "still"
            level, spread = _moved(sketch[column], usual[:, column])
            lacking, again = float(missing[column]), column in before
            found.append(FarColumn(column, cause, times, level, spread, lacking, again))
        return tuple(found)


def _moved(sketch: Singles, usual: Singles) -> tuple[float, float]:
    """Return how far a sample's middle has moved, and how many times as wide it is.

    Both beside stretches [n, Q]; NaN where nobody can tell.
    """
    known = usual[~np.isnan(usual).any(axis=1)]
    if len(known) == 0 or np.isnan(sketch).any():
        return np.nan, np.nan
    both = np.stack([sketch, np.median(known, axis=0)]).astype(np.float64)
    middle = both[:, [_MIDDLE - 1, _MIDDLE]].mean(axis=1)
    width = both[:, -2] - both[:, 1]
    return float(middle[0] - middle[1]), float(width[0] / width[1]) if width[1] > 0 else np.nan


def _listed(far: FarColumn) -> list[Any]:
    """Return what is far as JSON has it: null for a number that is not known."""
    return [None if value != value else value for value in far]  # noqa: PLR0124

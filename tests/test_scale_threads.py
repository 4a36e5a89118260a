"""What is read ahead and written behind: in order, and nothing more after an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pandas")

from slidecell.scale.arrivals import Arrivals  # noqa: E402
from slidecell.scale.open_events import Closed, OpenEvents  # noqa: E402
from slidecell.scale.sources import Batch  # noqa: E402
from slidecell.scale.threads import Behind, ahead  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.thresholds import EventTracker  # noqa: E402
from slidecell.thresholds.events import Event  # noqa: E402


def test_values_come_in_order_and_an_error_where_it_is() -> None:
    def values() -> Iterator[int]:
        yield from range(3)
        raise OSError("no more")

    found: list[int] = []
    with pytest.raises(OSError, match="no more"):
        found.extend(ahead(values()))
    assert found == [0, 1, 2]


def test_nothing_is_read_once_nobody_asks() -> None:
    taken = []

    def values() -> Iterator[int]:
        for value in range(100):
            taken.append(value)
            yield value

    for value in ahead(values()):
        if value == 3:
            break
    assert len(taken) <= 6
    assert not [t for t in threading.enumerate() if t.name.startswith("slidecell-read")]


def test_no_call_is_made_after_one_that_raised() -> None:
    made: list[int] = []

    def call(value: int) -> None:
        if value == 2:
            raise OSError("full")
        made.append(value)

    def give_all() -> None:
        for value in range(50):
            behind.give(call, value)
        behind.wait()

    behind = Behind()
    with pytest.raises(OSError, match="full"):
        give_all()
    behind.close()
    assert made == [0, 1]
    assert not [t for t in threading.enumerate() if t.name.startswith("slidecell-write")]


def places_of(order: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> list[int]:
    return list(order[rows].tolist())


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("size", [1, 5, 400])
def test_events_of_batches_are_those_of_a_tracker_of_each_entity(gap: int, size: int) -> None:
    rng = np.random.default_rng(gap)
    whose = rng.integers(0, 4, 400)
    scores = np.round(rng.normal(size=400) * 4) / 3
    scores[rng.integers(0, 400, 5)] = np.inf
    flags = scores > 1.0
    arrivals = Arrivals(TableOptions(entity="id"), {"id": pa.int64()})
    events, closed = OpenEvents(gap, lambda entity: 1.0 + entity / 8), list[Closed]()
    for first in range(0, 400, size):
        if first == 200:  # another one goes on
            text, places = events.state()
            events = OpenEvents(gap, lambda entity: 1.0 + entity / 8)
            events.load_state(text, places)
        part = slice(first, first + size)
        batch = Batch(pa.table({"id": whose[part]}), "rows", first, first)
        arranged = arrivals.arrange(batch, sort=False)
        order = first + arranged.order
        closed += events.follow(
            arranged, scores[order], flags[order], places=partial(places_of, order)
        )
    closed += events.close()
    want: set[tuple[int, int, Event]] = set()
    for code, key in enumerate(dict.fromkeys(whose.tolist())):
        rows = np.flatnonzero(whose == key)
        tracker = EventTracker(gap, threshold=1.0 + code / 8, entity=code)
        changes = [c for r in rows for c in tracker.push(bool(flags[r]), float(scores[r]))]
        for change, event in [*changes, *tracker.close()]:
            if change == "closed":
                want.add((int(rows[event.start]), int(rows[event.end]), event))
    assert len(closed) == len(want) > 30
    assert {(one.start, one.end, one.event) for one in closed} == want

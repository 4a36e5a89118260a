"""Events of flagged rows: in a batch, row by row, and what both must refuse."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from slidecell.thresholds import Event, EventTracker, FixedThreshold, find_events, worst_first

NAN, INF = float("nan"), float("inf")


def above(scores, limit=3.0):
    return FixedThreshold(limit).apply(scores)


def spans(flags, gap=0, offsets=None):
    scores = np.ones(len(flags))
    return [(e.start, e.end) for e in find_events(flags, scores, offsets, gap=gap)]


def follow(tracker, flags, scores, rows=None):
    """Push all rows; return the events that were closed, the last one by the end."""
    rows = range(len(flags)) if rows is None else rows
    changes = []
    for flag, score, row in zip(flags, scores, rows, strict=True):
        changes += tracker.push(flag, score, row)
    changes += tracker.close()
    return [event for change, event in changes if change == "closed"]


def test_flags_that_touch_or_lie_within_the_gap_are_one_event() -> None:
    flags = [1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
    assert spans(flags, gap=0) == [(0, 1), (3, 3), (6, 6)]
    assert spans(flags, gap=1) == [(0, 3), (6, 6)]
    assert spans(flags, gap=2) == [(0, 6)]
    assert spans(flags, gap=10**30) == [(0, 6)]


def test_no_event_crosses_from_one_entity_to_the_next() -> None:
    flags = [0, 1, 1, 1, 0, 1]
    assert spans(flags, gap=5, offsets=[0, 2, 2, 6]) == [(1, 1), (2, 5)]
    events = find_events(flags, np.ones(6), [0, 2, 2, 6], gap=5)
    assert [event.entity for event in events] == [0, 2]


def test_an_event_by_hand() -> None:
    scores = np.array([1.0, 4.0, NAN, 7.0, 2.0, 7.0, 0.0, 3.5], np.float32)
    # 4 - 3, 7 - 3 and 7 - 3; rows 2 and 4 lie between and add nothing.
    expected = Event(
        start=1, end=7, rows=7, flagged=4, peak=7.0, peak_row=3, entity=0, area=1 + 4 + 4 + 0.5
    )
    assert find_events(above(scores), scores, gap=1, threshold=3.0) == [expected]


@pytest.mark.parametrize("gap", [0, 1])
def test_a_row_without_a_score_counts_towards_the_gap(gap) -> None:
    scores = [5.0, NAN, 4.0]
    events = find_events(above(scores), scores, gap=gap, threshold=3.0)
    assert [(e.rows, e.flagged, e.area) for e in events] == (
        [(3, 2, 3.0)] if gap else [(1, 1, 2.0), (1, 1, 1.0)]
    )


def test_an_infinite_score_is_the_worst() -> None:
    scores = [5.0, 0.0, INF, 4.0, 0.0, 9.0]
    events = worst_first(find_events(above(scores), scores, threshold=3.0))
    assert [(e.start, e.peak, e.peak_row, e.area) for e in events] == [
        (2, INF, 2, INF),
        (5, 9.0, 5, 6.0),
        (0, 5.0, 0, 2.0),
    ]


def test_of_equal_peaks_the_greater_area_is_worse_and_then_the_earlier() -> None:
    scores = [5.0, 0.0, 5.0, 5.0, 0.0, 5.0]
    events = find_events(above(scores), scores, threshold=3.0)
    assert [event.start for event in worst_first(events)] == [2, 0, 5]
    assert [e.start for e in worst_first(find_events(above(scores), scores))] == [0, 2, 5]


def test_without_a_threshold_there_is_no_area_and_below_it_a_flag_adds_none() -> None:
    assert find_events([1], [5.0])[0].area is None
    # CUSUM also flags low scores.
    assert find_events([1, 1], [-9.0, 5.0], threshold=3.0)[0].area == 2.0
    assert find_events([1], [-INF], threshold=3.0)[0][4:] == (-INF, 0, 0, 0.0)
    assert find_events([1], [1.7e308], threshold=-1.7e308)[0].area == INF


def test_no_flags_and_no_rows_are_no_events() -> None:
    assert find_events([0, 0], [1.0, NAN]) == []
    assert find_events([], [], [0]) == []


@pytest.mark.parametrize("seed", range(40))
def test_rows_that_come_one_by_one_make_the_events_of_the_batch(seed) -> None:
    rng = np.random.default_rng(seed)
    S = int(rng.integers(1, 120))
    scores = rng.lognormal(0.0, 3.0, S).round(int(rng.integers(0, 3)))
    scores[rng.random(S) < 0.1] = NAN
    scores[rng.random(S) < 0.05] = INF
    limit = None if seed % 5 == 0 else float(rng.choice([0.1, 1.0, 3.0]))
    flags = (rng.random(S) < rng.choice([0.05, 0.3, 0.8])) & ~np.isnan(scores)
    gap = int(rng.integers(0, 6))
    cuts = np.sort(rng.integers(0, S + 1, 3))
    offsets = np.concatenate(([0], cuts, [S]))
    found = []
    for g, (begin, end) in enumerate(pairwise(offsets)):
        tracker = EventTracker(gap, threshold=limit, entity=g)
        for row in range(begin, end):
            found += [e for c, e in tracker.push(flags[row], scores[row], row) if c == "closed"]
            # A tracker that goes on from the state, through JSON, is the same one.
            state = json.loads(json.dumps(tracker.state(), allow_nan=False))
            tracker = EventTracker(gap, threshold=limit, entity=g)
            tracker.load_state(state)
            assert tracker.state() == state
        found += [event for _, event in tracker.close()]
    assert found == find_events(flags, scores, offsets, gap=gap, threshold=limit)


def test_areas_agree_to_the_last_bit() -> None:
    scores = np.random.default_rng(0).lognormal(0.0, 2.0, 10_000)
    flags = scores > 0.1
    batch = find_events(flags, scores, gap=50, threshold=0.1)
    assert follow(EventTracker(50, threshold=0.1), flags, scores) == batch
    assert math.isclose(batch[0].area, (scores[flags] - 0.1).sum(), rel_tol=1e-12)


def test_what_a_row_does_is_told_at_once() -> None:
    tracker = EventTracker(gap=1)
    told = [
        [(change, event.start, event.end) for change, event in tracker.push(flag, 1.0)]
        for flag in (True, False, True, False, False, False, True)
    ]
    assert told == [
        [("opened", 0, 0)],
        [],
        [("updated", 0, 2)],
        [],
        [("closed", 0, 2)],  # a flag in the next row would be too far
        [],
        [("opened", 6, 6)],
    ]
    assert tracker.event is not None
    assert [change for change, _ in tracker.close()] == ["closed"]
    assert tracker.close() == []
    assert tracker.event is None


def test_numbers_of_rows_that_are_left_out_count_as_rows_without_a_flag() -> None:
    tracker = EventTracker(gap=2)
    tracker.push(True, 1.0, 10)
    assert [change for change, _ in tracker.push(True, 1.0, 13)] == ["updated"]
    assert [change for change, _ in tracker.push(True, 1.0, 17)] == ["closed", "opened"]
    assert tracker.event is not None
    assert tracker.event.start == 17


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([1, 0, 1], [1.0, 2.0]), ValueError, r"flags: expected \[2\] \(rows of scores\), got"),
        (([[1]], [1.0]), ValueError, r"flags: expected \[S\], got \[1, 1\]"),
        (([2, 0], [1.0, 2.0]), ValueError, "flags: expected 0 or 1 .* got 2 in row 0"),
        (([0, 1], [1.0, NAN]), ValueError, "flags: expected no flag on a row without a score.*1"),
        (([0, 1], ["a", "b"]), TypeError, "scores: expected real numbers"),
        (([0, 1], [1.0, 2.0], [0, 3]), ValueError, "offsets: expected numbers that rise from 0"),
        (([0, 1], [1.0, 2.0], [0, 2, 1, 2]), ValueError, "offsets: .*falling"),
        (([0, 1], [1.0, 2.0], [0.0, 2.0]), TypeError, "offsets: expected integers"),
    ],
)
def test_what_fits_not_together_is_refused(arguments, error, text) -> None:
    with pytest.raises(error, match=text):
        find_events(*arguments)


@pytest.mark.parametrize("make", [lambda **k: find_events([1], [1.0], **k), EventTracker])
@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"gap": -1}, ValueError, "gap: expected an integer >= 0, got -1"),
        ({"gap": 1.5}, TypeError, r"gap: expected an integer, got 1\.5"),
        ({"gap": True}, TypeError, "gap: expected an integer, got True"),
        ({"threshold": NAN}, ValueError, "threshold: expected a finite number, got nan"),
        ({"threshold": "high"}, TypeError, "threshold: expected a number, got 'high'"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, settings, error, text) -> None:
    with pytest.raises(error, match=text):
        make(**settings)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((True, NAN), ValueError, "flag: expected none on a row without a score, got one in row 5"),
        ((2, 1.0), ValueError, "flag: expected True or False, got 2"),
        ((True, "x"), TypeError, "score: expected a number, got 'x'"),
        ((True, 1.0, 4), ValueError, "row: expected at least 5, after the last row, got 4"),
        ((True, 1.0, 6.0), TypeError, r"row: expected an integer, got 6\.0"),
    ],
)
def test_a_row_that_cannot_be_changes_nothing(arguments, error, text) -> None:
    tracker = EventTracker()
    tracker.push(True, 1.0, 4)
    before = tracker.state()
    with pytest.raises(error, match=text):
        tracker.push(*arguments)
    assert tracker.state() == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"gap": 2}, "'gap': expected 1 as in this tracker, got 2"),
        ({"threshold": None}, r"'threshold': expected 0\.5"),
        ({"next_row": -1}, "'next_row': expected a whole number"),
        ({"next_row": 9}, "'event': expected an event that can be"),
        ({"event": 3}, "'event': expected an object"),
        ({"event": {}}, "missing key 'start'"),
        ({"event.peak": "high"}, "'peak': expected a number, got 'high'"),
        ({"event.area": None}, "'area': expected a number, got None"),
        ({"event.area": -1.0}, "an event that can be"),
        ({"event.flagged": 0}, "an event that can be"),
        ({"event.end": 0}, "an event that can be"),
        ({"event.entity": 7}, "an event that can be"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(change, text) -> None:
    tracker = EventTracker(1, threshold=0.5)
    tracker.push(False, 1.0)
    tracker.push(True, 1.0)
    tracker.push(True, 2.0)
    before = tracker.state()
    state = json.loads(json.dumps(before))
    for key, value in change.items():
        *inside, name = key.split(".")
        (state[inside[0]] if inside else state)[name] = value
    with pytest.raises(ValueError, match=text):
        tracker.load_state(state)
    assert tracker.state() == before

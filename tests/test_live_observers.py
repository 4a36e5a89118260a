"""Observers of a live run: what they are told, in which order, and that none can end the run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")

from slidecell.detect import ZScoreDetector
from slidecell.live.entity_events import EventLine
from slidecell.live.formats import Row
from slidecell.live.observers import Observer, Reason, ScoredRow
from tests.live_lines import as_csv, live


class Listener(Observer):
    """Writes down all that it is told."""

    name = "the listener"

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def scored(self, rows: Sequence[ScoredRow]) -> None:
        for row, answer, nanoseconds, _ in rows:
            assert nanoseconds > 0
            self.heard.append((row.entity, row.time, row.values, answer.score, answer.alarm))

    def missed(self, row: Row) -> None:
        self.heard.append(("missed", row.entity, row.time))

    def doubted(self, entities: Collection[str]) -> None:
        self.heard.append(("doubted", sorted(entities)))

    def skipped(self, reason: Reason) -> None:
        self.heard.append(("skipped", reason))

    def event(self, line: EventLine) -> None:
        self.heard.append((line.change, line.entity, line.start, line.end))

    def summary(self) -> list[str]:
        return [f"{len(self.heard)} heard"]

    def close(self) -> None:
        self.heard.append("closed")


class Failing(Listener):
    """Fails at what its name says."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        setattr(self, name, self.fail)

    def fail(self, *_: object) -> Any:
        raise OSError(28, "No space left on device")


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """Save a detector whose score is the value's size; above 1 it is flagged."""
    frame = pytest.importorskip("pandas").DataFrame({"load": [-1.0, 1.0] * 10})
    ZScoreDetector(contamination=0.05).fit(frame).save(tmp_path / "detector")
    return tmp_path / "detector"


LINES = "t,host,load\n1,a,0.5\n2,a,3.0\n2,a,9.0\n3,a,?\n1,b,0.0\nx\n4,a,0.25\n"


def test_what_happens_is_told_in_its_order(tmp_path: Path, detector: Path) -> None:
    listener = Listener()
    _, reports = live(tmp_path, LINES, model=detector, duplicates="error", observers=[listener])
    assert listener.heard == [
        ("a", "1", [0.5], 0.5, False),
        ("a", "2", [3.0], 3.0, True),
        ("opened", "a", "2", "2"),
        ("skipped", "out of order"),
        ("skipped", "malformed"),
        ("missed", "a", "3"),
        ("closed", "a", "2", "2"),
        ("b", "1", [0.0], 0.0, False),
        ("skipped", "malformed"),
        ("doubted", ["a", "b"]),
        ("a", "4", [0.25], 0.25, False),
        "closed",
    ]
    assert reports.splitlines()[-1] == "slidecell stream: 12 heard"


def test_rows_are_told_at_the_latest_when_their_input_has_been_read(
    tmp_path: Path, detector: Path
) -> None:
    rows = [{"t": n, "host": "a", "load": float(np.sin(n))} for n in range(2000)]
    listener = Listener()
    live(tmp_path, as_csv(rows), model=detector, observers=[listener])
    told = [heard[1] for heard in listener.heard if heard[0] == "a"]
    assert told == [str(n) for n in range(2000)]


@pytest.mark.parametrize("name", ["scored", "missed", "skipped", "event", "summary", "close"])
def test_one_that_fails_is_dropped_and_the_run_goes_on(
    tmp_path: Path, detector: Path, name: str
) -> None:
    plain = live(tmp_path, LINES, model=detector)[0]
    listener = Listener()
    answers, reports = live(tmp_path, LINES, model=detector, observers=[Failing(name), listener])
    assert answers == plain
    said = f"slidecell stream: {name}: OSError: [Errno 28] No space left on device; it looks on no"
    assert reports.count(said) == 1
    assert len(listener.heard) == 12

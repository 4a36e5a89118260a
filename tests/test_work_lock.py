"""Two processes at one model: the second one is told who is there, and nothing is lost."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")
pytest.importorskip("pandas")

import pandas as pd

from slidecell.detect import PCADetector, ZScoreDetector
from slidecell.detect.loading import load_saved
from slidecell.jobs import promote as promoting
from slidecell.jobs.promote import previous_of, promote, rollback
from slidecell.jobs.work_lock import BusyError, lock_file, working_at

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["load", "heat"])


def kinds(*places: Path) -> list[str]:
    return [type(load_saved(place)).__name__.removesuffix("Detector") for place in places]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    ZScoreDetector().fit(FRAME).save(tmp_path / "model")
    PCADetector().fit(FRAME).save(tmp_path / "challenger")
    return tmp_path / "model", tmp_path / "challenger"


class Stopped:
    """A process that waits before one of the copies of its call, until it may go on."""

    def __init__(self, call: Callable[[], object], step: int) -> None:
        context = multiprocessing.get_context("fork")
        self._here, there = context.Pipe()
        self.process = context.Process(target=self._run, args=(call, step, there))
        self.process.start()
        there.close()
        assert self._here.poll(60)
        assert self._here.recv() == "reached"

    @staticmethod
    def _run(call: Callable[[], object], step: int, there: Any) -> None:
        put, calls = promoting.place_copy, iter(range(100))

        def waiting(source: Path, target: Path) -> None:
            if next(calls) == step:
                there.send("reached")
                there.recv()
            put(source, target)

        promoting.place_copy = waiting
        call()

    def go_on(self) -> int | None:
        with contextlib.suppress(OSError):  # it was killed
            self._here.send("go on")
        self.process.join(60)
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()
        self.process.join(60)


@contextlib.contextmanager
def stopped(call: Callable[[], object], step: int) -> Iterator[Stopped]:
    there = Stopped(call, step)
    try:
        yield there
    finally:
        there.go_on()


def refused(call: Callable[[], object], work: str, process: int | None) -> None:
    text = rf"'slidecell {work}' works there since \d{{4}}-\S+ \S+ \(process {process} of \S+\)"
    with pytest.raises(BusyError, match=text):
        call()


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_second_promote_is_refused_at_every_step_and_nothing_is_lost(
    pair: tuple[Path, Path], step: int
) -> None:
    model, challenger = pair
    with stopped(lambda: promote(model, challenger), step) as first:
        for call in (
            lambda: promote(model, challenger),
            lambda: promote(challenger, model),
            lambda: rollback(model),
        ):
            refused(call, "promote", first.process.pid)
        assert first.go_on() == 0
    assert kinds(model, challenger, previous_of(model)) == ["PCA", "ZScore", "ZScore"]
    assert not lock_file(model).exists()
    rollback(model)
    assert kinds(model, previous_of(model)) == ["ZScore", "PCA"]


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_second_rollback_is_refused_at_every_step_and_nothing_is_lost(
    pair: tuple[Path, Path], step: int
) -> None:
    model, challenger = pair
    promote(model, challenger)
    with stopped(lambda: rollback(model), step) as first:
        refused(lambda: rollback(model), "rollback", first.process.pid)
        refused(lambda: promote(model, challenger), "rollback", first.process.pid)
        assert first.go_on() == 0
    assert kinds(model, previous_of(model)) == ["ZScore", "PCA"]
    assert not lock_file(model).exists()


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_lock_of_a_killed_process_keeps_nobody_out(pair: tuple[Path, Path], step: int) -> None:
    model, challenger = pair
    with stopped(lambda: promote(model, challenger), step) as first:
        first.kill()
    assert lock_file(model).exists()
    promote(model, challenger)
    assert kinds(model, challenger, previous_of(model)) == ["PCA", "ZScore", "ZScore"]
    assert not lock_file(model).exists()


def test_of_many_threads_one_is_there_at_a_time(tmp_path: Path) -> None:
    """The file is removed by each holder: nobody locks one that is gone."""
    inside, most = 0, 0
    taken = [0, 0, 0, 0]
    counting = threading.Lock()
    deadline = time.monotonic() + 60

    def work(number: int) -> None:
        nonlocal inside, most
        while taken[number] < 50 and time.monotonic() < deadline:
            with contextlib.suppress(BusyError), working_at(tmp_path / "model", work="test"):
                with counting:
                    inside += 1
                    most = max(most, inside)
                taken[number] += 1
                with counting:
                    inside -= 1

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert taken == [50, 50, 50, 50]
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with working_at(tmp_path / "absent" / "model", work="test"):
        assert not (tmp_path / "absent").exists()
    lock_file(tmp_path / "model").mkdir()
    with pytest.raises(OSError, match=r"\.model\.lock"), working_at(tmp_path / "model", work="t"):
        pass

    def no_locks(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("slidecell.jobs.work_lock.fcntl.flock", no_locks)
    with working_at(tmp_path / "other", work="test"):
        pass

"""A process that is killed at any file call of a save leaves the old content or the new one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import slidecell as sc
from slidecell import _whole_folders
from slidecell.detect import (
    Detector,
    Ensemble,
    PCADetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.detect.loading import load_saved
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.write_result import owns_saved_file
from tests.models import layer, random_model

# Audited events that change files. `killed_at` counts what they do not cover, by wrapping it.
_CHANGES = {
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod"),
    *("os.utime", "os.truncate", "os.setxattr", "shutil.rmtree"),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_RESULTS = ("scores.csv", "model.safetensors", "report.json", "scores.png")


@dataclass(frozen=True)
class Case:
    """Something that is saved: how, in its old and its new version, and how it is read."""

    save: Callable[[Path, str], object]  # path, "old" or "new"
    read: Callable[[Path], object]
    others: bool = False  # whether files of the user lie in the saved folder


def rows(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(seed, 1 + seed, size=(60, 2))


def model(seed: int) -> sc.SequenceModel:
    return sc.SequenceModel(*random_model(np.random.default_rng(seed), [layer("lstm", 3)]))


def save_model(path: Path, version: str) -> None:
    model(len(version) + (version == "new")).save(path)


def read_model(path: Path) -> object:
    return sc.SequenceModel.load(path).tensors["head.weight"].tobytes()


MODEL = model(0)


def save_monitor(path: Path, version: str) -> None:
    monitor = sc.Monitor(MODEL.stream())
    for row in np.ones((5 if version == "new" else 3, MODEL.input_size)):
        monitor.push(row)
    monitor.save(path)


def read_monitor(path: Path) -> object:
    return sc.Monitor.load(MODEL, path).stream.rows_seen()


def fitted(detector: Detector, seed: int) -> Detector:
    return detector.fit(rows(seed))


def pair() -> Ensemble:
    return Ensemble([("z", ZScoreDetector()), ("pca", PCADetector(n_components=1))])


DETECTORS = {
    "simple": {"old": fitted(ZScoreDetector(), 0), "new": fitted(ZScoreDetector(), 1)},
    "fewer files": {"old": fitted(pair(), 0), "new": fitted(ZScoreDetector(), 1)},
    "more files": {"old": fitted(ZScoreDetector(), 0), "new": fitted(pair(), 1)},
}


def read_detector(path: Path) -> object:
    return load_detector(path).score_samples(rows()).tobytes()


def detector_case(name: str, *, others: bool = False) -> Case:
    def save(path: Path, version: str) -> None:
        DETECTORS[name][version].save(path)

    return Case(save, read_detector, others)


def save_results(path: Path, version: str) -> None:
    with OutputFolder(path) as out:
        for name in _RESULTS:
            out.add(name, lambda file: file.write_text(version))


def read_results(path: Path) -> object:
    found = _whole_folders.read_whole(
        path, lambda folder: [(folder / name).read_text() for name in _RESULTS]
    )
    if not isinstance(found, list) or len(set(found)) != 1:
        raise ValueError(f"files of two sets: {found}")
    there = {(path / name).read_text() for name in _RESULTS if (path / name).exists()}
    if len(there) > 1:  # files of two sets lie side by side, and that can be seen
        assert _whole_folders.whole_set(path) != path
    return found


def save_results_with_detector(path: Path, version: str) -> None:
    with OutputFolder(path, owns=owns_saved_file) as out:
        out.add("scores.csv", lambda file: file.write_text(version))
        out.add("detector", DETECTORS["fewer files"][version].save)


def read_results_with_detector(path: Path) -> object:
    text, scores = _whole_folders.read_whole(
        path,
        lambda folder: ((folder / "scores.csv").read_text(), read_detector(folder / "detector")),
    )
    assert read_detector(path / "detector") == scores  # also by its own path
    assert load_saved(path).score_samples(rows()).tobytes() == scores  # as the commands read it
    return text, scores


CASES = {
    "model": Case(save_model, read_model),
    "monitor": Case(save_monitor, read_monitor),
    "detector": detector_case("simple"),
    "detector with fewer files": detector_case("fewer files"),
    "detector beside other files": detector_case("fewer files", others=True),
    "larger detector beside other files": detector_case("more files", others=True),
    "results": Case(save_results, read_results),
    "results beside other files": Case(save_results, read_results, others=True),
    "results with a detector": Case(save_results_with_detector, read_results_with_detector),
    "results with a detector beside other files": Case(
        save_results_with_detector, read_results_with_detector, others=True
    ),
}


def killed_at(point: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a child that is killed before this file call; False if there is none."""
    child = os.fork()
    if child == 0:
        calls = 0

        def count() -> None:
            nonlocal calls
            if calls == point:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in _CHANGES or (event == "open" and arguments[2] & _WRITES):
                count()

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*arguments: Any) -> Any:
                count()
                return call(*arguments)

            return wrapper

        try:
            os.fsync = counted(os.fsync)
            _whole_folders._exchange = counted(_whole_folders._exchange)
            sys.addaudithook(hook)
            work()
            os._exit(0)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def hidden(folder: Path) -> list[Path]:
    return list(folder.rglob(".slidecell*"))


def combinations() -> Iterator[Any]:
    for name, case in CASES.items():
        for over in ("nothing", "an older one"):
            if over == "nothing" and case.others and case.read == read_detector:
                continue  # a detector is not saved among other files
            yield pytest.param(case, over, True, id=f"{name} over {over}")
            if case.read not in (read_model, read_monitor):  # single files are never exchanged
                yield pytest.param(case, over, False, id=f"{name} over {over}, in place")


@pytest.mark.parametrize(("case", "over", "exchange"), list(combinations()))
def test_killed_at_every_file_call(
    case: Case, over: str, exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A killed process loses nothing that it has handed to the system, and thousands of saves on a
    # slow disk take minutes. The calls are counted all the same.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    if not exchange:

        def missing(*_: object) -> None:
            raise OSError(errno.EINVAL, "no exchange on this file system")

        monkeypatch.setattr(_whole_folders, "_exchange", missing)
    expected = {}
    for version in ("old", "new"):
        case.save(tmp_path / version, version)
        expected[version] = case.read(tmp_path / version)
    if over == "nothing":
        del expected["old"]
    place = tmp_path / "place"
    target = place / "saved"
    point, killed, seen = 0, True, set()
    while killed:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if over != "nothing":
            case.save(target, "old")
        if case.others:
            (target / "mine").mkdir(parents=True, exist_ok=True)
            (target / "mine" / "notes.txt").write_text("keep")
        killed = killed_at(point, lambda: case.save(target, "new"))
        try:
            found = case.read(target)
        except OSError:
            assert over == "nothing", point
            there = os.listdir(target) if target.exists() else []
            assert all(name == "mine" or name.startswith(".slidecell") for name in there)
        else:
            name = next((name for name, value in expected.items() if value == found), None)
            assert name is not None, f"neither the old one nor the new one at call {point}"
            assert killed or name == "new"
            seen.add(name)
        if killed:
            case.save(target, "new")
            assert case.read(target) == expected["new"], point
        assert hidden(place) == [], point
        assert [path.name for path in place.iterdir()] == ["saved"]
        if case.others:
            assert (target / "mine" / "notes.txt").read_text() == "keep"
        point += 1
    assert point > 4
    assert seen == set(expected)


def test_a_stream_killed_at_any_time_leaves_a_whole_state(tmp_path: Path) -> None:
    path = tmp_path / "state"
    stream = MODEL.stream(300)
    stream.save(path)

    def save_on() -> None:
        while True:
            stream.save(path)

    for delay in random.Random(0).choices(range(1, 30), k=20):
        saver = multiprocessing.get_context("fork").Process(target=save_on)
        saver.start()
        time.sleep(delay / 1000)
        saver.kill()
        saver.join()
        assert MODEL.stream(state=path).num_entities == 300
    stream.save(path)
    assert list(tmp_path.iterdir()) == [path]

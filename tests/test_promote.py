"""Promote and rollback: which model lies where, at every moment."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")
pytest.importorskip("pandas")

import pandas as pd

from slidecell.detect import (
    DetectOptions,
    KMeansDetector,
    PCADetector,
    ZScoreDetector,
    load_detector,
    run_detect,
)
from slidecell.detect.loading import load_saved
from slidecell.jobs import promote as promoting
from slidecell.jobs.promote import previous_of, promote, rollback
from tests.live_lines import as_csv, live, save_model

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["load", "heat"])


def kinds(*places: Path) -> list[str]:
    return [type(load_saved(place)).__name__ for place in places]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    model, challenger = tmp_path / "model", tmp_path / "challenger"
    ZScoreDetector().fit(FRAME).save(model)
    PCADetector().fit(FRAME).save(challenger)
    (model / "notes.txt").write_text("mine")
    return model, challenger


def test_both_change_places_and_the_old_one_is_kept(pair: tuple[Path, Path]) -> None:
    model, challenger = pair
    done = promote(model, challenger)
    assert (done.model, done.old, done.state) == (model, challenger, "none")
    assert kinds(model, challenger, previous_of(model)) == [
        "PCADetector",
        "ZScoreDetector",
        "ZScoreDetector",
    ]
    assert (model / "notes.txt").read_text() == "mine"
    # Whatever becomes of the challenger's place, the old one comes back, and the newer one again.
    KMeansDetector(random_state=0).fit(FRAME).save(challenger)
    assert rollback(model).old == previous_of(model)
    assert kinds(model, previous_of(model)) == ["ZScoreDetector", "PCADetector"]
    rollback(model)
    assert kinds(model, previous_of(model)) == ["PCADetector", "ZScoreDetector"]
    assert sorted(path.name for path in model.parent.iterdir()) == [
        "challenger",
        "model",
        "model.previous",
    ]


def test_folders_of_results_and_model_files(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    FRAME.to_csv(tmp_path / "in.csv", index=False)
    out, challenger = tmp_path / "out", tmp_path / "challenger"
    options = DetectOptions(
        tmp_path / "in.csv", out, detector="forecast", window=4, epochs=1, hidden_size=(4,)
    )
    run_detect(options, progress=False)
    ZScoreDetector().fit(FRAME).save(challenger)
    network = (out / "model.safetensors").read_bytes()
    promote(out, challenger)
    # A model file beside the new detector would be taken for its own.
    assert not (out / "model.safetensors").exists()
    assert (out / "report.json").exists()
    assert kinds(out, challenger, previous_of(out)) == [
        "ZScoreDetector",
        "ForecastDetector",
        "ForecastDetector",
    ]
    rollback(out)
    assert kinds(out) == ["ForecastDetector"]
    assert (out / "model.safetensors").read_bytes() == network
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_model(tmp_path / "a.safetensors")
    save_model(second, extra={"note": 1})
    bytes_of = [path.read_bytes() for path in (first, second)]
    promote(first, second)
    assert [path.read_bytes() for path in (second, first)] == bytes_of
    rollback(first)
    assert first.read_bytes() == bytes_of[0]
    with pytest.raises(
        ValueError, match=r"CHALLENGER: expected a file as MODEL is, got the folder"
    ):
        promote(first, challenger)


def test_what_cannot_take_the_place_is_refused_and_changes_nothing(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    model, challenger = pair
    other = tmp_path / "other"
    ZScoreDetector().fit(FRAME.rename(columns={"heat": "flow"})).save(other)
    ZScoreDetector().fit(FRAME).save(tmp_path / "same")
    for path, text in (
        (other, r"CHALLENGER \S+other: expected the features of \S+model \(load, heat\), got"),
        (model, "CHALLENGER: expected another one than MODEL"),
        (tmp_path / "same", "CHALLENGER: expected another one than MODEL, got the same"),
        (tmp_path / "absent", "absent"),
    ):
        with pytest.raises((ValueError, OSError), match=text):
            promote(model, path)
    with pytest.raises(ValueError, match=r"MODEL: \S+model has taken nobody's place"):
        rollback(model)
    assert kinds(model, challenger) == ["ZScoreDetector", "PCADetector"]
    assert not previous_of(model).exists()


class _KilledError(BaseException):
    """Stands for a process that ends: no code of ours catches it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """End the next call at one of the copies that it makes."""
    put, calls = promoting.place_copy, iter(range(100))

    def counted(source: Path, target: Path) -> None:
        if next(calls) == step:
            raise _KilledError
        put(source, target)

    monkeypatch.setattr(promoting, "place_copy", counted)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_killed_promote_is_ended_by_the_next(
    pair: tuple[Path, Path], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, challenger = pair
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        with contextlib.suppress(_KilledError):
            promote(model, challenger)
        assert set(kinds(model, challenger)) <= {"ZScoreDetector", "PCADetector"}
    promote(model, challenger)
    assert kinds(model, challenger, previous_of(model)) == [
        "PCADetector",
        "ZScoreDetector",
        "ZScoreDetector",
    ]


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_killed_rollback_is_ended_by_the_next(
    pair: tuple[Path, Path], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, challenger = pair
    promote(model, challenger)
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        with contextlib.suppress(_KilledError):
            rollback(model)
        assert set(kinds(model)) <= {"ZScoreDetector", "PCADetector"}
    rollback(model)
    assert kinds(model, previous_of(model)) == ["ZScoreDetector", "PCADetector"]


def lines(first: int, last: int) -> str:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 2))
    rows: list[dict[str, Any]] = [
        {"t": n, "host": "a", "load": float(values[n, 0]), "heat": float(values[n, 1])}
        for n in range(first, last)
    ]
    return as_csv(rows)


def test_the_stream_goes_on_where_the_challenger_stopped(tmp_path: Path) -> None:
    model, challenger = tmp_path / "model", tmp_path / "challenger"
    ZScoreDetector().fit(FRAME).save(model)
    KMeansDetector(window=20, random_state=0).fit(FRAME).save(challenger)
    state = tmp_path / "run.state"
    whole = live(tmp_path, lines(0, 200), model=challenger)[0]
    live(tmp_path, lines(0, 100), model=model, shadow=challenger, state=state)
    assert promote(model, challenger, state=state).state == "swapped"
    assert promote_again(model, challenger, state) == "kept"
    later = live(tmp_path, lines(100, 200), model=model, shadow=challenger, state=state)
    assert later[0].splitlines()[1:] == whole.splitlines()[101:]
    assert "begins anew" not in later[1]
    assert rollback(model, state=state).state == "swapped"
    out = live(tmp_path, lines(200, 210), model=model, state=state)[0]
    assert len(out.splitlines()) == 11
    for place in (model, previous_of(model)):
        ZScoreDetector(contamination=0.3).fit(FRAME + 9.0).save(place)
    with pytest.raises(ValueError, match=r"--state \S+run.state: neither it nor run.state.shadow"):
        rollback(model, state=state)


def promote_again(model: Path, challenger: Path, state: Path) -> str:
    """Do as a call that goes on after one that was killed at its end."""
    detector = load_detector(model)
    return promoting._swap_states(detector, state)


def test_a_full_disk_changes_no_place(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, challenger = pair

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("slidecell.detect.storage.shutil.copytree", full)
        with pytest.raises(OSError, match="No space left on device"):
            promote(model, challenger)
    assert kinds(model, challenger) == ["ZScoreDetector", "PCADetector"]
    assert not previous_of(model).exists()
    promote(model, challenger)
    assert kinds(model, challenger) == ["PCADetector", "ZScoreDetector"]

"""Retraining on the advisory of a stream: its steps, what it places, and calls that were killed."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")
pytest.importorskip("pandas")

import pandas as pd

from slidecell.detect import RetrainOptions, ZScoreDetector, load_detector
from slidecell.jobs import retrain_on_drift
from slidecell.jobs.promote import previous_of, promote, same_saved
from slidecell.jobs.retrain_on_drift import DriftRetraining, DriftRetrainingOptions
from slidecell.jobs.step_log import StepLog
from slidecell.jobs.work_lock import BusyError, working_at
from slidecell.live.row_log import kept_rows, read_advisory
from tests.live_lines import as_csv, live

STEPS = ["advised", "rows", "retrained", "placed", "done"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"load": rng.normal(size=2000), "heat": rng.normal(50.0, 2.0, 2000)})
    ZScoreDetector().fit(frame).save(tmp_path / "model")
    return tmp_path / "model"


def lines(levels: list[float], first: int = 0) -> str:
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = [
        {
            "t": first + n,
            "host": "ab"[n % 2],
            "load": float(rng.normal()),
            "heat": float(rng.normal(50.0 + level, 2.0)),
        }
        for n, level in enumerate(levels)
    ]
    return as_csv(rows)


def streamed(tmp_path: Path, model: Path, levels: list[float], **options: Any) -> str:
    """Run a stream that keeps its rows in the folder ``log``; what it reported."""
    return live(tmp_path, lines(levels), model=model, keep_rows=tmp_path / "log", **options)[1]


def retraining(tmp_path: Path, model: Path, **options: Any) -> DriftRetraining:
    asked = RetrainOptions(model, tmp_path / "log", tmp_path / "work", time="t", entity="host")
    return DriftRetraining(DriftRetrainingOptions(asked, **options))


def steps(tmp_path: Path) -> list[dict[str, Any]]:
    text = (tmp_path / "work" / "steps.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_stream_keeps_its_rows_as_they_came(tmp_path: Path, model: Path) -> None:
    text = lines([0.0] * 40).splitlines()
    text[10] = text[10].replace(",", ",?", 2).replace("?", "", 1)  # its values cannot be read
    text[20] = ""
    log = tmp_path / "log"
    live(tmp_path, "\n".join(text), model=model, keep_rows=log, keep=16)
    header, rows = kept_rows(log)
    assert header == ["t", "host", "load", "heat"]
    assert rows == [line.split(",") for line in text[-len(rows) :]]
    assert 16 <= len(rows) <= 18
    assert kept_rows(log, 5)[1] == rows[-5:]
    live(tmp_path, lines([0.0] * 3, first=90), model=model, keep_rows=log, keep=16)
    assert [row[0] for row in kept_rows(log, 4)[1]] == ["39", "90", "91", "92"]
    # What a process that was killed has half written is no row.
    newest = max(log.glob("rows-*.csv"))
    newest.write_text(newest.read_text() + "93,a,0.")
    assert kept_rows(log, 1)[1][0][0] == "92"
    advisory = read_advisory(log)
    assert advisory is not None
    assert (advisory.advice, advisory.since) == ("fine", None)


def test_rows_without_values_are_kept_as_missing(tmp_path: Path, model: Path) -> None:
    text = lines([0.0] * 5).splitlines()
    cells = text[3].split(",")
    text[3] = ",".join([*cells[:3], "?"])
    rows = []
    live(tmp_path, "\n".join(text), model=model, keep_rows=tmp_path / "log")
    rows = kept_rows(tmp_path / "log")[1]
    assert len(rows) == 4  # the keys of a line that cannot be read are not known as they came
    assert cells[0] not in [row[0] for row in rows]


def test_nothing_is_done_without_the_advice(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ValueError, match=r"log: expected a folder in which .* got no folder"):
        retraining(tmp_path, model).run_once()
    streamed(tmp_path, model, [0.0] * 400)
    assert retraining(tmp_path, model).run_once() == "nothing to do: the advisory is fine"
    assert not (tmp_path / "work" / "steps.jsonl").exists()


def test_a_better_detector_takes_the_place_of_the_model(tmp_path: Path, model: Path) -> None:
    reports = streamed(tmp_path, model, [0.0] * 300 + [9.0] * 1200)
    assert "drift: retrain: heat" in reports
    work = retraining(tmp_path, model, place="model", recent=1100)
    assert work.run_once() == f"round 1: the new detector is at {model}"
    found = steps(tmp_path)
    assert [step["step"] for step in found] == STEPS
    assert found[1]["rows"] == 1100
    assert (found[2]["better"], found[2]["by"]) == ("new", "scores")
    old, new = found[2]["old"], found[2]["new"]
    assert old["scored"] == new["scored"] == 330
    assert old["flagged"] > 200
    assert new["flagged"] < 10
    assert old["score_distance"] > 0.9
    assert new["score_distance"] < 0.15
    kept = load_detector(model).training_statistics_
    assert kept.columns.mean[1] == pytest.approx(59.0, abs=0.3)
    assert load_detector(previous_of(model)).training_statistics_.columns.mean[1] < 51.0
    # Once for each spell of drift: a stream that has the old model still asks for it.
    assert work.run_once() == "nothing to do: this drift has been retrained for"
    assert retraining(tmp_path, model).run_once().endswith("has been retrained for")
    again = streamed(tmp_path, model, [9.0] * 400)
    assert again.splitlines()[-1].startswith("slidecell stream: drift: fine; ")
    assert retraining(tmp_path, model).run_once() == "nothing to do: the advisory is fine"
    assert len(steps(tmp_path)) == 5


def test_the_place_of_the_challenger(tmp_path: Path, model: Path) -> None:
    streamed(tmp_path, model, [0.0] * 300 + [9.0] * 900)
    challenger = tmp_path / "challenger"
    work = retraining(tmp_path, model, place="shadow", shadow=challenger)
    assert work.run_once() == f"round 1: the new detector is at {challenger}"
    assert same_saved(challenger, tmp_path / "work" / "round-1" / "new" / "detector")
    assert not previous_of(model).exists()
    report = tmp_path / "report.json"
    streamed(tmp_path, model, [9.0] * 300, shadow=challenger, shadow_report=report)
    found = json.loads(report.read_text())["flagged"]
    assert found["champion_only"] > 200
    assert found["challenger_only"] < 5


def test_what_is_worse_on_the_newest_rows_is_not_placed(tmp_path: Path, model: Path) -> None:
    """The drift has passed when the newest rows came: the old detector is the better one."""
    streamed(tmp_path, model, [9.0] * 700)
    rest = lines([0.0] * 500, first=700).split("\n", 1)[1]
    newest = max((tmp_path / "log").glob("rows-*.csv"))
    newest.write_text(newest.read_text() + rest)
    before = {path: path.read_bytes() for path in model.iterdir()}
    found = retraining(tmp_path, model, place="model").run_once()
    assert found == "round 1: the old detector is no worse on the held-out rows: it stays"
    found_facts = steps(tmp_path)[2]
    assert found_facts["better"] == "old"
    assert found_facts["old"]["score_distance"] < 0.15 < found_facts["new"]["score_distance"]
    assert steps(tmp_path)[3]["place"] is None
    assert {path: path.read_bytes() for path in model.iterdir()} == before


def test_few_rows_are_waited_for(tmp_path: Path, model: Path) -> None:
    streamed(tmp_path, model, [9.0] * 500, keep=8)
    found = retraining(tmp_path, model).run_once()
    assert found.startswith("waiting for rows: 160 are needed to train and to compare, and ")
    assert not (tmp_path / "work" / "steps.jsonl").exists()


def child(work: Callable[[], object]) -> int:
    """Run in a process of its own; return the signal that has ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_call_that_was_killed_is_gone_on_with(
    tmp_path: Path, model: Path, step: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed(tmp_path, model, [0.0] * 300 + [9.0] * 900)
    add = StepLog.add

    def add_or_die(self: StepLog, name: str, **facts: Any) -> None:
        if name == step and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, name, **facts)
        if name == step:
            # Of the next step a half line may have been written.
            with self.path.open("a") as file:
                file.write('{"step": "pla')
            os.kill(os.getpid(), signal.SIGKILL)

    def killed() -> None:
        monkeypatch.setattr(StepLog, "add", add_or_die)
        retraining(tmp_path, model, place="model").run_once()

    assert child(killed) == -signal.SIGKILL
    assert load_detector(model).training_statistics_ is not None  # a whole one, old or new
    found = retraining(tmp_path, model, place="model").run_once()
    last = "this drift has been retrained for" if (step, after) == ("done", True) else str(model)
    assert found.endswith(last)
    assert [one["step"] for one in steps(tmp_path)] == STEPS
    new = load_detector(model)
    assert new.training_statistics_.columns.mean[1] == pytest.approx(55.8, abs=0.5)
    assert load_detector(previous_of(model)).training_statistics_.columns.mean[1] < 51.0
    assert same_saved(model, tmp_path / "work" / "round-1" / "new" / "detector")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("after", [False, True])
def test_a_call_that_was_killed_while_it_places_is_gone_on_with(
    tmp_path: Path, model: Path, copy: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed(tmp_path, model, [0.0] * 300 + [9.0] * 900)
    whole, calls = retrain_on_drift.place_copy, iter(range(9))

    def copy_or_die(source: Path, target: Path) -> None:
        last = next(calls) == copy
        if not last or after:
            whole(source, target)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    def killed() -> None:
        monkeypatch.setattr(retrain_on_drift, "place_copy", copy_or_die)
        retraining(tmp_path, model, place="model").run_once()

    assert child(killed) == -signal.SIGKILL
    assert load_detector(model).training_statistics_ is not None
    assert retraining(tmp_path, model, place="model").run_once().endswith(str(model))
    assert [one["step"] for one in steps(tmp_path)] == STEPS
    assert same_saved(model, tmp_path / "work" / "round-1" / "new" / "detector")
    assert load_detector(previous_of(model)).training_statistics_.columns.mean[1] < 51.0


def test_a_full_disk_is_reported_and_the_round_goes_on_later(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed(tmp_path, model, [0.0] * 300 + [9.0] * 900)
    before = {path: path.read_bytes() for path in model.iterdir()}
    said: list[str] = []
    work = replace(retraining(tmp_path, model, place="model"), say=said.append)
    with monkeypatch.context() as patch:

        def full(source: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

        patch.setattr(retrain_on_drift, "place_copy", full)
        calls = iter(range(100))
        work.watch(1e-6, stop=lambda: next(calls) > 8)
    assert [text for text in said if "tried again" in text] == [
        f"OSError: [Errno 28] No space left on device: '{previous_of(model)}'; it is tried again"
    ]
    assert {path: path.read_bytes() for path in model.iterdir()} == before
    calls = iter(range(100))
    work.watch(1e-6, stop=lambda: next(calls) > 1)
    assert said[-1] == f"round 1: the new detector is at {model}"
    assert [one["step"] for one in steps(tmp_path)] == STEPS


def test_a_log_that_cannot_be_written_ends_no_stream(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = lines([0.0] * 300)
    plain = live(tmp_path, text, model=model)[0]
    monkeypatch.setattr(
        "slidecell.live.row_log.replacing",
        lambda path: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")),
    )
    out, reports = live(tmp_path, text, model=model, keep_rows=tmp_path / "log")
    assert out == plain
    assert "the log of rows: OSError: [Errno 28] No space left on device" in reports


def test_a_folder_that_cannot_be_had_is_refused_at_the_start(tmp_path: Path, model: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(OSError, match=r"--keep-rows \S+log: File exists"):
        streamed(tmp_path, model, [0.0])


def test_what_does_not_fit_is_refused(tmp_path: Path, model: Path) -> None:
    streamed(tmp_path, model, [0.0] * 300 + [9.0] * 900)
    for options, text in (
        ({"place": "shadow"}, "--shadow: expected with --place shadow"),
        ({"shadow": tmp_path}, "--shadow: expected with --place shadow"),
        ({"place": "there"}, "--place: expected out, shadow, model, got 'there'"),
        ({"recent": 10}, "--recent: expected at least 160, got 10"),
    ):
        with pytest.raises(ValueError, match=text):
            retraining(tmp_path, model, **options)
    (tmp_path / "work").mkdir()
    log = StepLog(tmp_path / "work" / "steps.jsonl")
    log.add("advised", round=1, model="another", key=[1.0, 2], advisory="retrain")
    with pytest.raises(ValueError, match=r"--out: round 1 of another stopped in \S+work: end it"):
        retraining(tmp_path, model).run_once()
    (tmp_path / "work" / "steps.jsonl").write_text('{"step": "advised"}\n[]\n')
    with pytest.raises(ValueError, match=r"steps.jsonl: line 2: expected a step"):
        retraining(tmp_path, model)
    (tmp_path / "log" / "advisory.json").write_text('{"advice": "retrain"}')
    (tmp_path / "work" / "steps.jsonl").unlink()
    with pytest.raises(ValueError, match=r"advisory.json: not an advisory, or damaged"):
        retraining(tmp_path, model).run_once()


def test_a_model_that_came_after_the_comparison_is_not_replaced(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed(tmp_path, model, [0.0] * 300 + [9.0] * 900)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    work = retraining(tmp_path, model, place="model")
    with monkeypatch.context() as patch:
        patch.setattr(retrain_on_drift, "place_copy", full)
        with pytest.raises(OSError, match="No space left"):
            work.run_once()
    challenger = tmp_path / "challenger"
    frame = pd.DataFrame(np.random.default_rng(5).normal(size=(300, 2)), columns=["load", "heat"])
    ZScoreDetector(contamination=0.2).fit(frame).save(challenger)
    promote(model, challenger)
    found = work.run_once()
    new = tmp_path / "work" / "round-1" / "new"
    assert found == (
        f"round 1: another model has come to {model} since the two were compared: it stays; "
        f"the new detector is in {new}"
    )
    assert load_detector(model).contamination == 0.2
    assert load_detector(previous_of(model)).contamination != 0.2
    assert steps(tmp_path)[-2]["place"] is None


def test_two_retrainings_at_once(tmp_path: Path, model: Path) -> None:
    streamed(tmp_path, model, [0.0] * 300 + [9.0] * 900)
    said: list[str] = []
    first = retraining(tmp_path, model, place="model")
    second = replace(first, say=said.append)
    with working_at(tmp_path / "work", work="slidecell retrain"):
        with pytest.raises(BusyError, match=r"'slidecell retrain' works there since \S+ \S+ \(pro"):
            first.run_once()
        calls = iter(range(100))
        second.watch(1e-6, stop=lambda: next(calls) > 3)
    assert len(said) == 1
    assert said[0].endswith("it is tried again")
    with working_at(model, work="slidecell promote"), pytest.raises(BusyError, match="promote"):
        first.run_once()
    assert [step["step"] for step in steps(tmp_path)] == STEPS[:3]
    # Each goes on with the steps that the other has done.
    assert second.run_once() == f"round 1: the new detector is at {model}"
    assert first.run_once() == "nothing to do: this drift has been retrained for"
    assert [step["step"] for step in steps(tmp_path)] == STEPS

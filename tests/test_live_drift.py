"""The drift advisory in ``slidecell stream`` and in the notes of ``slidecell score``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")
pytest.importorskip("pandas")

import pandas as pd
from scipy.stats import ks_2samp

from slidecell.detect import ScoreOptions, ZScoreDetector, load_detector, run_score
from slidecell.detect.drift import DriftMonitor
from slidecell.live.drift_watch import DriftWatch
from tests.live_lines import as_csv, live

RNG = np.random.default_rng(0)


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"load": RNG.normal(size=2000), "heat": RNG.normal(50.0, 2.0, 2000)})
    ZScoreDetector().fit(frame).save(tmp_path / "detector")
    return tmp_path / "detector"


def rows_of(heat: np.ndarray) -> list[dict[str, Any]]:
    load = RNG.normal(size=len(heat))
    return [
        {"t": n, "host": "ab"[n % 2], "load": float(load[n]), "heat": float(heat[n])}
        for n in range(len(heat))
    ]


def test_a_stream_says_when_the_advisory_changes_and_at_its_end(
    tmp_path: Path, detector: Path
) -> None:
    heat = RNG.normal(50.0, 2.0, 1000)
    heat[420:] += 8.0
    text = as_csv(rows_of(heat))
    out, reports = live(tmp_path, text, model=detector)
    assert out == live(tmp_path, text, model=detector, drift=False)[0]
    said = [line for line in reports.splitlines() if "drift" in line]
    assert [line.split(" (")[0] for line in said] == [
        "slidecell stream: drift after 450 rows: watch: heat",
        "slidecell stream: drift after 600 rows: retrain: heat",
        "slidecell stream: drift: retrain: heat",
    ]
    assert "since 450 rows had come; the scores are 0." in said[-1]
    scores = np.array([float(line.split(",")[2]) for line in out.splitlines()[-150:]])
    training = load_detector(detector).decision_scores_
    told = float(said[-1].split(" from those of training (0 to 1)")[0].split()[-1])
    assert told == pytest.approx(ks_2samp(training, scores).statistic, abs=0.02)
    assert "(level +3.9 training standard deviations, " in said[-1]


def test_few_rows_and_no_drift(tmp_path: Path, detector: Path) -> None:
    usual = as_csv(rows_of(RNG.normal(50.0, 2.0, 400)))
    last = live(tmp_path, usual, model=detector)[1].splitlines()[-1]
    assert last.startswith("slidecell stream: drift: fine; the scores are 0.0")
    few = as_csv(rows_of(RNG.normal(50.0, 2.0, 100)))
    last = live(tmp_path, few, model=detector)[1].splitlines()[-1]
    assert last == "slidecell stream: drift: not known before 150 rows"
    assert "drift" not in live(tmp_path, few, model=detector, drift=False)[1]


def test_lines_that_cannot_be_read_are_missing_rows(tmp_path: Path, detector: Path) -> None:
    lines = as_csv(rows_of(RNG.normal(50.0, 2.0, 400))).splitlines()
    broken = [
        line if n % 2 else ",".join([*line.split(",")[:3], "?"]) for n, line in enumerate(lines)
    ]
    broken[0] = lines[0]
    reports = live(tmp_path, "\n".join(broken), model=detector)[1]
    assert reports.splitlines()[-1].startswith(
        "slidecell stream: drift: watch: load (50 % of it is missing), heat (50 % of it is missing)"
    )


def test_score_notes_the_advisory(tmp_path: Path, detector: Path) -> None:
    heat = RNG.normal(50.0, 2.0, 3000)
    heat[2000:] += 8.0
    pd.DataFrame({"load": RNG.normal(size=3000), "heat": heat}).to_csv(
        tmp_path / "in.csv", index=False
    )
    found = run_score(ScoreOptions(detector, tmp_path / "in.csv", tmp_path / "out"))
    facts = found.report["drift"]["advisory"]
    assert (facts["advice"], facts["columns"]) == ("retrain", ["heat"])
    assert (facts["comparisons"], facts["first"]["rows"]) == (100, 2040)
    assert facts["not_fine"] == 33
    (note,) = [note for note in found.report["notes"] if "advisory" in note]
    assert note.endswith(
        "the drift advisory at the end of the file is retrain, for heat, and was fine no more "
        "after 2,040 of its rows"
    )


def test_score_notes_a_part_that_was_far_from_training(tmp_path: Path, detector: Path) -> None:
    heat = RNG.normal(50.0, 2.0, 4000)
    heat[1000:1500] += 2.0
    pd.DataFrame({"load": RNG.normal(size=4000), "heat": heat}).to_csv(
        tmp_path / "in.csv", index=False
    )
    found = run_score(ScoreOptions(detector, tmp_path / "in.csv", tmp_path / "out"))
    assert found.report["drift"]["drifted"] == []
    (note,) = [note for note in found.report["notes"] if "far from training" in note]
    assert note.split(": ")[1] == "watch"
    assert " of the file is far from training, though not its end; first after 1," in note


def test_metrics_and_page_are_told_of_the_columns(tmp_path: Path, detector: Path) -> None:
    watch = DriftWatch(DriftMonitor(load_detector(detector)))
    assert watch.served() is None
    heat = np.random.default_rng(1).normal(58.0, 2.0, 240)
    load = np.random.default_rng(2).normal(size=240)
    watch.monitor.update(np.column_stack([load, heat]))
    watch.attend()
    found = watch.served()
    assert found is not None
    assert (found["advice"], found["rows"]) == ("watch", 150)
    first, second = found["columns"]
    assert (first["name"], first["far"], second["name"], second["far"]) == (
        "heat",
        True,
        "load",
        False,
    )
    assert first["level"] == pytest.approx(4.0, rel=0.05)
    assert first["outside"] == pytest.approx((heat[-150:] > 56.5).mean(), abs=0.15)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    pytest.importorskip("starlette")
    pytest.importorskip("prometheus_client")
    pytest.importorskip("uvicorn")
    from slidecell.live.web.service import _drift_now

    told = _drift_now(watch)
    assert told is not None
    assert (told.advice, told.rows, told.columns[0].name) == ("watch", 150, "heat")
    assert told.columns[0].level == first["level"]


def test_numbers_that_nobody_knows_are_null(tmp_path: Path) -> None:
    """A column that is constant in training has no level in its deviations."""
    frame = pd.DataFrame({"load": RNG.normal(size=500), "heat": np.full(500, 7.0)})
    watch = DriftWatch(DriftMonitor(ZScoreDetector().fit(frame)))
    watch.served()
    watch.monitor.update(np.column_stack([RNG.normal(size=100), np.full(100, 9.0)]))
    watch.attend()
    found = watch.served()
    assert found is not None
    assert (found["columns"][0]["name"], found["columns"][0]["level"]) == ("heat", None)
    assert found["columns"][0]["outside"] == 1.0

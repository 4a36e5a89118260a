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
from slidecell.live.row_log import read_advisory
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


def fleet_rows(rows: int) -> list[dict[str, Any]]:
    """Four machines in turn; the last one's heat has moved from row 900 on, all of it from 2600."""
    rng = np.random.default_rng(3)
    heat = rng.normal(50.0, 2.0, rows)
    heat[900:][np.arange(900, rows) % 4 == 3] += 3.0
    heat[2600:] += 4.0
    load = rng.normal(size=rows)
    return [
        {"t": n, "host": "abcd"[n % 4], "load": float(load[n]), "heat": float(heat[n])}
        for n in range(rows)
    ]


@pytest.fixture(scope="module")
def fleet_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"t": np.repeat(np.arange(800), 4), "host": list("abcd") * 800})
    frame["load"], frame["heat"] = rng.normal(size=3200), rng.normal(50.0, 2.0, 3200)
    ZScoreDetector(entity="host", time="t").fit(frame).save(folder / "detector")
    return folder / "detector"


def test_one_machine_is_named_while_the_stream_runs(tmp_path: Path, fleet_detector: Path) -> None:
    reports = live(tmp_path, as_csv(fleet_rows(2400)), model=fleet_detector)[1]
    said = [line for line in reports.splitlines() if "drift after" in line]
    assert "watch: heat (of 'd': level +1." in said[-1]
    assert not any("'a'" in line or "load" in line for line in said)


@pytest.mark.parametrize("cuts", [[1], [310, 311], [1000, 2345], [150, 900, 1500, 2700, 3199]])
def test_a_stream_that_was_cut_has_the_advisory_of_one_that_was_not(
    tmp_path: Path, fleet_detector: Path, cuts: list[int]
) -> None:
    rows = fleet_rows(3200)
    whole = live(tmp_path, as_csv(rows), model=fleet_detector)[1].splitlines()
    state = tmp_path / "run.state"
    said: list[str] = []
    for first, last in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        text = as_csv(rows[first:last])
        part = live(tmp_path, text, model=fleet_detector, state=state)[1].splitlines()
        said += [line for line in part if "drift after" in line]
    assert said == [line for line in whole if "drift after" in line]
    assert part[-1] == whole[-1]
    assert "drift: retrain: heat (" in whole[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run.state",
        "run.state.drift",
        "stdin",
    ]


def test_a_state_without_a_window_and_a_damaged_one_begin_anew(
    tmp_path: Path, fleet_detector: Path
) -> None:
    rows, state = fleet_rows(900), tmp_path / "run.state"
    beside = tmp_path / "run.state.drift"
    live(tmp_path, as_csv(rows[:400]), model=fleet_detector, state=state)
    kept = beside.read_bytes()
    beside.unlink()  # as versions before left it
    reports = live(tmp_path, as_csv(rows[400:500]), model=fleet_detector, state=state)[1]
    assert reports.splitlines()[-1] == "slidecell stream: drift: not known before 150 rows"
    assert "anew" not in reports
    beside.write_bytes(kept[:-9] + b"damaged!!")
    reports = live(tmp_path, as_csv(rows[500:600]), model=fleet_detector, state=state)[1]
    assert "run.state.drift: state: damaged: its check sum is another one; its window begins" in (
        reports
    )
    # A run that begins anew compares its own rows alone.
    state.unlink()
    reports = live(tmp_path, as_csv(rows[:100]), model=fleet_detector, state=state)[1]
    assert reports.splitlines()[-1] == "slidecell stream: drift: not known before 150 rows"


def test_a_kept_advisory_is_of_the_same_spell_after_a_restart(
    tmp_path: Path, fleet_detector: Path
) -> None:
    rows, state = fleet_rows(3200), tmp_path / "run.state"
    keys = []
    for part in (rows[:3000], rows[3000:]):
        options: dict[str, Any] = {"state": state, "keep_rows": tmp_path / "kept"}
        live(tmp_path, as_csv(part), model=fleet_detector, **options)
        found = read_advisory(tmp_path / "kept")
        assert found is not None
        keys.append(found.key)
    assert found.advice == "retrain"
    assert keys[0] == keys[1]


def score_notes(tmp_path: Path, detector: Path, frame: pd.DataFrame) -> list[str]:
    frame.to_csv(tmp_path / "in.csv", index=False)
    options = ScoreOptions(detector, tmp_path / "in.csv", tmp_path / "out")
    found: list[str] = run_score(options).report["notes"]
    return [note for note in found if "step" not in note]


def test_one_note_says_that_the_whole_is_like_training_and_its_end_is_not(
    tmp_path: Path, detector: Path
) -> None:
    rng = np.random.default_rng(6)
    heat = rng.normal(50.0, 2.0, 3000)
    heat[2700:] = rng.normal(47.5, 0.2, 300)
    frame = pd.DataFrame({"load": rng.normal(size=3000), "heat": heat})
    (note,) = score_notes(tmp_path, detector, frame)
    assert note.startswith(
        "as a whole the file looks like training, but its last rows do not: the drift advisory at "
        "its end is retrain, for heat (level -1."
    )
    assert " training standard deviations, spread 0.1 times as wide" in note
    assert note.endswith(", and was fine no more after 2,790 of its rows")
    # Where many rows are flagged too, both are said in one note.
    heat[2600:2720] = 90.0
    (note,) = score_notes(tmp_path, detector, pd.DataFrame({"load": frame["load"], "heat": heat}))
    assert " of the scored rows of the file are flagged, where " in note
    assert ": as a whole it looks like training, but its last rows do not: the drift adv" in note
    assert "no column alone" not in note


def test_a_part_that_differs_as_a_whole_but_in_no_stretch_is_said_to(tmp_path: Path) -> None:
    """A season: training has all of the year, the rows that are scored have the winter."""
    rng = np.random.default_rng(7)
    year = 10.0 * np.sin(2 * np.pi * np.arange(4000) / 4000) + rng.normal(size=4000)
    ZScoreDetector().fit(pd.DataFrame({"heat": year})).save(tmp_path / "detector")
    notes = score_notes(tmp_path, tmp_path / "detector", pd.DataFrame({"heat": year[600:1400]}))
    assert notes[-1].startswith("the file differs from training in 1 of 1 columns: heat (level +1.")
    assert notes[-1].endswith(
        "; the drift advisory stays fine: each stretch of the file is like one of training"
    )


def test_a_note_names_the_entity_that_is_far_alone(tmp_path: Path, fleet_detector: Path) -> None:
    frame = pd.DataFrame(fleet_rows(2400))
    (note,) = score_notes(tmp_path, fleet_detector, frame)
    assert "for heat (of 'd': level +1." in note
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    facts = report["drift"]["advisory"]
    assert (facts["advice"], facts["columns"], facts["entities"]) == ("watch", ["heat"], ["d"])

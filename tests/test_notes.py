"""What would surprise: it stands on the terminal, on the page and in report.json."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("sklearn", "matplotlib", "rich", "jinja2", "safetensors"):
    pytest.importorskip(_module)

from rich.console import Console  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

from slidecell.detect import (  # noqa: E402
    Ensemble,
    RidgeDetector,
    RollingVarianceDetector,
    WindowPCADetector,
)
from slidecell.jobs.detect import DetectOptions, run_detect  # noqa: E402
from slidecell.jobs.results import Result, score_table  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.jobs.terminal import print_report  # noqa: E402
from slidecell.jobs.unscored import unscored_note, unscored_rows  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.rows import Rows  # noqa: E402
from slidecell.tables.table import make_table, read_table  # noqa: E402

RNG = np.random.default_rng(11)


def rows_of(X: np.ndarray, *offsets: int, entities: list[int] | None = None) -> Rows:
    """Return rows of segments that end at ``offsets``, each of its own entity by default."""
    bounds = np.array([0, *offsets, len(X)])
    owners = np.arange(len(bounds) - 1) if entities is None else np.array(entities)
    return Rows(
        X,
        bounds,
        names=("load", "heat"),
        entities=np.repeat(owners, np.diff(bounds)),
        entity_names=tuple(f"host {g}" for g in range(owners.max() + 1)),
        missing_cells=int(np.isnan(X).sum()),
    )


def counted(rows: Rows, **options: Any) -> dict[str, int]:
    """Count rows without a score of a rolling variance of 5 rows; each is counted once."""
    fitted = RollingVarianceDetector(window=5, **options).fit(RNG.normal(size=(100, 2)))
    scores = score_table(fitted, rows)
    found = unscored_rows(fitted, rows, scores)
    assert sum(found.values()) == np.isnan(scores).sum()
    return found


def test_each_row_without_a_score_has_one_reason() -> None:
    X = RNG.normal(size=(100, 2))
    assert counted(rows_of(X)) == {"before the first window": 4}
    # The second segment of entity 0 begins after a gap, the third is too short, as is entity 1.
    rows = rows_of(X[:70], 30, 60, 63, entities=[0, 0, 0, 1])
    assert counted(rows) == {"between gaps": 3, "before the first window": 8, "after a gap": 4}
    rows = rows_of(X[:33], 30, entities=[0, 1])
    assert counted(rows) == {"entity too short": 3, "before the first window": 4}


def test_missing_and_too_large_cells_leave_their_windows_without_a_score() -> None:
    X = RNG.normal(size=(100, 2))
    X[50, 1] = np.nan
    X[98, 0] = np.nan  # the last rows of the entity
    X[2, 0] = np.nan  # of its windows, those of rows 4 to 6; the rows before have none anyway
    assert counted(rows_of(X)) == {"before the first window": 4, "missing cells": 5 + 2 + 3}
    X = RNG.normal(size=(100, 2))
    X[50, 1] = 1e300  # scores infinity itself
    assert counted(rows_of(X)) == {"before the first window": 4, "cells too large": 4}


def test_rows_that_windows_cover_on_both_sides() -> None:
    X = RNG.normal(size=(100, 2))
    detector = WindowPCADetector(window=5, n_components=1, align="cover").fit(X)
    X[2, 0] = X[50, 0] = np.nan
    rows = rows_of(X)
    # Row 50 lies in no complete window; rows 0 to 2 neither, as the first begins at row 3.
    assert unscored_rows(detector, rows, score_table(detector, rows)) == {"missing cells": 4}


def test_forecasts_that_are_smoothed_on_both_sides_begin_after_a_window() -> None:
    """Also of an ensemble, whose members cover rows and which has no parameter for it."""
    X = RNG.normal(size=(300, 2)).cumsum(axis=0)
    ridge = RidgeDetector(window=6, align="cover", smoothing=4)
    for detector in (ridge, Ensemble([("ridge", ridge)])):
        detector.fit(X)
        rows = rows_of(X)
        assert unscored_rows(detector, rows, score_table(detector, rows)) == {
            "before the first window": 6
        }


def test_a_detector_that_gives_no_score_is_a_reason_too() -> None:
    detector = RollingVarianceDetector(window=5).fit(RNG.normal(size=(100, 2)))
    rows = rows_of(RNG.normal(size=(20, 2)))
    assert unscored_rows(detector, rows, np.full(20, np.nan)) == {
        "before the first window": 4,
        "other": 16,
    }


def test_a_few_rows_before_the_first_window_are_no_surprise() -> None:
    rows = rows_of(RNG.normal(size=(1000, 2)))
    assert unscored_note({"before the first window": 9}, rows, window_option=True) == ""
    assert unscored_note({}, rows, window_option=True) == ""
    assert unscored_note({"before the first window": 31}, rows, window_option=True) == (
        "31 of 1,000 rows (3.1 %) have no score: 31 before the first window of their entity: "
        "a shorter --window leaves fewer out"
    )


def frame(rows: int = 2000, *, seed: int = 0) -> Any:
    """Return a table of minutes with two features; a few cells are blank."""
    rng = np.random.default_rng(seed)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="min")
    made = pd.DataFrame(
        {"time": times, "load": rng.normal(5, 1, rows), "heat": rng.normal(size=rows)}
    )
    made.loc[rows // 4 :: rows // 4, "heat"] = np.nan
    return made


def shown(result: Result) -> str:
    console = Console(file=io.StringIO(), width=500)
    print_report(console, result.document)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def job(tmp_path_factory: Any) -> tuple[Path, Result, Result]:
    """Detect on one file, score on another whose level has moved; both with pages."""
    folder = tmp_path_factory.mktemp("job")
    given = frame()
    given.loc[1500:, "load"] = 3.0 * given.loc[1500:, "load"] - 2.0  # from 5 +- 1 to 13 +- 3
    given = given.drop(index=range(700, 760))
    given.to_csv(folder / "in.csv", index=False)
    found = run_detect(
        DetectOptions(
            *(folder / "in.csv", folder / "out"),
            table=TableOptions(time="time"),
            detector="variance",
            window=100,
            html=True,
        ),
        progress=False,
    )
    later = frame(seed=1)
    later["heat"] = 1000.0 * (later["heat"] + 20.0)
    later.to_csv(folder / "later.csv", index=False)
    again = run_score(
        ScoreOptions(folder / "out", folder / "later.csv", folder / "again", html=True)
    )
    return folder, found, again


def test_notes_stand_in_every_output(job: Any) -> None:
    folder, found, again = job
    for result, out in ((found, folder / "out"), (again, folder / "again")):
        notes = result.report["notes"]
        assert len(notes) >= 3
        assert json.loads((out / "report.json").read_text())["notes"] == notes
        text = shown(result)
        page = (out / "report.html").read_text()
        for note in notes:
            assert text.count(f"note: {note}\n") == 1
            assert page.count(note) == 1
        # Before the events, which a terminal ends with; on the page after them.
        assert text.index("To be known") < text.index("Events")
        assert page.index("<h2>Events") < page.index("<h2>To be known") < page.index("<h2>What was")


def test_notes_of_detect_name_what_mends_it(job: Any) -> None:
    _, found, _ = job
    gap, unscored, flagged, moved = found.report["notes"]
    assert gap == (
        "1 step in time is longer than the usual 1 min (the longest 1.02 h), and windows reach "
        "across it: --max-gap 90s cuts the series there"
    )
    counts = found.report["unscored"]
    assert sum(counts.values()) == np.isnan(found.scores).sum()
    assert counts == {"before the first window": 99, "missing cells": 300}
    assert unscored == (
        "399 of 1,940 rows (21 %) have no score: 99 before the first window of their entity; 300 "
        "with a missing cell in their window (0.077 % of the cells): --missing ffill fills them "
        "from the past"
    )
    assert " of the scored rows of the test part are flagged, where 1 % were " in flagged
    assert flagged.endswith("it looks unlike training, and the threshold may not fit it")
    assert moved.startswith("the test part differs from training in 1 of 2 columns: load (level +")
    drift = found.report["drift"]
    test = found.part == "test"
    scored = test & ~np.isnan(found.scores)
    assert drift["flagged"] == found.flagged[scored].mean()
    assert drift["expected"] == 0.01
    assert drift["drifted"] == ["load"]
    values = found.table.features[:, 0]
    outside = (values[test] > values[~test].max()) | (values[test] < values[~test].min())
    assert drift["columns"]["load"]["outside"] == pytest.approx(outside.mean())


def test_score_compares_with_the_statistics_of_training(job: Any) -> None:
    _, _, again = job
    notes = again.report["notes"]
    assert again.report["drift"]["drifted"][0] == "heat"
    heat = again.report["drift"]["columns"]["heat"]
    assert heat["spread"] == pytest.approx(1000, rel=0.1)
    assert heat["level"] == pytest.approx(20_000, rel=0.1)
    assert any(note.startswith("the file differs from training in ") for note in notes)
    assert "leaves fewer out" not in " ".join(notes)  # score has no --window


def test_old_folders_say_nothing_of_drift(job: Any, tmp_path: Path) -> None:
    folder, _, again = job
    detector = tmp_path / "old"
    detector.mkdir()
    for file in (folder / "out" / "detector").iterdir():
        (detector / file.name).write_bytes(file.read_bytes())
    arrays = load_file(detector / "arrays.safetensors")
    for name in ("training_columns", "training_scores"):
        del arrays[name]
    save_file(arrays, detector / "arrays.safetensors")
    old = run_score(ScoreOptions(detector, folder / "later.csv", tmp_path / "out"))
    assert old.report["drift"] is None
    assert np.array_equal(old.scores, again.scores, equal_nan=True)
    assert [note for note in again.report["notes"] if note not in old.report["notes"]] == [
        note for note in again.report["notes"] if "training" in note
    ]


def test_rows_like_those_of_training_are_not_spoken_of(tmp_path: Path) -> None:
    rows = pd.DataFrame(RNG.normal(size=(3000, 3)), columns=["a", "b", "c"])
    rows.to_csv(tmp_path / "in.csv", index=False)
    options = DetectOptions(tmp_path / "in.csv", tmp_path / "out", detector="zscore")
    found = run_detect(options, progress=False)
    assert found.report["notes"] == []
    assert found.report["drift"]["drifted"] == []
    assert "To be known" not in shown(found)


def test_another_unit_is_named(tmp_path: Path) -> None:
    rows = pd.DataFrame({"m": RNG.normal(100, 5, 2000), "b": RNG.normal(size=2000)})
    rows.loc[1400:, "m"] *= 1000
    rows.to_csv(tmp_path / "in.csv", index=False)
    options = DetectOptions(tmp_path / "in.csv", tmp_path / "out", detector="zscore")
    notes = run_detect(options, progress=False).report["notes"]
    assert notes[-1].startswith("the test part differs from training in 1 of 2 columns: m (")
    assert (
        "times as large, as if its unit had changed, 100 % outside the training range" in notes[-1]
    )


def test_repeated_times_are_counted() -> None:
    given = pd.DataFrame({"t": [0, 1, 1, 1, 2], "x": [0.0, 1.0, 2.0, 3.0, 4.0]})
    rows = make_table(given, TableOptions(time="t", duplicates="keep"))
    assert rows.notes == ("2 row(s) have the time of the row before; all are kept, in their order",)


def notes_of(given: Any, **options: Any) -> tuple[str, ...]:
    return make_table(given, TableOptions(**options)).notes


def test_labels_and_counters_among_the_features_are_named() -> None:
    rng = np.random.default_rng(0)
    rows = 60
    given = pd.DataFrame(
        {
            "no": np.arange(1, rows + 1),
            "load": rng.normal(size=rows),
            "is_anomaly": (rng.random(rows) > 0.9).astype(int),
            "heat": rng.normal(size=rows),
        }
    )
    label = "column 'is_anomaly' looks like a label, and is a feature now: "
    first, second = notes_of(given)
    assert first == (
        f"{label}--label is_anomaly measures the flags against it, "
        "--exclude is_anomaly leaves it out"
    )
    assert second == (
        "column 'no' rises by 1 from row to row, as a counter or a time does, and is a feature "
        "now: --exclude no leaves it out"
    )
    # Who names features has chosen them, and who names the label has it.
    assert notes_of(given, features=("no", "load", "is_anomaly")) == ()
    assert notes_of(given, label="is_anomaly", exclude=("no",)) == ()
    # Without a telling name, the only column of 0 and 1 is one; of several none is.
    renamed = given.rename(columns={"is_anomaly": "y"}).drop(columns="no")
    assert notes_of(renamed)[0].startswith("column 'y' looks like a label")
    assert notes_of(renamed.assign(door=renamed["y"])) == ()
    # A measured column may have such a name.
    assert notes_of(given[["load", "heat"]].rename(columns={"heat": "target"})) == ()


def test_gaps_are_noted_only_of_series_with_a_step_of_their_own() -> None:
    values = np.zeros(100)
    steady = np.arange(100.0)
    steady[50:] += 30.0
    assert notes_of(pd.DataFrame({"t": steady, "x": values}), time="t") == (
        "1 step in time is longer than the usual 1 (the longest 31), and windows reach across it: "
        "--max-gap 1.5 cuts the series there",
    )
    assert notes_of(pd.DataFrame({"t": steady, "x": values}), time="t", max_gap="1.5") == ()
    events = np.cumsum(np.random.default_rng(0).exponential(size=100))
    assert notes_of(pd.DataFrame({"t": events, "x": values}), time="t") == ()
    days = np.arange(100) + 2 * (np.arange(100) // 5)  # five of seven
    assert notes_of(pd.DataFrame({"t": days, "x": values}), time="t") == ()
    # Between two entities there is no step.
    hosts = pd.DataFrame({"t": np.tile(np.arange(50), 2), "h": np.repeat(["a", "b"], 50), "x": 0.0})
    assert notes_of(hosts, time="t", entity="h") == ()


def test_what_the_option_of_a_gap_says_is_what_cuts_there() -> None:
    times = pd.to_datetime(np.delete(np.arange(100), [40, 41]) * 7, unit="s")
    given = pd.DataFrame({"t": times, "x": 0.0})
    (note,) = notes_of(given, time="t")
    assert "--max-gap 11s cuts" in note
    rows = make_table(given, TableOptions(time="t", max_gap="11s"))
    assert rows.offsets.tolist() == [0, 40, 98]


def test_all_columns_of_text_are_named_in_one_error(tmp_path: Path) -> None:
    given = pd.DataFrame(
        {"host": ["a", "b"], "x": [1.0, 2.0], "state": ["up", "down"], "at": ["2024-01-01"] * 2}
    )
    given.to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(ValueError, match=r"in\.csv: 3 columns are no features") as error:
        read_table(tmp_path / "in.csv", TableOptions())
    first, *lines = str(error.value).splitlines()
    assert first.endswith("; to leave them all out: --exclude host,state,at")
    assert [line.split("'")[1] for line in lines] == ["host", "state", "at"]
    assert "holds text ('up') and is no feature" in lines[1]
    assert "name it as the time with --time at" in lines[2]
    assert read_table(tmp_path / "in.csv", TableOptions(exclude=("host,state,at",))).names == ("x",)


def test_one_column_of_text_has_the_error_that_it_had(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.0, 2.0], "state": ["up", "down"]}).to_csv(
        tmp_path / "in.csv", index=False
    )
    with pytest.raises(ValueError, match=r"in\.csv: column 'state' holds text \('up'\) and is no "):
        read_table(tmp_path / "in.csv", TableOptions())

"""score_parquet: the bits of the same rows in memory, whatever the batches, files and kills."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")

from slidecell.detect import Ensemble, WindowPCADetector, ZScoreDetector  # noqa: E402
from slidecell.detect.table_scores import score_table  # noqa: E402
from slidecell.jobs.events import event_facts, events_frame  # noqa: E402
from slidecell.jobs.results import Result, default_event_gap  # noqa: E402
from slidecell.jobs.score import ScoreOptions, read_for  # noqa: E402
from slidecell.jobs.write_result import scores_frame  # noqa: E402
from slidecell.model import SequenceModel  # noqa: E402
from slidecell.scale import score_parquet  # noqa: E402
from slidecell.thresholds import FixedThreshold  # noqa: E402
from tests.models import MODELS, random_model  # noqa: E402
from tests.scale_cases import DETECTORS, fleet, network, write_files  # noqa: E402
from tests.scale_runs import fill_disk, kill_runs  # noqa: E402


def in_memory(detector: Any, frame: Any, tmp_path: Path, **options: Any) -> Any:
    """Return what the command writes of the same rows in memory: scores and events."""
    whole = tmp_path / "whole.parquet"
    frame.to_parquet(whole, index=False)
    given = ScoreOptions(tmp_path, whole, tmp_path / "memory", entity="id", time="at", **options)
    rows = read_for(detector, given)
    part = np.full(len(rows), "test")
    gap = default_event_gap(detector)
    result = Result(rows, part, score_table(detector, rows), detector, {}, event_gap=gap)
    events_frame(result, event_facts(result)).to_csv(tmp_path / "events.csv", index=False)
    return scores_frame(result), pd.read_csv(tmp_path / "events.csv")


def compare(out: Path, want: tuple[Any, Any]) -> None:
    got = pd.read_parquet(out)
    assert list(got.columns) == list(want[0].columns)
    for name in ("id", "at", "flagged", "part"):
        assert got[name].tolist() == want[0][name].tolist(), name
    np.testing.assert_array_equal(got["score"].to_numpy(), want[0]["score"].to_numpy())
    events = pd.read_csv(out.with_suffix(".csv"))
    assert len(events) > 0
    pd.testing.assert_frame_equal(events, want[1][list(events.columns)], check_exact=True)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("batch_rows", [1, 23, 1000])
def test_same_bits_as_in_memory(name: str, batch_rows: int, tmp_path: Path) -> None:
    rows = 600 if batch_rows > 1 else 130
    frame = fleet(rows)
    detector = DETECTORS[name](frame)
    out = tmp_path / "scores.parquet"
    options = {"max_gap": "1h", "duplicates": "keep"}
    found = score_parquet(
        detector,
        write_files(tmp_path / "in", frame),
        out,
        entity="id",
        time="at",
        events=out.with_suffix(".csv"),
        batch_rows=batch_rows,
        **options,
    )
    want = in_memory(detector, frame, tmp_path, **options)
    compare(out, want)
    assert (found.files, found.rows, found.entities) == (3, rows, 5)
    assert found.scored == want[0]["score"].notna().sum()
    assert found.flagged == want[0]["flagged"].sum() > 0
    assert found.events == len(want[1])
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_members_that_fill_are_scored_with_all_rows_in_memory(tmp_path: Path) -> None:
    """How far back a missing value is filled from is not known."""
    frame = fleet(300)
    members = [
        ("level", ZScoreDetector(missing="ffill")),
        ("shape", WindowPCADetector(window=5, missing="ffill")),
    ]
    detector = Ensemble(members, entity="id", time="at").fit(frame)
    with pytest.raises(ValueError, match="Ensemble: a score depends on rows that"):
        detector.rows_in_parts()
    out = tmp_path / "scores.parquet"
    score_parquet(
        detector,
        write_files(tmp_path / "in", frame),
        out,
        entity="id",
        time="at",
        events=out.with_suffix(".csv"),
        batch_rows=50,
    )
    compare(out, in_memory(detector, frame, tmp_path))


def test_rows_out_of_order_are_sorted_while_they_fit(tmp_path: Path) -> None:
    frame = fleet().sample(frac=1.0, random_state=0)
    detector = DETECTORS["window"](frame)
    source, out = write_files(tmp_path / "in", frame), tmp_path / "scores.parquet"
    found = score_parquet(detector, source, out, events=out.with_suffix(".csv"), batch_rows=50)
    assert found.sorted_in_memory
    compare(out, in_memory(detector, frame, tmp_path))
    out.unlink()
    with pytest.raises(ValueError, match=r"0\.parquet: row \d+: 2024-01-01 .* is earlier than"):
        score_parquet(detector, source, out, max_sorted_bytes=1000)
    assert not out.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its children are killed by a signal")
def test_a_killed_run_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    frame = fleet(400)
    DETECTORS["cusum"](frame).save(tmp_path / "detector")
    write_files(tmp_path / "in", frame)
    kill_runs(tmp_path, "scores.parquet", batch_rows=40)


def test_what_a_run_has_left_is_of_its_detector_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = fleet(300)
    detector = DETECTORS["zscore"](frame)
    source, out = write_files(tmp_path / "in", frame), tmp_path / "scores.parquet"
    monkeypatch.setattr("slidecell.scale.runs._PART_BATCHES", 1)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_parquet(detector, source, out, progress=stop, batch_rows=50)
    assert not out.exists()
    other = DETECTORS["window"](frame)
    with pytest.raises(
        ValueError, match=r"a run with another detector or model stopped here; .* --restart"
    ):
        score_parquet(other, source, out, batch_rows=50)
    with pytest.raises(ValueError, match=r"a run with other options stopped here; .* --restart"):
        score_parquet(detector, source, out, batch_rows=51)
    told: list[int] = []
    found = score_parquet(
        detector, source, out, batch_rows=50, progress=lambda done, total: told.append(done)
    )
    assert 0 < found.resumed < told[0]
    assert told[-1] == found.rows == 300
    first = out.read_bytes()
    again = score_parquet(detector, source, out, batch_rows=50)
    assert again.resumed == 0
    assert out.read_bytes() == first
    assert score_parquet(other, source, out, batch_rows=50, restart=True).rows == 300


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.drop(columns="y"), r"features: no column 'y' in .*1\.parquet"),
        (lambda f: f.drop(columns="id"), r"entity: no column 'id' in .*1\.parquet"),
        (lambda f: f.assign(y="text"), r"1\.parquet: column 'y': expected numbers, got "),
        (
            lambda f: f.assign(id=1),
            r"1\.parquet: entity column 'id': expected .*string as in .*0\.p",
        ),
        (lambda f: f.assign(at=range(len(f))), r"1\.parquet: time column 'at': expected timestamp"),
    ],
)
def test_files_that_differ_are_refused_before_anything_is_written(
    change: Any, text: str, tmp_path: Path
) -> None:
    frame = fleet(300)
    source, out = write_files(tmp_path / "in", frame), tmp_path / "scores.parquet"
    change(frame[100:200]).to_parquet(source / "1.parquet", index=False)
    with pytest.raises(ValueError, match=text):
        score_parquet(DETECTORS["zscore"](frame), source, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_files_may_have_their_columns_in_another_order_and_numbers_of_another_type(
    tmp_path: Path,
) -> None:
    frame = fleet(300)
    frame["y"] = frame["y"].clip(-50, 50).round()
    detector = DETECTORS["window"](frame)
    source, out = write_files(tmp_path / "in", frame), tmp_path / "scores.parquet"
    want = score_parquet(detector, source, out)
    scores = pd.read_parquet(out)
    other = frame[100:200][["y", "at", "x", "id"]].astype({"y": "int8"}).assign(more="text")
    other.to_parquet(source / "1.parquet", index=False)
    found = score_parquet(detector, source, out)
    assert (found.rows, found.scored, found.flagged) == (want.rows, want.scored, want.flagged)
    pd.testing.assert_frame_equal(pd.read_parquet(out), scores, check_exact=True)


def test_bad_files_and_cells_are_named(tmp_path: Path) -> None:
    frame = fleet(300)
    detector, out = DETECTORS["zscore"](frame), tmp_path / "scores.parquet"
    source = write_files(tmp_path / "in", frame)
    with pytest.raises(FileNotFoundError, match=r"none\.parquet: there is no such file"):
        score_parquet(detector, tmp_path / "none.parquet", out)
    with pytest.raises(ValueError, match="no file has such a name"):
        score_parquet(detector, tmp_path / "none*", out)
    data = (source / "1.parquet").read_bytes()
    (source / "1.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"1\.parquet: damaged Parquet file"):
        score_parquet(detector, source, out)
    missing = frame.copy()
    missing.loc[150, "id"] = None
    write_files(source, missing)
    with pytest.raises(ValueError, match=r"1\.parquet: row 51: entity column 'id': the cell is em"):
        score_parquet(detector, source, out, batch_rows=30)
    twice = frame.copy()
    twice["id"] = "a"
    twice.loc[150, "at"] = twice.loc[149, "at"]
    write_files(source, twice)
    with pytest.raises(ValueError, match=r"1\.parquet: row 51: .* is the time of the row before"):
        score_parquet(detector, source, out, batch_rows=30, duplicates="error")
    with pytest.raises(ValueError, match="duplicates: expected 'error' or 'keep'"):
        score_parquet(detector, source, out, duplicates="last")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model_or_detector: expected a Detector"):
        score_parquet("detector", source, out)  # type: ignore[arg-type]
    assert not out.exists()


def test_the_command_scores_a_folder_in_parts(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from slidecell.cli.main import app

    frame = fleet(300)
    detector = DETECTORS["window"](frame)
    detector.save(tmp_path / "detector")
    source = write_files(tmp_path / "in", frame)
    for given in (source, source / "*.parquet"):
        out = tmp_path / f"out{given.suffix}"
        done = CliRunner().invoke(
            app, ["score", str(tmp_path / "detector"), str(given), "--out", str(out)]
        )
        assert done.exit_code == 0, done.output
        want = in_memory(detector, frame, tmp_path)[0]
        pd.testing.assert_frame_equal(pd.read_parquet(out / "scores.parquet"), want)
        facts = json.loads((out / "report.json").read_text())
        assert facts["data"]["rows"] == 300
        assert facts["data"]["flagged"] == int(want["flagged"].sum())
        assert "no picture of all rows" in facts["notes"][0]
    for flag, why in (
        ("--audited", "judged by the scores of all rows of its entity"),
        ("--html", "has pictures of all rows"),
    ):
        refused = CliRunner().invoke(
            app, ["score", str(tmp_path / "detector"), str(source), "--out", "x", flag]
        )
        assert refused.exit_code != 0
        text = " ".join(refused.output.replace("│", " ").split())
        assert f"{flag}: the files are scored in parts" in text
        assert why in text
        assert "score one file that fits into memory (--max-memory)" in text


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of the size of files")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    frame = fleet(2000)
    network().save(tmp_path / "model.safetensors")
    write_files(tmp_path / "in", frame)
    # The first part, a later one, and the file of scores itself.
    lines = fill_disk(tmp_path, "scores.parquet", [300, 2780, 30_000])
    assert all("cannot be written: " in line for line in lines[:3])
    assert [line.rpartition(": ")[2] for line in lines[:3]] == [
        "'.scores.parquet.parts'",
        "'.scores.parquet.parts'",
        "'scores.parquet'",
    ]
    assert lines[3:] == ["2000 True"]


def test_no_time_no_entity_and_a_model_without_names(tmp_path: Path) -> None:
    frame = fleet(200)[["x", "y"]]
    spec = MODELS["lstm"] | {"features": 2}
    model = SequenceModel(*random_model(np.random.default_rng(1), **spec))
    source, out = write_files(tmp_path / "in", frame), tmp_path / "scores.parquet"
    found = score_parquet(model, source, out, batch_rows=17)
    assert found.flagged == 0  # it has no threshold
    np.testing.assert_array_equal(
        pd.read_parquet(out)["score"].to_numpy(), model.score(frame.to_numpy())
    )
    assert pq.read_schema(out).names == ["score", "flagged", "part"]


def test_scores_of_later_rows_need_all_of_them(tmp_path: Path) -> None:
    frame = fleet(200)
    detector = WindowPCADetector(
        window=12, align="cover", entity="id", time="at", threshold=FixedThreshold(1.0)
    ).fit(frame)
    source, out = write_files(tmp_path / "in", frame), tmp_path / "scores.parquet"
    assert score_parquet(detector, source, out).sorted_in_memory
    want = detector.score_samples(frame)
    np.testing.assert_array_equal(pd.read_parquet(out)["score"].to_numpy(), want)
    with pytest.raises(ValueError, match="align='cover'"):
        score_parquet(detector, source, out, max_sorted_bytes=0)

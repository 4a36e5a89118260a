"""Rows that are scored in parts, compared with those of training as rows read at once are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from slidecell.detect.training_statistics import Sketch
from slidecell.jobs.score import ScoreOptions, run_score
from slidecell.jobs.score_files import run_score_files
from slidecell.scale import score_csv, score_parquet
from tests.scale_cases import DETECTORS, fleet, write_files


def moved() -> Any:
    frame = fleet(500, seed=1)
    return frame.assign(x=frame["x"] * 3.0 + 40.0)


@pytest.mark.parametrize("name", ["zscore", "ffill"])
def test_the_figures_are_those_of_rows_read_at_once(name: str, tmp_path: Path) -> None:
    frame = moved()
    detector = DETECTORS[name](fleet())
    detector.save(tmp_path / "detector")
    source = write_files(tmp_path / "in", frame)
    frame.to_parquet(tmp_path / "whole.parquet", index=False)
    given = ScoreOptions(tmp_path / "detector", source, tmp_path / "out", duplicates="keep")
    facts = run_score_files(given, progress=False).data
    at_once = ScoreOptions(
        tmp_path / "detector", tmp_path / "whole.parquet", tmp_path / "whole", duplicates="keep"
    )
    want = run_score(at_once).report
    drift, wanted = facts["drift"], dict(want["drift"])
    assert wanted["advisory"]["advice"] == "retrain"
    assert drift["drifted"][0] == wanted["drifted"][0] == "x"
    for column, numbers in wanted.pop("columns").items():
        assert drift["columns"][column] == pytest.approx(numbers, rel=1e-9, abs=1e-12, nan_ok=True)
    assert {key: drift[key] for key in wanted} == wanted
    told = [note for note in facts["notes"] if "differs from training" in note]
    wanted_notes = [note for note in want["notes"] if "differs from training" in note]
    assert len(told) == len(wanted_notes) == 1
    assert "; the drift advisory at the end of the file is retrain" in told[0]
    assert wanted_notes == told
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["drift"]["drifted"] == drift["drifted"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_run_that_goes_on_counts_all_rows(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slidecell.scale.runs._PART_BATCHES", 1)
    frame = moved()
    detector = DETECTORS["zscore"](fleet())
    source, score = tmp_path / f"in.{kind}", score_parquet if kind == "parquet" else score_csv
    if kind == "parquet":
        frame.to_parquet(source, index=False)
    else:
        frame.to_csv(source, index=False)

    def stop(done: int, total: int) -> None:
        if done > 300:
            raise KeyboardInterrupt

    out, given = tmp_path / "out", {"batch_rows": 40, "duplicates": "keep"}
    with pytest.raises(KeyboardInterrupt):
        score(detector, source, out, progress=stop, **given)
    found = score(detector, source, out, **given)
    assert found.resumed > 0
    assert found.recent is not None
    assert found.recent.rows == 500
    again = score(detector, source, out, **given)
    assert again.recent is not None
    assert found.advice is not None
    assert found.advice == again.advice
    assert found.advice["first"]["rows"] < found.resumed
    for name in ("missing", "outside", "mean", "sd", "quantiles"):
        np.testing.assert_array_equal(getattr(found.recent, name), getattr(again.recent, name))
    finite = frame["x"][np.isfinite(frame["x"])]
    assert found.recent.mean[0] == pytest.approx(finite.mean(), rel=1e-12)
    assert found.recent.low[0] == finite.min()


def test_rows_out_of_order_are_watched_in_the_order_of_time(tmp_path: Path) -> None:
    frame = moved()
    detector = DETECTORS["zscore"](fleet())
    frame.to_parquet(tmp_path / "in.parquet", index=False)
    want = score_parquet(detector, tmp_path / "in.parquet", tmp_path / "out", duplicates="keep")
    mixed = frame.sample(frac=1.0, random_state=0)
    mixed.to_parquet(tmp_path / "mixed.parquet", index=False)
    found = score_parquet(detector, tmp_path / "mixed.parquet", tmp_path / "2", duplicates="keep")
    assert found.sorted_in_memory
    assert found.advice == want.advice
    assert found.advice is not None


def test_a_sketch_goes_on_as_if_it_were_one() -> None:
    X = np.random.default_rng(0).normal(size=(60_000, 2))
    X[::9, 1] = np.nan
    kept = {"low": np.array([-1.0, -1.0]), "high": np.array([1.0, 1.0])}
    one, first, second = (Sketch(2, **kept) for _ in range(3))
    for piece in np.array_split(X, 7):
        one.add(piece)
    for piece in np.array_split(X, 7)[:4]:
        first.add(piece)
    second.restore(first.saved())
    for piece in np.array_split(X, 7)[4:]:
        second.add(piece)
    want, got = one.statistics(), second.statistics()
    assert got.rows == want.rows == 60_000
    for name in ("missing", "outside", "mean", "sd", "quantiles"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    with pytest.raises(ValueError, match="count: expected 24 bytes, got 16 bytes"):
        Sketch(3).restore(first.saved())

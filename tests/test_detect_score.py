"""A saved model of a job scores other files: columns, thresholds, what cannot be scored."""

from __future__ import annotations

import os

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "pyarrow", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

from slidecell.detect.loading import load_saved  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from tests.detect_cases import panel, run  # noqa: E402


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    return run(folder), folder / "out"


def test_detect_job_score_with_the_saved_model(done, tmp_path):
    result, out = done
    file = tmp_path / "new.csv"
    frame = panel().rename(columns={"label": "truth"})
    frame[["truth", "mail", "user", "load", "day"]].to_csv(file, index=False)
    scored = run_score(ScoreOptions(out / "model.safetensors", file, tmp_path / "s", label="truth"))
    files = {"scores.csv", "events.csv", "report.json", "scores.png"}
    assert set(os.listdir(tmp_path / "s")) == files
    assert np.array_equal(scored.scores, result.scores, equal_nan=True)
    assert scored.threshold == result.threshold
    assert set(scored.part) == {"test"}
    assert scored.report["metrics"]["rows"] == 4 * 55
    table = pd.read_csv(tmp_path / "s" / "scores.csv")
    assert list(table.columns) == ["user", "day", "score", "flagged", "part"]


def test_detect_job_score_overrides_columns(done, tmp_path):
    _, out = done
    model = out / "model.safetensors"
    frame = panel(users=1).rename(columns={"day": "when"}).drop(columns=["user", "label"])
    frame.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ValueError, match=r"--time: no column 'day' in .*new\.csv"):
        run_score(ScoreOptions(model, tmp_path / "new.csv", tmp_path / "s"))
    scored = run_score(
        ScoreOptions(model, tmp_path / "new.csv", tmp_path / "s", time="when", entity="")
    )
    assert pd.read_csv(tmp_path / "s" / "scores.csv").columns[0] == "when"
    assert np.isfinite(scored.scores[5:]).all()


def test_detect_job_score_names_a_missing_feature(done, tmp_path):
    _, out = done
    panel().drop(columns="mail").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(
        ValueError, match=r"features of .*model\.safetensors: no column 'mail' in .*new\.csv"
    ):
        run_score(ScoreOptions(out / "model.safetensors", tmp_path / "new.csv", tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_detect_job_score_too_short_a_file_says_so(done, tmp_path):
    _, out = done
    panel(users=1, days=5).to_csv(tmp_path / "new.csv", index=False)
    scored = run_score(
        ScoreOptions(out / "model.safetensors", tmp_path / "new.csv", tmp_path / "s")
    )
    assert np.isnan(scored.scores).all()
    assert "no row has a score: a window takes 6 rows" in scored.report["data"]["notes"][-1]


@pytest.mark.parametrize("detector", ["forecast", "ensemble"])
def test_score_says_why_also_where_missing_cells_are_filled(tmp_path, detector):
    table = TableOptions(time="day", entity="user", label="label", missing="ffill")
    run(tmp_path, panel(2), detector=detector, table=table)
    panel(users=1, days=5).to_csv(tmp_path / "new.csv", index=False)
    scored = run_score(ScoreOptions(tmp_path / "out", tmp_path / "new.csv", tmp_path / "s"))
    assert np.isnan(scored.scores).all()
    assert "no row has a score: a window takes 6 rows" in scored.report["notes"][-1]


def test_threads_reach_the_members_of_an_ensemble(tmp_path):
    run(tmp_path, panel(2), detector="ensemble", members="forecast,random-gru", num_threads=2)
    loaded = load_saved(tmp_path / "out", num_threads=1, random_state=9)
    assert loaded.members_["forecast"].num_threads == 1
    assert loaded.members_["random-gru"].num_threads == 1
    assert loaded.members_["forecast"].random_state == 0  # it is how it was fitted


def test_detect_job_score_without_threshold_or_names(done, tmp_path):
    result, _ = done
    result.model.with_metadata(threshold=None, features=None).save(tmp_path / "m.safetensors")
    frame = panel().drop(columns="label")
    frame.to_csv(tmp_path / "new.csv", index=False)
    scored = run_score(
        ScoreOptions(tmp_path / "m.safetensors", tmp_path / "new.csv", tmp_path / "s")
    )
    assert np.array_equal(scored.scores, result.scores, equal_nan=True)
    assert not scored.flagged.any()
    assert "the model has no threshold" in scored.report["data"]["notes"][-1]
    frame.assign(more=1.0).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ValueError, match=r"expected 2 feature columns .*got 3: load, mail, more"):
        run_score(ScoreOptions(tmp_path / "m.safetensors", tmp_path / "new.csv", tmp_path / "s"))


def test_detect_job_score_damaged_model(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"\xff" * 40)
    panel().to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ValueError, match=r"m\.safetensors"):
        run_score(ScoreOptions(tmp_path / "m.safetensors", tmp_path / "new.csv", tmp_path / "s"))

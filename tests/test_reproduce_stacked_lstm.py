"""System B: the threshold is known before the test part, and everything runs on any table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pd = pytest.importorskip("pandas")
from slidecell.reproduce import Outcome, SystemOptions, stacked_further, stacked_lstm  # noqa: E402


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_lstm, "EPOCHS", 1)
    monkeypatch.setattr(stacked_further, "_MORE_EPOCHS", 1)


@pytest.fixture(scope="module")
def table() -> Any:
    """200 rows, not in order of time, with a hole, a column of text and labels."""
    t = np.arange(200)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "Time": pd.date_range("2025-01-01", periods=200, freq="min"),
            "a": np.sin(t / 5) + rng.normal(0, 0.05, 200),
            "place": "roof",
            "b": np.cos(t / 7) + rng.normal(0, 0.05, 200),
            "label": (t == 180).astype(int),
        }
    )
    frame.loc[180, "a"] += 3
    frame.loc[60, "b"] = np.nan
    return frame.sample(frac=1, random_state=0)


def run(tmp_path: Path, data: Path | None = None) -> Outcome:
    return stacked_lstm.run(SystemOptions(tmp_path / "out", data, num_threads=1, progress=False))


def test_generated_table_has_the_sizes_of_the_source(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert outcome.report["data"]["rows"] == 1000
    training = outcome.report["training"]
    assert training["batch_size"] == 32
    # Of 776 windows before the test part a tenth validates; 30 more would share rows with it.
    assert (training["validation_windows"], training["training_windows"]) == (78, 668)
    rows = {c.name: (c.source, c.ours) for c in outcome.comparisons}
    assert rows["windows in all"][1] == "970"
    assert rows["test windows"][1] == "194"
    assert [figure.name for figure in outcome.figures] == [
        "errors",
        "errors_all",
        "series",
        "training",
    ]


def test_a_table_of_any_columns_runs(tmp_path: Path, table: Any) -> None:
    file = tmp_path / "table.csv"
    table.to_csv(file, index=False)
    outcome = run(tmp_path, file)
    report = json.loads(json.dumps(outcome.report, allow_nan=False))
    assert report["data"] == {"source": str(file), "rows": 200, "features": ["a", "b"]}
    assert "columns without numbers left out: place" in outcome.summary
    assert "not in order of time" in outcome.summary
    # The threshold is the percentile of training errors: the first 166 rows'.
    ordered = table.sort_values("Time")
    X = ordered[["a", "b"]].to_numpy()
    options = SystemOptions(tmp_path, num_threads=1, progress=False)
    detector = stacked_lstm._detector(options).fit(X[:166])
    assert report["threshold"] == detector.threshold_
    scores = detector.score_samples(X)
    test = scores[166:]
    assert report["flagged"] == {
        "training errors (ours)": int((test > detector.threshold_).sum()),
        "test errors (the source's way)": int((test > np.percentile(test, 95)).sum()),
    }
    flags, whole, also = outcome.tables
    fitted, judged = outcome.thresholds
    assert (fitted.value, fitted.fitted_on) == (report["threshold"], "rows 0 to 165, which train")
    assert judged.value == np.percentile(test, 95)
    assert outcome.highest is not None
    first = outcome.highest.rows[0]
    top = 166 + int(np.nanargmax(test))
    assert first[:4] == ["1", f"{top}", str(ordered["Time"].iloc[top])[:16], "anomalous"]
    assert first[4] == f"{scores[top]:.4g}"
    errors = detector.feature_scores(X)[top] / 2  # of two features
    expected = sorted(zip("ab", errors, strict=True), key=lambda pair: -pair[1])
    assert first[5] == ", ".join(f"{name} {error:.3g}" for name, error in expected)
    assert flags.rows[0][1] == f"{detector.threshold_:.6f}"
    assert flags.rows[1][1] == f"{np.percentile(test, 95):.6f}"
    assert flags.rows[0][-1] == "1 of 1"
    everything = scores[np.isfinite(scores)]
    assert whole.rows[1][1] == f"{np.percentile(everything, 95):.6f}"
    lines = dict(also.rows)
    assert lines["streaming"].startswith("34 of 34 rows scored bit for bit")
    assert lines["missing cells, ffill"].startswith("34 of 34 test rows scored")
    assert "of 34 test rows scored" in lines["missing cells, skip"]
    assert not lines["missing cells, skip"].startswith("34 ")
    assert "1 more epochs with 17 new rows" in lines["retraining"]


def test_a_table_without_times_or_labels(tmp_path: Path, table: Any) -> None:
    file = tmp_path / "table.parquet"
    table.sort_values("Time")[["a"]].to_parquet(file)
    outcome = run(tmp_path, file)
    assert outcome.tables[0].columns == ["95th percentile of", "threshold", "flagged", "share"]
    assert "ROC-AUC" not in dict(outcome.tables[2].rows)["autoencoder"]


def test_bad_tables_are_refused(tmp_path: Path, table: Any) -> None:
    file = tmp_path / "table.csv"
    table.head(100).to_csv(file, index=False)
    with pytest.raises(ValueError, match=r"table\.csv: expected at least 180 rows, got 100"):
        run(tmp_path, file)
    table[["Time", "place"]].to_csv(file, index=False)
    with pytest.raises(ValueError, match="no feature column left"):
        run(tmp_path, file)

"""System C on a small table of the data set's form: who trains, who chooses, who reports."""

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
from slidecell.datasets import CARD_FEATURES  # noqa: E402
from slidecell.reproduce import Outcome, SystemOptions, card_fraud  # noqa: E402
from slidecell.reproduce import card_fraud_protocol as protocol  # noqa: E402
from slidecell.reproduce.card_fraud_tables import spread  # noqa: E402


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """4,000 transactions with 80 frauds that lie off the others."""
    monkeypatch.setattr(protocol, "EPOCHS", 1)
    monkeypatch.setattr(card_fraud, "_CHOOSING_ROWS", 300)
    rng = np.random.default_rng(0)
    y = np.zeros(4000, int)
    y[rng.choice(4000, 80, replace=False)] = 1
    rows = rng.normal(0, 1, (4000, 29)) + y[:, None] * rng.normal(0, 2.5, (4000, 29))
    frame = pd.DataFrame(rows, columns=list(CARD_FEATURES))
    frame["Time"] = np.sort(rng.integers(0, 5000, 4000))
    frame["Class"] = y
    frame.to_parquet(tmp_path / "creditcard.parquet")
    return tmp_path


def run(data: Path | None, **options: Any) -> Outcome:
    given = SystemOptions(Path("out"), data, num_threads=1, progress=False, **options)
    return card_fraud.run(given)


def test_rows_are_split_as_the_source_says() -> None:
    y = np.zeros(284_807, np.int64)
    y[np.random.default_rng(1).choice(len(y), 492, replace=False)] = 1
    kept = protocol.drop_frauds(y, seed=0)
    assert (len(kept), y[kept].sum()) == (284_684, 369)
    split = protocol.split_at_random(y, kept)
    # 5,331 batches of 32 are four fifths of the normal rows that train.
    assert -(-round(0.8 * len(split.training)) // 32) == 5331
    assert y[split.training].sum() == 0
    assert (len(split.later), y[split.later].sum()) == (71_171, 92)
    assert not set(split.training) & set(split.later)
    time = np.random.default_rng(2).random(len(y))
    ordered = protocol.split_by_time(y, kept, time)
    assert len(ordered.later) == 71_171
    assert time[ordered.training].max() <= time[ordered.later].min()
    assert (np.diff(time[ordered.later]) >= 0).all()


def test_report_on_a_small_table_is_complete(file: Path) -> None:
    outcome = run(file)
    report = json.loads(json.dumps(outcome.report, allow_nan=False))
    rows = {c.name: c.ours for c in outcome.comparisons}
    assert rows["parameters"] == "6,381"
    assert rows["normal rows and frauds"] == "3,920 and 60"
    found = report["seeds"]["0"]
    assert list(found) == list(protocol.PROTOCOLS)
    assert [f["rows_that_choose"] for f in found.values()] == [300, 497, 497]
    assert [f["rows_reported"] for f in found.values()] == [695, 498, 498]
    assert all(0.6 < f["roc_auc"] < 1.0 for f in found.values())
    # The source's protocol once more, from its parts.
    data = pd.read_parquet(file / "creditcard.parquet")
    X, y = data[list(CARD_FEATURES)].to_numpy(np.float64), data["Class"].to_numpy()
    split = protocol.split_at_random(y, protocol.drop_frauds(y, 0))
    trained = protocol.train(X, split, seed=0, num_threads=1, progress=False)
    reported = split.later[300:]
    flags = trained.scores[reported] > found[protocol.PROTOCOLS[0]]["threshold"]
    hits = (flags & (y[reported] == 1)).sum()
    assert found[protocol.PROTOCOLS[0]]["recall"] == hits / y[reported].sum()
    assert found[protocol.PROTOCOLS[0]]["precision"] == hits / flags.sum()
    # Its scaler saw the rows that train alone.
    scaler = trained.detector.model_.scaler
    assert scaler is not None
    fitted = X[split.training[: len(split.training) - round(0.2 * len(split.training))]]
    np.testing.assert_array_equal(scaler["center"], fitted.min(axis=0))
    # 40 % precision: the best recall of any cut between the reported scores.
    order = np.argsort(-trained.scores[reported], kind="stable")
    hit = np.cumsum(y[reported][order])
    enough = hit / np.arange(1, len(hit) + 1) >= 0.4
    assert found[protocol.PROTOCOLS[0]]["oracle_recall_at_precision_0.4"] == pytest.approx(
        hit[enough].max() / hit[-1], abs=1e-12
    )
    away = (X - scaler["center"]) / scaler["scale"]
    distances = np.square(away - away[split.training].mean(axis=0)).mean(axis=1)
    np.testing.assert_allclose(trained.distances, distances, rtol=1e-5)
    protocols, thresholds, plain, unlabelled, layers, codes = outcome.tables
    # Principal components that have seen no label, the frauds of the first part among their rows.
    assert y[split.unlabelled].sum() == 45
    scaled = (X - X[split.unlabelled].mean(axis=0)) / X[split.unlabelled].std(axis=0)
    directions = np.linalg.eigh(np.cov(scaled[split.unlabelled].T))[1][:, :2]
    residuals = np.square(scaled @ directions).sum(axis=1) / 29
    np.testing.assert_allclose(trained.residuals, residuals, rtol=1e-6, atol=1e-9)
    assert [row[0] for row in unlabelled.rows] == list(protocol.PROTOCOLS)
    without = report["without_labels"]["0"][protocol.PROTOCOLS[0]]
    flags = residuals[reported] > without["threshold"]
    assert without["recall"] == (flags & (y[reported] == 1)).sum() / y[reported].sum()
    beside = rows[f"recall, {protocol.PROTOCOLS[0]}, without a network"]
    assert beside == f"{100 * without['recall']:.2f} %"
    assert [way.value for way in outcome.thresholds] == [way["threshold"] for way in found.values()]
    assert outcome.thresholds[0].fitted_on.startswith("300 test rows with ")
    assert outcome.highest is not None
    top = reported[np.argmax(trained.scores[reported])]
    first = outcome.highest.rows[0]
    assert first[1] == f"{top:,}"
    assert first[3] == ("anomalous" if y[top] else "normal")
    error = trained.detector.feature_scores(X)[top] / 29
    largest = int(np.argmax(error))
    assert first[5].startswith(f"{CARD_FEATURES[largest]} {error[largest]:.3g}, ")
    assert plain.rows != protocols.rows
    assert [row[2] for row in layers.rows] == [
        "0",
        "2,944",
        "800",
        "0",
        "544",
        "1,600",
        "493",
        "6,381",
    ]
    assert len(protocols.rows) == len(thresholds.rows) == 3
    expected = trained.detector.encode(X[[int(row[0]) for row in codes.rows]])
    assert [row[2:-1] for row in codes.rows] == [[f"{v:.3f}" for v in code] for code in expected]
    assert [row[1] for row in codes.rows] == ["normal"] * 3 + ["fraud"] * 3
    assert [figure.name for figure in outcome.figures] == [
        "training",
        "thresholds",
        "errors",
        "scatter",
        "confusion",
        "pr_curve",
        "roc_curve",
    ]


def test_full_runs_more_seeds_and_tells_the_spread(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_fraud, "_SEEDS", 2)
    outcome = run(file, full=True, seed=3)
    assert list(outcome.report["seeds"]) == ["3", "4"]
    rows = {c.name: c.ours for c in outcome.comparisons}
    recalls = [
        100 * seed[protocol.PROTOCOLS[1]]["recall"] for seed in outcome.report["seeds"].values()
    ]
    assert rows[f"recall, {protocol.PROTOCOLS[1]}"] == spread(recalls, digits=2, unit=" %")
    assert "±" in rows["ROC-AUC, the source's protocol"]
    assert "2 seeds" in outcome.summary


def test_missing_data_are_named() -> None:
    with pytest.raises(ValueError, match=r"--data: .*Credit Card Fraud Detection.*creditcard\.csv"):
        run(None)


def test_data_too_small_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_fraud, "_CHOOSING_ROWS", 3000)
    with pytest.raises(ValueError, match=r"data: expected a test part .* more than 3,000 rows"):
        run(file)

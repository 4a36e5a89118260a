"""Files scored in parts beside their labels: the counts are those of all rows at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from slidecell.detect import WindowPCADetector, ZScoreDetector  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.jobs.score_files import run_score_files  # noqa: E402
from slidecell.scale import score_csv, score_parquet  # noqa: E402
from slidecell.scale.label_counts import LabelCounts, _median  # noqa: E402
from slidecell.thresholds import CusumThreshold, PercentileThreshold  # noqa: E402
from tests.scale_cases import DETECTORS, OPTIONS, fleet, network, write_files  # noqa: E402

KNOWN = (
    *("rows", "positives", "prevalence", "unscored_rows", "unscored_positives", "entities"),
    *("events", "unscored_events", "threshold", "threshold_origin", "flagged", "precision"),
    *("recall", "f1", "accuracy", "true_positives", "false_positives", "false_negatives"),
    *("true_negatives", "event_f1", "events_found", "events_found_share"),
    *("delay_median", "delay_mean", "confusion_matrix"),
)


def labelled(rows: int = 600) -> Any:
    """Return a fleet whose anomalies run over batches, files and gaps in time."""
    frame = fleet(rows)
    rng = np.random.default_rng(3)
    frame["label"] = 0
    for start in rng.integers(0, rows, 14):
        frame.loc[start : start + int(rng.integers(0, 60)), "label"] = 1
    frame.loc[rows // 2 - 5 : rows // 2 + 30, "label"] = 1
    frame.loc[:9, "label"] = 1  # rows without a score, of windows
    frame.loc[rows - 4 :, "label"] = 1
    return frame


def at_once(detector: Any, frame: Any, tmp_path: Path) -> dict[str, Any]:
    """Return the metrics of the same rows read at once."""
    whole, saved = tmp_path / "whole.parquet", tmp_path / "detector"
    frame.to_parquet(whole, index=False)
    if detector.network is None:
        detector.save(saved)
    else:
        saved = tmp_path / "model.safetensors"
        detector.network.save(saved)
    given = ScoreOptions(saved, whole, tmp_path / "at_once", label="label", **OPTIONS)
    metrics: dict[str, Any] = run_score(given).report["metrics"]
    return metrics


# Rules that flag labelled rows too.
CASES: dict[str, Any] = {
    **{name: DETECTORS[name] for name in ("zscore", "per entity", "network", "ewma")},
    "window": lambda X: WindowPCADetector(
        window=12, entity="id", time="at", threshold=PercentileThreshold(70.0)
    ).fit(X),
    "cusum": lambda X: ZScoreDetector(
        entity="id", time="at", threshold=CusumThreshold(k=0.0, h=0.5)
    ).fit(X),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch_rows", [7, 1000])
def test_counts_are_those_of_all_rows(name: str, batch_rows: int, tmp_path: Path) -> None:
    frame = labelled()
    detector = CASES[name](frame.drop(columns="label"))
    found = score_parquet(
        detector,
        write_files(tmp_path / "in", frame),
        tmp_path / "scores.parquet",
        label="label",
        batch_rows=batch_rows,
        **OPTIONS,
    )
    assert found.metrics is not None
    got, want = found.metrics.to_dict(), at_once(detector, frame, tmp_path)
    assert {field: got[field] for field in KNOWN} == {field: want[field] for field in KNOWN}
    assert got["events"] > 20
    assert 0 < got["true_positives"] < got["positives"]
    for field in set(got) - set(KNOWN) - {"note", "random"}:
        assert got[field] is None, field
    assert "need all rows at once" in got["note"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_run_that_goes_on_counts_all_labels(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slidecell.scale.runs._PART_BATCHES", 1)
    monkeypatch.setattr("slidecell.scale.csv_files._PIECE_BYTES", 900)
    frame = labelled()
    detector = DETECTORS["window"](frame.drop(columns="label"))
    source = tmp_path / f"in.{kind}"
    score: Any = score_parquet if kind == "parquet" else score_csv
    if kind == "parquet":
        frame.to_parquet(source, index=False)
    else:
        frame.to_csv(source, index=False)

    def stop(done: int, total: int) -> None:
        if done > 300:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    given: dict[str, Any] = {"batch_rows": 40, "label": "label", **OPTIONS}
    with pytest.raises(KeyboardInterrupt):
        score(detector, source, out, progress=stop, **given)
    found = score(detector, source, out, **given)
    assert found.resumed > 0
    assert found.metrics == score(detector, source, tmp_path / "again", **given).metrics
    want = at_once(detector, frame, tmp_path)
    got = found.metrics.to_dict()
    assert {field: got[field] for field in KNOWN} == {field: want[field] for field in KNOWN}


def test_the_command_reports_them(tmp_path: Path) -> None:
    frame = labelled(300)
    detector = DETECTORS["zscore"](frame.drop(columns="label"))
    want = at_once(detector, frame, tmp_path)
    source = write_files(tmp_path / "in", frame)
    given = ScoreOptions(tmp_path / "detector", source, tmp_path / "out", label="label", **OPTIONS)
    report = run_score_files(given, progress=False)
    assert {field: report.data["metrics"][field] for field in KNOWN} == {
        field: want[field] for field in KNOWN
    }
    (section,) = [section for section in report.sections if section.title == "Against the labels"]
    rows = {row[0]: row[1] for row in section.tables[0].rows}
    assert rows["precision"] == f"{want['precision']:.4f}"


def test_labels_that_are_none_are_refused_by_their_place(tmp_path: Path) -> None:
    frame = labelled(300)
    detector = DETECTORS["zscore"](frame.drop(columns="label"))
    source, out = tmp_path / "in", tmp_path / "out"
    write_files(source, frame.drop(columns="label"))
    with pytest.raises(ValueError, match=r"label: no column 'label' in .*0\.parquet"):
        score_parquet(detector, source, out, label="label")
    with pytest.raises(ValueError, match="label: column 'x' is a key or a feature"):
        score_parquet(detector, source, out, label="x")
    wrong = frame.astype({"label": float})
    wrong.loc[150, "label"] = 2.0
    write_files(source, wrong)
    with pytest.raises(ValueError, match=r"1\.parquet.*label column 'label': expected 0 or 1.*got"):
        score_parquet(detector, source, out, label="label")
    wrong.to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(ValueError, match=r"in\.csv: label column 'label': .* got 2 in line 152"):
        score_csv(detector, tmp_path / "in.csv", out, label="label")
    assert not out.exists()


def test_a_model_without_a_rule_has_no_metrics(tmp_path: Path) -> None:
    frame = labelled(200)
    source = write_files(tmp_path / "in", frame)
    model = network().with_metadata(threshold=None)
    found = score_parquet(model, source, tmp_path / "out", label="label", **OPTIONS)
    assert found.metrics is None


def test_delays_and_counts_without_an_anomaly() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 30):
        values = rng.integers(0, 5, count)
        counted = {value: int((values == value).sum()) for value in set(values.tolist())}
        assert _median(counted) == np.median(values)
    found = LabelCounts().evaluation(threshold=None)
    assert (found.rows, found.events, found.delay_median, found.precision) == (0, 0, None, None)

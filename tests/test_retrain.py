"""Retraining: old against new on the same held-out rows, and the better one is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
pd = pytest.importorskip("pandas")
typer_testing = pytest.importorskip("typer.testing")
from slidecell.cli.main import app  # noqa: E402
from slidecell.detect import RetrainOptions, run_retrain  # noqa: E402
from slidecell.jobs.retrain import Retrained  # noqa: E402
from slidecell.scaling import apply_scaler, fit_scaler  # noqa: E402
from slidecell.thresholds import (  # noqa: E402
    BestFThreshold,
    FixedThreshold,
    PercentileThreshold,
)
from slidecell.thresholds.smoothing import EWMA  # noqa: E402
from slidecell.training import Forecaster, fit  # noqa: E402

WINDOW = 4
NAMES = ["x", "y"]


def waves(rows: int, *, period: float = 12.0, seed: int = 0) -> np.ndarray:
    t = np.arange(rows)
    noise = np.random.default_rng(seed).normal(0, 0.02, (rows, 2))
    angle = 2 * np.pi * t / period
    return np.stack([10 + np.sin(angle), 3 - 2 * np.cos(angle)], axis=1) + noise


@pytest.fixture(scope="module")
def trained() -> sc.SequenceModel:
    """Knows waves of a period of 12 rows."""
    rows = waves(300)
    scaler = fit_scaler(rows, "minmax")
    module = Forecaster(2, 8, window=WINDOW)
    fit(module, apply_scaler(scaler, rows), epochs=12, lr=0.02, seed=0, progress=False)
    model = sc.SequenceModel.from_torch(module).with_metadata(
        scaler=scaler, features=NAMES, extra={"detect": {"time": "t", "entity": "id"}}
    )
    rule = PercentileThreshold(90.0).fit(model.score(rows))
    return model.with_metadata(threshold=rule.state())


def write(
    folder: Path, model: sc.SequenceModel, rows: np.ndarray, label: np.ndarray | None = None
) -> tuple[Path, Path]:
    """Save the model, and the rows as two entities of equal length."""
    model.save(folder / "model.safetensors")
    half = len(rows) // 2
    frame = pd.DataFrame(rows, columns=NAMES)
    frame.insert(0, "t", [*range(half), *range(len(rows) - half)])
    frame.insert(1, "id", ["a"] * half + ["b"] * (len(rows) - half))
    if label is not None:
        frame["label"] = label
    frame.to_csv(folder / "new.csv", index=False)
    return folder / "model.safetensors", folder / "new.csv"


def run(model: Path, file: Path, out: Path, **options: Any) -> Retrained:
    given = {"epochs": 6, "lr": 0.01, "batch_size": 32} | options
    return run_retrain(RetrainOptions(model, file, out, **given), progress=False)


def test_new_rows_of_another_kind_make_the_new_model_better(
    tmp_path: Path, trained: sc.SequenceModel
) -> None:
    rows = np.concatenate([waves(150, period=7), waves(150, period=7, seed=1)])
    model, file = write(tmp_path, trained, rows)
    result = run(model, file, tmp_path / "out", train_until="0.6")
    assert result.kept == "new"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "model.safetensors",
        "retrain.json",
    ]
    report = json.loads((tmp_path / "out" / "retrain.json").read_text())
    assert report == json.loads(json.dumps(result.report))
    written = sc.SequenceModel.load(tmp_path / "out" / "model.safetensors")
    for part in ("scaler", "features", "window", "horizon", "encoder", "extra", "smoothing"):
        assert written.metadata[part] == trained.metadata[part]
    # The loss, from predictions: windows of the last 60 rows of each entity alone.
    for name, one in (("old", trained), ("new", written)):
        errors = []
        for part in (rows[90:150], rows[240:300]):
            truth = apply_scaler(trained.scaler, part[WINDOW:]).astype(np.float64)
            errors.append((apply_scaler(trained.scaler, one.predict(part)[:, 0]) - truth) ** 2)
        loss = np.concatenate(errors).mean()
        assert report[name]["loss"] == pytest.approx(loss, rel=1e-5)
        assert report[name]["windows"] == 2 * (60 - WINDOW)
        scores = one.score(rows, [0, 150, 300]).astype(np.float64)
        held_out = np.r_[90:150, 240:300]
        assert report[name]["mean_score"] == pytest.approx(scores[held_out].mean(), rel=1e-12)
        flagged = scores[held_out] > report[name]["threshold"]["value"]
        assert (report[name]["flagged"], report[name]["scored"]) == (flagged.sum(), 120)
        assert report[name]["metrics"] is None
    assert report["new"]["loss"] < 0.5 * report["old"]["loss"]
    # The rule is the model's, on the scores of all rows that it was fitted on.
    assert written.threshold is not None
    scores = [written.score(part)[WINDOW:] for part in (rows[:90], rows[150:240])]
    assert written.threshold["percentile"] == 90.0
    expected = np.percentile(np.concatenate(scores).astype(np.float64), 90.0)
    assert written.threshold["value"] == pytest.approx(expected, rel=1e-6)


def test_old_model_that_is_better_is_kept_byte_for_byte(
    tmp_path: Path, trained: sc.SequenceModel
) -> None:
    # What trains is of another period; what is held out is as before.
    one = np.concatenate([waves(90, period=5), waves(60)])
    model, file = write(tmp_path, trained, np.concatenate([one, one]))
    before = model.read_bytes()
    result = run(model, file, tmp_path / "out", train_until="0.6")
    assert result.kept == "old"
    assert result.report["training"]["best_epoch"] > 0
    assert result.report["new"]["loss"] > result.report["old"]["loss"]
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert result.model.threshold == trained.threshold
    # In place: the model's own folder, whose report is of the scores that stay there.
    (tmp_path / "report.json").write_text("of the scores")
    run(model, file, tmp_path, train_until="0.6")
    assert model.read_bytes() == before
    assert (tmp_path / "retrain.json").exists()
    assert (tmp_path / "report.json").read_text() == "of the scores"


def test_old_model_is_kept_if_no_epoch_is_better(tmp_path: Path, trained: sc.SequenceModel) -> None:
    model, file = write(tmp_path, trained, waves(300, seed=3))
    result = run(model, file, tmp_path / "out", epochs=1, lr=0.5)
    assert (result.kept, result.report["training"]["best_epoch"]) == ("old", 0)
    assert result.report["new"]["loss"] == result.report["old"]["loss"]


def test_labels_measure_and_are_left_out_of_the_loss(
    tmp_path: Path, trained: sc.SequenceModel
) -> None:
    rows = np.concatenate([waves(150, period=7), waves(150, period=7, seed=1)])
    label = np.zeros(300, int)
    odd = [30, 120, 180, 280]  # the rule is fitted on labels of the past: 30 and 180
    label[odd] = 1
    rows[odd] += 5
    rule = BestFThreshold().fit([0.0, 1.0], [0, 1])
    model, file = write(
        tmp_path,
        trained.with_metadata(threshold=rule.state(), smoothing=EWMA(0.9).state()),
        rows,
        label,
    )
    result = run(model, file, tmp_path / "out", label="label", train_on="normal")
    report = result.report
    assert report["new"]["metrics"]["positives"] == 2
    assert report["new"]["metrics"]["recall"] == 1.0
    assert report["new"]["loss"] < 0.5  # of the scaled rows; the anomalies alone give more
    # 45 held-out rows an entity, whose windows that touch the anomaly do not count.
    assert report["new"]["windows"] == 2 * (45 - WINDOW - (WINDOW + 1))
    assert result.kept == "new"
    assert result.model.threshold is not None
    assert result.model.threshold["kind"] == "best_f"
    assert result.model.threshold["value"] != rule.threshold
    assert result.model.metadata["smoothing"] == EWMA(0.9).state()
    with pytest.raises(ValueError, match="--label: the model's threshold is one that is chosen on"):
        run(model, file, tmp_path / "unlabelled")
    assert not (tmp_path / "unlabelled").exists()


def test_new_model_keeps_rules_and_fits_its_statistics(
    tmp_path: Path, trained: sc.SequenceModel
) -> None:
    rows = np.concatenate([waves(150, period=7), waves(150, period=7, seed=1)])
    fixed = trained.with_metadata(threshold=FixedThreshold(0.25).state()).fit_error(waves(100))
    model, file = write(tmp_path, fixed, rows)
    result = run(model, file, tmp_path / "out")
    assert result.kept == "new"
    assert result.model.threshold == FixedThreshold(0.25).state()
    assert result.model.metadata["error"] is not None
    assert result.model.metadata["error"] != fixed.metadata["error"]
    without = trained.with_metadata(threshold=None)
    model, file = write(tmp_path, without, rows)
    result = run(model, file, tmp_path / "none")
    assert result.model.threshold is None
    assert result.report["new"]["flagged"] is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"train_until": "1"}, r"no window of 5 complete \(and normal\) rows is held out"),
        ({"entity": "machine"}, "--entity: no column 'machine'"),
        ({"epochs": 0}, "--epochs: expected a whole number >= 1, got 0"),
        ({"num_threads": 0}, "--threads: expected a whole number >= 1, got 0"),
        ({"lr": 0.0}, "--lr: expected a number above 0"),
        ({"validation": 0.0}, "--validation: expected between 0 and 1, got 0"),
        ({"train_on": "normal"}, "--train-on normal: needs --label"),
        ({"train_on": "some"}, "--train-on: expected all, normal"),
    ],
)
def test_retrain_errors_leave_no_files(
    tmp_path: Path, trained: sc.SequenceModel, options: dict[str, Any], text: str
) -> None:
    model, file = write(tmp_path, trained, waves(60))
    with pytest.raises(ValueError, match=text):
        run(model, file, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_retrain_matches_columns_with_the_model(tmp_path: Path, trained: sc.SequenceModel) -> None:
    model, file = write(tmp_path, trained.with_metadata(features=None), waves(60))
    frame = pd.read_csv(file)
    frame.assign(z=1.0).to_csv(file, index=False)
    with pytest.raises(ValueError, match=r"expected 2 feature columns .*, got 3: x, y, z"):
        run(model, file, tmp_path / "out")
    frame.drop(columns="y").to_csv(file, index=False)
    model, _ = write(tmp_path, trained, waves(60))
    frame.drop(columns="y").to_csv(file, index=False)
    with pytest.raises(ValueError, match="no column 'y'"):
        run(model, file, tmp_path / "out")


def test_failure_while_training_leaves_the_old_files(
    tmp_path: Path, trained: sc.SequenceModel
) -> None:
    model, file = write(tmp_path, trained, waves(60))
    out = tmp_path / "out"
    out.mkdir()
    (out / "retrain.json").write_text("earlier")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    options = RetrainOptions(model, file, out, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        run_retrain(options, progress=interrupt)
    assert [path.name for path in out.iterdir()] == ["retrain.json"]
    assert (out / "retrain.json").read_text() == "earlier"


def test_retrain_command_writes_the_better_model(tmp_path: Path, trained: sc.SequenceModel) -> None:
    rows = np.concatenate([waves(150, period=7), waves(150, period=7, seed=1)])
    model, file = write(tmp_path, trained, rows)
    runner = typer_testing.CliRunner()
    arguments = ["retrain", str(model), str(file), "--out", str(tmp_path / "out"), "--lr", "0.01"]
    found = runner.invoke(app, [*arguments, "--epochs", "3"])
    assert found.exit_code == 0, found.output
    for text in ("held-out part", "loss", "mean score", "threshold", "it is kept"):
        assert text in found.output
    failed = runner.invoke(app, [*arguments, "--validation", "0"])
    assert failed.exit_code == 1
    assert "error: --validation: expected between 0 and 1" in failed.stderr

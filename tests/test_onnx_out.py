"""`SequenceModel.to_onnx`: what ONNX Runtime answers for the file is what the model answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests import head_cases
from tests.models import layer, random_model
from tests.random_models import random_case

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

BOUND = 1e-5  # of a score, and of a prediction in scaled units, relative to values above 1


def run(path: Path, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Answers of a file by the name of the output."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    answers = session.run(None, {name: value for name, value in feed.items() if name in names})
    return dict(zip([one.name for one in session.get_outputs()], answers, strict=True))


def windows_of(model: sc.SequenceModel, series: np.ndarray) -> dict[str, np.ndarray]:
    """All windows of one entity, and the rows after each."""
    W, K = model.window, model.horizon
    whole = np.stack([series[i : i + W + K] for i in range(len(series) - W - K + 1)])
    return {"x": np.ascontiguousarray(whole[:, :W]), "y": np.ascontiguousarray(whole[:, W:])}


def unit_of(model: sc.SequenceModel) -> Any:
    """What one scaled unit of each target is in raw ones."""
    if model.scaler is None:
        return 1.0
    targets = model.metadata["targets"] or range(model.input_size)
    return np.asarray(model.scaler["scale"])[list(targets)]


def check(path: Path, model: sc.SequenceModel, series: np.ndarray, **options: Any) -> None:
    """Compare all answers of a file with the model's, missing rows included."""
    series = series.astype(np.float32)
    model.to_onnx(path, **options)
    got = run(path, windows_of(model, series))
    ahead = model.predict(series)
    unit = unit_of(model)
    np.testing.assert_array_equal(np.isnan(got["prediction"]), np.isnan(ahead))
    scale = np.maximum(unit, np.nanmax(np.abs(ahead)))
    assert np.nanmax(np.abs(got["prediction"] - ahead) / scale) < BOUND
    if "log_variance" in got:
        wide = model.predict_log_variance(series)
        assert np.nanmax(np.abs(got["log_variance"] - wide)) < BOUND
    if options.get("reduction", "mse") is None:
        assert set(got) <= {"prediction", "log_variance"}
        return
    score = model.score(series, **options)[model.window + model.horizon - 1 :]
    np.testing.assert_array_equal(np.isnan(got["score"]), np.isnan(score))
    assert np.nanmax(np.abs(got["score"] - score) / np.maximum(1.0, np.abs(score))) < BOUND


@pytest.mark.parametrize("seed", range(24))
def test_random_models_of_all_cells_and_options(seed: int, tmp_path: Path) -> None:
    case = random_case(seed)
    model = sc.SequenceModel(case.metadata, case.tensors)
    rng = np.random.default_rng(seed)
    series = rng.normal(size=(model.window + model.horizon + 12, model.input_size))
    if model.scaler is not None:
        series = series * model.scaler["scale"] + model.scaler["center"]
    series[-3, 0] = np.nan
    options = {key: case.options[key] for key in ("reduction", "aggregate") if key in case.options}
    if options.get("aggregate") == "mean":
        options["aggregate"] = "last"
    check(tmp_path / "model.onnx", model, series, **options)


@pytest.mark.parametrize("reduction", ["mse", "mae", "nll", None])
def test_variances_and_their_likelihood(reduction: str | None, tmp_path: Path) -> None:
    metadata, tensors = head_cases.parts("gaussian")
    model = sc.SequenceModel(metadata, tensors)
    rows = head_cases.rows_for(metadata, 30, missing=True)
    check(tmp_path / "model.onnx", model, rows, reduction=reduction)


@pytest.mark.parametrize(
    "activation", ["relu", "tanh", "sigmoid", "gelu", "gelu_tanh", "leaky_relu"]
)
def test_heads_of_several_layers(activation: str, tmp_path: Path) -> None:
    slope = {"slope": 0.3} if activation == "leaky_relu" else {}
    head = [
        {"output_size": 7, "activation": activation, **slope},
        {"output_size": 6, "activation": "linear"},
    ]
    parts = random_model(np.random.default_rng(1), [layer("lstm", 9)], horizon=2, head=head)
    model = sc.SequenceModel(*parts)
    series = 3.0 * np.random.default_rng(2).normal(size=(25, 3))
    check(tmp_path / "model.onnx", model, series)
    model.to_onnx(tmp_path / "only.onnx", reduction=None)
    again = sc.SequenceModel.from_onnx(tmp_path / "only.onnx")
    assert [one["activation"] for one in again.metadata["head"]] == [activation, "linear"]
    np.testing.assert_allclose(again.score(series), model.score(series), rtol=1e-5)


def test_a_file_says_its_columns_and_appears_whole(tmp_path: Path) -> None:
    parts = random_model(np.random.default_rng(1), [layer("gru", 4)], targets=[2, 0])
    model = sc.SequenceModel(*parts).with_metadata(features=["a", "b", "c"])
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    said = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    assert said == {"features": ["a", "b", "c"], "targets": [2, 0]}
    assert [one.name for one in tmp_path.iterdir()] == ["model.onnx"]
    before = path.read_bytes()
    with pytest.raises(ValueError, match="reduction: 'nll' needs a model that predicts variances"):
        model.to_onnx(path, reduction="nll")
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="cannot be written"):
        model.to_onnx(tmp_path / "missing" / "model.onnx")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reduction": "rmse"}, "reduction: expected one of 'mse'"),
        ({"reduction": "mahalanobis"}, "reduction: 'mahalanobis' needs error statistics; call"),
        ({"reduction": "calibrated"}, "reduction: 'calibrated' needs error statistics; call"),
        ({"aggregate": "mean"}, "aggregate: expected 'window', or 'last' for an autoencoder"),
        ({"aggregate": "last"}, "aggregate: expected 'window', or 'last' for an autoencoder"),
    ],
)
def test_scores_that_the_model_has_not_are_refused(
    options: dict[str, Any], text: str, tmp_path: Path
) -> None:
    model = sc.SequenceModel(*random_model(np.random.default_rng(1), [layer("gru", 4)]))
    with pytest.raises(ValueError, match=text):
        model.to_onnx(tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())

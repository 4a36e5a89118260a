"""Numbers of a file, or of data, that overflow where they are used: refused, or used rightly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.detect.fusion import normaliser_from_state
from slidecell.scaling import apply_scaler, fit_scaler
from tests.models import layer, random_model


def model(**changes: Any) -> sc.SequenceModel:
    """Return a forecaster of two columns with other metadata."""
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 4)], features=2)
    return sc.SequenceModel({**metadata, **changes}, tensors)


def scaler(center: float, scale: float) -> dict[str, Any]:
    return {"kind": "standard", "center": [center, 0.0], "scale": [1.0, scale], "constant": []}


@pytest.mark.parametrize("whiten", [1e300, -3.5e38])
def test_a_whitening_matrix_beyond_float32_is_refused(whiten: float) -> None:
    error = {"mean": [0.0, 0.0], "whiten": [[1.0, 0.0], [0.0, whiten]]}
    with pytest.raises(ValueError, match="'whiten': expected numbers that float32 holds, got"):
        model(error=error)


@pytest.mark.parametrize("mean", [1e308, -1e39])
def test_a_mean_error_beyond_float32_is_refused(mean: float) -> None:
    error = {"mean": [mean, mean], "whiten": [[1.0, 0.0], [0.0, 1.0]]}
    with pytest.raises(ValueError, match="'mean': expected numbers that float32 holds, got"):
        model(error=error)


@pytest.mark.parametrize("scale", [5e-324, -1e-310])
def test_a_scale_that_nothing_can_be_divided_by_is_refused(scale: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'scale': expected numbers that 1 can be divided by"):
        model(scaler=scaler(0.0, scale))


@pytest.mark.parametrize(("center", "scale"), [(1e308, 1e308), (-1e308, 2.3e-308), (0.0, 1e300)])
def test_other_scalers_score_without_nan(center: float, scale: float) -> None:
    X = np.array([[1.0, 1.0], [-1e308, 1e308], [0.0, 0.0], [1e308, -1.0]] * 8)
    scores = model(scaler=scaler(center, scale)).score(X)
    cells = ~np.isfinite(apply_scaler(scaler(center, scale), X))
    np.testing.assert_array_equal(np.isinf(scores), cells.any(axis=1) | np.isinf(scores))
    assert (scores[cells.any(axis=1)] == np.inf).all()
    stream = model(scaler=scaler(center, scale)).stream()
    fma = model(scaler=scaler(center, scale)).score(X, kernel="fma")
    np.testing.assert_array_equal([np.float32(stream.push(row)) for row in X], fma)


def test_a_spread_whose_squares_overflow_or_vanish_is_found() -> None:
    for size in (1e300, 1e-200):
        found = fit_scaler(np.array([[-1.0], [1.0]]) * size, "standard")
        assert found["constant"] == []
        np.testing.assert_allclose(found["scale"], [size])
        assert apply_scaler(found, np.array([[size]])).tolist() == [[1.0]]


@pytest.mark.parametrize("kind", ["minmax", "standard", "robust"])
def test_a_range_beyond_float64_is_refused(kind: str) -> None:
    column = np.array([[-1.7e308], [1.7e308], [-1.7e308], [1.7e308]])
    if kind == "standard":  # whose middle is 0 and whose spread float64 holds
        found = fit_scaler(column, kind)
        assert apply_scaler(found, column).ravel().tolist() == [-1.0, 1.0, -1.0, 1.0]
        return
    with pytest.raises(ValueError, match="column 0 is too large to scale in float64"):
        fit_scaler(column, kind)


@pytest.mark.parametrize("kind", ["minmax", "standard", "robust"])
def test_a_subnormal_spread_is_constant(kind: str) -> None:
    found = fit_scaler(np.array([[0.0], [1e-320], [2e-320]]), kind)
    assert found["constant"] == [0]
    assert found["scale"] == [1.0]


def damage(folder: Path, **scaler: Any) -> None:
    text = json.loads((folder / "detector.json").read_text())
    text["fitted"]["scaler"] |= scaler
    (folder / "detector.json").write_text(json.dumps(text))


def test_folders_with_such_numbers_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    numpy_file = pytest.importorskip("safetensors.numpy")
    from slidecell.detect import PCADetector, ZScoreDetector, load_detector

    rows = np.random.default_rng(0).normal(size=(50, 2))
    ZScoreDetector().fit(rows).save(tmp_path / "z")
    damage(tmp_path / "z", scale=[1.0, 5e-324])
    with pytest.raises(ValueError, match="'scale': expected numbers that 1 can be divided by"):
        load_detector(tmp_path / "z")
    PCADetector().fit(rows).save(tmp_path / "pca")
    file = tmp_path / "pca" / "arrays.safetensors"
    arrays = numpy_file.load(file.read_bytes())
    arrays["mean"] = np.array([np.inf, 0.0])
    file.write_bytes(numpy_file.save(arrays))
    with pytest.raises(ValueError, match="'mean': expected finite numbers"):
        load_detector(tmp_path / "pca")


def test_ranks_farther_apart_than_float64_are_refused() -> None:
    state = {"kind": "rank", "scores": [-1e308, 1e308], "ranks": [0.0, 1.0], "spread": 1.0}
    with pytest.raises(ValueError, match="within a range that float64 holds"):
        normaliser_from_state(state)

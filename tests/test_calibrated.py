"""Calibrated errors: what the statistics are, and the same scores in batch, stream and file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.error_statistics import fit_calibration, row_parts
from tests.models import FORECASTERS, layer, random_model
from tests.reference import score_reference, window_errors
from tests.score_cases import awkward_offsets

SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100)


def scaler_of(features: int) -> dict[str, Any]:
    rng = np.random.default_rng(features)
    return {
        "kind": "minmax",
        "center": rng.normal(0, 100, features).tolist(),
        "scale": np.exp(rng.normal(0, 1, features)).tolist(),
        "constant": [],
    }


def raw_rows(metadata: dict[str, Any], S: int, seed: int = 0) -> np.ndarray:
    """Raw rows [S, F] of which the scaler makes numbers about 0 to 1."""
    scaler = metadata["scaler"]
    unit = np.random.default_rng(seed).random((S, len(scaler["center"])))
    rows: np.ndarray = unit * scaler["scale"] + scaler["center"]
    return rows


def parts(**given: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    features = given.get("features", 3)
    return random_model(
        np.random.default_rng(3), error=True, scaler=scaler_of(features), **{**given}
    )


def equal(got: Any, want: Any) -> None:
    np.testing.assert_array_equal(np.asarray(got, np.float32), want)


@pytest.mark.parametrize("name", FORECASTERS)
@pytest.mark.parametrize("per_feature", [False, True])
def test_calibrated_scores_equal_the_reference(isa: str, name: str, per_feature: bool) -> None:
    metadata, tensors = parts(**FORECASTERS[name])
    offsets = awkward_offsets(metadata["window"], metadata["horizon"])
    series = raw_rows(metadata, int(offsets[-1]))
    model = sc.SequenceModel(metadata, tensors)
    options: dict[str, Any] = {"reduction": "calibrated", "per_feature": per_feature}
    # Slopes of up to 20 enlarge the errors' rounding.
    np.testing.assert_allclose(
        model.score(series, offsets, **options),
        score_reference(metadata, tensors, series, offsets, **options),
        rtol=1e-6,
        atol=4e-6,
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("num_entities", [1, 20])
def test_calibrated_streams_equal_batches(isa: str, size: int, num_entities: int) -> None:
    """Sizes around vectors, a subset of targets, rows of a horizon; holes and too large rows."""
    features = (size * 5) % 34 + 1
    targets = list(range(features))[:: 2 if features > 1 else 1][::-1]
    metadata, tensors = parts(
        encoder=[layer("gru", size)],
        features=features,
        window=size % 5 + 1,
        horizon=size % 3 + 1,
        targets=targets,
    )
    series = raw_rows(metadata, 40)
    series[9, 0], series[14, -1], series[20, 0] = np.nan, np.inf, 1e300
    model = sc.SequenceModel(metadata, tensors)
    scores = model.score(series, reduction="calibrated", kernel="fma")
    assert scores[20] == np.inf
    assert (scores[np.isfinite(scores)] >= 0).all()
    stream = model.stream(num_entities, reduction="calibrated")
    equal([stream.push(row, num_entities - 1) for row in series], scores)
    own = model.score(series, reduction="calibrated", per_feature=True, kernel="fma")
    finite = np.isfinite(scores)
    np.testing.assert_allclose(own[finite].mean(axis=1), scores[finite], rtol=1e-5, atol=1e-6)


def test_calibrated_stream_goes_on_from_its_file(tmp_path: Path) -> None:
    metadata, tensors = parts(encoder=[layer("lstm", 9)], horizon=2)
    model = sc.SequenceModel(metadata, tensors)
    series = raw_rows(metadata, 30)
    want = model.score(series, reduction="calibrated", kernel="fma")
    stream = model.stream(reduction="calibrated")
    got = [stream.push(row) for row in series[:17]]
    stream.save(tmp_path / "state")
    stream = model.stream(state=tmp_path / "state")
    equal([*got, *(stream.push(row) for row in series[17:])], want)


def test_statistics_are_those_of_the_errors() -> None:
    """m and s of |error| over all complete windows, in float64, and a floor below s."""
    metadata, tensors = parts(encoder=[layer("lstm", 8)], features=4, targets=[3, 1], horizon=3)
    series = raw_rows(metadata, 300)
    series[100, 2], series[200, 0] = np.nan, 1e300
    offsets = np.array([0, 5, 150, 300])
    model = sc.SequenceModel(metadata | {"error": None}, tensors).fit_error(
        series, offsets, reduction="calibrated"
    )
    errors, bad, _ = window_errors(
        metadata, tensors, np.where(series > 1e100, np.nan, series), offsets
    )
    sizes = np.abs(errors[~bad]).reshape(-1, 6)
    spread = sizes.std(axis=0)
    spread = spread + 0.01 * spread.mean() + 1e-4
    found = model.metadata["error"]
    assert sorted(found) == ["intercept", "slope"]
    np.testing.assert_allclose(found["slope"], 1.0 / spread, rtol=1e-5)
    np.testing.assert_allclose(found["intercept"], -sizes.mean(axis=0) / spread, rtol=1e-5)
    scores = model.score(series, offsets, reduction="calibrated")
    want = score_reference(
        model.metadata, tensors, series[:150], offsets[:3], reduction="calibrated"
    )
    np.testing.assert_allclose(scores[:150], want, rtol=1e-5, atol=1e-5)


def test_large_raw_values_do_not_round_the_statistics() -> None:
    """Predictions in raw units would be multiples of 8 at 1e8."""
    metadata, tensors = parts(encoder=[layer("lstm", 8)])
    scaler = {"kind": "minmax", "center": [1e8] * 3, "scale": [1.0] * 3, "constant": []}
    unit = np.random.default_rng(0).random((100, 3))
    found = [
        sc.SequenceModel(metadata | {"scaler": given, "error": None}, tensors)
        .fit_error(rows, reduction="calibrated")
        .metadata["error"]
        for given, rows in (
            (scaler, 1e8 + unit),
            (scaler | {"center": [0.0] * 3}, unit),
        )
    ]
    np.testing.assert_allclose(found[0]["slope"], found[1]["slope"], rtol=1e-6)


def test_statistics_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(1000, 3)) * [1.0, 1e-3, 1e3] + [0.0, 1.0, -1e3]
    whole, some = fit_calibration([errors]), fit_calibration(np.split(errors, [0, 1, 17, 900, 900]))
    for name in whole:
        np.testing.assert_allclose(some[name], whole[name], rtol=1e-12)


@pytest.mark.parametrize("lengths", [[0], [3], [70_000], [10, 200_000, 0, 5, 66_000, 66_000, 1]])
@pytest.mark.parametrize("span", [1, 2, 40])
def test_parts_of_rows_hold_each_window_once(lengths: list[int], span: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    found = []
    for part, bounds in row_parts(offsets, span):
        assert bounds[0] == 0
        assert bounds[-1] == part.stop - part.start
        assert bounds[-1] < 140_000
        for first, end in itertools.pairwise(bounds):
            found += range(part.start + first, part.start + end - span + 1)
    want = [n for a, b in itertools.pairwise(offsets) for n in range(a, b - span + 1)]
    assert found == want


def test_constant_column_that_moves_has_a_score_near_a_thousand() -> None:
    """The floor of s is what a step of one scaled unit weighs where nothing ever erred."""
    pytest.importorskip("torch")
    from slidecell.training import Forecaster

    rng = np.random.default_rng(0)
    series = np.stack(
        [np.sin(np.arange(400) / 5) + 0.05 * rng.normal(size=400), np.full(400, 7.0)], 1
    )
    scaler = {"kind": "minmax", "center": [-1.0, 7.0], "scale": [2.0, 1.0], "constant": [1]}
    model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=4)).with_metadata(scaler=scaler)
    tensors = model.tensors
    tensors["head.weight"][1], tensors["head.bias"][1] = 0.0, 0.0  # it has learnt the constant
    model = sc.SequenceModel(model.metadata, tensors).fit_error(series)
    moved = series.copy()
    moved[300, 1] += 1.0
    z = model.score(moved, reduction="calibrated", per_feature=True)[300]
    spread = 1.0 / np.asarray(model.metadata["error"]["slope"])
    assert spread[1] < 0.02 * spread[0]
    assert 300 < z[1] < 3000
    np.testing.assert_allclose(z[1], 1.0 / spread[1], rtol=1e-5)
    assert z[0] < 10


def test_both_statistics_stand_beside_each_other(tmp_path: Path) -> None:
    metadata, tensors = parts(encoder=[layer("lstm", 8)])
    plain = sc.SequenceModel(metadata | {"error": None}, tensors)
    series = raw_rows(metadata, 200)
    both = plain.fit_error(series)
    assert sorted(both.metadata["error"]) == ["intercept", "mean", "slope", "whiten"]
    one = plain.fit_error(series, reduction="mahalanobis")
    assert sorted(one.metadata["error"]) == ["mean", "whiten"]
    then = one.fit_error(series, reduction="calibrated")
    assert then.metadata == both.metadata
    both.save(tmp_path / "model")
    loaded = sc.SequenceModel.load(tmp_path / "model")
    for reduction in ("mahalanobis", "calibrated"):
        equal(loaded.score(series, reduction=reduction), both.score(series, reduction=reduction))
    equal(one.score(series, reduction="mahalanobis"), both.score(series, reduction="mahalanobis"))
    equal(plain.score(series), both.score(series))


def test_format_of_the_file_is_the_second_where_it_must_be() -> None:
    """The first version would judge mean squared errors by a threshold of calibrated ones."""
    metadata, tensors = parts(encoder=[layer("lstm", 8)])
    plain = sc.SequenceModel(metadata | {"error": None}, tensors)
    series = raw_rows(metadata, 200)
    assert plain.metadata["format"] == 1
    assert plain.fit_error(series, reduction="mahalanobis").metadata["format"] == 1
    assert plain.fit_error(series).metadata["format"] == 2
    judged = plain.with_metadata(reduction="mae")
    assert (judged.metadata["format"], judged.reduction, plain.reduction) == (2, "mae", None)
    with pytest.raises(
        ValueError, match="'reduction': expected one of mse, mae, mahalanobis, nll, calib"
    ):
        plain.with_metadata(reduction="rmse")


def test_what_has_no_calibrated_scores_says_so() -> None:
    series = np.zeros((40, 3))
    bare = sc.SequenceModel(*random_model(np.random.default_rng(0), [layer("lstm", 5)], error=True))
    with pytest.raises(ValueError, match="'calibrated' needs a model with a scaler"):
        bare.score(series, reduction="calibrated")
    with pytest.raises(ValueError, match="needs a forecaster with a scaler, got a model without"):
        bare.fit_error(series, reduction="calibrated")
    coder = sc.SequenceModel(
        *random_model(
            np.random.default_rng(0), [layer("lstm", 5)], [layer("lstm", 5)], scaler=scaler_of(3)
        )
    )
    for call in (coder.score, coder.stream):
        with pytest.raises(ValueError, match="needs a forecaster, but the model is an autoencoder"):
            call(**{"series": series} if call == coder.score else {}, reduction="calibrated")
    with pytest.raises(ValueError, match="needs a forecaster with a scaler, got an autoencoder"):
        coder.fit_error(series, reduction="calibrated")
    metadata, tensors = parts(encoder=[layer("lstm", 5)])
    empty = sc.SequenceModel(metadata | {"error": None}, tensors)
    with pytest.raises(ValueError, match="'calibrated' needs error statistics, but the model has"):
        empty.score(series, reduction="calibrated")
    with pytest.raises(ValueError, match="at least 2 complete windows to calibrate errors, got 1"):
        empty.fit_error(series[:6], reduction="calibrated")
    with pytest.raises(ValueError, match="reduction: expected one of 'mahalanobis', 'calibrated'"):
        empty.fit_error(series, reduction="mse")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"slope": [1.0, 1.0]}, "'slope': expected 3 numbers, got 2"),
        ({"slope": [1.0, 0.0, 1.0]}, "'slope': expected numbers above 0 that float32 holds, got 0"),
        ({"slope": [1.0, -2.0, 1.0]}, "'slope': expected numbers above 0 that float32 holds"),
        ({"slope": [1.0, 1e-40, 1.0]}, "'slope': expected numbers above 0 that float32 holds"),
        ({"slope": [1.0, 1e39, 1.0]}, "'slope': expected numbers that float32 holds, got 1e"),
        ({"intercept": [1.0]}, "'intercept': expected 3 numbers, got 1"),
        ({"intercept": [0.0, -1e40, 0.0]}, "'intercept': expected numbers that float32 holds"),
        ({"intercept": None}, "intercept"),
        ({"slope": None}, "slope"),
    ],
)
def test_damaged_statistics_are_refused(change: dict[str, Any], text: str) -> None:
    metadata, tensors = parts(encoder=[layer("lstm", 5)])
    error = metadata["error"] | change
    error = {name: value for name, value in error.items() if value is not None}
    with pytest.raises(ValueError, match=text):
        sc.SequenceModel(metadata | {"error": error}, tensors)


def test_sums_that_float32_cannot_hold_score_infinity(isa: str) -> None:
    metadata, tensors = parts(encoder=[layer("lstm", 5)])
    scaler = {"kind": "minmax", "center": [0.0] * 3, "scale": [1.0] * 3, "constant": []}
    model = sc.SequenceModel(metadata | {"scaler": scaler}, tensors)
    series = np.random.default_rng(0).random((30, 3))
    series[20] = 3e38
    scores = model.score(series, reduction="calibrated", kernel="fma")
    assert scores[20] == np.inf
    stream = model.stream(reduction="calibrated")
    equal([stream.push(row) for row in series], scores)

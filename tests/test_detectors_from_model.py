"""Detectors of models that were trained elsewhere: calibrated, saved, cloned, in ensembles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import slidecell as sc
from slidecell.detect import (
    AutoencoderDetector,
    Ensemble,
    ForecastDetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.scaling import fit_scaler
from slidecell.thresholds import CusumThreshold, PercentileThreshold, threshold_from_state

torch = pytest.importorskip("torch")
from slidecell.training import Autoencoder, Forecaster  # noqa: E402

NAMES = ["a", "b"]


def rows(count: int = 200) -> np.ndarray:
    phase = np.arange(count) / 5
    noise = np.random.default_rng(0).normal(0, 0.05, size=(count, 2))
    return np.column_stack([np.sin(phase), 3 * np.cos(phase)]) + noise


def forecaster(**options: object) -> sc.SequenceModel:
    torch.manual_seed(0)
    scaler = fit_scaler(rows(), "standard")
    return sc.SequenceModel.from_torch(
        Forecaster(2, 6, window=8, **options), scaler=scaler, features=NAMES
    )


def plain_forecasts(model: sc.SequenceModel, **options: Any) -> ForecastDetector:
    """Return a detector whose scores are the model's own."""
    return ForecastDetector.from_model(model, **{"reduction": "mse", "smoothing": 1, **options})


def autoencoder() -> sc.SequenceModel:
    torch.manual_seed(0)
    return sc.SequenceModel.from_torch(Autoencoder(2, (6, 2), (2, 6), cell="gru", window=8))


def test_forecasts_of_a_model_are_calibrated_and_train_nothing(tmp_path: Path) -> None:
    model, X = forecaster(), rows()
    detector = plain_forecasts(model, contamination=0.1).calibrate(X)
    scores = detector.score_samples(X)
    np.testing.assert_array_equal(scores, model.score(X).astype(np.float64))
    assert detector.threshold_ == np.percentile(scores[8:], 90)
    assert detector.predict(X).sum() == 20  # a tenth of 192 rows with a score, rounded up
    assert (detector.window, detector.hidden_size, detector.scaler) == (8, 6, "standard")
    assert detector.history_.epochs == 0
    for name, tensor in detector.model_.tensors.items():
        np.testing.assert_array_equal(tensor, model.tensors[name])
    detector.save(tmp_path / "detector")
    again = load_detector(tmp_path / "detector")
    np.testing.assert_array_equal(again.predict(X), detector.predict(X))
    # Also after loading, rows calibrate it and train nothing.
    assert again.calibrate(X[:100]).model_.tensors.keys() == model.tensors.keys()
    np.testing.assert_array_equal(again.score_samples(X), scores)
    assert again.threshold_ == np.percentile(scores[8:100], 90)


def test_reconstructions_of_a_model() -> None:
    model, X = autoencoder(), rows()
    detector = AutoencoderDetector.from_model(model, aggregate="last").calibrate(X)
    np.testing.assert_array_equal(
        detector.score_samples(X), model.score(X, aggregate="last").astype(np.float64)
    )
    assert (detector.encoder_sizes, detector.decoder_sizes, detector.cell) == (
        (6, 2),
        (2, 6),
        "gru",
    )
    np.testing.assert_array_equal(detector.encode(X), model.encode(X))


def test_columns_are_matched_by_the_models_names() -> None:
    model, X = forecaster(), rows()
    frame = pd.DataFrame({"other": 1.0, "b": X[:, 1], "a": X[:, 0]})
    detector = plain_forecasts(model).calibrate(frame)
    np.testing.assert_array_equal(detector.score_samples(frame), model.score(X).astype(np.float64))
    with pytest.raises(ValueError, match="'a' is missing"):
        plain_forecasts(model).calibrate(frame[["b", "other"]])


def test_entities_and_the_order_of_time() -> None:
    model, X = forecaster(), rows()
    frame = pd.DataFrame(X, columns=NAMES).assign(
        machine=np.repeat([1, 0], 100), t=[*range(100)] * 2
    )
    detector = plain_forecasts(model, entity="machine", time="t")
    shuffled = frame.sample(frac=1.0, random_state=0)
    scores = detector.calibrate(shuffled).score_samples(shuffled)
    expected = model.score(X, [0, 100, 200])[shuffled.index]
    np.testing.assert_array_equal(scores, expected.astype(np.float64))


def test_error_statistics_come_from_the_rows_that_calibrate() -> None:
    model, X = forecaster(), rows()
    detector = plain_forecasts(model, reduction="mahalanobis").calibrate(X)
    expected = model.fit_error(X).score(X, reduction="mahalanobis")
    np.testing.assert_array_equal(detector.score_samples(X), expected.astype(np.float64))
    # Those that the model has stay.
    model = model.fit_error(X[:120])
    detector = plain_forecasts(model, reduction="mahalanobis").calibrate(X)
    expected = model.score(X, reduction="mahalanobis")
    np.testing.assert_array_equal(detector.score_samples(X), expected.astype(np.float64))


def test_calibrated_errors_are_the_default_where_there_is_a_scaler() -> None:
    model, X = forecaster(), rows()
    detector = ForecastDetector.from_model(model, smoothing=1).calibrate(X)
    expected = model.fit_error(X, reduction="calibrated").score(X, reduction="calibrated")
    assert detector.reduction == "calibrated"
    np.testing.assert_array_equal(detector.score_samples(X), expected.astype(np.float64))
    raw = model.with_metadata(scaler=None)
    assert ForecastDetector.from_model(raw).calibrate(X).reduction == "mse"


def test_mean_and_log_variance() -> None:
    class Gaussian(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.r = torch.nn.GRU(2, 6, batch_first=True)
            self.mean, self.variance = torch.nn.Linear(6, 2), torch.nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = self.r(x)[0][:, -1]
            return self.mean(h), self.variance(h)

    torch.manual_seed(0)
    model, X = sc.SequenceModel.from_torch(Gaussian(), window=8), rows()
    detector = plain_forecasts(model, reduction="nll").calibrate(X)
    expected = model.score(X, reduction="nll").astype(np.float64)
    np.testing.assert_array_equal(detector.score_samples(X), expected)
    with pytest.raises(
        ValueError, match="'nll' needs a model of mean and log variance: see from_m"
    ):
        plain_forecasts(forecaster(), reduction="nll").calibrate(X)
    with pytest.raises(
        ValueError, match="'nll' needs a model of mean and log variance: see from_m"
    ):
        ForecastDetector(window=8, reduction="nll").fit(X)


def test_a_model_of_one_target() -> None:
    model, X = forecaster(targets=(1,)), rows()
    detector = plain_forecasts(model).calibrate(X)
    features = detector.feature_scores(X)
    assert np.isnan(features[:, 0]).all()
    np.testing.assert_array_equal(features[:, 1], detector.score_samples(X))
    parts = detector.feature_parts(X, [50, 60])
    np.testing.assert_array_equal(parts[:, 0], 0.0)
    np.testing.assert_allclose(parts[:, 1], detector.score_samples(X)[[50, 60]])


def test_members_of_an_ensemble_keep_their_models() -> None:
    model, X = forecaster(), rows()
    members = [
        ("forecast", plain_forecasts(model)),
        ("autoencoder", AutoencoderDetector.from_model(autoencoder())),
        ("level", ZScoreDetector()),
    ]
    ensemble = Ensemble(members).fit(X)
    member = ensemble.members_["forecast"]
    np.testing.assert_array_equal(member.score_samples(X), model.score(X).astype(np.float64))
    assert not hasattr(members[0][1], "threshold_")  # a clone was fitted
    assert np.isfinite(ensemble.score_samples(X)[8:]).all()
    swapped = pd.DataFrame(X[:, ::-1], columns=["b", "a"])
    with pytest.raises(
        ValueError,
        match="member 'forecast': X without the rows held out: expected the columns 'a', 'b' i",
    ):
        Ensemble(members).fit(swapped)


def test_clones_and_further_training() -> None:
    model, X = forecaster(), rows()
    detector = clone(plain_forecasts(model, epochs=1, batch_size=64, random_state=0))
    np.testing.assert_array_equal(
        detector.calibrate(X).score_samples(X), model.score(X).astype(np.float64)
    )
    trained = clone(detector).fit(X).fit(X, warm_start=True)
    assert trained.history_.epochs == 1
    assert (trained.model_.tensors["head.weight"] != model.tensors["head.weight"]).any()
    # What it was trained to be is what further rows calibrate.
    after = trained.score_samples(X)
    np.testing.assert_array_equal(trained.calibrate(X[:150]).score_samples(X), after)


def test_arguments_that_do_not_fit_are_refused() -> None:
    model, X = forecaster(), rows()
    with pytest.raises(TypeError, match="model: expected a SequenceModel, got Forecaster; Seq"):
        plain_forecasts(Forecaster(2, 6, window=8))
    with pytest.raises(ValueError, match=r"expected a forecaster, got .*; use AutoencoderDetector"):
        plain_forecasts(autoencoder())
    with pytest.raises(ValueError, match=r"expected an autoencoder, got .*; use ForecastDetector"):
        AutoencoderDetector.from_model(model)
    with pytest.raises(TypeError, match="window: the model decides it, 8"):
        plain_forecasts(model, window=9)
    with pytest.raises(ValueError, match=r"X: expected \[S, 2\] \(the model's features\), got \["):
        plain_forecasts(model).calibrate(np.column_stack([X, X]))
    with pytest.raises(ValueError, match="calibrate: expected a detector of from_model, got a F"):
        ForecastDetector().calibrate(X)


def test_thresholds_as_metadata() -> None:
    model, X = forecaster(), rows()
    scores = model.score(X)
    fixed = PercentileThreshold(95).fit(scores)
    kept = model.with_metadata(threshold=fixed)
    assert kept.threshold == fixed.state()
    cusum = CusumThreshold().fit(scores)
    fresh = cusum.state()
    for score in scores[8:40]:
        cusum.update(float(score))
    kept = model.with_metadata(threshold=cusum)
    # As after `fit`: scores seen since then are no part of the rule.
    assert kept.threshold == fresh
    alarms = threshold_from_state(kept.threshold).apply(scores)
    np.testing.assert_array_equal(alarms, cusum.apply(scores))
    with pytest.raises(ValueError, match="CusumThreshold: call fit before it is used"):
        model.with_metadata(threshold=CusumThreshold())

"""Detectors with networks: trained as by hand, repeatable, scored without torch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
from sklearn.exceptions import NotFittedError  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import slidecell as sc  # noqa: E402
from slidecell.detect import AutoencoderDetector, ForecastDetector  # noqa: E402
from slidecell.scaling import apply_scaler, fit_scaler  # noqa: E402
from slidecell.training import Autoencoder, Forecaster, fit, seeded  # noqa: E402
from tests.detectors import NETWORKS, make, series  # noqa: E402

OFFSETS = np.arange(6) * 30  # five entities


PLAIN = {"scaler": None, "reduction": "mse"}  # calibrated errors are scaled ones


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def by_hand(module: Any, train: tuple[Any, Any], held: tuple[Any, Any]) -> sc.SequenceModel:
    scaler = fit_scaler(train[0], "minmax")
    fit(
        module,
        apply_scaler(scaler, train[0]),
        train[1],
        epochs=2,
        patience=5,
        validation=(apply_scaler(scaler, held[0]), held[1]),
        seed=3,
        progress=False,
    )
    return sc.SequenceModel.from_torch(module).with_metadata(scaler=scaler)


def test_forecaster_trains_as_by_hand_and_holds_out_whole_entities() -> None:
    X = series(150) * np.repeat([1.0, 1.0, 5.0, 1.0, 1.0], 30)[:, None]
    detector = make("forecast", epochs=2, random_state=3, reduction="mse").fit(X, offsets=OFFSETS)
    held = detector.history_.validation_rows
    per_entity = held.reshape(5, 30)
    assert (per_entity.all(axis=1) | ~per_entity.any(axis=1)).all()
    assert per_entity.any(axis=1).sum() == 1
    parts = [(X[mask], np.arange(mask.sum() // 30 + 1) * 30) for mask in (~held, held)]
    with seeded(3):
        model = by_hand(Forecaster(3, 3, window=4), *parts)
    assert same(detector.decision_scores_, model.score(X, OFFSETS).astype(np.float64))
    assert detector.model_.scaler == model.scaler  # of the rows that train


def test_autoencoder_trains_as_by_hand_and_holds_out_the_last_part() -> None:
    X = series(100)
    detector = AutoencoderDetector(4, (3, 2), (2, 3), epochs=2, random_state=3, activation="relu")
    held = detector.fit(X).history_.validation_rows
    assert held.tolist() == [False] * (100 - held.sum()) + [True] * held.sum()
    assert detector.history_.validation_windows == round(0.2 * 97)
    parts = [(X[mask], np.array([0, mask.sum()])) for mask in (~held, held)]
    with seeded(3):
        model = by_hand(Autoencoder(3, (3, 2), (2, 3), window=4, activation="relu"), *parts)
    assert same(detector.decision_scores_, model.score(X).astype(np.float64))
    assert same(detector.encode(X), model.encode(X))
    errors = detector.feature_scores(X)
    assert same(errors, model.score(X, per_feature=True).astype(np.float64))


@pytest.mark.parametrize("kind", NETWORKS)
def test_same_seed_gives_identical_scores(kind: str) -> None:
    X = series(150)
    runs = [
        make(kind, random_state=seed, epochs=2, dropout=0.2).fit(X, offsets=OFFSETS)
        for seed in (7, 7, 8)
    ]
    assert same(runs[0].decision_scores_, runs[1].decision_scores_)
    assert not same(runs[0].decision_scores_, runs[2].decision_scores_)
    drawn = [
        make(kind, random_state=np.random.RandomState(1)).fit(X).decision_scores_ for _ in range(2)
    ]
    assert same(*drawn)


@pytest.mark.parametrize("kind", NETWORKS)
def test_fit_is_quiet_and_leaves_no_trace(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
    X = series()
    copy = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(kind, num_threads=threads + 1).fit(X).predict(X)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002
    assert np.array_equal(X, copy)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("kind", [*NETWORKS, "random_gru"])
def test_scoring_calls_no_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = series()
    detector = make(kind).fit(X)
    expected = detector.decision_scores_

    class NoTorch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, *_: Any, **__: Any) -> Any:
            raise AssertionError(f"torch was called: {func}")

    def no_module(self: Any, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"a module was called: {self}")

    monkeypatch.setattr(torch.nn.Module, "__call__", no_module)
    with NoTorch():
        with pytest.raises(AssertionError, match="torch was called"):
            torch.zeros(1)
        scores = detector.score_samples(X)
        detector.predict(X)
        detector.encode(X)
        if kind != "random_gru":
            detector.feature_scores(X)
    assert same(scores, expected)


def test_columns_constant_in_the_training_rows_are_constant() -> None:
    X = series(100)
    X[:77, 1] = 2.0  # varies in the part held out alone
    detector = make("forecast").fit(X)
    assert detector.constant_features_ == [1]
    assert detector.model_.scaler["scale"][1] == 1.0
    X[:77] = 2.0
    with pytest.raises(ValueError, match="X: all columns are constant"):
        make("forecast").fit(X)


@pytest.mark.parametrize("kind", NETWORKS)
def test_mahalanobis_takes_its_statistics_from_rows_held_out(kind: str) -> None:
    X = series(100)
    plain = make(kind, epochs=2, reduction="mse").fit(X)
    detector = make(kind, epochs=2, reduction="mahalanobis").fit(X)
    held = detector.history_.validation_rows
    model = plain.model_.fit_error(X[held], reduction="mahalanobis")
    assert detector.model_.metadata["error"] == model.metadata["error"]
    assert same(detector.decision_scores_, model.score(X, reduction="mahalanobis").astype(float))
    assert detector.feature_reduction is None
    with pytest.raises(ValueError, match="feature_scores: reduction='mahalanobis' has none"):
        detector.feature_scores(X)
    with pytest.raises(ValueError, match="'mahalanobis' takes its statistics from rows held out"):
        make(kind, reduction="mahalanobis", validation=0).fit(X)


@pytest.mark.parametrize("option", [{"reduction": "mae"}, {"aggregate": "last"}])
def test_score_options_are_those_of_the_model(option: dict[str, str]) -> None:
    X = series(100)
    detector = make("autoencoder", **option).fit(X)
    assert same(detector.decision_scores_, detector.model_.score(X, **option).astype(float))
    np.testing.assert_allclose(
        detector.feature_scores(X).mean(axis=1), detector.decision_scores_, rtol=1e-6
    )
    # A threshold in the model's file is for scores that its readers compute.
    model = detector.model_
    if "aggregate" in option:
        assert (model.threshold, model.reduction) == (None, None)
    else:
        assert (model.threshold["value"], model.reduction) == (detector.threshold_, "mae")


def test_the_model_carries_the_threshold_for_streams() -> None:
    X = series(100)
    detector = make("forecast", contamination=0.1).fit(X)
    assert detector.model_.threshold["value"] == detector.threshold_
    monitor = sc.Monitor.from_model(detector.model_)
    alarms = [monitor.push(row).alarm for row in X]
    assert alarms == detector.labels_.astype(bool).tolist()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("forecast", {"cell": "gru", "reset_after": False, "hidden_size": (4, 3), "dropout": 0.1}),
        ("forecast", {"bidirectional": True, "horizon": 3, "head_dropout": 0.1, **PLAIN}),
        ("forecast", {"proj_size": 2, "num_layers": 2, "scaler": "robust"}),
        ("forecast", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
        ("autoencoder", {"window": 1, "activation": "relu", "single_bias": True}),
        ("autoencoder", {"cell": "gru", "bidirectional": True, "aggregate": "mean"}),
        ("autoencoder", {"loss": "mae", "optimizer": "rmsprop", "clip_grad_norm": 1.0}),
        ("forecast", {"validation": 0, "patience": 5, "batch_size": 7}),
    ],
)
def test_every_network_fits_and_continues_its_training(kind: str, options: dict[str, Any]) -> None:
    X = series(100)
    detector = make(kind, **options).fit(X)
    first = detector.decision_scores_
    assert np.isfinite(first).sum() > 80
    assert not same(detector.fit(X, warm_start=True).decision_scores_, first)


def test_defaults_are_those_of_the_design() -> None:
    for detector in (ForecastDetector(), AutoencoderDetector()):
        chosen = detector.get_params()
        assert (chosen["epochs"], chosen["patience"], chosen["batch_size"]) == (50, 5, None)
        assert (chosen["window"], chosen["scaler"]) == (32, "minmax")
        assert (chosen["contamination"], chosen["threshold"]) == (None, None)
        assert chosen["progress"] is False
    X = series(2000, 1)
    assert make("forecast").fit(X).history_.batch_size == 32
    with pytest.raises(AttributeError, match="no history_ before fit"):
        ForecastDetector().history_  # noqa: B018


@pytest.mark.parametrize("kind", NETWORKS)
def test_warm_start_keeps_scaler_and_features(kind: str) -> None:
    names = ["a", "b", "c"]
    old = pd.DataFrame(series(150), columns=names)
    new = pd.DataFrame(series(150, seed=1) * 3.0, columns=names)
    detector = make(kind, epochs=3).fit(old)
    scaler, weights = detector.model_.scaler, detector.model_.tensors
    before = detector.score_samples(new)
    detector.fit(new[["c", "b", "a"]], warm_start=True)
    assert detector.model_.scaler == scaler
    assert detector.model_.features == names
    assert detector.feature_names_in_.tolist() == names
    assert not same(detector.model_.tensors["head.weight"], weights["head.weight"])
    assert np.nanmean(detector.decision_scores_) < np.nanmean(before)
    assert len(detector.decision_scores_) == 150
    # Cold again: as if nothing had been before.
    again = detector.fit(old)
    assert same(again.decision_scores_, make(kind, epochs=3).fit(old).decision_scores_)


@pytest.mark.parametrize("kind", NETWORKS)
def test_warm_start_refuses_another_network_or_other_features(kind: str) -> None:
    X = series()
    with pytest.raises(NotFittedError):
        make(kind).fit(X, warm_start=True)
    detector = make(kind).fit(X)
    scores = detector.decision_scores_
    with pytest.raises(ValueError, match=r"X: expected \[S, 3\]"):
        detector.fit(X[:, :2], warm_start=True)
    with pytest.raises(ValueError, match="warm_start: the parameters describe another network"):
        detector.set_params(window=5).fit(X, warm_start=True)
    with pytest.raises(ValueError, match="warm_start: the parameters describe another network"):
        detector.set_params(window=4, cell="gru").fit(X, warm_start=True)
    assert same(detector.score_samples(X), scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window: expected an integer >= 1, got 0"),
        ({"scaler": "max"}, "scaler: expected one of 'minmax', 'standard', 'robust', None"),
        ({"reduction": "rmse"}, "reduction: expected one of 'mse', 'mae', 'mahalanobis'"),
        ({"precision": "lowest"}, "precision: expected one of"),
        ({"epochs": 0}, "epochs: expected an integer >= 1, got 0"),
        ({"cell": "cnn"}, "cell: expected one of 'lstm', 'gru', 'rnn', got 'cnn'"),
        ({"validation": 1.0}, "validation: expected a number >= 0 and < 1"),
        ({"lr": 0.0}, "lr: expected a finite number > 0"),
    ],
)
@pytest.mark.parametrize("kind", NETWORKS)
def test_bad_parameters_are_named_at_fit(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind, **options).fit(series())


def test_bad_parameters_of_one_kind_are_named() -> None:
    with pytest.raises(ValueError, match="horizon: expected an integer >= 1, got 0"):
        make("forecast", horizon=0).fit(series())
    with pytest.raises(ValueError, match="aggregate: expected one of 'window', 'last', 'mean'"):
        make("autoencoder", aggregate="first").fit(series())


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="X: 3 windows of 5 rows are too few to hold out valid"):
        make("forecast").fit(series(7))
    make("forecast", validation=0).fit(series(7))
    X = series(60)
    X[::3] = np.nan
    with pytest.raises(ValueError, match="X: all 56 windows of 5 rows have a missing value"):
        make("forecast").fit(X)

"""Architecture search: the same windows for all, the lowest validation loss wins."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from slidecell.detect import (  # noqa: E402
    INSIDER_THREAT_ARCHITECTURES,
    ArchitectureSearch,
    search_architectures,
)
from slidecell.scaling import apply_scaler, fit_scaler  # noqa: E402
from slidecell.training import Forecaster, History, TrainingInterrupted, fit  # noqa: E402

TINY: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 3},
    "gru": {"cell": "gru", "hidden_size": 6},
    "deep": {"hidden_size": (5, 4), "dropout": 0.2},
}
OFFSETS = [0, 40, 90, 150, 180]


def series() -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(180)
    return np.stack([np.sin(t / 3), np.cos(t / 5)], axis=1) + rng.normal(0, 0.1, (180, 2))


def search(configs: Any = None, **options: Any) -> ArchitectureSearch:
    given = {"window": 5, "epochs": 2, "batch_size": 16, "seed": 3, "progress": False} | options
    return search_architectures(configs or TINY, series(), OFFSETS, **given)


def test_every_result_is_that_of_fit_and_the_lowest_loss_wins() -> None:
    found = search()
    assert [row.name for row in found.results] == list(TINY)
    for row in found.results:
        module = Forecaster(2, window=5, **TINY[row.name])
        history = fit(module, series(), OFFSETS, epochs=2, batch_size=16, seed=3, progress=False)
        best = history.best_epoch - 1
        assert row.config == TINY[row.name]
        assert row.parameters == sum(p.numel() for p in module.parameters())
        assert (row.train_loss, row.validation_loss) == (
            history.train_loss[best],
            history.validation_loss[best],
        )
        assert (row.epochs, row.best_epoch) == (2, history.best_epoch)
        assert (row.training_windows, row.validation_windows) == (
            history.training_windows,
            history.validation_windows,
        )
        assert row.seconds > 0
        assert not row.failure
    losses = [row.validation_loss for row in found.results]
    assert found.best is found.results[int(np.argmin(losses))]
    module = Forecaster(2, window=5, **TINY[found.best.name])
    fit(module, series(), OFFSETS, epochs=2, batch_size=16, seed=3, progress=False)
    expected = sc.SequenceModel.from_torch(module)
    for name, tensor in expected.tensors.items():
        np.testing.assert_array_equal(found.model.tensors[name], tensor)


def test_processes_give_the_same_results() -> None:
    configs = {name: TINY[name] for name in ("small", "gru")}
    told: list[str] = []
    serial = search(configs)
    parallel = search(configs, n_jobs=2, progress=lambda row: told.append(row.name))
    assert told == list(configs)
    assert parallel.best.name == serial.best.name
    for ours, theirs in zip(parallel.results, serial.results, strict=True):
        assert ours.history is not None
        assert theirs.history is not None
        assert ours.history.train_loss == theirs.history.train_loss
        assert ours.history.validation_loss == theirs.history.validation_loss
    for name, tensor in serial.model.tensors.items():
        np.testing.assert_array_equal(parallel.model.tensors[name], tensor)


def test_autoencoders_and_a_series_of_its_own_to_validate_on() -> None:
    rows = series()
    found = search_architectures(
        {"small": {"encoder_sizes": (3,), "decoder_sizes": (3,)}, "as it comes": {}},
        rows[:120],
        window=4,
        horizon=0,
        validation=(rows[120:], None),
        epochs=1,
        seed=0,
        progress=False,
    )
    assert found.model.horizon == 0
    assert {row.validation_windows for row in found.results} == {57}
    assert {row.training_windows for row in found.results} == {117}


def test_scaler_is_applied_and_kept() -> None:
    raw = series() * 50 + 7
    scaler = fit_scaler(raw, "minmax")
    arguments: dict[str, Any] = {"window": 5, "epochs": 1, "seed": 0, "progress": False}
    one = {"small": TINY["small"]}
    found = search_architectures(one, raw, OFFSETS, scaler=scaler, **arguments)
    scaled = search_architectures(one, apply_scaler(scaler, raw), OFFSETS, **arguments)
    assert found.model.scaler == scaler
    assert found.best.validation_loss == scaled.best.validation_loss
    with_validation = search_architectures(
        one, raw, OFFSETS, scaler=scaler, **arguments, validation=(raw[:60], None)
    )
    assert 0 < with_validation.best.validation_loss < 1  # of scaled rows


def test_a_training_that_diverges_is_named_and_never_picked() -> None:
    # Linear cells at a huge rate overflow; a bounded cell with the same rate does not.
    configs = {
        "linear": {"hidden_size": 8, "activation": "linear"},
        "tanh": {"hidden_size": 2},
    }
    found = search(configs, lr=1e15, epochs=2)
    linear, tanh = found.results
    assert math.isnan(linear.validation_loss)
    assert "not finite" in linear.failure
    assert linear.history is None
    assert found.best is tanh
    assert linear.to_dict()["validation_loss"] is None
    json.dumps([row.to_dict() for row in found.results], allow_nan=False)
    with pytest.raises(ValueError, match=r"none converged; 'linear': .*not finite"):
        search({"linear": configs["linear"]}, lr=1e15)


def test_results_as_a_frame() -> None:
    pytest.importorskip("pandas")
    found = search({"small": TINY["small"]}, epochs=1)
    frame = found.to_frame()
    assert list(frame.index) == ["small"]
    assert frame.loc["small", "validation_loss"] == found.best.validation_loss
    assert "history" not in frame


def test_insider_threat_architectures_are_the_five_published() -> None:
    sizes = {
        name: sum(p.numel() for p in Forecaster(7, window=7, **config).parameters())
        for name, config in INSIDER_THREAT_ARCHITECTURES.items()
    }
    # 4 (or 3) gates of H rows: I + H weights and two biases each, and the head.
    lstm64, gru64 = 4 * 64 * (7 + 64 + 2), 3 * 64 * (7 + 64 + 2)
    head64 = 7 * 65
    assert sizes == {
        "baseline LSTM": lstm64 + head64,
        "GRU": gru64 + head64,
        "deep LSTM": lstm64 + 4 * 64 * (64 + 64 + 2) + head64,
        "light LSTM": 4 * 16 * (7 + 16 + 2) + 7 * 17,
        "large LSTM": 4 * 128 * (7 + 128 + 2) + 7 * 129,
    }
    assert INSIDER_THREAT_ARCHITECTURES["deep LSTM"]["dropout"] == 0.2


def test_global_state_stays() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    search({"small": TINY["small"]}, epochs=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("configs", "options", "error", "text"),
    [
        ({}, {}, ValueError, "configs: expected a mapping with at least one"),
        ([TINY], {}, ValueError, "configs: expected a mapping with at least one"),
        ({"a": 3}, {}, TypeError, r"configs\['a'\]: expected a mapping of arguments, got int"),
        ({"a": {"window": 3}}, {}, ValueError, r"configs\['a'\]: window is the same for all"),
        ({"b": {"hidden_size": 0}}, {}, ValueError, r"configs\['b'\]: hidden_size: expected"),
        ({"b": {"units": 3}}, {}, TypeError, r"configs\['b'\]: .*'units'"),
        (TINY, {"validation": 0.0}, ValueError, "validation: expected a share above 0"),
        (TINY, {"n_jobs": 0}, ValueError, "n_jobs: expected an integer >= 1, got 0"),
        (TINY, {"num_threads": 0}, ValueError, "num_threads: expected an integer >= 1, got 0"),
        (TINY, {"window": 200}, ValueError, "series: expected at least one window of 201"),
    ],
)
def test_bad_arguments_are_refused(
    configs: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    given = {"window": 5, "epochs": 1, "progress": False} | options
    with pytest.raises(error, match=text):
        search_architectures(configs, series(), OFFSETS, **given)


def test_interrupts_cross_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(TrainingInterrupted(History(train_loss=[0.5]))))
    assert error.history.epochs == 1

"""`to_module` is the inverse of `from_torch`, bit for bit, or says why it cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from slidecell.convert import to_metadata  # noqa: E402
from slidecell.training import Autoencoder, Forecaster, fit, to_module  # noqa: E402
from tests.models import layer, random_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")

MODULES = {
    "lstm": lambda: Forecaster(4, 9, window=5),
    "64-32": lambda: Forecaster(4, (64, 32), window=9, horizon=2),
    "targets": lambda: Forecaster(4, 6, 2, window=5, horizon=3, targets=(3, 1)),
    "gru": lambda: Forecaster(4, (7, 5), cell="gru", window=6, bidirectional=True),
    "gru before": lambda: Forecaster(4, 8, 2, cell="gru", window=6, reset_after=False),
    "projected": lambda: Forecaster(4, 9, 2, window=6, proj_size=5, bidirectional=True),
    "single bias": lambda: Forecaster(4, 8, 2, cell="gru", window=6, single_bias=True),
    "hard_sigmoid": lambda: Forecaster(
        4, 8, window=6, recurrent_activation="hard_sigmoid", activation="sigmoid"
    ),
    "autoencoder": lambda: Autoencoder(4, (16, 8), (8, 16), window=6),
    "card fraud": lambda: Autoencoder(29, window=1, activation="relu", single_bias=True),
    "autoencoder gru": lambda: Autoencoder(
        4, (6, 5), (5,), cell="gru", window=7, bidirectional=True, activation="linear"
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_round_trip_is_exact(name: str) -> None:
    torch.manual_seed(0)
    original = MODULES[name]()
    model = sc.SequenceModel.from_torch(original).with_metadata(extra={"note": 1})
    module = to_module(model)
    assert type(module) is type(original)
    assert not module.training
    for attribute in ("window", "horizon", "single_bias", "code_size", "targets"):
        assert getattr(module, attribute) == getattr(original, attribute)
    assert list(map(repr, module.encoder)) == list(map(repr, original.encoder))
    assert list(map(repr, module.decoder)) == list(map(repr, original.decoder))
    state = module.state_dict()
    assert list(state) == list(original.state_dict())
    for key, value in original.state_dict().items():
        assert torch.equal(state[key], value), key
    metadata, tensors = to_metadata(module)
    assert metadata == {**model.metadata, "extra": {}}
    assert tensors.keys() == model.tensors.keys()
    assert all(np.array_equal(tensors[key], value) for key, value in model.tensors.items())


def test_model_without_biases_gets_one_of_zeros() -> None:
    rng = np.random.default_rng(0)
    model = sc.SequenceModel(*random_model(rng, [layer("lstm", 5)], bias=False))
    module = to_module(model)
    assert module.single_bias
    assert not module.encoder[0].bias_ih_l0.any()
    assert not module.head.bias.any()
    series = rng.random((30, 3))
    again = sc.SequenceModel.from_torch(module)
    np.testing.assert_array_equal(again.score(series), model.score(series))


def test_dropout_is_what_is_asked_for_and_training_goes_on() -> None:
    rng = np.random.default_rng(0)
    series = rng.random((80, 3))
    first = Forecaster(3, (6, 4), window=4, dropout=0.2)
    fit(first, series, epochs=1, seed=0, progress=False)
    module = to_module(sc.SequenceModel.from_torch(first), dropout=0.2, head_dropout=0.1)
    assert (module.dropout, module.head_dropout) == (0.2, 0.1)
    history = fit(module, series, epochs=2, warm_start=True, seed=0, progress=False)
    assert history.epochs == 2
    assert not torch.equal(module.head.weight, first.head.weight)


def test_module_does_not_share_memory_with_the_model_nor_draw_numbers() -> None:
    model = sc.SequenceModel.from_torch(Forecaster(3, 4, window=3))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    module = to_module(model)
    assert torch.equal(torch.rand(1), expected)
    before = model.tensors["head.weight"]
    with torch.no_grad():
        module.head.weight.zero_()
    np.testing.assert_array_equal(model.tensors["head.weight"], before)


@pytest.mark.parametrize(
    ("encoder", "decoder", "text"),
    [
        ([layer("lstm", 6), layer("gru", 6)], None, "same cell .*, got lstm, gru"),
        (
            [layer("lstm", 6), layer("lstm", 6, bidirectional=True)],
            None,
            "same bidirectional .*, got False, True",
        ),
        (
            [layer("lstm", 6, activation="relu")],
            [layer("lstm", 6)],
            "same activation .*, got relu, tanh",
        ),
        (
            [layer("lstm", 9, proj_size=5), layer("lstm", 6, proj_size=3)],
            None,
            "same proj_size .*, got 5, 3",
        ),
        (
            [layer("lstm", 6, proj_size=3)],
            [layer("lstm", 6, proj_size=3)],
            "autoencoder without projections",
        ),
    ],
)
def test_models_that_no_module_equals_are_refused(
    encoder: list[dict[str, Any]], decoder: list[dict[str, Any]] | None, text: str
) -> None:
    model = sc.SequenceModel(*random_model(np.random.default_rng(0), encoder, decoder))
    with pytest.raises(ValueError, match=f"model: expected .*{text}"):
        to_module(model)


def test_head_dropout_of_an_autoencoder() -> None:
    model = sc.SequenceModel.from_torch(Autoencoder(3, window=4))
    with pytest.raises(ValueError, match=r"head_dropout: expected 0 for an autoencoder, got 0\.1"):
        to_module(model, head_dropout=0.1)

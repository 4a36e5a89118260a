"""Conversion of torch modules: the same numbers, or an error that says what does not fit."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from slidecell.convert import check_against, to_metadata  # noqa: E402
from slidecell.training import Autoencoder, Forecaster  # noqa: E402
from tests.reference import encode_reference, predict_reference  # noqa: E402

# float32 against float64 at torch's initialisation.
TOLERANCE = 2e-6

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")


class UserForecaster(torch.nn.Module):
    """One recurrent module and one head on its last step, as people write it."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        kind: str = "LSTM",
        out_features: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            batch_first=True,
            **options,
        )
        size = (options.get("proj_size") or hidden_size) * (2 if self.rnn.bidirectional else 1)
        self.fc = torch.nn.Linear(size, out_features or input_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(x)
        return self.fc(out[:, -1, :])


class BothDirections(UserForecaster):
    """Reads both directions' final h."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = self.rnn(x)[1]
        h = state[0] if isinstance(state, tuple) else state
        return self.fc(torch.cat((h[-2], h[-1]), dim=1))


class ReferenceModel:
    """What `check_against` asks of a model, computed in float64."""

    def __init__(self, metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        self.metadata, self.tensors = metadata, tensors
        self.window, self.horizon = metadata["window"], metadata["horizon"]
        self.input_size = metadata["encoder"][0]["input_size"]
        targets = metadata["targets"]
        self.num_targets = self.input_size if targets is None else len(targets)

    def predict(self, series: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return predict_reference(self.metadata, self.tensors, series, offsets)


FIVE_ARCHITECTURES = {
    "lstm 64": {"hidden_size": 64},
    "gru 64": {"hidden_size": 64, "kind": "GRU"},
    "lstm 64x2": {"hidden_size": 64, "num_layers": 2, "dropout": 0.2},
    "lstm 16": {"hidden_size": 16},
    "lstm 128": {"hidden_size": 128},
}
OURS = {
    "forecaster 64-32": lambda: Forecaster(4, (64, 32), window=9, dropout=0.2, head_dropout=0.2),
    "horizon and targets": lambda: Forecaster(4, 9, window=5, horizon=3, targets=(3, 1)),
    "gru bidirectional": lambda: Forecaster(
        4, (7, 5), cell="gru", window=6, bidirectional=True, horizon=2
    ),
    "lstm projected": lambda: Forecaster(4, 9, 2, window=6, proj_size=5, bidirectional=True),
    "gru before": lambda: Forecaster(4, 8, 2, cell="gru", window=6, reset_after=False),
    "single bias": lambda: Forecaster(4, 8, 2, window=6, single_bias=True),
    "gru single bias": lambda: Forecaster(4, 8, cell="gru", window=6, single_bias=True),
    "hard_sigmoid": lambda: Forecaster(
        4, 8, window=6, recurrent_activation="hard_sigmoid", activation="sigmoid"
    ),
    "autoencoder": lambda: Autoencoder(4, (16, 8), (8, 16), window=6, dropout=0.1),
    "card fraud": lambda: Autoencoder(29, window=1, activation="relu", single_bias=True),
    "autoencoder gru": lambda: Autoencoder(
        4, (6, 5), (5,), cell="gru", window=7, bidirectional=True, activation="relu"
    ),
    "linear": lambda: Autoencoder(4, (6,), (6,), window=3, activation="linear"),
}


def rows(module: torch.nn.Module, length: int, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Series of `count` entities with one window each, and offsets."""
    size = getattr(module, "input_size", None) or module.rnn.input_size
    series = np.random.default_rng(1).random((count * length, size), dtype=np.float32)
    return series, np.arange(count + 1) * length


def assert_same(module: torch.nn.Module, window: int, horizon: int, /, **arguments: Any) -> None:
    """The float64 twin and the compiled model both answer as the module does."""
    metadata, tensors = to_metadata(module, **arguments)
    assert (metadata["window"], metadata["horizon"]) == (window, horizon)
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    check_against(module, ReferenceModel(metadata, tensors))
    model = sc.SequenceModel.from_torch(module, **arguments)
    length = window + horizon
    series, offsets = rows(module, length)
    x = torch.from_numpy(series.reshape(-1, length, series.shape[1])[:, :window].copy())
    module.eval()
    with torch.no_grad():
        expected = module(x).numpy()
    for answer in (
        predict_reference(metadata, tensors, series, offsets),
        model.predict(series, offsets),
    ):
        got = answer.reshape(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)
    if hasattr(module, "encode"):
        with torch.no_grad():
            code = module.encode(x).numpy()
        for answer in (
            encode_reference(metadata, tensors, series, offsets),
            model.encode(series, offsets),
        ):
            np.testing.assert_allclose(answer, code, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", FIVE_ARCHITECTURES)
def test_insider_threat_architectures_convert_to_the_same_numbers(name: str) -> None:
    torch.manual_seed(0)
    module = UserForecaster(7, **FIVE_ARCHITECTURES[name])
    assert_same(module, 7, 1, window=7)


@pytest.mark.parametrize("name", OURS)
def test_modules_of_slidecell_convert_to_the_same_numbers(name: str) -> None:
    torch.manual_seed(0)
    module = OURS[name]()
    assert_same(module, module.window, module.horizon)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_modules_of_users_convert_to_the_same_numbers(
    kind: str, num_layers: int, bias: bool
) -> None:
    torch.manual_seed(0)
    module = UserForecaster(3, 9, num_layers, kind=kind, bias=bias, out_features=6)
    assert_same(module, 5, 2, window=5, horizon=2)
    both = BothDirections(3, 9, num_layers, kind=kind, bias=bias, bidirectional=True)
    assert_same(both, 5, 1, window=5)


def test_user_module_with_projection_and_headless_bias() -> None:
    torch.manual_seed(0)
    module = UserForecaster(3, 9, 2, proj_size=4)
    module.fc = torch.nn.Linear(4, 3, bias=False)
    assert_same(module, 5, 1, window=5)


def test_layers_of_a_stack_are_named_as_one_layer_modules() -> None:
    metadata, tensors = to_metadata(
        BothDirections(3, 5, 2, bidirectional=True, dropout=0.1), window=4
    )
    kinds = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    assert set(tensors) == {
        *(f"encoder.{n}.{k}{d}" for n in (0, 1) for k in kinds for d in ("", "_reverse")),
        "head.weight",
        "head.bias",
    }
    assert [layer["input_size"] for layer in metadata["encoder"]] == [3, 10]
    assert tensors["encoder.1.weight_ih_l0"].shape == (20, 10)


def test_metadata_of_a_forecaster() -> None:
    module = Forecaster(3, 5, cell="gru", window=4, horizon=2, targets=(2,), reset_after=False)
    metadata, tensors = to_metadata(module)
    layer = {
        "cell": "gru",
        "input_size": 3,
        "hidden_size": 5,
        "proj_size": 0,
        "bidirectional": False,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "reset_after": False,
    }
    assert metadata == {
        "format": 1,
        "window": 4,
        "horizon": 2,
        "encoder": [layer],
        "decoder": [],
        "features": None,
        "targets": [2],
        "scaler": None,
        "error": None,
        "smoothing": None,
        "threshold": None,
        "extra": {},
    }
    assert tensors["head.weight"].shape == (2, 5)


def test_single_bias_is_written_as_two() -> None:
    _, tensors = to_metadata(Autoencoder(3, window=2, single_bias=True, activation="relu"))
    assert not tensors["decoder.1.bias_hh_l0"].any()
    assert tensors["decoder.1.bias_ih_l0"].any()


def test_tensors_are_copies() -> None:
    module = Forecaster(3, 5, window=4)
    _, tensors = to_metadata(module)
    before = copy.deepcopy(tensors)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert all(np.array_equal(tensor, before[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_cast(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = UserForecaster(3, 5).to(dtype)
    model = sc.SequenceModel.from_torch(module, window=4)
    assert module.fc.weight.dtype == dtype
    series, offsets = rows(module, 5)
    x = torch.from_numpy(series.reshape(-1, 5, 3)[:, :4].copy())
    with torch.no_grad():
        expected = copy.deepcopy(module).float()(x).numpy()
    np.testing.assert_allclose(model.predict(series, offsets)[:, 0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("training", [True, False])
def test_conversion_leaves_the_training_flags_alone(training: bool) -> None:
    module = UserForecaster(3, 5, 2, dropout=0.5).train(training)
    module.fc.train(not training)  # a part may differ from the whole
    sc.SequenceModel.from_torch(module, window=4)
    assert (module.training, module.rnn.training, module.fc.training) == (
        training,
        training,
        not training,
    )


def test_modules_that_compute_something_else_are_refused_by_the_node() -> None:
    torch.manual_seed(0)
    # The backward direction of out[:, -1] has seen the last row only.
    with pytest.raises(ValueError, match=r"'lstm of rnn' is bidirectional and read at row 3"):
        sc.SequenceModel.from_torch(UserForecaster(3, 5, bidirectional=True), window=4)

    class FirstStep(UserForecaster):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0][:, 0])

    class Residual(UserForecaster):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + x[:, -1]

    with pytest.raises(ValueError, match="'lstm of rnn' is read at row 0 of the window; read its"):
        sc.SequenceModel.from_torch(FirstStep(3, 5), window=4)
    with pytest.raises(ValueError, match="'add' reads row 3 alone, not h of a layer; leave the sk"):
        sc.SequenceModel.from_torch(Residual(3, 5), window=4)


def test_a_model_that_differs_from_its_module_is_refused_with_the_difference() -> None:
    torch.manual_seed(0)
    module = UserForecaster(3, 5)
    metadata, tensors = to_metadata(module, 4)
    tensors["head.bias"][1] += 0.001
    with pytest.raises(ValueError, match=r"differ from the layers .* by 0\.001 on random windows"):
        check_against(module, ReferenceModel(metadata, tensors))


def test_modules_with_outputs_of_another_shape_are_refused() -> None:
    class EveryStep(UserForecaster):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0])

    class Pair(UserForecaster):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x), None

    class Fails(UserForecaster):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x[:, :, :2])

    with pytest.raises(ValueError, match=r"'linear of fc' answers at every row of the window"):
        sc.SequenceModel.from_torch(EveryStep(3, 5), window=4)
    with pytest.raises(ValueError, match="one prediction, or mean and log variance, got 2 values"):
        sc.SequenceModel.from_torch(Pair(3, 5), window=4)
    with pytest.raises(ValueError, match=r"module: it fails on x \[32, 4, 3\]: "):
        sc.SequenceModel.from_torch(Fails(3, 5), window=4)


def test_sizes_that_do_not_fit_are_refused() -> None:
    module = UserForecaster(3, 5)
    with pytest.raises(ValueError, match=r"window: expected the number of rows .* got None"):
        to_metadata(module)
    with pytest.raises(ValueError, match="window: expected an integer >= 1, got 0"):
        to_metadata(module, 0)
    with pytest.raises(ValueError, match=r"out_features=6 .*, got 3; pass horizon=1"):
        to_metadata(module, 4, 2)
    with pytest.raises(ValueError, match=r"out_features=3 .*, got 2; pass targets=\[\.\.\.\]"):
        to_metadata(UserForecaster(3, 5, out_features=2), 4)
    module.fc = torch.nn.Linear(6, 3)
    with pytest.raises(ValueError, match=r"module: it fails on x \[32, 4, 3\]: mat1 and mat2"):
        to_metadata(module, 4)
    with pytest.raises(ValueError, match="window: expected 4, the module's own, got 5"):
        to_metadata(Forecaster(3, 5, window=4), 5)
    with pytest.raises(ValueError, match="horizon: expected 0, the module's own, got 1"):
        to_metadata(Autoencoder(3, window=4), None, 1)


def test_weights_that_are_not_finite_are_refused() -> None:
    module = UserForecaster(3, 5, 2)
    with torch.no_grad():
        module.rnn.bias_hh_l1[3] = float("nan")
    with pytest.raises(ValueError, match=r"encoder\.1\.bias_hh_l0: expected finite weights"):
        to_metadata(module, 4)
    ours = Forecaster(3, 5, window=4).double()
    with torch.no_grad():
        ours.head.weight[0, 0] = 1e200  # infinite in float32
    with pytest.raises(ValueError, match=r"head\.weight: expected finite weights"):
        to_metadata(ours)


def test_modules_of_other_parts_are_refused() -> None:
    for bare, name in (
        (torch.nn.LSTM(3, 5), "LSTM"),
        (torch.nn.GRU(3, 5), "GRU"),
        (torch.nn.LSTMCell(3, 5), "LSTM"),
        (torch.nn.GRUCell(3, 5), "GRU"),
    ):
        with pytest.raises(TypeError, match=rf"use slidecell\.{name}\.from_torch"):
            to_metadata(bare, 4)
    with pytest.raises(TypeError, match="module: expected a torch module, got dict"):
        to_metadata({}, 4)
    with pytest.raises(TypeError, match=r"an nn\.LSTM, nn\.GRU or nn\.RNN, got Sequential"):
        to_metadata(torch.nn.Sequential(torch.nn.ReLU()), 4)


def test_parts_that_compute_nothing_do_not_count() -> None:
    torch.manual_seed(0)
    module = UserForecaster(3, 5)
    module.norm = torch.nn.BatchNorm1d(3)
    module.offset = torch.nn.Parameter(torch.ones(3))
    assert_same(module, 4, 1, window=4)


def test_modules_that_export_cannot_follow_are_read_by_their_parts() -> None:
    class Branches(UserForecaster):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() == 0.123:
                raise ValueError("no such windows")
            return super().forward(x)

    torch.manual_seed(0)
    assert_same(Branches(3, 5, 2), 4, 1, window=4)
    module = Branches(3, 5)
    module.norm = torch.nn.BatchNorm1d(3)
    text = r"torch\.export cannot follow it \(.*\), and .* Branches with .* norm: BatchNorm1d"
    with pytest.raises(ValueError, match=text):
        to_metadata(module, 4)
    module = Branches(3, 5)
    module.offset = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match="with weights in itself: Branches, rnn: LSTM"):
        to_metadata(module, 4)

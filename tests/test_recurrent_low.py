"""`forward` and `step` of layers at ``precision="low"``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slidecell as sc

KINDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "lstm": (sc.LSTM, {}),
    "gru": (sc.GRU, {}),
    "gru_before": (sc.GRU, {"reset_after": False}),
    "rnn": (sc.RNN, {}),
    "lstm_sigmoid": (sc.LSTM, {"activation": "sigmoid", "recurrent_activation": "hard_sigmoid"}),
}
INPUTS, H, LAYERS = 5, 13, 2


def layers_of(kind: str, **more: Any) -> Any:
    make, options = KINDS[kind]
    ours = make(INPUTS, H, LAYERS, **options, **more)
    rng = np.random.default_rng(3)
    gates = {sc.LSTM: 4, sc.GRU: 3, sc.RNN: 1}[make]
    state = {}
    directions = 2 if more.get("bidirectional") else 1
    for layer in range(LAYERS):
        for suffix in ("", "_reverse")[:directions]:
            size = INPUTS if layer == 0 else H * directions
            for name, shape in (
                ("weight_ih", (gates * H, size)),
                ("weight_hh", (gates * H, H)),
                ("bias_ih", (gates * H,)),
                ("bias_hh", (gates * H,)),
            ):
                state[f"{name}_l{layer}{suffix}"] = rng.uniform(-0.3, 0.3, shape)
    ours.load_state_dict(state)
    return ours


def states(ours: Any, N: int, directions: int = 1) -> Any:
    rng = np.random.default_rng(4)
    h = rng.uniform(-1, 1, (LAYERS * directions, N, H)).astype(np.float32)
    c = rng.uniform(-2, 2, h.shape).astype(np.float32)
    return (h, c) if isinstance(ours, sc.LSTM) else h


def parts(result: Any) -> list[np.ndarray]:
    """Every array of a result."""
    if isinstance(result, np.ndarray):
        return [result]
    return [array for part in result for array in parts(part)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_forward_is_near_the_exact_one(isa: str, kind: str, bidirectional: bool) -> None:
    ours = layers_of(kind, bidirectional=bidirectional)
    x = np.random.default_rng(0).random((20, 9, INPUTS), dtype=np.float32)
    options = {"lengths": np.arange(20) % 10}
    state = states(ours, 20, 2 if bidirectional else 1)
    exact = parts(ours.forward(x, state, **options))
    low = parts(ours.forward(x, state, precision="low", **options))
    for one, other in zip(exact, low, strict=True):
        assert 0.0 < np.abs(one - other).max() < 0.03
    for precision in ("high", "medium"):
        for one, other in zip(
            exact, parts(ours.forward(x, state, precision=precision, **options)), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("N", [1, 40])
def test_step_has_the_bits_of_forward(isa: str, kind: str, N: int) -> None:
    ours = layers_of(kind)
    x = np.random.default_rng(1).random((N, 6, INPUTS), dtype=np.float32)
    state = states(ours, N)
    out, last = ours.forward(x, state, precision="low")
    for t in range(6):
        state = ours.step(x[:, t], state, precision="low")
        h = state[0] if isinstance(state, tuple) else state
        np.testing.assert_array_equal(h[-1], out[:, t])
    for one, other in zip(parts(state), parts(last), strict=True):
        np.testing.assert_array_equal(one, other)
    alone = ours.forward(
        x[:1],
        tuple(s[:, :1] for s in states(ours, N))
        if isinstance(ours, sc.LSTM)
        else states(ours, N)[:, :1],
        precision="low",
    )
    np.testing.assert_array_equal(alone[0][0], out[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("N", [3, 40])
@pytest.mark.parametrize("value", [1.5, -1.01, np.nan])
def test_rows_whose_h0_exceeds_1_run_in_float32(isa: str, kind: str, N: int, value: float) -> None:
    ours = layers_of(kind)
    x = np.random.default_rng(2).random((N, 4, INPUTS), dtype=np.float32)
    state = states(ours, N)
    (state[0] if isinstance(state, tuple) else state)[1, 2, 7] = value
    others = np.arange(N) != 2

    def check(low: Any, exact: Any, within: Any, axis: int) -> None:
        for one, other, inner in zip(parts(low), parts(exact), parts(within), strict=True):
            np.testing.assert_array_equal(np.take(one, 2, axis), np.take(other, 2, axis))
            np.testing.assert_array_equal(
                np.compress(others, one, axis), np.compress(others, inner, axis)
            )

    within = states(ours, N)
    check(
        ours.step(x[:, 0], state, precision="low"),
        ours.step(x[:, 0], state),
        ours.step(x[:, 0], within, precision="low"),
        1,
    )
    low, exact = ours.forward(x, state, precision="low"), ours.forward(x, state)
    inner = ours.forward(x, within, precision="low")
    check(low[0], exact[0], inner[0], 0)
    check(low[1], exact[1], inner[1], 1)


def test_layers_that_codes_do_not_serve_run_in_float32() -> None:
    ours = sc.LSTM(2, 6, activation="relu", bias=False)
    rng = np.random.default_rng(5)
    ours.load_state_dict({"weight_ih": rng.random((24, 2)), "weight_hh": rng.random((24, 6))})
    x = rng.random((4, 5, 2))
    np.testing.assert_array_equal(ours.forward(x, precision="low")[0], ours.forward(x)[0])
    with pytest.raises(ValueError, match="precision: expected one of 'highest'"):
        ours.forward(x, precision="lowest")
    with pytest.raises(ValueError, match="precision: expected one of 'highest'"):
        ours.step(x[:, 0], precision="lowest")

"""LSTM, GRU and RNN against torch and against the float64 reference."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import slidecell as sc
from tests.reference import gru_forward, lstm_forward, rnn_forward

# Torch warns once that its projected LSTM is the slow one.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

# (hidden_size, input_size, T, N): each of the awkward sizes in each place at least once.
SIZES = [
    (1, 1, 1, 1), (1, 3, 100, 99), (2, 65, 9, 117), (3, 2, 2, 5), (2, 3, 7, 3), (7, 8, 9, 3),
    (8, 7, 3, 97), (9, 1, 8, 1), (15, 9, 15, 7), (16, 7, 7, 200), (16, 100, 64, 21),
    (17, 15, 16, 33), (31, 16, 17, 5), (32, 17, 31, 3), (33, 31, 1, 65), (63, 32, 33, 5),
    (64, 7, 7, 97), (64, 64, 65, 12), (65, 33, 32, 11), (100, 63, 63, 3), (100, 65, 2, 31),
]  # fmt: skip

KINDS = ("LSTM", "GRU", "RNN")
TOLERANCE = 1e-6  # max |h - torch's| at torch's initialisation and inputs in [0,1]


def torch_module(kind: str, *args: int, scale: float = 1.0, **options: Any) -> torch.nn.RNNBase:
    """Initialise as torch does, the same each time; then scale the weights."""
    torch.manual_seed(sum(args))
    module = getattr(torch.nn, kind)(*args, batch_first=True, **options)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(scale)
    return module


def torch_forward(module: Any, x: np.ndarray, state: Any = None) -> tuple[np.ndarray, tuple]:
    """Give out and the tuple of final states, as numpy."""
    if state is not None:
        state = tuple(torch.from_numpy(s) for s in state)
        state = state if isinstance(module, torch.nn.LSTM) else state[0]
    with torch.inference_mode():
        out, final = module(torch.from_numpy(x), state)
    final = final if isinstance(final, tuple) else (final,)
    return out.numpy(), tuple(s.numpy() for s in final)


def our_forward(ours: Any, x: np.ndarray, state: Any = None, **options: Any) -> tuple[Any, tuple]:
    if state is not None and not isinstance(ours, sc.LSTM):
        state = state[0]
    out, final = ours.forward(x, state, **options)
    return out, final if isinstance(final, tuple) else (final,)


def truth_forward(ours: Any, x: np.ndarray, state: Any = None, **options: Any) -> tuple[Any, tuple]:
    """The float64 reference with the weights and options of `ours`."""
    for name, s in zip(("h0", "c0"), state or (), strict=False):
        options[name] = s
    options |= {"activation": ours.activation, "recurrent_activation": ours.recurrent_activation}
    if isinstance(ours, sc.LSTM):
        return lstm_forward(x, ours.state_dict(), **options)
    if isinstance(ours, sc.RNN):
        out, h_n = rnn_forward(x, ours.state_dict(), **options)
        return out, (h_n,)
    out, h_n = gru_forward(x, ours.state_dict(), reset_after=ours.reset_after, **options)
    return out, (h_n,)


def random_weights(ours: Any, rng: np.random.Generator) -> Any:
    bound = ours.hidden_size**-0.5
    shapes = ours._shapes()
    ours.load_state_dict({name: rng.uniform(-bound, bound, s) for name, s in shapes.items()})
    return ours


def states_for(ours: Any, N: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    count = ours.num_layers * (2 if ours.bidirectional else 1)
    h0 = rng.uniform(-1, 1, (count, N, ours.proj_size or ours.hidden_size))
    c0 = rng.uniform(-1, 1, (count, N, ours.hidden_size))
    return h0.astype(np.float32), c0.astype(np.float32)


def worst(got: Any, want: Any) -> float:
    """Largest absolute difference over arrays and tuples of arrays."""
    if isinstance(got, tuple):
        return max(worst(g, w) for g, w in zip(got, want, strict=True))
    assert got.shape == want.shape
    return float(np.abs(np.asarray(got, np.float64) - want).max(initial=0.0))


def assert_same(got: Any, want: Any) -> None:
    """Equal bit for bit."""
    if isinstance(got, tuple):
        for g, w in zip(got, want, strict=True):
            assert_same(g, w)
    else:
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@functools.cache
def sized_case(kind: str, size: tuple[int, int, int, int], scale: float) -> tuple[Any, ...]:
    """Weights, x [N,T,I], torch's answer and the float64 truth: the same for every ISA."""
    H, inputs, T, N = size
    module = torch_module(kind, inputs, H, scale=scale)
    ours = getattr(sc, kind).from_torch(module)
    rng = np.random.default_rng(size)
    x = rng.random((N, T, inputs)) if scale == 1.0 else rng.standard_normal((N, T, inputs))
    x = x.astype(np.float32)
    return ours, x, torch_forward(module, x), truth_forward(ours, x)


def errors(kind: str, scale: float) -> Iterator[tuple[tuple[int, ...], Any, Any, Any]]:
    """For each size: our distance from torch, ours from the truth, torch's from the truth."""
    for size in SIZES:
        ours, x, torchs, truth = sized_case(kind, size, scale)
        got = our_forward(ours, x)
        yield (
            size,
            worst(got, torchs),
            [worst(g, t) for g, t in zip(got, truth, strict=True)],  # of h, and of the last states
            [worst(g, t) for g, t in zip(torchs, truth, strict=True)],
        )


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_equals_torch(isa: str, kind: str) -> None:
    """Over all sizes: 1e-6 from torch; the documented bound of precision "highest" from float64.

    Both round, and torch's sums differ with the processor: a distance beyond 1e-6 is torch's where
    torch is further from float64 than we are.
    """
    ours_worst = torch_worst = 0.0
    for size, distance, ours, torchs in errors(kind, 1.0):
        assert distance <= TOLERANCE or max(ours) < max(torchs), size
        assert max(ours) <= TOLERANCE, size
        ours_worst, torch_worst = max(ours_worst, ours[0]), max(torch_worst, torchs[0])
    assert ours_worst <= max(2 * torch_worst, 3e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_large_weights(isa: str, kind: str) -> None:
    """Weights four times torch's, normal inputs: errors grow, at most to twice torch's own.

    The bound is over all sizes: with two hidden units and a few rows, torch's error is luck. An RNN
    of such weights is chaotic, so that all errors are: its weights are twice torch's.
    """
    rows = list(errors(kind, 2.0 if kind == "RNN" else 4.0))
    for k in (0, 1):
        torch_worst = max(torchs[k] for _, _, _, torchs in rows)
        assert max(ours[k] for _, _, ours, _ in rows) <= max(TOLERANCE, 2 * torch_worst)


@pytest.mark.parametrize("N", [1, 5, 97, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_cell_equals_torch(isa: str, kind: str, N: int, rng: np.random.Generator) -> None:
    for H, inputs in ((5, 3), (16, 7), (33, 65), (64, 7)):
        torch.manual_seed(H)
        cell = getattr(torch.nn, kind + "Cell")(inputs, H)
        ours = getattr(sc, kind).from_torch(cell)
        x, h, c = (rng.random((N, size), dtype=np.float32) for size in (inputs, H, H))
        with torch.inference_mode():
            if kind == "LSTM":
                want = cell(torch.from_numpy(x), (torch.from_numpy(h), torch.from_numpy(c)))
                got = ours.step(x, (h, c))
            else:
                want, got = (cell(torch.from_numpy(x), torch.from_numpy(h)),), (ours.step(x, h),)
        assert worst(got, tuple(s.numpy() for s in want)) <= TOLERANCE


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("kind", "proj_size"), [("LSTM", 0), ("LSTM", 3), ("LSTM", 8), ("GRU", 0), ("RNN", 0)]
)
def test_recurrent_stacks(
    isa: str,
    kind: str,
    proj_size: int,
    bidirectional: bool,
    layers: int,
    rng: np.random.Generator,
) -> None:
    options = {"proj_size": proj_size} if proj_size else {}
    module = torch_module(kind, 5, 17, layers, bidirectional=bidirectional, **options)
    ours = getattr(sc, kind).from_torch(module)
    x = rng.random((35, 9, 5), dtype=np.float32)
    for state in (None, states_for(ours, 35, rng)):
        got = our_forward(ours, x, state)
        assert worst(got, torch_forward(module, x, state)) <= TOLERANCE
        assert worst(got, truth_forward(ours, x, state)) <= TOLERANCE


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_rnn_with_relu_equals_torch(
    isa: str, layers: int, bidirectional: bool, rng: np.random.Generator
) -> None:
    """Outputs of relu have no bound: the distance is relative to the largest."""
    options = {"bidirectional": bidirectional, "nonlinearity": "relu"}
    for H, N in ((1, 3), (7, 1), (16, 40), (33, 21)):
        module = torch_module("RNN", 5, H, layers, **options)
        ours = sc.RNN.from_torch(module)
        assert ours.nonlinearity == "relu"
        assert "nonlinearity='relu'" in repr(ours)
        x = rng.random((N, 9, 5), dtype=np.float32)
        state = states_for(ours, N, rng)
        want = torch_forward(module, x, state)
        largest = max(1.0, *(float(np.abs(a).max()) for a in (want[0], *want[1])))
        assert worst(our_forward(ours, x, state), want) <= TOLERANCE * largest
        cell = torch.nn.RNNCell(5, H, nonlinearity="relu")
        with torch.inference_mode():
            h = cell(torch.from_numpy(x[:, 0].copy())).numpy()
        assert worst(sc.RNN.from_torch(cell).step(x[:, 0]), h) <= TOLERANCE
    with pytest.raises(ValueError, match="nonlinearity: expected one of tanh, relu, got 'sigmoid'"):
        sc.RNN(3, 4, nonlinearity="sigmoid")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_without_bias_and_time_major(
    isa: str, kind: str, bias: bool, rng: np.random.Generator
) -> None:
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(4, 9, bias=bias, dropout=0.0)  # not batch_first: same weights
    ours = getattr(sc, kind).from_torch(module)
    x = rng.random((6, 5, 4), dtype=np.float32)
    with torch.inference_mode():
        want, _ = module(torch.from_numpy(x.swapaxes(0, 1).copy()))
    assert worst(ours.forward(x)[0], want.numpy().swapaxes(0, 1)) <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_lengths(
    isa: str, kind: str, bidirectional: bool, layers: int, rng: np.random.Generator
) -> None:
    """As torch's packed sequences; a length of 0, which torch refuses, keeps the initial state."""
    N, T = 37, 11
    module = torch_module(kind, 3, 17, layers, bidirectional=bidirectional)
    ours = getattr(sc, kind).from_torch(module)
    x = rng.random((N, T, 3), dtype=np.float32)
    state = states_for(ours, N, rng)
    lengths = rng.integers(0, T + 1, N)
    lengths[:3] = 0, T, 1
    got = our_forward(ours, x, state, lengths=lengths)
    assert worst(got, truth_forward(ours, x, state, lengths=lengths)) <= TOLERANCE

    some = lengths > 0
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed = pack(
        torch.from_numpy(x[some]), torch.from_numpy(lengths[some]), True, enforce_sorted=False
    )
    h0, c0 = (torch.from_numpy(s[:, some]) for s in state)
    with torch.inference_mode():
        out, final = module(packed, (h0, c0) if kind == "LSTM" else h0)
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=T)
    assert worst(got[0][some], out.numpy()) <= TOLERANCE
    h_n = final[0] if kind == "LSTM" else final
    assert worst(got[1][0][:, some], h_n.numpy()) <= TOLERANCE

    for n in range(N):
        assert not got[0][n, lengths[n] :].any()
    for final_state, initial in zip(got[1], state, strict=False):
        np.testing.assert_array_equal(final_state[:, lengths == 0], initial[:, lengths == 0])
    assert_same(our_forward(ours, x, lengths=np.full(N, T)), our_forward(ours, x))


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    (kind, {"activation": activation, "recurrent_activation": gate, **more})
    for activation in ("tanh", "relu", "sigmoid", "linear")
    for gate in ("sigmoid", "hard_sigmoid")
    for kind, more in (
        ("LSTM", {}),
        ("LSTM", {"proj_size": 4}),
        ("GRU", {"reset_after": True}),
        ("GRU", {"reset_after": False}),
        ("GRU", {"reset_after": False, "num_layers": 2, "bidirectional": True}),
    )
]


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
def test_recurrent_variants(
    isa: str, kind: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    for H, N in ((7, 3), (16, 21), (33, 40)):
        ours = random_weights(getattr(sc, kind)(5, H, **options), rng)
        x = rng.random((N, 8, 5), dtype=np.float32)
        state = states_for(ours, N, rng)
        got, truth = our_forward(ours, x, state), truth_forward(ours, x, state)
        # relu and linear states grow beyond 1: the bound is relative to the largest.
        largest = max(1.0, *(float(np.abs(a).max()) for a in (truth[0], *truth[1])))
        assert worst(got, truth) <= TOLERANCE * largest


@pytest.mark.parametrize("N", [1, 2, 40])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {}),
        ("LSTM", {"proj_size": 5}),
        ("LSTM", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
        ("GRU", {}),
        ("GRU", {"reset_after": False}),
        ("GRU", {"reset_after": False, "activation": "linear"}),
        ("RNN", {}),
        ("RNN", {"nonlinearity": "relu"}),
    ],
)
def test_recurrent_step_is_forward(
    isa: str, kind: str, options: dict[str, Any], layers: int, N: int, rng: np.random.Generator
) -> None:
    """Bit for bit, for one row and for many: both orientations of the kernels sum alike."""
    for H in (1, 8, 17, 33)[options.get("proj_size", 0) > 0 :]:
        ours = random_weights(getattr(sc, kind)(6, H, layers, **options), rng)
        x = rng.random((N, 7, 6), dtype=np.float32)
        h0, c0 = states_for(ours, N, rng)
        out, final = our_forward(ours, x, (h0, c0))
        one = layers == 1
        state: Any = (h0[0] if one else h0, c0[0] if one else c0)
        state = state if kind == "LSTM" else state[0]
        for t in range(7):
            state = ours.step(x[:, t], state)
            h = state[0] if kind == "LSTM" else state
            np.testing.assert_array_equal(h if one else h[-1], out[:, t])
        for got, want in zip(state if kind == "LSTM" else (state,), final, strict=True):
            np.testing.assert_array_equal(got[None] if one else got, want)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_batch_and_threads_do_not_change_a_row(
    isa: str, kind: str, rng: np.random.Generator
) -> None:
    ours = random_weights(getattr(sc, kind)(7, 19, 2, bidirectional=True), rng)
    x = rng.random((197, 9, 7), dtype=np.float32)
    whole = our_forward(ours, x, num_threads=1)
    for threads in (2, 4, None):
        assert_same(our_forward(ours, x, num_threads=threads), whole)
    for first, last in ((0, 1), (1, 4), (4, 101), (101, 197)):
        out, final = our_forward(ours, x[first:last])
        assert_same(out, whole[0][first:last])
        assert_same(final, tuple(s[:, first:last] for s in whole[1]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_recurrent_nan_stays_in_its_row(
    isa: str, kind: str, bad: float, rng: np.random.Generator
) -> None:
    ours = random_weights(getattr(sc, kind)(3, 9, 2), rng)
    x = rng.random((40, 6, 3), dtype=np.float32)
    clean, _ = ours.forward(x)
    x[11, 2, 1] = bad
    got, _ = ours.forward(x)
    others = np.arange(40) != 11
    np.testing.assert_array_equal(got[others], clean[others])
    np.testing.assert_array_equal(got[11, :2], clean[11, :2])
    if np.isnan(bad):
        assert np.isnan(got[11, 2:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layouts_and_dtypes(isa: str, kind: str, rng: np.random.Generator) -> None:
    ours = random_weights(getattr(sc, kind)(3, 9), rng)
    x = rng.random((5, 6, 3), dtype=np.float32)
    want = our_forward(ours, x)
    wide = np.full((10, 6, 9), np.nan, np.float32)
    wide[::2, ::-1, 2:8:2] = x
    raw = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = np.frombuffer(raw.data, np.float32, x.size, offset=1).reshape(x.shape)
    unaligned[...] = x
    fortran = np.asfortranarray(x)
    for view in (wide[::2, ::-1, 2:8:2], unaligned, fortran, x.astype(">f4"), x.astype(np.float64)):
        assert_same(our_forward(ours, view), want)
    assert_same(our_forward(ours, torch.from_numpy(x)), want)
    step = ours.step(x[:, 0])
    assert_same(ours.step(wide[::2, ::-1, 2:8:2][:, 0]), step)
    ints = rng.integers(-2, 3, (5, 6, 3))
    assert_same(our_forward(ours, ints), our_forward(ours, ints.astype(np.float32)))
    halves = x.astype(np.float16)
    assert_same(our_forward(ours, halves), our_forward(ours, halves.astype(np.float32)))


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_empty_inputs(isa: str, kind: str, rng: np.random.Generator) -> None:
    ours = random_weights(getattr(sc, kind)(3, 4, 2), rng)
    out, final = our_forward(ours, np.zeros((0, 5, 3), np.float32))
    assert out.shape == (0, 5, 4)
    assert final[0].shape == (2, 0, 4)
    state = states_for(ours, 6, rng)
    out, final = our_forward(ours, np.zeros((6, 0, 3), np.float32), state)
    assert out.shape == (6, 0, 4)
    for got, want in zip(final, state, strict=False):
        np.testing.assert_array_equal(got, want)
    one = random_weights(getattr(sc, kind)(3, 4), rng)
    h = one.step(np.zeros((0, 3), np.float32))
    assert (h[0] if kind == "LSTM" else h).shape == (0, 4)


def test_recurrent_constant_input_denormals(isa: str, rng: np.random.Generator) -> None:
    """A cell that decays to zero meets denormals; batch and step flush them alike."""
    ours = sc.LSTM(1, 3, bias=False)
    tensors = {name: np.zeros(shape) for name, shape in ours._shapes().items()}
    ours.load_state_dict(tensors)  # f = 1/2, g = 0: c halves at each step
    x = np.zeros((20, 160, 1), np.float32)
    c0 = rng.random((1, 20, 3), dtype=np.float32)
    out, (_, c_n) = ours.forward(x, (np.zeros_like(c0), c0))
    h, c = np.zeros((20, 3), np.float32), c0[0]
    for t in range(160):
        h, c = ours.step(x[:, t], (h, c))
        np.testing.assert_array_equal(h, out[:, t])
    np.testing.assert_array_equal(c, c_n[0])
    assert np.float32(1e-38) * np.float32(0.5) > 0  # the caller's arithmetic keeps its denormals


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_copies_compute_the_same(kind: str, rng: np.random.Generator) -> None:
    ours = random_weights(getattr(sc, kind)(3, 4, 2, bidirectional=True), rng)
    x = rng.random((5, 6, 3), dtype=np.float32)
    twin = copy.deepcopy(ours)
    assert repr(twin) == repr(ours)
    assert_same(our_forward(twin, x), our_forward(ours, x))
    other = getattr(sc, kind)(3, 4, 2, bidirectional=True)
    other.load_state_dict(ours.state_dict())
    assert_same(our_forward(other, x), our_forward(ours, x))
    ours.state_dict()["weight_ih_l0"][:] = 0.0  # a copy
    assert_same(our_forward(other, x), our_forward(ours, x))

"""Bad input to LSTM and GRU: the text names the argument, what was expected and what came."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import slidecell as sc

X = np.zeros((4, 6, 3), np.float32)


def loaded(kind: str = "LSTM", *args: Any, **options: Any) -> Any:
    ours = getattr(sc, kind)(*(args or (3, 5)), **options)
    ours.load_state_dict({name: np.zeros(shape) for name, shape in ours._shapes().items()})
    return ours


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"input_size": 0}, ValueError, "input_size: expected an integer >= 1, got 0"),
        ({"hidden_size": -1}, ValueError, "hidden_size: expected an integer >= 1, got -1"),
        ({"hidden_size": 2.5}, TypeError, "hidden_size: expected an integer, got 2.5"),
        ({"num_layers": 0}, ValueError, "num_layers: expected an integer >= 1, got 0"),
        ({"proj_size": 5}, ValueError, "proj_size: expected less than hidden_size=5, got 5"),
        ({"proj_size": -1}, ValueError, "proj_size: expected an integer >= 0, got -1"),
        (
            {"activation": "gelu"},
            ValueError,
            "activation: expected one of tanh, relu, sigmoid, linear, got 'gelu'",
        ),
        (
            {"recurrent_activation": "tanh"},
            ValueError,
            "recurrent_activation: expected one of sigmoid, hard_sigmoid, got 'tanh'",
        ),
    ],
)
def test_recurrent_constructor_errors(options: dict[str, Any], error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        sc.LSTM(**({"input_size": 3, "hidden_size": 5} | options))
    assert text in str(caught.value)


def test_recurrent_gru_has_no_projection() -> None:
    with pytest.raises(TypeError, match="proj_size"):
        sc.GRU(3, 5, proj_size=2)  # type: ignore[call-arg]


def test_recurrent_state_dict_names_every_fault() -> None:
    good = loaded().state_dict()
    bad: dict[str, Any] = dict(good)
    del bad["bias_hh_l0"]
    bad["weight_hh_l0"] = np.zeros((20, 4))
    bad["weight_ih_l0"] = np.full((20, 3), np.nan)
    bad["bias_ih_l1"] = np.zeros(20)
    ours = sc.LSTM(3, 5)
    with pytest.raises(ValueError, match="state_dict") as caught:
        ours.load_state_dict(bad)
    for text in (
        "missing bias_hh_l0",
        "unexpected bias_ih_l1",
        "weight_hh_l0: expected [20, 5], got [20, 4]",
        "weight_ih_l0: expected finite float32 numbers, got NaN or infinity",
    ):
        assert text in str(caught.value)
    too_large = dict(good, bias_ih_l0=np.full(20, 1e39))
    with pytest.raises(ValueError, match="bias_ih_l0: expected finite"):
        ours.load_state_dict(too_large)
    with pytest.raises(TypeError, match="weight_ih_l0: expected real numbers, got dtype complex"):
        ours.load_state_dict(dict(good, weight_ih_l0=np.zeros((20, 3), complex)))
    with pytest.raises(ValueError, match="no weights yet"):
        ours.forward(X)
    with pytest.raises(ValueError, match="no weights yet"):
        ours.step(X[:, 0])
    without = sc.LSTM(3, 5, bias=False)
    with pytest.raises(ValueError, match="unexpected bias_ih_l0"):
        without.load_state_dict(good)


def test_recurrent_state_dict_sources() -> None:
    """Arrays, tensors of any real dtype, and a cell's names."""
    cell = torch.nn.LSTMCell(3, 5).double()
    ours = sc.LSTM(3, 5)
    ours.load_state_dict(cell.state_dict())
    want = {f"{k}_l0": v.numpy().astype(np.float32) for k, v in cell.state_dict().items()}
    assert list(ours.state_dict()) == list(want)
    for name, tensor in ours.state_dict().items():
        np.testing.assert_array_equal(tensor, want[name])
        assert tensor.dtype == np.float32
    half = torch.nn.GRU(3, 5).to(torch.bfloat16)
    assert sc.GRU.from_torch(half).state_dict()["weight_ih_l0"].shape == (15, 3)


@pytest.mark.parametrize(
    ("kind", "module", "got"),
    [
        ("LSTM", torch.nn.GRU(3, 5), "GRU"),
        ("GRU", torch.nn.LSTMCell(3, 5), "LSTMCell"),
        ("LSTM", torch.nn.RNN(3, 5), "RNN"),
        ("LSTM", object(), "object"),
    ],
)
def test_recurrent_from_torch_type(kind: str, module: Any, got: str) -> None:
    text = f"module: expected torch.nn.{kind} or torch.nn.{kind}Cell, got {got}"
    with pytest.raises(TypeError, match=text):
        getattr(sc, kind).from_torch(module)


def test_recurrent_from_torch_leaves_dropout_out(rng: np.random.Generator) -> None:
    module = torch.nn.GRU(3, 5, 2, dropout=0.5, batch_first=True)  # in training mode
    x = rng.random((4, 6, 3), dtype=np.float32)
    out, _ = sc.GRU.from_torch(module).forward(x)
    with torch.inference_mode():
        want, _ = module.eval()(torch.from_numpy(x))
    np.testing.assert_allclose(out, want.numpy(), rtol=0, atol=1e-6)


STATE = np.zeros((1, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("args", "options", "error", "text"),
    [
        ((X[0],), {}, ValueError, "x: expected [N, T, 3] (input_size=3), got [6, 3]"),
        ((X[:, :, :2],), {}, ValueError, "x: expected [N, T, 3] (input_size=3), got [4, 6, 2]"),
        ((X.astype(complex),), {}, TypeError, "x: expected real numbers, got dtype complex128"),
        ((X.astype(object),), {}, TypeError, "x: expected real numbers, got dtype object"),
        ((X.astype(str),), {}, TypeError, "x: expected real numbers, got dtype <U"),
        ((X, STATE), {}, TypeError, "state: expected a pair (h, c), got ndarray"),
        ((X, (STATE,)), {}, ValueError, "state: expected a pair (h, c), got 1 items"),
        ((X, (STATE[0], STATE)), {}, ValueError, "h0: expected [1, 4, 5]"),
        ((X, (STATE, STATE[:, :3])), {}, ValueError, "c0: expected [1, 4, 5]"),
        ((X,), {"lengths": [1, 2, 3]}, ValueError, "lengths: expected [4] integers in 0..6"),
        ((X,), {"lengths": [1, 2, 3, 7]}, ValueError, "integers in 0..6, got 7"),
        ((X,), {"lengths": [1, 2, 3, -1]}, ValueError, "integers in 0..6, got -1"),
        ((X,), {"lengths": [1.0, 2, 3, 4]}, TypeError, "lengths: expected [N] integers, got dtype"),
        ((X,), {"num_threads": 0}, ValueError, "num_threads: expected at least 1, got 0"),
    ],
)  # fmt: skip
def test_recurrent_forward_errors(args: Any, options: Any, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        loaded().forward(*args, **options)
    assert text in str(caught.value)


def test_recurrent_step_errors() -> None:
    h = np.zeros((4, 5), np.float32)
    with pytest.raises(ValueError, match=r"x: expected \[N, 3\] \(input_size=3\), got \[4, 6, 3\]"):
        loaded().step(X, (h, h))
    with pytest.raises(ValueError, match=r"h: expected \[4, 5\] .*, got \[1, 4, 5\]"):
        loaded().step(X[:, 0], (h[None], h[None]))
    with pytest.raises(ValueError, match=r"c: expected \[4, 5\] .*, got \[3, 5\]"):
        loaded().step(X[:, 0], (h, h[:3]))
    with pytest.raises(ValueError, match=r"h: expected \[2, 4, 5\] .*, got \[4, 5\]"):
        loaded("GRU", 3, 5, 2).step(X[:, 0], h)
    with pytest.raises(ValueError, match="step: expected a unidirectional stack"):
        loaded("GRU", bidirectional=True).step(X[:, 0], h)


def test_recurrent_repr() -> None:
    assert repr(sc.LSTM(3, 5)) == "LSTM(3, 5)"
    assert repr(sc.GRU(3, 5, 2, bias=False, reset_after=False, activation="relu")) == (
        "GRU(3, 5, num_layers=2, bias=False, activation='relu', reset_after=False)"
    )


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FORWARD = """
gru = sc.GRU(3, 5)
rng = np.random.default_rng(0)
gru.load_state_dict({k: rng.random(s) for k, s in gru._shapes().items()})
x = rng.random((400, 20, 3), dtype=np.float32)
"""


def test_recurrent_after_fork() -> None:
    """A child forked after a parallel call lacks the threads: it must not wait for them."""
    code = f"""
import os, sys, warnings
import numpy as np
import slidecell as sc
{FORWARD}
want = gru.forward(x, num_threads=2)[0]
warnings.simplefilter("ignore")  # Python 3.12 warns of fork in a process with threads
child = os.fork()
if child == 0:
    same = all(np.array_equal(gru.forward(x, num_threads=n)[0], want) for n in (None, 1, 2))
    os._exit(0 if same else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(gru.forward(x, num_threads=2)[0], want)
"""
    run_python(code)


@pytest.mark.parametrize("modules", ["slidecell, torch", "torch, slidecell"])
def test_recurrent_runs_beside_torchs_openmp(modules: str) -> None:
    """Torch brings an OpenMP runtime of its own: both orders of import compute the same."""
    code = f"""
import {modules}
import numpy as np
import slidecell as sc
{FORWARD}
module = torch.nn.GRU(3, 5, batch_first=True)
module.load_state_dict({{k: torch.from_numpy(v) for k, v in gru.state_dict().items()}})
with torch.inference_mode():
    for _ in range(3):
        want = module(torch.from_numpy(x))[0].numpy()
        assert np.abs(gru.forward(x, num_threads=2)[0] - want).max() < 1e-5
"""
    run_python(code)


def test_recurrent_needs_no_torch() -> None:
    code = f"import sys\nimport numpy as np\nimport slidecell as sc\n{FORWARD}\ngru.forward(x)\n"
    assert run_python(code + "print('torch' in sys.modules)").strip() == "False"

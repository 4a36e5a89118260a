"""Every compiled function names the argument that does not fit, what it expected and what came."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import _core
from tests.models import MODELS, random_model

S = 20
FORECAST = ("weights", "bias", "a", "b")  # arguments of a linear forecast
MADE_BY_ITS_KINDS = {"WindowScorer"}  # a class without a constructor of its own
WRONG: list[Any] = [
    object(),
    1.5,
    np.float32(1.7),
    "text",
    "\udcff",
    b"bytes",
    None,
    True,
    -(2**70),
    10**5000,
    [],
    ["a"],
    {},
    {"a": object()},
    np.zeros(3),
    np.zeros((2, 2, 2), np.int8),
    np.array(["a"]),
    np.ma.masked,
    type,
    lambda: None,
]


class Functions:
    """Each compiled function with arguments that fit, by name; an object's method with itself."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(1)
        metadata, tensors = random_model(rng, **MODELS["lstm"])
        self.python = sc.SequenceModel(metadata, tensors)
        self.model = model = self.python._core
        gaussian = sc.SequenceModel(*random_model(rng, gaussian=True, **MODELS["lstm"]))._core
        self.stream = stream = self.python.stream(2)._core
        self.file = str(folder / "model.safetensors")
        self.state = str(folder / "stream")
        self.python.save(self.file)
        stream.save(self.state)
        lstm = sc.LSTM(2, 3)
        zeros = {name: np.zeros(shape) for name, shape in lstm._shapes().items()}
        lstm.load_state_dict(zeros)
        self.plan = plan = _core.WindowPlan([0, S], 3, 1, 1)
        specs, weights = lstm._specs(), lstm._tensors
        layer = _core.Recurrent(specs, weights)
        series = np.zeros((S, 3), np.float32)
        text = sc.model.json.dumps(self.python.metadata)
        x = np.zeros((2, 4, 2), np.float32)
        six = [weights[f"{k}_l0"] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        six += [np.zeros((2, 3), np.float32)] * 2
        saved = np.zeros(_core.training_saved_size("lstm", 2, 4, 3), np.float32)
        out = np.zeros((2, 4, 3), np.float32)
        memory = _core.TrainingMemory()
        plain = {"window": 2, "features": 3, "varying": [0], "center": [], "scale": []}
        flat = _core.FlatWindows(**plain)
        nearest = _core.WindowScorer.nearest(flat, np.ones((3, 2)), 1)
        score = {
            "precision": "highest",
            "kernel": "auto",
            "reduction": "mse",
            "aggregate": "window",
            "per_feature": False,
            "windows": "exact",
            "stride": 1,
            "num_threads": 1,
            "out": None,
        }
        passes = {"cell": "lstm", "x": x, "tensors": six, "saved": saved}
        self.known: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
            "available_isas": (_core.available_isas, {}),
            "refused_isas": (_core.refused_isas, {}),
            "active_isa": (_core.active_isa, {}),
            "set_isa": (_core.set_isa, {"name": _core.active_isa()}),
            "default_num_threads": (_core.default_num_threads, {}),
            "cells": (_core.cells, {}),
            "activations": (_core.activations, {}),
            "recurrent_activations": (_core.recurrent_activations, {}),
            "read_model_file": (_core.read_model_file, {"path": self.file}),
            "load_model": (_core.load_model, {"path": self.file}),
            "model_file_bytes": (_core.model_file_bytes, {"metadata": text, "tensors": tensors}),
            "gather_rows": (
                _core.gather_rows,
                {
                    "series": series,
                    "starts": [0, 4],
                    "window": 2,
                    "horizon": 0,
                    "out": None,
                    "num_threads": 1,
                },
            ),
            "training_saved_size": (
                _core.training_saved_size,
                {"cell": "lstm", "N": 2, "T": 4, "H": 3},
            ),
            "training_forward": (
                _core.training_forward,
                passes
                | {"out": out, "h_n": None, "c_n": None, "num_threads": 1, "activation": "tanh"},
            ),
            "training_backward": (
                _core.training_backward,
                passes
                | {
                    "given": [out, None, None],
                    "wanted": [None] * 7,
                    "num_threads": 1,
                    "activation": "tanh",
                },
            ),
            "TrainingMemory": (_core.TrainingMemory, {}),
            "TrainingMemory.take": (memory.take, {"size": 8}),
            "TrainingMemory.clear": (memory.clear, {}),
            "WindowPlan": (
                _core.WindowPlan,
                {"offsets": [0, S], "window": 3, "horizon": 1, "stride": 1},
            ),
            "WindowPlan.starts": (plan.starts, {"shift": 0}),
            "WindowPlan.gather": (
                plan.gather,
                {"series": series, "indices": [0], "out": None, "num_threads": 1},
            ),
            "FlatWindows": (_core.FlatWindows, plain),
            "WindowScorer.nearest": (
                _core.WindowScorer.nearest,
                {"windows": flat, "points": np.ones((3, 2)), "neighbors": 1},
            ),
            "WindowScorer.subspace": (
                _core.WindowScorer.subspace,
                {"windows": flat, "mean": np.ones(2), "components": np.ones((1, 2))},
            ),
            "WindowScorer.forecast": (
                _core.WindowScorer.forecast,
                {"windows": flat} | {n: np.ones(1 + (n == "weights")) for n in FORECAST},
            ),
            "WindowScorer.score": (
                nearest.score,
                {"series": series, "offsets": None, "per_feature": False, "num_threads": 1},
            ),
            "WindowScorer.score_own": (
                nearest.score_own,
                {"series": series, "offsets": None, "starts": [0, 1, 2], "num_threads": 1},
            ),
            "row_means": (
                _core.row_means,
                {
                    "scores": np.ones(S),
                    "offsets": None,
                    "before": 1,
                    "after": 0,
                    "own": True,
                    "num_threads": 1,
                },
            ),
            "Recurrent": (_core.Recurrent, {"specs": specs, "tensors": weights}),
            "Recurrent.forward": (
                layer.forward,
                {"x": x, "state": None, "lengths": None, "num_threads": 1},
            ),
            "Recurrent.step": (layer.step, {"x": x[:, 0], "state": None}),
            "SequenceModel": (_core.SequenceModel, {"metadata": text, "tensors": tensors}),
            "SequenceModel.score": (model.score, {"series": series, "offsets": None} | score),
            "SequenceModel.flag": (
                model.flag,
                {
                    "series": series,
                    "threshold": 1.0,
                    "offsets": None,
                    "reduction": "mse",
                    "moving_average": 0,
                    "trailing_mean": 0,
                    "stride": 1,
                    "audit": 4,
                    "speculate": "carried",
                    "certify": False,
                    "num_threads": 1,
                },
            ),
            "SequenceModel.predict_log_variance": (
                gaussian.predict_log_variance,
                {"series": series, "offsets": None, "num_threads": 1},
            ),
            "SequenceModel.predict": (
                model.predict,
                {"series": series, "offsets": None, "num_threads": 1},
            ),
            "SequenceModel.encode": (
                model.encode,
                {"series": series, "offsets": None, "num_threads": 1},
            ),
            "SequenceModel.plan": (
                model.plan,
                {"precision": "highest", "kernel": "auto", "num_threads": 1},
            ),
            "Stream": (
                _core.Stream,
                {
                    "model": model,
                    "num_entities": 1,
                    "precision": "highest",
                    "reduction": "mse",
                    "aggregate": "window",
                    "max_bytes": 2**30,
                    "mode": "exact",
                },
            ),
            "Stream.resize": (stream.resize, {"num_entities": 2}),
            "Stream.load": (_core.Stream.load, {"model": model, "path": self.state}),
            "Stream.from_saved_bytes": (
                _core.Stream.from_saved_bytes,
                {"model": model, "saved": stream.saved_bytes()},
            ),
            "Stream.saved_bytes": (stream.saved_bytes, {}),
            "Stream.state_bytes": (stream.state_bytes, {"entity": 0}),
            "Stream.restore": (stream.restore, {"entity": 0, "state": stream.state_bytes(0)}),
            "Stream.plan": (stream.plan, {}),
            "Stream.rows_seen": (stream.rows_seen, {"entity": 0}),
            "Stream.push": (stream.push, {"row": series[0], "entity": 0}),
            "Stream.push_many": (
                stream.push_many,
                {"entity_ids": [0, 1], "rows": series[:2], "num_threads": 1},
            ),
            "Stream.push_many_ahead": (
                stream.push_many_ahead,
                {"model": model, "entity_ids": [0, 1], "rows": series[:2], "num_threads": 1},
            ),
            "Stream.advance": (stream.advance, {}),
            "Stream.set_background": (stream.set_background, {"on": False}),
            "Stream.audit": (stream.audit, {"entity": 0}),
            "Stream.audit_all": (stream.audit_all, {}),
            "Stream.predict_next": (stream.predict_next, {"model": model, "entity": 0}),
            "Stream.reset": (stream.reset, {"entity": 0}),
            "Stream.save": (stream.save, {"path": self.state}),
        }


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Functions:
    monkeypatch.chdir(tmp_path)  # text is a path to some of them
    return Functions(tmp_path)


def compiled_names() -> set[str]:
    """Find every function and every class with its methods."""
    found = set()
    for name, value in vars(_core).items():
        if name.startswith("_") or (inspect.isclass(value) and issubclass(value, BaseException)):
            continue
        if name not in MADE_BY_ITS_KINDS:
            found.add(name)
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if not method.startswith("_") and not isinstance(function, property):
                    found.add(f"{name}.{method}")
    return found


def test_every_compiled_function_is_looked_at(functions: Functions) -> None:
    assert set(functions.known) == compiled_names()
    for call, arguments in functions.known.values():
        call(**arguments)


def test_a_wrong_argument_is_named(functions: Functions) -> None:
    seen = 0
    for name, (call, arguments) in functions.known.items():
        for argument in arguments:
            for wrong in WRONG:
                try:
                    call(**{**arguments, argument: wrong})
                except (TypeError, ValueError, IndexError, OSError, sc.UnsupportedError) as error:
                    text = str(error)
                    assert "incompatible function arguments" not in text, (name, argument, text)
                    assert "pybind" not in text, (name, argument, text)
                    assert len(text) < 1000
                    seen += type(error) in (TypeError, ValueError)
    assert seen > 800


@pytest.mark.parametrize("wrong", [object(), 1.5, np.float32(1.7), "3", [3], np.zeros(2), True])
def test_an_integer_is_no_other_number(functions: Functions, wrong: Any) -> None:
    whole = {
        "num_threads",
        "stride",
        "window",
        "horizon",
        "entity",
        "num_entities",
        "max_bytes",
        "shift",
        "size",
        "N",
        "T",
        "H",
    }
    plain = type(wrong) in (bool, str, float)
    shown = repr(wrong) if plain else type(wrong).__name__
    seen = set()
    for call, arguments in functions.known.values():
        for argument in whole & set(arguments):
            seen.add(argument)
            with pytest.raises(TypeError) as error:
                call(**{**arguments, argument: wrong})
            or_none = " or None" if argument == "num_threads" else ""
            assert str(error.value) == f"{argument}: expected an integer{or_none}, got {shown}"
    assert seen == whole


def test_an_integer_beyond_its_bits_is_named(functions: Functions) -> None:
    series = np.zeros((S, 3), np.float32)
    model = functions.python
    for number, shown in ((2**40, str(2**40)), (-(2**31) - 1, str(-(2**31) - 1))):
        text = f"num_threads: expected an integer of 32 bits, got {shown}"
        for call in (
            lambda n=number: model.score(series, num_threads=n),
            lambda n=number: model.predict(series, num_threads=n),
            lambda n=number: model.stream().push_many([0], series[:1], num_threads=n),
            lambda n=number: sc.sliding_windows(series, window=2, num_threads=n),
        ):
            with pytest.raises(ValueError, match=f"^{text}$"):
                call()
    with pytest.raises(ValueError, match=r"^entity: expected an integer of 64 bits, got 92"):
        model.stream().push(series[0], 2**63)
    with pytest.raises(ValueError, match=r"^entity: expected an integer of 64 bits, got a l"):
        model.stream().push(series[0], 10**5000)
    with pytest.raises(ValueError, match=r"^num_entities: expected an integer of 64 bits, got 1"):
        model.stream(10**30)


def test_texts_of_public_calls(functions: Functions) -> None:
    model = functions.python
    series = np.zeros((S, 3), np.float32)

    def said(call: Callable[[], Any], text: str) -> None:
        with pytest.raises(TypeError) as error:
            call()
        assert str(error.value) == text

    said(lambda: model.score(series, stride=1.5), "stride: expected an integer, got 1.5")
    said(lambda: model.score(series, precision=1), "precision: expected text, got 1")
    said(lambda: model.score(series, reduction=None), "reduction: expected text, got None")
    said(
        lambda: model.score(series, per_feature="no"),
        "per_feature: expected True or False, got 'no'",
    )
    said(lambda: model.stream().push(series[0], 1.0), "entity: expected an integer, got 1.0")
    said(lambda: model.stream().reset("a"), "entity: expected an integer, got 'a'")
    said(lambda: model.stream().rows_seen(None), "entity: expected an integer, got None")
    said(lambda: model.stream().set_background("x"), "on: expected True or False, got 'x'")
    said(lambda: sc.set_isa(2), "name: expected text, got 2")
    said(lambda: sc.set_isa("\udcff"), r"name: expected text, got '\udcff'")
    said(lambda: _core.Stream.load(None, "x"), "model: expected a SequenceModel, got None")
    said(lambda: _core.Stream.push(3, series[0]), "self: expected a Stream, got 3")
    said(
        lambda: _core.training_saved_size([], 1, 1, 1),
        "cell: expected text, got list",
    )


def test_a_call_with_other_arguments_is_told_which(functions: Functions) -> None:
    push = functions.python.stream().push
    row = np.zeros(3, np.float32)
    expected = r"^push: expected the arguments row, entity \(optional\); got "
    for call, got in (
        (push, "0 by position$"),
        (lambda: push(row, 0, 0), "3 by position$"),
        (lambda: push(row, entty=0), "1 by position and entty by name$"),
        (lambda: push(row, row=row), "1 by position and row by name$"),
    ):
        with pytest.raises(TypeError, match=expected + got):
            call()
    for name, (call, arguments) in functions.known.items():
        with pytest.raises(
            TypeError, match=rf"^{name.split('.')[-1]}: expected the arguments .*; got"
        ):
            call(**arguments, unknown=1)


def test_numpy_integers_and_objects_with_an_index_are_integers(functions: Functions) -> None:
    class Index:
        def __index__(self) -> int:
            return 1

    series = np.random.default_rng(0).random((S, 3))
    want = functions.python.score(series, stride=1)
    for one in (np.int8(1), np.uint64(1), np.array(1), Index()):
        np.testing.assert_array_equal(functions.python.score(series, stride=one), want)

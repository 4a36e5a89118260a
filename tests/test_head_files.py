"""Heads of several layers in files, copies and saved states, and those that are refused."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import slidecell as sc
from tests.head_cases import parts, reductions, rows_for
from tests.models import HEADS, dense, layer, random_model


@pytest.mark.parametrize("name", ["activation_first", "ae_per_step", "gaussian_layers"])
def test_files_and_copies_keep_the_head(name: str, tmp_path: Path) -> None:
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 50)
    reduction = reductions(metadata)[-1]
    want = model.score(series, reduction=reduction)
    model.save(tmp_path / "model.safetensors")
    loaded = sc.SequenceModel.load(tmp_path / "model.safetensors")
    assert loaded.metadata == model.metadata
    assert loaded.metadata["head"] == HEADS[name].get("head")
    changed = model.with_metadata(threshold={"kind": "fixed", "value": 0.5})
    for other in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model), changed):
        assert_array_equal(other.score(series, reduction=reduction), want)


def test_a_file_has_the_oldest_format_that_holds_it(tmp_path: Path) -> None:
    """So that an older reader takes plain heads and refuses the others by number."""
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 4)])
    del metadata["format"]
    plain = sc.SequenceModel(metadata, tensors)
    assert plain.metadata["format"] == 1
    assert "head" not in plain.metadata
    named = {k.replace("head.", "head.0."): v for k, v in tensors.items()}
    head = [dense(3, "relu")]
    assert sc.SequenceModel({**metadata, "head": head}, named).metadata["format"] == 2
    assert sc.SequenceModel({**plain.metadata, "head": head}, named).metadata["format"] == 2
    with pytest.raises(ValueError, match=r"'format': expected 1 or 2, got 3 \(written by a newer"):
        sc.SequenceModel({**metadata, "format": 3}, tensors)
    core = sc._core.SequenceModel
    text = '"format": 1, "head": [{"output_size": 3, "activation": "relu"}]'
    with pytest.raises(ValueError, match="'format': expected 2 with 'head', 'distribution', 'red"):
        core(f"{{{text}}}", {})


def test_the_saved_state_of_another_head_is_refused(tmp_path: Path) -> None:
    """The weights are the same; the activation, its slope or the distribution is not."""
    metadata, tensors = parts("leaky")
    stream = sc.SequenceModel(metadata, tensors).stream()
    stream.save(tmp_path / "state")
    for change in ({"slope": 0.5}, {"activation": "relu"}):
        head = copy.deepcopy(metadata["head"])
        head[0].update(change)
        if "activation" in change:
            del head[0]["slope"]
        other = sc.SequenceModel({**metadata, "head": head}, tensors)
        with pytest.raises(ValueError, match="the state of another model"):
            other.stream(state=tmp_path / "state")


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ([dense(3)] * 5, "'head': expected 1 to 4 layers with output_size .* got 5 of 5"),
        ([], "'head': expected 1 to 4 layers with output_size .* got 0 of 0"),
        ([dense(None, "relu")], "'head': expected 1 to 4 layers with output_size .* got 0 of 1"),
        ([dense(None, "relu")] * 8 + [dense(3)], "at most 8 in all, got 1 of 9"),
        ([dense(0), dense(3)], "'output_size': expected 1 to 1048576, got 0"),
        ([dense(-1), dense(3)], "'output_size': expected 1 to 1048576, got -1"),
        ([dense(2**40), dense(3)], "'output_size': expected 1 to 1048576"),
        ([dense(4)], r"last output_size to be 3 \(horizon \* targets\), got 4"),
        ([dense(3, "elu")], "'activation': expected one of linear, relu, .*leaky_relu, got 'elu'"),
        ([{"output_size": 3}], "missing key 'activation'"),
        ([dense(3, "leaky_relu")], "'slope': expected one for 'leaky_relu', and only there"),
        ([dense(3, "relu", slope=1.0)], "'slope': expected one for 'leaky_relu', and only there"),
        ([dense(3, "leaky_relu", slope=1e300)], "'slope': expected numbers that float32 holds"),
        ([7], "missing key|expected 1 to 4 layers"),
        ("relu", "'head': expected an array"),
        ([dense(5), dense(3)], r"tensor 'head.0.weight': expected shape \[5, 4\]"),
        (None, "tensor 'head.0.bias': not expected"),
    ],
)
def test_heads_that_do_not_fit_are_refused(head: Any, text: str) -> None:
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 4)])
    bound = {k: v for k, v in tensors.items() if not k.startswith("head.")}
    bound |= {"head.0.weight": np.zeros((3, 4)), "head.0.bias": np.zeros(3)}
    if head is None:
        bound |= {"head.weight": np.zeros((3, 4))}
    with pytest.raises(ValueError, match=text):
        sc.SequenceModel({**metadata, "head": head}, bound)


def test_what_knows_plain_heads_alone_refuses_others_by_name(emulated_gpu: Any) -> None:
    pytest.importorskip("torch")
    from slidecell.training import to_module

    for name, key in (("leaky", "head"), ("gaussian", "distribution")):
        metadata, tensors = parts(name)
        model = sc.SequenceModel(metadata, tensors)
        with pytest.raises(ValueError, match=f"one dense layer .* got one with '{key}'"):
            to_module(model)
        with pytest.raises(sc.UnsupportedError, match=f"cuda: heads .*'{key}'"):
            sc.cuda.score(model, rows_for(metadata, 30))
    series = rows_for(metadata, 30)
    with pytest.raises(sc.UnsupportedError, match=r"no 'nll' scores; .* or backend='cpu'"):
        sc.cuda.score(model, series, reduction="nll")
    np.testing.assert_array_equal(
        sc.cuda.score(model, series, backend="cpu", reduction="nll"),
        model.score(series, reduction="nll"),
    )

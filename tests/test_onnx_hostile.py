"""ONNX files that lie: refused, with nothing allocated by a number that they say."""

from __future__ import annotations

import os
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto  # noqa: E402

from slidecell.convert import onnx_reader  # noqa: E402
from tests.onnx_files import Builder, F, H, W, forecaster  # noqa: E402

MOST_BYTES = 40 << 20
HUGE = 1 << 40


def refusal(file: Any, **options: Any) -> str:
    """What a file is refused with, and that little memory was taken."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^onnx: ") as caught:
            sc.SequenceModel.from_onnx(file, **options)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    return str(caught.value)


def through(change: Any, shape: Any = ("n", W, F)) -> Any:
    """A forecaster whose windows go through other nodes first."""
    b = Builder()
    x = change(b, "x")
    last = b.layer("LSTM", b.add("Transpose", x, perm=[1, 0, 2]), F)[1]
    return b.model(b.dense(b.add("Squeeze", last, b.integers(0)), H, F), shape=shape)


def test_files_that_are_cut_off_or_damaged() -> None:
    data = forecaster().SerializeToString()
    for end in range(0, len(data), 17):
        assert refusal(data[:end])
    assert "got bytes that are none, or damaged" in refusal(b"\xff" * 100)
    rng, texts = np.random.default_rng(0), []
    for _ in range(150):  # any answer but another error
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(0, 256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what ONNX Runtime does not run
            try:
                sc.SequenceModel.from_onnx(bytes(damaged))
            except ValueError as error:
                texts.append(str(error))
    assert len(texts) > 50
    assert all(texts)


def external(location: str, **more: Any) -> Any:
    """A forecaster one of whose weights says to lie in another file."""
    file = forecaster()
    tensor = file.graph.initializer[0]
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location, "length": size} | more).items():
        tensor.external_data.add(key=key, value=str(value))
    return file


@pytest.mark.parametrize(
    ("location", "more", "text"),
    [
        ("../secret.bin", {}, "expected a file in the model's own folder"),
        ("/etc/passwd", {}, "expected a file in the model's own folder"),
        ("link.bin", {}, "expected a file in the model's own folder"),
        ("sub/../../secret.bin", {}, "expected a file in the model's own folder"),
        ("", {}, "expected a file in the model's own folder"),
        ("missing.bin", {}, "lies in 'missing.bin', which cannot be read"),
        (".", {}, "expected a file in the model's own folder"),
        ("pipe", {}, "lies in 'pipe', which cannot be read"),
        ("short.bin", {}, "which holds 8; its shape takes 192"),
        ("long.bin", {"length": HUGE}, f"takes {HUGE} bytes at 0 of 'long.bin'"),
        ("long.bin", {"offset": HUGE}, f"takes 192 bytes at {HUGE} of 'long.bin'"),
        ("long.bin", {"offset": -8}, "takes 192 bytes at -8 of 'long.bin'"),
        ("long.bin", {"offset": "many"}, "has an offset or a length that is no number"),
    ],
)
def test_weights_in_other_files(
    location: str, more: dict[str, Any], text: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "short.bin").write_bytes(bytes(8))
    (folder / "long.bin").write_bytes(bytes(4096))
    os.mkfifo(folder / "pipe")
    file = external(location, **more)
    (folder / "model.onnx").write_bytes(file.SerializeToString())
    assert text in refusal(folder / "model.onnx")
    assert "lies in another file; pass the path of the .onnx file" in refusal(file)


def test_tensors_whose_shape_and_bytes_disagree() -> None:
    for dims, text in (
        ([1, HUGE, HUGE], f"of shape [1, {HUGE}, {HUGE}] holds 192 bytes"),
        ([1, 4 * H, F + 1], "holds 192 bytes; expected 256"),
        ([1, -4, 3], "expected sizes from 0 on"),
    ):
        file = forecaster()
        file.graph.initializer[0].dims[:] = dims
        assert text in refusal(file)
    file = forecaster()
    tensor = file.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1.0] * 7)
    assert "holds 7 numbers; expected 48" in refusal(file)
    for kind in (TensorProto.STRING, TensorProto.BFLOAT16, 99):
        file = forecaster()
        file.graph.initializer[0].data_type = kind
        assert f"has element type number {kind}; expected floats" in refusal(file)
    file = forecaster()
    file.graph.initializer[0].data_type = TensorProto.INT64
    assert "holds 192 bytes; expected 384" in refusal(file)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (("n", HUGE, F), "expected at most 4096 columns and 1048576 numbers in a window"),
        (("n", W, HUGE), "expected at most 4096 columns and 1048576 numbers in a window"),
        ((HUGE, W, F), f"takes {HUGE} windows at once; export it with a dynamic axis"),
        (("n", 0, F), "has an axis of no elements"),
        (("n", -5, F), "has an axis of no elements"),
        (("n", W), "expected an input of floats [N, W, F]"),
    ],
)
def test_inputs_of_any_size(shape: Any, text: str) -> None:
    assert text in refusal(through(lambda _, x: x, shape))


def constants_of_any_size(b: Builder, x: str, kind: str) -> str:
    """Windows to which a constant is added that a few bytes make large."""
    sizes = b.integers(1 << 20, 1 << 20)
    row = b.constant(np.zeros((1, 1 << 12)))
    made = {
        "ConstantOfShape": lambda: b.add("ConstantOfShape", sizes, name="big"),
        "Expand": lambda: b.add("Expand", b.constant(0.0), sizes, name="big"),
        "Tile": lambda: b.add("Tile", row, sizes, name="big"),
        "Range": lambda: b.add(
            "Range", b.constant(0.0), b.constant(1e12), b.constant(1.0), name="big"
        ),
        "Add": lambda: b.add(
            "Add",
            b.add("Reshape", b.add("Tile", row, b.integers(1, 8)), b.integers(-1, 1)),
            b.add("Tile", row, b.integers(1, 8)),
            name="big",
        ),
        "Gather": lambda: b.add(
            "Gather", row, b.constant(np.zeros(1 << 13), np.int64), axis=0, name="big"
        ),
        "MatMul": lambda: b.add(
            "MatMul",
            b.add("Reshape", b.add("Tile", row, b.integers(1, 2)), b.integers(-1, 1)),
            row,
            name="big",
        ),
    }[kind]()
    return str(b.add("Add", x, b.add("ReduceSum", made)))


@pytest.mark.parametrize(
    "kind", ["ConstantOfShape", "Expand", "Tile", "Range", "Add", "Gather", "MatMul"]
)
def test_constants_of_any_size(kind: str) -> None:
    text = refusal(through(lambda b, x: constants_of_any_size(b, x, kind)))
    assert f"its node 'big' ({kind}) does not fit what it reads" in text
    assert "makes a constant of shape" in text


def doubled(b: Builder, x: str) -> str:
    for _ in range(40):
        x = b.add("Concat", x, x, axis=2)
    return x


def joined_often(b: Builder, x: str) -> str:
    return str(b.add("Concat", *[x] * 5000, axis=2, name="wide"))


def expanded(b: Builder, x: str) -> str:
    return str(b.add("Expand", x, b.integers(HUGE, W, F)))


def long_chain(b: Builder, x: str) -> str:
    for _ in range(300):
        x = b.add("Relu", x)
    return x


def outer_product(b: Builder, x: str) -> str:
    thin = b.add("MatMul", x, b.weights(4096, 1))
    return str(b.add("MatMul", thin, b.weights(1, 1 << 15)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (doubled, "picks, joins or scales more than 2048 features"),
        (joined_often, "its node 'wide' picks, joins or scales more than 2048 features"),
        (expanded, "expands [31, 6, 3]"),
        (long_chain, "ends a very long or wide chain of layers"),
    ],
)
def test_values_that_grow(change: Any, text: str) -> None:
    assert text in refusal(through(change))


def test_products_that_grow() -> None:
    text = refusal(through(outer_product, ("n", 2, 4096)))
    assert "ends a very long or wide chain of layers" in text


def test_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_reader, "_MOST_NODES", 40)
    assert "expected at most 40 nodes, got more" in refusal(through(doubled))


def test_nothing_runs_that_was_not_read() -> None:
    """A node whose answer no output needs is left out, whatever it is."""
    file = forecaster()
    file.graph.node.append(onnx.helper.make_node("Endless", ["x"], ["y"], domain="elsewhere"))
    assert sc.SequenceModel.from_onnx(file).window == W

"""The compiled reader of model files, on files by safetensors itself and on damaged ones."""

from __future__ import annotations

import json
import pickle
import random
import re
import struct

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import save

from slidecell import SequenceModel, _core
from tests.models import layer, random_model

TENSORS = {
    "encoder.0.weight_ih_l0": np.arange(24, dtype=np.float32).reshape(8, 3),
    "encoder.0.bias_ih_l0": np.linspace(-1, 1, 8, dtype=np.float32),
    "empty": np.zeros((0, 5), np.float32),
    "scalar": np.array(3.5, np.float32),
}
METADATA = json.dumps({"format": 1, "features": ["é", "\U0001f600", 'a"b\\']})


def good_file(metadata=None):
    return save(TENSORS, metadata={"slidecell": METADATA} if metadata is None else metadata)


def file_of(header, data=b""):
    """Build a file with this header (bytes, or what json makes of it)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def header_of(**tensors):
    return {"__metadata__": {"slidecell": "{}"}, **tensors}


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_reads_what_safetensors_writes(path):
    path.write_bytes(good_file({"slidecell": METADATA, "other": "kept by others"}))
    metadata, tensors = _core.read_model_file(str(path))
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, expected in TENSORS.items():
        assert tensors[name].dtype == np.float32
        assert tensors[name].shape == expected.shape
        assert np.array_equal(tensors[name], expected)


def test_writes_what_safetensors_writes():
    awkward = dict(TENSORS)
    awkward['é"\\/\n\x01\x7f\b\f\r\t'] = np.ones((1, 2, 1), np.float32)
    for text in (METADATA, "", "\x00\x1f\\u00e9 é\U0001f600"):
        for tensors in ({}, TENSORS, awkward):
            expected = save(tensors, metadata={"slidecell": text})
            assert _core.model_file_bytes(text, tensors) == expected


def test_a_model_reads_its_file_once_and_writes_the_same_bytes(path):
    layers = [layer("gru", 5), layer("lstm", 4)]
    metadata, tensors = random_model(np.random.default_rng(0), layers)
    metadata["features"] = [f"é{i}" for i in range(metadata["encoder"][0]["input_size"])]
    made = SequenceModel(metadata, tensors)
    made.save(path)
    written = path.read_bytes()
    assert written == save(made.tensors, metadata={"slidecell": json.dumps(made.metadata)})
    loaded = SequenceModel.load(path)
    assert loaded.metadata == made.metadata
    assert list(loaded.metadata) == list(made.metadata)
    assert loaded.tensors.keys() == tensors.keys()
    for name, tensor in loaded.tensors.items():
        assert_array_equal(tensor, tensors[name])
        assert tensor.dtype == np.float32
    path.unlink()
    loaded.save(path)
    assert path.read_bytes() == written
    series = np.random.default_rng(1).random((30, loaded.input_size))
    assert_array_equal(loaded.score(series), made.score(series))
    assert_array_equal(pickle.loads(pickle.dumps(loaded)).score(series), made.score(series))


def test_a_file_may_lack_what_has_a_default(path):
    metadata, tensors = random_model(np.random.default_rng(0), [layer("gru", 5)])
    needed = {key: metadata[key] for key in ("window", "horizon", "encoder", "decoder")}
    path.write_bytes(save(tensors, metadata={"slidecell": json.dumps(needed)}))
    loaded = SequenceModel.load(path)
    assert loaded.metadata == {
        **{"format": 1, "features": None, "targets": None, "scaler": None, "error": None},
        **{"smoothing": None, "threshold": None, "extra": {}},
        **needed,
    }
    for key in needed:
        rest = {k: v for k, v in needed.items() if k != key}
        path.write_bytes(save(tensors, metadata={"slidecell": json.dumps(rest)}))
        with pytest.raises(ValueError, match=f"model.safetensors: .*missing key '{key}'"):
            SequenceModel.load(path)


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"window": NaN}', '{"format": 2}'])
def test_metadata_that_is_no_model_is_refused_with_the_files_name(path, text):
    path.write_bytes(save(TENSORS, metadata={"slidecell": text}))
    with pytest.raises(ValueError, match=r"model\.safetensors: "):
        SequenceModel.load(path)


def test_a_file_that_cannot_be_read_is_an_oserror(path, tmp_path):
    with pytest.raises(OSError, match=r"model\.safetensors: no such file"):
        _core.read_model_file(str(path))
    with pytest.raises(OSError, match="is a directory"):
        _core.read_model_file(str(tmp_path))


def test_every_truncation_is_refused(path):
    whole = good_file()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            _core.read_model_file(str(path))
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="tensors end at byte"):
        _core.read_model_file(str(path))


HOSTILE = {
    "empty": (b"", "expected a safetensors file, got 0 bytes"),
    "length beyond the file": (struct.pack("<Q", 3) + b"{}", "header: expected at most 2 bytes"),
    "length of 2^64 - 1": (b"\xff" * 8 + b"{}", "got the length 18446744073709551615"),
    "length of 0": (bytes(16), "header: expected a JSON object"),
    "not an object": (file_of([]), "header: expected a JSON object"),
    "bad JSON": (file_of(b'{"a":1'), "header: JSON: expected ',' or '}' at byte 6"),
    "not UTF-8": (file_of(b'{"\xff":1}'), "header: JSON: text that is not UTF-8 at byte 2"),
    "deep JSON": (file_of(b'{"a":' + b"[" * 100_000), "header: JSON: nested too deeply"),
    "no metadata": (file_of({}), "__metadata__: missing: this is not a slidecell model"),
    "metadata of another": (save(TENSORS, {"format": "pt"}), "__metadata__: no 'slidecell' key"),
    "metadata no object": (file_of({"__metadata__": 7}), "__metadata__: expected an object"),
    "metadata no text": (
        file_of({"__metadata__": {"slidecell": {}}}),
        "__metadata__: 'slidecell': expected a string",
    ),
    "tensor no object": (file_of(header_of(w=None)), "tensor 'w': expected an object"),
    "float64": (
        file_of(header_of(w=tensor([1], 0, 8, "F64")), bytes(8)),
        "tensor 'w': dtype: expected F32, got F64",
    ),
    "no shape": (
        file_of(header_of(w={"dtype": "F32", "data_offsets": [0, 0]})),
        "tensor 'w': shape: expected integers >= 0",
    ),
    "shape of text": (
        file_of(header_of(w=tensor(["1"], 0, 4)), bytes(4)),
        "tensor 'w': shape: expected integers >= 0",
    ),
    "shape beyond the data": (
        file_of(header_of(w=tensor([2**40, 2**40], 0, 4)), bytes(4)),
        "tensor 'w': shape: does not fill the 4 bytes",
    ),
    "shape that wraps to 4 bytes": (
        file_of(header_of(w=tensor([2**62 + 1], 0, 4)), bytes(4)),
        "tensor 'w': shape: does not fill the 4 bytes",
    ),
    "range beyond the data": (
        file_of(header_of(w=tensor([2], 0, 8)), bytes(4)),
        "tensor 'w': data_offsets: expected a range within the file's 4 bytes",
    ),
    "range backwards": (
        file_of(header_of(w=tensor([1], 4, 0)), bytes(4)),
        "tensor 'w': data_offsets: expected a range",
    ),
    "range of one number": (
        file_of(header_of(w={"dtype": "F32", "shape": [1], "data_offsets": [0]}), bytes(4)),
        "tensor 'w': data_offsets: expected two integers",
    ),
    "hole": (
        file_of(header_of(w=tensor([1], 4, 8)), bytes(8)),
        "tensor 'w': data_offsets: leaves a hole",
    ),
    "overlap": (
        file_of(header_of(v=tensor([2], 0, 8), w=tensor([2], 4, 12)), bytes(12)),
        "tensor 'w': data_offsets: overlaps",
    ),
    "two tensors of one range": (
        file_of(header_of(v=tensor([2], 0, 8), w=tensor([2], 0, 8)), bytes(8)),
        "tensor 'w': data_offsets: overlaps",
    ),
    "duplicate name": (
        file_of(b'{"__metadata__":{"slidecell":""},"w":1,"w":1}'),
        "header: JSON: duplicate key 'w'",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_with_its_place(path, name):
    content, text = HOSTILE[name]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        _core.read_model_file(str(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_changed_bytes_are_refused_or_read_but_never_crash(path):
    rng = random.Random(0)
    whole = good_file()
    header_end = 8 + struct.unpack("<Q", whole[:8])[0]
    refused = []
    for _ in range(4000):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            content[rng.randrange(header_end)] = rng.choice([rng.randrange(256), *b'{}[]",:0-9\\u'])
        path.write_bytes(content)
        try:
            _, tensors = _core.read_model_file(str(path))
        except ValueError as error:
            refused.append(str(error))
        else:
            assert sum(t.nbytes for t in tensors.values()) == len(whole) - header_end
    assert len(refused) > 2000
    assert all(text.startswith(f"{path}: ") for text in refused)

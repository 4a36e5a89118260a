"""Files of Keras that are not what they say: refused before anything is read by their numbers."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.keras_files import GOLDEN, contents, layer_of, packed, with_config, with_weights

h5py = pytest.importorskip("h5py", reason="reads .keras files")

KERNEL = "layers/lstm/cell/vars/0"  # [4, 32] in stacked.keras
MOST_MEMORY = 8 * 2**20  # of Python's own while a small file is refused


def refused(path: Path, text: str) -> None:
    """The file is refused by a ValueError that names it, or the layer, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=text) as raised:
            sc.SequenceModel.from_keras(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert str(raised.value).startswith((f"{path}: ", "model: ", "window: "))


@pytest.fixture
def files() -> dict[str, bytes]:
    return contents(GOLDEN / "stacked.keras")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hostile.keras"


@pytest.mark.parametrize(
    ("name", "zeros", "text"),
    [
        # Deflate makes 2 ** 26 zeros 64 KiB.
        ("model.weights.h5", 2**26, "to grow at most 64 times when unpacked, it declares"),
        ("config.json", 2**26, "at most 4194304 bytes in 'config.json', it declares 67108864"),
    ],
)
def test_hostile_zip_bomb(
    files: dict[str, bytes], path: Path, name: str, zeros: int, text: str
) -> None:
    packed(path, {**files, name: bytes(zeros)})
    assert path.stat().st_size < 2**18
    refused(path, text)


@pytest.mark.parametrize("declared", [64, 2**31, 2**32 - 2])
def test_hostile_zip_declares_another_size(
    files: dict[str, bytes], path: Path, declared: int
) -> None:
    """Both headers of the weights say another size than what is packed."""
    packed(path, files)
    data = bytearray(path.read_bytes())
    true = struct.pack("<L", len(files["model.weights.h5"]))
    assert data.count(true) == 2
    path.write_bytes(data.replace(true, struct.pack("<L", declared)))
    refused(path, "it is damaged: BadZipFile|expected at most 1073741824 bytes|to grow at most")


def test_hostile_zip_packed_size_beyond_the_file(files: dict[str, bytes], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    data = path.read_bytes()
    true = struct.pack("<L", len(files["model.weights.h5"]))
    path.write_bytes(data.replace(true, struct.pack("<L", 2**29)))
    refused(path, "it is damaged|bytes in 'model.weights.h5', got")


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/../../b", "C:\\x", "\\\\host\\x"])
def test_hostile_zip_path_names(files: dict[str, bytes], path: Path, name: str) -> None:
    packed(path, {**files, name: b"x"})
    refused(path, "expected names of files inside it, got")
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing is unpacked


def test_hostile_zip_list_of_many_files(files: dict[str, bytes], path: Path) -> None:
    packed(path, {**files, **{f"{n:05}": b"" for n in range(2000)}})
    refused(path, "a zip file of a few files, got the list of many")


def test_hostile_zip_names_twice(files: dict[str, bytes], path: Path) -> None:
    packed(path, files)
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("config.json", b"{}")
    refused(path, "each file in it once")


def test_hostile_zip_of_64_bits_and_comment(files: dict[str, bytes], path: Path) -> None:
    packed(path, files)
    data = path.read_bytes()
    end, locator = data[-22:], b"PK\x06\x07" + bytes(16)
    path.write_bytes(data[:-22] + locator + end)
    refused(path, "the list of many")
    path.write_bytes(data[:-2] + b"\x01\x00x")
    refused(path, "a whole zip file without a comment")
    path.write_bytes(data[:-22].replace(b"\x00\x00\x08\x00", b"\x01\x00\x08\x00") + end)
    refused(path, "without encryption|damaged")


@pytest.mark.parametrize("missing", ["config.json", "metadata.json", "model.weights.h5"])
def test_hostile_zip_without_a_file(files: dict[str, bytes], path: Path, missing: str) -> None:
    del files[missing]
    packed(path, files)
    refused(path, f"expected '{missing}' in it")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "expected JSON in 'config.json'"),
        (b"[" * 100_000, "expected JSON in 'config.json'"),
        (b"\xff\xfe", "expected JSON in 'config.json'"),
        (b"[]", "expected an object of JSON"),
        (b"{}", "expected a Sequential or functional model|has no class"),
        (b'{"class_name": "Sequential"}', "expected a model with layers"),
        (b'{"class_name": "Sequential", "config": {"layers": [1]}}', "configurations of layers"),
        (b'{"class_name": "Sequential", "config": {"layers": [{"config": {}}]}}', "names of lay"),
        (b'{"class_name": "Sequential", "config": 3}', "expected a model with layers"),
        (b'{"class_name": ["x"], "config": {}}', "has no class"),
    ],
)
def test_hostile_config(files: dict[str, bytes], path: Path, text: bytes, expected: str) -> None:
    packed(path, {**files, "config.json": text})
    refused(path, expected)


@pytest.mark.parametrize(
    ("depth", "text"), [(100, "'lstm' has 0 variables; expected 3"), (30_000, "expected JSON in")]
)
def test_hostile_models_inside_models(
    files: dict[str, bytes], path: Path, depth: int, text: str
) -> None:
    config = json.loads(files["config.json"])
    inner = '{"class_name": "Sequential", "config": {"name": "m", "layers": ['
    nested = inner * depth + json.dumps(config) + "]}}" * depth
    packed(path, {**files, "config.json": nested.encode()})
    refused(path, text)


def test_hostile_models_that_multiply(files: dict[str, bytes], path: Path) -> None:
    """Each model calls the one inside it twice: 2 ** 40 calls, in a short text."""

    def twice(inner: dict[str, Any], number: int) -> dict[str, Any]:
        def read(name: str, call: int) -> dict[str, Any]:
            tensor = {
                "class_name": "__keras_tensor__",
                "config": {"keras_history": [name, call, 0]},
            }
            return {"args": [tensor], "kwargs": {}}

        name = f"m{number}"
        first = {"class_name": "InputLayer", "inbound_nodes": [],
                 "config": {"name": "in", "batch_shape": [None, 6, 4]}}  # fmt: skip
        inner = {**inner, "inbound_nodes": [read("in", 0), read(inner["config"]["name"], 0)]}
        config = {"name": name, "layers": [first, inner], "input_layers": ["in", 0, 0],
                  "output_layers": [inner["config"]["name"], 1, 0]}  # fmt: skip
        return {"class_name": "Functional", "config": config}

    model: dict[str, Any] = {"class_name": "Dropout", "config": {"name": "d"}}
    for number in range(40):
        model = twice(model, number)
    packed(path, {**files, "config.json": json.dumps(model).encode()})
    refused(path, "comes after 1024 other layers")


def test_hostile_scalings_of_many_columns(files: dict[str, bytes], path: Path) -> None:
    """Each is a matrix once it is read, and a few bytes of text."""
    rescaling = {"class_name": "Rescaling", "config": {"scale": 2.0}}
    first = {"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [None, 6, 4096]}}
    many = [{**rescaling, "config": {"scale": 2.0, "name": f"r{n}"}} for n in range(9)]
    model = {"class_name": "Sequential", "config": {"layers": [first, *many]}}
    packed(path, {**files, "config.json": json.dumps(model).encode()})
    with pytest.raises(ValueError, match="matrices that take more than 1 GiB"):
        sc.SequenceModel.from_keras(path)
    first["config"]["batch_shape"] = [None, 6, 10**6]
    packed(path, {**files, "config.json": json.dumps(model).encode()})
    refused(path, "'r0' scales 1000000 columns; expected 4096 at most")


def shape(sizes: list[Any]) -> Callable[[dict[str, Any]], Any]:
    def change(config: dict[str, Any]) -> None:
        layer_of(config, "InputLayer")["config"]["batch_shape"] = sizes

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (shape([None, 10**12, 4]), "1 to 2147483647 rows as its input, got 10{12}"),
        (shape([None, 10**40, 4]), "1 to 2147483647 rows as its input, got 10{40}"),
        (shape([None, 6, 10**12]), "1 to 2147483647 features as its input, got 10{12}"),
        (shape([None, 6, 10**9]), r"has an array \[4, 32\] .* expected an array \[10{9}, 32\]"),
        (shape([None, -6, 4]), "rows as its input, got"),
        (shape([None, 6, 4.5]), "features as its input, got 4.5"),
        (shape([None, "6", 4]), "rows as its input, got"),
        (shape([None, True, 4]), "rows as its input, got"),
        (shape([None, 4]), r"expected an input \[N, W, F\]"),
    ],
)
def test_hostile_input_shapes(path: Path, change: Any, text: str) -> None:
    refused(with_config(path, "stacked", change), text)


@pytest.mark.parametrize("units", [10**9, 2**62, 10**30, -1, 0, 8.0, "8", None, True, [8]])
def test_hostile_units(path: Path, units: Any) -> None:
    def change(config: dict[str, Any]) -> None:
        layer_of(config, "LSTM")["config"]["units"] = units

    refused(with_config(path, "stacked", change), "'lstm' has ")


def replaced(value: Any, **options: Any) -> Callable[[Any], None]:
    """Put another dataset in the kernel's place."""

    def change(weights: Any) -> None:
        del weights[KERNEL]
        weights.create_dataset(KERNEL, data=value, **options)

    return change


def huge(weights: Any) -> None:
    """2 ** 50 numbers that are declared and not there."""
    del weights[KERNEL]
    weights.create_dataset(KERNEL, shape=(2**25, 2**25), dtype="f4")


def sparse(weights: Any) -> None:
    """2 ** 50 numbers in chunks, none of them there."""
    del weights[KERNEL]
    weights.create_dataset(KERNEL, shape=(2**25, 2**25), chunks=(32, 32), dtype="f4")


def external(weights: Any) -> None:
    del weights[KERNEL]
    weights.create_dataset(KERNEL, shape=(4, 32), dtype="f4", external=[("/etc/passwd", 0, 512)])


def virtual(weights: Any) -> None:
    del weights[KERNEL]
    layout = h5py.VirtualLayout(shape=(4, 32), dtype="f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", shape=(4, 32))
    weights.create_virtual_dataset(KERNEL, layout)


def linked(link: Any) -> Callable[[Any], None]:
    def change(weights: Any) -> None:
        del weights[KERNEL]
        weights[KERNEL] = link

    return change


def linked_group(weights: Any) -> None:
    del weights["layers/lstm"]
    weights["layers/lstm"] = h5py.ExternalLink("/tmp/other.h5", "/layers/lstm")


def reference(weights: Any) -> None:
    pointer = weights["layers"].ref
    del weights[KERNEL]
    weights.create_dataset(KERNEL, data=pointer, dtype=h5py.ref_dtype)


def named_type(weights: Any) -> None:
    del weights[KERNEL]
    weights[KERNEL] = np.dtype("f4")


LINK = "in the file itself, got a link"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda weights: weights.pop(KERNEL), r"'lstm' has 0 variables; expected 3"),
        (lambda weights: weights.pop("layers/lstm/cell/vars/2"), "'lstm' has 2 variables; exp"),
        (lambda weights: weights.pop("layers"), "'lstm' has 0 variables"),
        (huge, r"expected 4503599627370496 bytes for \[33554432, 33554432\] numbers"),
        (sparse, "chunked, compressed, virtual or external"),
        (external, "chunked, compressed, virtual or external"),
        (virtual, "chunked, compressed, virtual or external"),
        (replaced(np.ones((4, 32), "f4"), compression="gzip"), "chunked, compressed, virtual"),
        (linked(h5py.SoftLink("/layers/lstm_1/cell/vars/0")), LINK),
        (linked(h5py.SoftLink("/nothing")), LINK),
        (linked(h5py.ExternalLink("/etc/passwd", "/")), LINK),
        (linked_group, LINK),
        (replaced(np.ones((4, 33), "f4")), r"an array \[4, 33\] .* expected an array \[4, 32\]"),
        (replaced(np.ones((32,), "f4")), r"an array \[32\] .* expected an array \[4, 32\]"),
        (replaced(np.ones((4, 32, 1, 1, 1), "f4")), "at most 4 axes"),
        (replaced(np.float32(1)), "has a single number as variable 0"),
        (replaced(h5py.Empty("f4")), "numbers in|at most 4 axes"),
        (replaced(np.full((4, 32), np.nan, "f4")), "'lstm' has NaN or infinity in variable 0"),
        (replaced(np.full((4, 32), 1e300)), "'lstm' has NaN or infinity in variable 0"),
        (replaced(np.ones((4, 32), "c16")), "expected floats in"),
        (replaced(np.full((4, 32), b"12345678")), "expected floats in"),
        (replaced([["x"] * 32] * 4), "expected floats in"),
        (reference, "expected floats in"),
        (named_type, "to be a Dataset"),
        (lambda weights: weights.move(KERNEL, "layers/lstm/cell/vars/9/0"), "has 0 variables"),
        (lambda weights: weights.create_group("layers/lstm/cell/vars/3"), "to be a Dataset"),
    ],
)
def test_hostile_variables(path: Path, change: Callable[[Any], Any], text: str) -> None:
    refused(with_weights(path, "stacked", change), text)


def old_file() -> tuple[bytearray, int, int]:
    """An .h5 file, where it points to its configuration, and where that is: [length, heap, number].

    A heap is b"GCOL", a version, 3 zeros, its size; then texts: number, 6 bytes, length, the text.
    """
    data = bytearray((GOLDEN / "both_ways.h5").read_bytes())
    with h5py.File(io.BytesIO(data), "r") as file:
        text = file.attrs["model_config"]
    at = data.index(text.encode() if isinstance(text, str) else text)
    heap = data.rindex(b"GCOL", 0, at)
    return data, data.index(struct.pack("<LQ", len(text), heap)), heap


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        ("pointer", struct.pack("<L", 2**31), "a text of [0-9]+ bytes, it says 2147483648"),
        ("pointer", struct.pack("<LQ", 9, 2**63), "it is damaged: ValueError: expected 5 bytes at"),
        ("pointer", struct.pack("<LQ", 9, 8), "it is damaged: ValueError: expected a heap at 8"),
        ("pointer", struct.pack("<L8xL", 9, 77), "it is damaged"),
        ("size", struct.pack("<Q", 2**63), "it is damaged: ValueError: expected [0-9]+ bytes at"),
        ("length", struct.pack("<Q", 2**40), "expected texts inside of the heap"),
        ("length", struct.pack("<Q", 0), "it is damaged|expected JSON|it says"),
        ("number", struct.pack("<H", 0), "it is damaged: KeyError"),
    ],
)  # fmt: skip
def test_hostile_texts_of_an_old_file(tmp_path: Path, place: str, value: bytes, text: str) -> None:
    data, pointer, heap = old_file()
    at = {"pointer": pointer, "size": heap + 8, "number": heap + 16, "length": heap + 24}[place]
    data[at : at + len(value)] = value
    path = tmp_path / "old.h5"
    path.write_bytes(data)
    refused(path, text)


def test_hostile_heap_that_has_no_end(path: Path) -> None:
    """HDF5 goes round for ever where a heap's free part has no length: texts are left unread."""
    files = contents(GOLDEN / "stacked.keras")
    weights = bytearray(files["model.weights.h5"])
    heap = weights.index(b"GCOL\x01")
    weights[heap + 16 : heap + 32] = bytes(16)
    packed(path, {**files, "model.weights.h5": bytes(weights)})
    assert sc.SequenceModel.from_keras(path).window == 6


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_hostile_texts_without_number(tmp_path: Path, libver: str) -> None:
    def write(**texts: Any) -> Path:
        path = tmp_path / "texts.h5"
        with h5py.File(path, "w", libver=libver) as file:
            for name, value in texts.items():
                file.attrs[name] = value
        return path

    config = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    for value in (config, config.encode(), np.bytes_(config), [config]):
        refused(write(model_config=value), "expected a model with layers")
    # Not one text: as if there were none.
    for value in (3.5, np.ones(4), [config, config], h5py.Empty("S4"), [1, 2]):
        refused(write(model_config=value), "HDF5 without model_config")
    refused(
        write(model_config=np.full(5000, b"x")), "expected at most 4096 texts in 'model_config'"
    )


def test_hostile_variables_that_overlap(path: Path) -> None:
    """Many layers of one large dataset: more numbers than the file holds are not read."""
    count = 100

    def change(weights: Any) -> None:
        kernel = weights.create_dataset("large", data=np.ones((4, 32), "f4"))
        bias = weights.create_dataset("bias", data=np.ones(32, "f4"))
        for number in range(count):
            group = "layers/dense" + (f"_{number}" if number else "")
            for place, array in enumerate((kernel, bias)):
                name = f"{group}/vars/{place}"
                if name in weights:
                    del weights[name]
                weights[name] = array

    files = contents(with_weights(path, "stacked", change))
    config = json.loads(files["config.json"])
    dense = layer_of(config, "Dense")
    chain = [{**dense, "config": {**dense["config"], "name": f"d{n}", "units": 32}}
             for n in range(count)]  # fmt: skip
    config["config"]["layers"] = [config["config"]["layers"][0], *chain]
    with h5py.File(buffer := io.BytesIO(files["model.weights.h5"]), "r+") as weights:
        del weights["layers/dense/vars"].attrs["name"]
    text = json.dumps(config).encode()
    packed(path, {**files, "config.json": text, "model.weights.h5": buffer.getvalue()})
    refused(path, "do not overlap|expected an array")


@pytest.mark.parametrize("case", ["stacked.keras", "both_ways.h5"])
def test_hostile_damage_anywhere(case: str, tmp_path: Path, rng: np.random.Generator) -> None:
    """Files that are cut or changed in a few bytes are read or refused, and nothing else."""
    whole = (GOLDEN / case).read_bytes()
    if case.endswith(".keras"):
        whole = contents(GOLDEN / case)["model.weights.h5"]
    files = contents(GOLDEN / "stacked.keras")
    path = tmp_path / "damaged"
    refusals: list[str] = []
    for trial in range(60):
        data = bytearray(whole)
        if trial % 4 == 0:
            del data[int(rng.integers(len(data))) :]
        else:
            for place in rng.integers(0, len(data), 8):
                data[place] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
        if case.endswith(".keras"):
            packed(path, {**files, "model.weights.h5": bytes(data)})
        else:
            path.write_bytes(data)
        try:
            sc.SequenceModel.from_keras(path)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert all(refusals)


def test_hostile_no_file_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    for content, text in (
        (b"", "got neither"),
        (b"\x80\x04\x95pickle", "got neither"),
        (b"PK\x03\x04", "a whole zip file"),
        (b"\x89HDF\r\n\x1a\n", "it is damaged"),
    ):
        path.write_bytes(content)
        refused(path, text)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    refused(path, "HDF5 without model_config: weights alone")
    with pytest.raises(OSError, match="No such file"):
        sc.SequenceModel.from_keras(tmp_path / "missing.keras")
    with pytest.raises(IsADirectoryError):
        sc.SequenceModel.from_keras(tmp_path)


def test_hostile_file_larger_than_may_be(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30 + 1)  # holes, no bytes
    refused(path, "expected at most 1073741824 bytes, got 1073741825")

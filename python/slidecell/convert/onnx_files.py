"""ONNX files opened and their tensors read: nothing is allocated by a number that was not checked.

The `onnx` package parses the file. A tensor is read only where its shape and the bytes that hold it
agree; one that lies in another file only where that file is in the model's own folder.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell._regular_files import open_regular, read_regular

__all__ = ["DTYPES", "OnnxFile", "open_onnx"]

Array = npt.NDArray[Any]

# Element types of TensorProto by number, as onnx.proto has them.
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<u1"),
    3: np.dtype("<i1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}
# Where a tensor's numbers are, if they are not bytes. Of types that share a field: its integers.
_FIELDS = {
    1: "float_data",
    2: "int32_data",
    3: "int32_data",
    6: "int32_data",
    7: "int64_data",
    9: "int32_data",
    10: "int32_data",
    11: "double_data",
}
_OLDEST_OPSET = 7  # since then the operations broadcast as numpy does


@dataclass(frozen=True)
class OnnxFile:
    """A parsed model, and the folder in which its other files may lie.

    Attributes
    ----------
    model : onnx.ModelProto
    folder : Path or None
        None where the model did not come as a path.
    """

    model: Any
    folder: Path | None = None

    def array(self, tensor: Any) -> Array:
        """Return a tensor's numbers.

        Raises
        ------
        ValueError
            If its shape and its bytes do not agree, or if it lies in a file that is not there, or
            not in the model's folder.
        """
        what = f"onnx: its tensor {tensor.name!r}"
        dtype = DTYPES.get(tensor.data_type)
        if dtype is None:
            raise ValueError(
                f"{what} has element type number {tensor.data_type}; expected floats of 16, 32 or "
                "64 bits, integers or booleans"
            )
        dims = [int(size) for size in tensor.dims]
        if min(dims, default=0) < 0 or tensor.HasField("segment"):
            raise ValueError(f"{what} has shape {dims}; expected sizes from 0 on, in one segment")
        count = math.prod(dims)
        if tensor.data_location == tensor.EXTERNAL:
            raw = self._external(what, tensor, count * dtype.itemsize)
        elif tensor.HasField("raw_data"):
            raw = tensor.raw_data
        else:
            return _listed(what, tensor, dims, count, dtype)
        if len(raw) != count * dtype.itemsize:
            raise ValueError(
                f"{what} of shape {dims} holds {len(raw)} bytes; expected {count * dtype.itemsize}"
            )
        return np.frombuffer(raw, dtype).reshape(dims)

    def _external(self, what: str, tensor: Any, size: int) -> bytes:
        """Return the bytes of a tensor that lies in another file of the folder."""
        if self.folder is None:
            raise ValueError(f"{what} lies in another file; pass the path of the .onnx file")
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = said.get("location", "")
        folder = os.path.realpath(self.folder)
        path = os.path.realpath(os.path.join(folder, location))
        inside = not os.path.isabs(location) and path.startswith(folder.rstrip(os.sep) + os.sep)
        if not location or ".." in Path(location).parts or not inside:
            raise ValueError(
                f"{what} lies at {location!r}; expected a file in the model's own folder"
            )
        try:
            offset, length = int(said.get("offset", 0)), int(said.get("length", size))
        except ValueError as error:
            raise ValueError(f"{what} has an offset or a length that is no number") from error
        try:
            with open_regular(path) as file:
                whole = os.fstat(file.fileno()).st_size
                if offset < 0 or length != size or offset + size > whole:
                    raise ValueError(
                        f"{what} takes {length} bytes at {offset} of {location!r}, which holds "
                        f"{whole}; its shape takes {size}"
                    )
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise ValueError(f"{what} lies in {location!r}, which cannot be read") from error


def _listed(what: str, tensor: Any, dims: list[int], count: int, dtype: np.dtype[Any]) -> Array:
    numbers = getattr(tensor, _FIELDS[tensor.data_type])
    if len(numbers) != count:
        raise ValueError(f"{what} of shape {dims} holds {len(numbers)} numbers; expected {count}")
    if dtype == np.dtype("<f2"):  # their bits
        return np.array(numbers, np.uint16).view(dtype).reshape(dims)
    return np.array(numbers).astype(dtype).reshape(dims)


def open_onnx(onnx: Any) -> OnnxFile:
    """Return a parsed model of a path, of a file's bytes, or of an `onnx.ModelProto`.

    Raises
    ------
    ImportError
        If the `onnx` package is absent.
    OSError
        If the file cannot be read.
    TypeError, ValueError
        If it is none of them, damaged, or of a form that is not read.
    """
    require("onnx", extra="onnx")
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    folder: Path | None = None
    if isinstance(onnx, ModelProto):
        model = onnx
    elif isinstance(onnx, (bytes, bytearray, memoryview, str, os.PathLike)):
        if isinstance(onnx, (str, os.PathLike)):
            folder = Path(onnx).parent
            data = read_regular(onnx)
        else:
            data = bytes(onnx)
        model = ModelProto()
        try:
            model.ParseFromString(data)
        except DecodeError as error:
            raise ValueError(
                "onnx: expected an ONNX file, got bytes that are none, or damaged"
            ) from (error)
    else:
        raise TypeError(
            f"onnx: expected a path, bytes or an onnx.ModelProto, got {type(onnx).__name__}"
        )
    _check_form(model)
    return OnnxFile(model, folder)


def _check_form(model: Any) -> None:
    graph = model.graph
    if not graph.node or not graph.output:
        raise ValueError("onnx: expected a graph with nodes and outputs, got none; is it cut off?")
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not opsets or min(opsets) < _OLDEST_OPSET:
        raise ValueError(
            f"onnx: expected operator set {_OLDEST_OPSET} or newer, got {_text(opsets)}; export it "
            "again"
        )
    if model.functions:
        raise ValueError(
            "onnx: expected a graph without functions of its own, got "
            f"{model.functions[0].name!r}; inline them: onnx.inliner.inline_local_functions"
        )
    if graph.sparse_initializer:
        raise ValueError("onnx: expected dense weights, got sparse ones; export them dense")


def _text(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"

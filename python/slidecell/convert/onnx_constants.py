"""What ONNX operations make of constants: shapes, indices, zeros to start from, folded weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.onnx_files import DTYPES

__all__ = ["CONSTANT_OPERATIONS", "MOST_NUMBERS", "as_list", "axes_of", "slices"]

Array = npt.NDArray[Any]
Attributes = Mapping[str, Any]

MOST_NUMBERS = 1 << 24  # that a constant may have which a node makes


def as_list(array: Any) -> list[int]:
    """Return whole numbers of a constant."""
    return [int(number) for number in np.asarray(array).ravel()]


def axes_of(inputs: Sequence[Any], attributes: Attributes, place: int = 1) -> list[int] | None:
    """Return the axes that a node names, in an attribute or, in newer sets, in an input."""
    if "axes" in attributes:
        return list(attributes["axes"])
    if len(inputs) > place and inputs[place] is not None:
        return as_list(inputs[place])
    return None


def slices(
    shape: Sequence[int], inputs: Sequence[Any], attributes: Attributes
) -> list[tuple[int, slice]]:
    """Return the axes that a Slice node cuts, and how."""
    if "starts" in attributes:
        starts, ends = list(attributes["starts"]), list(attributes["ends"])
        axes, steps = attributes.get("axes"), None
    else:
        given = [*inputs[1:], None, None][:4]
        starts, ends = as_list(given[0]), as_list(given[1])
        axes = None if given[2] is None else as_list(given[2])
        steps = None if given[3] is None else as_list(given[3])
    axes = list(range(len(starts))) if axes is None else list(axes)
    steps = [1] * len(starts) if steps is None else steps
    result = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        first, last, _ = slice(start, end, step).indices(shape[axis])
        result.append((axis % len(shape), slice(first, last if last >= 0 else None, step)))
    return result


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if min(sizes, default=0) < 0 or math.prod(sizes) > MOST_NUMBERS:
        raise ValueError(f"makes a constant of shape {list(sizes)}")
    return sizes


def _broadcast(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(inputs: Sequence[Array], _: Attributes) -> Array:
        _checked(np.broadcast_shapes(*(array.shape for array in inputs)))
        return np.asarray(function(*inputs))

    return run


def _divide(a: Array, b: Array) -> Array:
    if np.issubdtype(a.dtype, np.integer):
        return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)
    return np.asarray(a / b)


def _matmul(inputs: Sequence[Array], _: Attributes) -> Array:
    a, b = inputs
    stacks = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    _checked((*stacks, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ())))
    return np.asarray(a @ b)


def _cast(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return inputs[0].astype(DTYPES[attributes["to"]])


def _constant(_: Sequence[Array], attributes: Attributes) -> Array:
    for key, dtype in (("float", np.float32), ("int", np.int64)):
        for name in (f"value_{key}", f"value_{key}s"):
            if name in attributes:
                return np.array(attributes[name], dtype)
    return np.asarray(attributes["value"])


def _constant_of_shape(inputs: Sequence[Array], attributes: Attributes) -> Array:
    value = np.asarray(attributes.get("value", np.zeros(1, np.float32)))
    return np.broadcast_to(value.reshape(()), _checked(as_list(inputs[0])))


def _expand(inputs: Sequence[Array], _: Attributes) -> Array:
    sizes = np.broadcast_shapes(inputs[0].shape, _checked(as_list(inputs[1])))
    return np.broadcast_to(inputs[0], _checked(sizes))


def _tile(inputs: Sequence[Array], _: Attributes) -> Array:
    counts = as_list(inputs[1])
    _checked([size * count for size, count in zip(inputs[0].shape, counts, strict=True)])
    return np.tile(inputs[0], counts)


def _range(inputs: Sequence[Array], _: Attributes) -> Array:
    start, end, step = (array.item() for array in inputs)
    _checked([max(0, math.ceil((end - start) / step))])
    return np.arange(start, end, step, dtype=inputs[0].dtype)


def _reshape(inputs: Sequence[Array], attributes: Attributes) -> Array:
    sizes = as_list(inputs[1])
    if not attributes.get("allowzero", 0):
        sizes = [inputs[0].shape[n] if size == 0 else size for n, size in enumerate(sizes)]
    return inputs[0].reshape(sizes)


def _squeeze(inputs: Sequence[Array], attributes: Attributes) -> Array:
    axes = axes_of(inputs, attributes)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _unsqueeze(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return np.expand_dims(inputs[0], tuple(axes_of(inputs, attributes) or ()))


def _gather(inputs: Sequence[Array], attributes: Attributes) -> Array:
    array, indices = inputs
    axis = attributes.get("axis", 0) % array.ndim
    _checked((*array.shape[:axis], *indices.shape, *array.shape[axis + 1 :]))
    return np.take(array, indices, axis)


def _slice(inputs: Sequence[Array], attributes: Attributes) -> Array:
    result = inputs[0]
    for axis, cut in slices(result.shape, inputs, attributes):
        result = result[(slice(None),) * axis + (cut,)]
    return result


def _concat(inputs: Sequence[Array], attributes: Attributes) -> Array:
    _checked([sum(array.size for array in inputs)])
    return np.concatenate(inputs, attributes["axis"])


def _split(inputs: Sequence[Array], attributes: Attributes) -> list[Array]:
    sizes = attributes.get("split") or as_list(inputs[1])
    return np.split(inputs[0], np.cumsum(sizes)[:-1], attributes.get("axis", 0))


def _shape(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return np.array(inputs[0].shape, np.int64)[attributes.get("start", 0) : attributes.get("end")]


def _reduce_sum(inputs: Sequence[Array], attributes: Attributes) -> Array:
    axes = axes_of(inputs, attributes)
    keep = bool(attributes.get("keepdims", 1))
    return np.asarray(np.sum(inputs[0], None if axes is None else tuple(axes), keepdims=keep))


def _transpose(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return np.transpose(inputs[0], attributes.get("perm"))


CONSTANT_OPERATIONS: dict[str, Callable[[Sequence[Array], Attributes], Any]] = {
    "Add": _broadcast(np.add),
    "Sub": _broadcast(np.subtract),
    "Mul": _broadcast(np.multiply),
    "Div": _broadcast(_divide),
    "Pow": _broadcast(np.power),
    "Max": _broadcast(lambda *arrays: np.max(np.broadcast_arrays(*arrays), axis=0)),
    "Min": _broadcast(lambda *arrays: np.min(np.broadcast_arrays(*arrays), axis=0)),
    "Equal": _broadcast(np.equal),
    "Where": _broadcast(np.where),
    "Neg": _broadcast(np.negative),
    "Sqrt": _broadcast(np.sqrt),
    "Reciprocal": _broadcast(np.reciprocal),
    "Floor": _broadcast(np.floor),
    "Identity": lambda inputs, _: inputs[0],
    "Dropout": lambda inputs, _: inputs[0],
    "MatMul": _matmul,
    "Cast": _cast,
    "CastLike": lambda inputs, _: inputs[0].astype(inputs[1].dtype),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Split": _split,
    "Shape": _shape,
    "Size": lambda inputs, _: np.array(inputs[0].size, np.int64),
    "ReduceSum": _reduce_sum,
    "ReduceProd": lambda inputs, _: np.prod(inputs[0], keepdims=True),
    "Transpose": _transpose,
}

"""What operations of ONNX graphs do to values with named axes: one function per operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.axes import flat, regroup
from slidecell.convert.graph import Linear
from slidecell.convert.joined_values import concatenated, linear_sum
from slidecell.convert.onnx_calls import MOST_FEATURES, Call, Joined
from slidecell.convert.onnx_constants import as_list, axes_of, slices
from slidecell.convert.onnx_layers import run_onnx_layer
from slidecell.convert.pointwise import Pointwise, composed, erf
from slidecell.convert.unrolled import Step, as_one_layer, step_of
from slidecell.convert.values import Value

__all__ = ["OPERATIONS", "READ_FUNCTIONS"]

Array = npt.NDArray[Any]

_CHOICE = "pick features by constant numbers"


def _floats(array: Array) -> Array:
    return array if array.dtype in (np.float32, np.float64) else np.asarray(array, np.float32)


def _same(call: Call) -> Value:
    return call.value


def _cast(call: Call) -> Value:
    if call.attributes["to"] not in (1, 10, 11):
        call.refuse("rounds values to whole numbers", "keep floats")
    return call.value


def _dropout(call: Call) -> Value:
    if np.any(call.constant(2, False)):
        call.refuse("drops values (training_mode)", "export the model for inference")
    return call.value


def _linear(call: Call, x: Value, weight: Array) -> Value:
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:]:
        call.refuse(
            f"multiplies {list(x.shape)} by a matrix of {list(weight.shape[::-1])}", "let them fit"
        )
    return x.linear(call.name, weight)


def _matmul(call: Call) -> Value:
    x, weight = call.inputs
    if not isinstance(x, Value) or isinstance(weight, (Value, Pointwise)):
        call.refuse(
            "multiplies values with each other, or from the left",
            "use a dense layer that reads the last step",
        )
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    if weight.ndim == 1:
        return _linear(call, x, _floats(weight)[None]).squeezed([-1])
    if weight.ndim != 2:
        call.refuse("multiplies by a stack of matrices", "multiply by one")
    return _linear(call, x, _floats(weight).T)


def _gemm(call: Call) -> Value:
    x, weight = call.value, call.constant(1)
    alpha, beta = (float(call.attributes.get(key, 1.0)) for key in ("alpha", "beta"))
    weight = _floats(weight) if call.attributes.get("transB", 0) else _floats(weight).T
    if call.attributes.get("transA", 0):
        x = x.permuted((1, 0))
    product = _linear(call, x, weight if alpha == 1.0 else weight * alpha)
    bias = call.constant(2)
    return product if bias is None else _shifted(call, product, beta * _floats(bias))


def _shifted(call: Call, x: Value, shift: Array) -> Value:
    """Return x + shift: the bias of the dense layer before it, where there is one."""
    windows = [place for place, one in enumerate(x.axes) if flat((one,), "batch")]
    from_end = windows[0] - len(x.axes) if windows else 0
    if from_end and -from_end <= shift.ndim and shift.shape[from_end] == x.shape[from_end]:
        # Zeros to start from, multiplied: one row for each window, all alike.
        one = np.take(shift, [0], from_end)
        shift = one if (shift == one).all() else shift
    while shift.ndim > len(x.axes) and shift.shape[0] == 1:
        x = x.unsqueezed(0)
    if not shift.any() and np.broadcast_shapes(shift.shape, x.shape) == x.shape:
        return x
    x = x.ordered(call.name)
    last = x.nodes[-1] if x.nodes else None
    one_per_feature = (
        shift.ndim <= len(x.axes)
        and x.shape[-1] == x.width
        and (shift.size == 1 or shift.size == shift.shape[-1] == x.width)
    )
    if isinstance(last, Linear) and one_per_feature:
        bias = np.broadcast_to(shift.ravel(), (x.width,)).astype(np.float64)
        bias = bias if last.bias is None else bias + last.bias
        node = Linear(last.name, last.weight, bias)
        return replace(x, nodes=x.trace.after(x.nodes[:-1], node))
    call.small(x)
    return x.scaled(call.name, None, shift)


def _pointwise(call: Call, function: Callable[..., Any]) -> Any:
    """Return a function of values and of constants that are one number each."""
    operands: list[Value | Pointwise | float] = []
    for given in call.inputs:
        if isinstance(given, Value):
            call.small(given)
            operands.append(given.ordered(call.name))
        elif isinstance(given, Pointwise):
            operands.append(given)
        elif given is not None and given.size == 1:
            operands.append(float(given.item()))
        else:
            call.refuse("combines a function of each element with several numbers", "use one")
    return composed(call.name, function, operands)


def _add(call: Call) -> Any:
    a, b = call.inputs
    if isinstance(a, Pointwise) or isinstance(b, Pointwise):
        return _pointwise(call, np.add)
    if isinstance(a, Value) and isinstance(b, Value):
        call.small(a, b)
        try:
            return linear_sum(call.name, a, b)
        except ValueError as refusal:
            step = step_of(a, b, refusal)
            if step is None:
                raise
            return step
    return _shifted(call, a, _floats(b)) if isinstance(a, Value) else _shifted(call, b, _floats(a))


def _subtract(call: Call) -> Any:
    a, b = call.inputs
    if isinstance(a, Pointwise) or isinstance(b, Pointwise):
        return _pointwise(call, np.subtract)
    if isinstance(a, Value) and isinstance(b, Value):
        call.small(a, b)
        return linear_sum(call.name, a, b, -1.0)
    if isinstance(a, Value):
        return _shifted(call, a, -_floats(b))
    call.small(b)
    return b.scaled(call.name, -1.0, _floats(a))


def _multiply(call: Call) -> Any:
    values = [given for given in call.inputs if isinstance(given, Value)]
    if len(values) != 1 or any(isinstance(given, Pointwise) for given in call.inputs):
        return _pointwise(call, np.multiply)
    (factor,) = (given for given in call.inputs if not isinstance(given, Value))
    shape = values[0].shape
    if not factor.any() and np.broadcast_shapes(factor.shape, shape) == shape:
        # What our own files add to their answers, so that what is missing spreads.
        return np.broadcast_to(np.float32(0), shape)
    call.small(*values)
    return values[0].scaled(call.name, _floats(factor))


def _divide(call: Call) -> Any:
    a, b = call.inputs
    if not isinstance(a, Value) or isinstance(b, (Value, Pointwise)):
        return _pointwise(call, np.divide)
    call.small(a)
    if not np.all(b):
        call.refuse("divides by zero", "leave it out")
    return a.scaled(call.name, 1.0 / np.asarray(b, np.float64))


def _negative(call: Call) -> Any:
    if isinstance(call.inputs[0], Pointwise):
        return _pointwise(call, np.negative)
    call.small(call.value)
    return call.value.scaled(call.name, -1.0)


def _sum(call: Call) -> Any:
    return reduce(lambda a, b: _add(replace(call, inputs=[a, b])), call.inputs)


def _activation(name: str, function: Callable[..., Any]) -> Callable[[Call], Any]:
    def run(call: Call) -> Any:
        if isinstance(call.inputs[0], Pointwise):
            return _pointwise(call, function)
        if isinstance(call.inputs[0], Step):
            return call.inputs[0].activated(call.name, name)
        return call.value.activated(call.name, name)

    return run


def _gelu(call: Call) -> Value:
    tanh = call.attributes.get("approximate", b"none") in (b"tanh", "tanh")
    return call.value.activated(call.name, "gelu_tanh" if tanh else "gelu")


def _leaky_relu(call: Call) -> Value:
    return call.value.activated(call.name, "leaky_relu", float(call.attributes.get("alpha", 0.01)))


def _clip(call: Call) -> Any:
    low = float(call.attributes.get("min", call.constant(1, -np.inf)))
    high = float(call.attributes.get("max", call.constant(2, np.inf)))
    low = -np.inf if low <= np.finfo(np.float32).min else low
    high = np.inf if high >= np.finfo(np.float32).max else high
    if isinstance(call.inputs[0], Pointwise) or (low, high) == (0.0, np.inf):
        alone = replace(call, inputs=call.inputs[:1])
        return _pointwise(alone, lambda x: np.clip(x, low, high))
    return call.value.clamped(call.name, low, high)


def _normalised(call: Call) -> Value:
    x = call.value
    scale, shift, mean, variance = (
        np.asarray(call.constant(place), np.float64) for place in range(1, 5)
    )
    if call.attributes.get("training_mode", 0) or call.outputs > 1:
        call.refuse("normalises by the batch", "export the model for inference")
    call.small(x)
    scale = scale / np.sqrt(variance + float(call.attributes.get("epsilon", 1e-5)))
    channels = (-1,) + (1,) * (len(x.axes) - 2)
    return x.scaled(call.name, scale.reshape(channels), (shift - mean * scale).reshape(channels))


def _transpose(call: Call) -> Value:
    rank = len(call.value.axes)
    order = list(call.attributes.get("perm", range(rank)[::-1]))
    if sorted(order) != list(range(rank)):
        call.refuse(f"orders {rank} axes as {order}", "name each axis once")
    return call.value.permuted(order)


def _reshape(call: Call) -> Value:
    x = call.value
    sizes = as_list(call.constant(1))
    if not call.attributes.get("allowzero", 0):
        sizes = [x.shape[n] if size == 0 else size for n, size in enumerate(sizes)]
    if call.batch is not None:
        # The number of windows that the file was written for stands for any other, in its axis.
        windows = [place for place, one in enumerate(x.axes) if flat((one,), "batch")]
        places = [place for place, size in enumerate(sizes) if size == call.batch]
        for place in sorted(places, key=lambda place: abs(place - windows[0])):
            tried = [*sizes[:place], x.trace.windows, *sizes[place + 1 :]]
            if regroup(x.axes, tried) is not None:
                return x.reshaped(call.name, tried)
    return x.reshaped(call.name, sizes)


def _flatten(call: Call) -> Value:
    x = call.value
    axis = int(call.attributes.get("axis", 1))
    axis = axis + len(x.axes) if axis < 0 else axis
    return x.reshaped(call.name, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def _squeeze(call: Call) -> Value:
    axes = axes_of(call.inputs, call.attributes)
    if axes is None:
        return call.value.squeezed()
    if any(call.value.shape[axis] != 1 for axis in axes):
        call.refuse(f"leaves out axes {axes} of shape {list(call.value.shape)}", "keep them")
    return call.value.squeezed(axes)


def _unsqueeze(call: Call) -> Value:
    x = call.value
    axes = axes_of(call.inputs, call.attributes) or []
    rank = len(x.axes) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueezed(axis)
    return x


def _gather(call: Call) -> Value:
    given, indices = call.inputs[0], np.asarray(call.constant(1))
    axis = int(call.attributes.get("axis", 0)) % len(given.shape)
    count = given.shape[axis]
    if indices.ndim > 1 or indices.size > MOST_FEATURES:
        call.refuse(f"picks elements by numbers of shape {list(indices.shape)}", _CHOICE)
    if ((indices < -count) | (indices >= count)).any() or not indices.size:
        call.refuse(f"picks elements outside 0..{count - 1}, or none", _CHOICE)
    numbers = [number % count for number in as_list(indices)]
    if isinstance(given, Joined):
        x, first = given.picked(axis, numbers[0], 1)
        numbers = [first, *numbers[1:]]
        if len(numbers) > 1:
            raise given.refusal
    else:
        x = call.value
    call.small(x)
    if indices.ndim == 0:
        return x.selected(call.name, axis, numbers[0])
    return _picked(call, x, axis, range(numbers[0], numbers[0] + len(numbers)), numbers)


def _picked(call: Call, x: Value, axis: int, run: range, numbers: Sequence[int]) -> Value:
    """Return elements along an axis: a run of neighbours as a slice, else features by number."""
    if list(run) == list(numbers):
        return x.sliced(call.name, axis, run.start, len(run))
    return x.chosen(call.name, axis, numbers)


def _slice(call: Call) -> Value:
    x = call.inputs[0]
    for place in range(1, len(call.inputs)):
        call.constant(place)
    for axis, cut in slices(x.shape, call.inputs, call.attributes):
        picked = range(x.shape[axis])[cut]
        if not picked:
            call.refuse("takes no element", "take some")
        if isinstance(x, Joined) and picked.step == 1:
            x, first = x.picked(axis, picked.start, len(picked))
            picked = range(first, first + len(picked))
        if isinstance(x, Joined):
            raise x.refusal
        if len(picked) == x.shape[axis] and picked.step > 0:
            continue
        call.small(x)
        if picked.step == 1:
            x = x.sliced(call.name, axis, picked.start, len(picked))
        elif len(picked) > MOST_FEATURES:
            call.refuse("takes rows in another order", "take all or the last one")
        else:
            x = x.chosen(call.name, axis, list(picked))
    return replace(call, inputs=[x]).value


def _split(call: Call) -> list[Value]:
    x = call.value
    axis = x.place(int(call.attributes.get("axis", 0)))
    whole = x.shape[axis]
    sizes = call.attributes.get("split", call.constant(1))
    if sizes is None:
        each = -(-whole // call.outputs)
        sizes = [min(each, whole - start) for start in range(0, each * call.outputs, each)]
    sizes = as_list(sizes)
    if sum(sizes) != whole or min(sizes) < 1 or len(sizes) != call.outputs:
        call.refuse(f"splits {whole} elements into {sizes[:9]}", "give sizes that fill the axis")
    call.small(x)
    starts = np.cumsum([0, *sizes]).tolist()
    return [
        x.sliced(call.name, axis, start, size) for start, size in zip(starts, sizes, strict=False)
    ]


def _concat(call: Call) -> Value | Joined:
    if not all(isinstance(part, Value) for part in call.inputs):
        call.refuse("joins values and constants", "leave the constants out")
    if not flat((call.value.axes[call.attributes["axis"]],), "feature"):
        # Rows one by one, each of which is the whole chain of features.
        call.small(call.value)
    else:
        call.small(*call.inputs)
    if len(call.inputs) == 1:
        return call.value
    axis = int(call.attributes["axis"])
    try:
        return concatenated(call.name, as_one_layer(call.inputs), axis)
    except ValueError as refusal:
        return Joined(tuple(call.inputs), call.value.place(axis), refusal)


def _expand(call: Call) -> Value:
    x = call.value
    sizes = as_list(call.constant(1))
    for _ in range(len(sizes) - len(x.axes)):
        x = x.unsqueezed(0)
    sizes = [1] * (len(x.axes) - len(sizes)) + sizes
    for place, size in enumerate(sizes):
        windows = flat((x.axes[place],), "batch") and size == call.batch
        if size == 1 or windows:
            sizes[place] = -1
    if any(size not in (-1, own) and own != 1 for size, own in zip(sizes, x.shape, strict=True)):
        call.refuse(
            f"expands {list(x.shape)} to {sizes}", "repeat a vector along an axis of its own"
        )
    return x.expanded(call.name, sizes)


def _tile(call: Call) -> Value:
    x, counts = call.value, as_list(call.constant(1))
    if len(counts) != len(x.axes):
        call.refuse(f"repeats {len(x.axes)} axes {counts} times", "give a count per axis")
    places = [place for place, count in enumerate(counts) if count != 1]
    if not places and x.trace.window == 1:  # a window of one row repeats its vector once
        places = [place for place, one in enumerate(x.axes) if not one][:1]
    for place in places:
        x = x.repeated(call.name, place, counts[place])
    return x


def _layer(call: Call) -> list[Value]:
    return run_onnx_layer(call.trace, call.name, call.operator, call.inputs, call.attributes)


def _read_as(function: Callable[..., Any]) -> Callable[[Call], Any]:
    return lambda call: _pointwise(call, function)


# Operations that also go on with a function of each element that is not known yet.
READ_FUNCTIONS: dict[str, Callable[[Call], Any]] = {
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Neg": _negative,
    "Sum": _sum,
    "Clip": _clip,
    "Relu": _activation("relu", lambda x: np.maximum(x, 0.0)),
    "Tanh": _activation("tanh", np.tanh),
    "Sigmoid": _activation("sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x))),
    "Erf": _read_as(erf),
    "Exp": _read_as(np.exp),
    "Reciprocal": _read_as(lambda x: 1.0 / x),
    "Pow": _read_as(np.power),
    "Max": _read_as(np.maximum),
    "Min": _read_as(np.minimum),
}

OPERATIONS: dict[str, Callable[[Call], Any]] = {
    "Identity": _same,
    "CastLike": _same,
    "Cast": _cast,
    "Dropout": _dropout,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Gelu": _gelu,
    "LeakyRelu": _leaky_relu,
    "BatchNormalization": _normalised,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Expand": _expand,
    "Tile": _tile,
    "LSTM": _layer,
    "GRU": _layer,
    "RNN": _layer,
}

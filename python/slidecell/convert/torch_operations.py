"""What operations of torch's graphs do to values with named axes: one function per operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slidecell._cells import CellName
from slidecell.convert.graph import Direction, Recurrent
from slidecell.convert.joined_values import concatenated, linear_sum
from slidecell.convert.layers_over_rows import run_layers
from slidecell.convert.torch_hints import LAST, NO_CUT
from slidecell.convert.trace import Trace
from slidecell.convert.values import Value

__all__ = ["OPERATIONS", "SHAPE_ONLY"]

Number = float | int


def _numbers(tensor: Tensor) -> npt.NDArray[Any]:
    """Return a constant's numbers, without a copy where they are float32 on the CPU."""
    tensor = tensor.detach().cpu()
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).numpy()


def _number(value: Any) -> Any:
    return _numbers(value) if isinstance(value, Tensor) else float(value)


def _same(_: Trace, __: str, x: Value, *___: Any, **____: Any) -> Value:
    return x


def _dropout(trace: Trace, name: str, x: Value, p: float, train: bool) -> Value:
    if train and p:
        trace.refuse(
            name, "drops values in eval mode too", "use nn.Dropout, or training=self.training"
        )
    return x


def _linear(trace: Trace, name: str, x: Any, weight: Any, bias: Tensor | None = None) -> Value:
    if not isinstance(x, Value) or isinstance(weight, Value) or isinstance(bias, Value):
        trace.refuse(name, "multiplies values with each other", LAST)
    return x.linear(name, _numbers(weight), None if bias is None else _numbers(bias))


def _matmul(trace: Trace, name: str, x: Any, weight: Any) -> Value:
    if not isinstance(x, Value) or isinstance(weight, Value) or weight.ndim > 2:
        trace.refuse(name, "multiplies values with each other, or from the left", LAST)
    if weight.ndim == 1:
        return x.linear(name, _numbers(weight)[None]).squeezed([-1])
    return x.linear(name, _numbers(weight).T)


def _addmm(
    trace: Trace, name: str, bias: Any, x: Any, weight: Any, *, beta: Number = 1, alpha: Number = 1
) -> Value:
    value = _matmul(trace, name, x, weight)
    if alpha != 1:
        value = value.scaled(name, float(alpha))
    return _add(trace, name, value, bias, alpha=beta)


def _add(trace: Trace, name: str, a: Any, b: Any, *, alpha: Number = 1) -> Value:
    if isinstance(a, Value) and isinstance(b, Value):
        return linear_sum(name, a, b, float(alpha))
    if isinstance(a, Value):
        return a.scaled(name, None, float(alpha) * _number(b))
    return b.scaled(name, float(alpha), _number(a))  # type: ignore[no-any-return]


def _subtract(trace: Trace, name: str, a: Any, b: Any, *, alpha: Number = 1) -> Value:
    return _add(trace, name, a, b, alpha=-alpha)


def _subtract_reversed(trace: Trace, name: str, a: Any, b: Any, *, alpha: Number = 1) -> Value:
    return _add(trace, name, b, a, alpha=-alpha)


def _multiply(trace: Trace, name: str, a: Any, b: Any) -> Value:
    if isinstance(a, Value) and isinstance(b, Value):
        trace.refuse(name, "multiplies values with each other", "leave the gate or attention out")
    value, factor = (a, b) if isinstance(a, Value) else (b, a)
    return value.scaled(name, _number(factor))


def _divide(trace: Trace, name: str, a: Value, b: Any, *, rounding_mode: Any = None) -> Value:
    if isinstance(b, Value) or rounding_mode is not None:
        trace.refuse(name, "divides by values, or rounds", "scale by constants")
    return a.scaled(name, 1.0 / np.asarray(_number(b), np.float64))


def _negative(_: Trace, name: str, x: Value) -> Value:
    return x.scaled(name, -1.0)


def _batch_norm(trace: Trace, name: str, x: Value, *args: Any) -> Value:
    weight, bias, mean, variance, training, _, eps = args[:7]
    if training or mean is None or variance is None:
        trace.refuse(
            name, "normalises by the batch", "let it track running statistics, in eval mode"
        )
    scale = 1.0 / np.sqrt(_numbers(variance).astype(np.float64) + eps)
    if weight is not None:
        scale = scale * _numbers(weight)
    shift = -_numbers(mean) * scale
    if bias is not None:
        shift = shift + _numbers(bias)
    channels = (-1,) + (1,) * (len(x.axes) - 2)
    return x.scaled(name, scale.reshape(channels), shift.reshape(channels))


def _activation(function: str) -> Callable[..., Value]:
    return lambda trace, name, x: x.activated(name, function)


def _gelu(_: Trace, name: str, x: Value, *, approximate: str = "none") -> Value:
    return x.activated(name, "gelu" if approximate == "none" else "gelu_tanh")


def _leaky_relu(_: Trace, name: str, x: Value, slope: Number = 0.01) -> Value:
    return x.activated(name, "leaky_relu", float(slope))


def _clamp(trace: Trace, name: str, x: Value, low: Any = None, high: Any = None) -> Value:
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        trace.refuse(name, "cuts values", NO_CUT)
    least = -np.inf if low is None else float(low)
    return x.clamped(name, least, np.inf if high is None else float(high))


def _hardtanh(trace: Trace, name: str, x: Value, low: Number = -1, high: Number = 1) -> Value:
    return _clamp(trace, name, x, low, high)


def _clamp_max(trace: Trace, name: str, x: Value, high: Any) -> Value:
    return _clamp(trace, name, x, None, high)


def _select(_: Trace, name: str, x: Value, axis: int, index: int) -> Value:
    return x.selected(name, axis, index)


def _slice(trace: Trace, name: str, x: Value, *args: Any) -> Value:
    given: list[Any] = [*args, *(0, None, None, 1)[len(args) :]]
    axis, start, end, step = given
    first, last, _ = slice(start, end).indices(x.shape[axis])
    if step != 1 or last <= first:
        trace.refuse(name, f"takes every {step}-th element, or none", "take all")
    return x.sliced(name, axis, first, last - first)


def _narrow(_: Trace, name: str, x: Value, axis: int, start: int, length: int) -> Value:
    return x.sliced(name, axis, start % x.shape[axis], length)


def _index(trace: Trace, name: str, x: Value, indices: Sequence[Tensor | None]) -> Value:
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1 or not isinstance(given[0][1], Tensor) or given[0][1].ndim != 1:
        trace.refuse(name, "picks elements of several axes", "pick columns alone")
    ((axis, index),) = given
    if index.dtype == torch.bool:
        index = index.nonzero()[:, 0]
    return x.chosen(name, axis, index.tolist())


def _index_select(_: Trace, name: str, x: Value, axis: int, index: Tensor) -> Value:
    return x.chosen(name, axis, index.tolist())


def _unbind(_: Trace, name: str, x: Value, axis: int = 0) -> list[Value]:
    return [x.selected(name, axis, index) for index in range(x.shape[axis])]


def _split(_: Trace, name: str, x: Value, sizes: int | Sequence[int], axis: int = 0) -> list[Value]:
    whole = x.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, whole - start) for start in range(0, whole, sizes)]
    starts = np.cumsum([0, *sizes])
    return [
        x.sliced(name, axis, int(start), count) for start, count in zip(starts, sizes, strict=False)
    ]


def _chunk(trace: Trace, name: str, x: Value, chunks: int, axis: int = 0) -> list[Value]:
    return _split(trace, name, x, -(-x.shape[axis] // chunks), axis)


def _transpose(_: Trace, __: str, x: Value, first: int, second: int) -> Value:
    order = list(range(len(x.axes)))
    order[first], order[second] = order[second], order[first]
    return x.permuted(order)


def _permute(_: Trace, __: str, x: Value, order: Sequence[int]) -> Value:
    return x.permuted(order)


def _t(_: Trace, __: str, x: Value) -> Value:
    return x.permuted(range(len(x.axes))[::-1])


def _view(_: Trace, name: str, x: Value, sizes: Sequence[int]) -> Value:
    return x.reshaped(name, sizes)


def _flatten(_: Trace, name: str, x: Value, start: int = 0, end: int = -1) -> Value:
    start, end = x.place(start), x.place(end)
    return x.reshaped(name, (*x.shape[:start], -1, *x.shape[end + 1 :]))


def _unflatten(_: Trace, name: str, x: Value, axis: int, sizes: Sequence[int]) -> Value:
    axis = x.place(axis)
    return x.reshaped(name, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


def _unsqueeze(_: Trace, __: str, x: Value, axis: int) -> Value:
    return x.unsqueezed(axis)


def _squeeze(_: Trace, __: str, x: Value, axis: int | Sequence[int] | None = None) -> Value:
    return x.squeezed([axis] if isinstance(axis, int) else axis)


def _expand(_: Trace, name: str, x: Value, sizes: Sequence[int], **__: Any) -> Value:
    return x.expanded(name, sizes)


def _repeat(_: Trace, name: str, x: Value, counts: Sequence[int]) -> Value:
    value = x
    for _unused in range(len(counts) - len(x.axes)):
        value = value.unsqueezed(0)
    places = [place for place, count in enumerate(counts) if count != 1]
    if not places and x.trace.window == 1:  # a window of one row repeats its vector once
        places = [place for place, one in enumerate(value.axes) if not one][:1]
    for place in places:
        value = value.repeated(name, place, counts[place])
    return value


def _repeat_interleave(
    trace: Trace, name: str, x: Value, count: int, axis: int | None = None, **_: Any
) -> Value:
    if axis is None or x.axes[axis]:
        trace.refuse(name, "repeats each element", "repeat the vector along an axis of its own")
    return x.repeated(name, x.place(axis), count)


def _cat(trace: Trace, name: str, parts: Sequence[Any], axis: int = 0) -> Value:
    if not all(isinstance(part, Value) for part in parts):
        trace.refuse(name, "joins values and constants", "leave the constants out")
    return concatenated(name, parts, axis)


def _stack(trace: Trace, name: str, parts: Sequence[Any], axis: int = 0) -> Value:
    if not all(isinstance(part, Value) for part in parts):
        trace.refuse(name, "joins values and constants", "leave the constants out")
    return concatenated(name, [part.unsqueezed(axis) for part in parts], axis)


def _layers(cell: CellName, activation: str = "tanh") -> Callable[..., Any]:
    """Return the function of a stack of layers: lstm.input, gru.input, rnn_tanh.input."""

    def run(trace: Trace, name: str, x: Any, state: Any, weights: Any, *args: Any) -> Any:
        has_biases, num_layers, dropout, train, bidirectional, batch_first = args
        if not isinstance(batch_first, bool):
            trace.refuse(name, "reads packed sequences", "give windows of one length, unpacked")
        if not isinstance(x, Value):
            trace.refuse(name, "reads the same whatever the window", "let it read its vector")
        if dropout and train:
            trace.refuse(name, "drops values in eval mode too", "call module.eval()")
        count = 2 if bidirectional else 1
        each = len(weights) // (num_layers * count)
        directions = [
            _direction(weights[start : start + each], has_biases=has_biases)
            for start in range(0, len(weights), each)
        ]
        layers = [
            Recurrent(
                name,
                cell,
                directions[layer * count],
                directions[layer * count + 1] if bidirectional else None,
                activation,
            )
            for layer in range(num_layers)
        ]
        out, h_n, c_n = run_layers(
            name, x, layers, time_axis=1 if batch_first else 0, state=_state(state)
        )
        return (out, h_n, c_n) if cell == "lstm" else (out, h_n)

    return run


def _cell(cell: CellName, activation: str = "tanh") -> Callable[..., Any]:
    """Return the function of one step: lstm_cell, gru_cell, rnn_tanh_cell."""

    def run(trace: Trace, name: str, x: Any, state: Any, *weights: Tensor | None) -> Any:
        if not isinstance(x, Value):
            trace.refuse(name, "reads a constant", "read the rows of the window")
        given = [weight for weight in weights if weight is not None]
        direction = _direction(given, has_biases=len(given) > 2)
        layer = Recurrent(name, cell, direction, None, activation)
        out, _, c_n = run_layers(name, x.unsqueezed(1), [layer], time_axis=1, state=_state(state))
        h = out.squeezed([1])
        return (h, c_n.squeezed([0])) if cell == "lstm" else h

    return run


def _direction(weights: Sequence[Tensor], *, has_biases: bool) -> Direction:
    arrays = [_numbers(weight) for weight in weights]
    biases = arrays[2:4] if has_biases else [None, None]
    rest = arrays[4:] if has_biases else arrays[2:]
    return Direction(arrays[0], arrays[1], biases[0], biases[1], rest[0] if rest else None)


def _state(state: Any) -> list[Any]:
    parts = state if isinstance(state, (list, tuple)) else [state]
    return [part if part is None or isinstance(part, Value) else _numbers(part) for part in parts]


OPERATIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("contiguous", "clone", "detach", "alias", "to", "_to_copy", "type_as", "lift_fresh_copy"),
        _same,
    ),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout"), _dropout),
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm"), _matmul),
    "addmm": _addmm,
    "add": _add,
    "sub": _subtract,
    "subtract": _subtract,
    "rsub": _subtract_reversed,
    **dict.fromkeys(("mul", "multiply"), _multiply),
    **dict.fromkeys(("div", "divide", "true_divide"), _divide),
    "neg": _negative,
    "batch_norm": _batch_norm,
    "relu": _activation("relu"),
    "tanh": _activation("tanh"),
    "sigmoid": _activation("sigmoid"),
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    **dict.fromkeys(("clamp", "clip", "clamp_min"), _clamp),
    "clamp_max": _clamp_max,
    "hardtanh": _hardtanh,
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    "index": _index,
    "index_select": _index_select,
    "unbind": _unbind,
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "chunk": _chunk,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    "permute": _permute,
    **dict.fromkeys(("t", "numpy_T"), _t),
    **dict.fromkeys(("view", "reshape", "_unsafe_view"), _view),
    "flatten": _flatten,
    "unflatten": _unflatten,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    **dict.fromkeys(("repeat", "tile"), _repeat),
    "repeat_interleave": _repeat_interleave,
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "stack": _stack,
    "lstm": _layers("lstm"),
    "gru": _layers("gru"),
    "rnn_tanh": _layers("rnn"),
    "rnn_relu": _layers("rnn", "relu"),
    "lstm_cell": _cell("lstm"),
    "gru_cell": _cell("gru"),
    "rnn_tanh_cell": _cell("rnn"),
    "rnn_relu_cell": _cell("rnn", "relu"),
}

# Operations that read the shape of a value alone.
SHAPE_ONLY: dict[str, Callable[..., Tensor]] = {
    "zeros_like": lambda x, **_: torch.zeros(x.shape),
    "ones_like": lambda x, **_: torch.ones(x.shape),
    "full_like": lambda x, number, **_: torch.full(x.shape, float(number)),
    "new_zeros": lambda _, sizes, **__: torch.zeros(sizes),
    "new_ones": lambda _, sizes, **__: torch.ones(sizes),
    "new_full": lambda _, sizes, number, **__: torch.full(sizes, float(number)),
}

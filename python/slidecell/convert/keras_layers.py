"""Layers of Keras as nodes: each class by name, and what to do about those that have no form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from slidecell.convert.graph import Activation, LastStep, Linear, Node, RepeatVector
from slidecell.convert.keras_activations import activation_nodes
from slidecell.convert.keras_cells import bidirectional, recurrent
from slidecell.convert.keras_layer import Array, Flow, Layer

__all__ = ["layer_nodes"]

Read: TypeAlias = tuple[list[Node], Flow]

_MOST_SCALED = 4096  # columns: a scaling is a matrix until it is folded
_EPSILON = 1e-7  # Keras' least standard deviation


def layer_nodes(layer: Layer, flow: Flow) -> tuple[list[Node], Flow]:
    """Return the nodes that a layer is, and what flows out of it.

    Parameters
    ----------
    layer : Layer
        No `InputLayer` and no model.
    flow : Flow
        What flows into it.

    Raises
    ------
    ValueError
        If it has no form in a model: the text names it and says what to do.
    """
    if flow.horizon is not None and layer.kind not in _IDENTITIES:
        layer.refuse("comes after the prediction was reshaped to rows", "reshape last")
    read = _READERS.get(layer.kind)
    if read is None:
        what, instead = _HINTS.get(
            layer.kind, (f"is a {layer.kind}, which models do not have", "leave it out")
        )
        layer.refuse(what, instead)
    return read(layer, flow)


def _identity(layer: Layer, flow: Flow) -> Read:
    return [], flow


def _dense(layer: Layer, flow: Flow) -> Read:
    units = layer.size("units")
    shapes: list[tuple[int, ...]] = [(flow.width, units)]
    if layer.flag("use_bias", default=True):
        shapes.append((units,))
    kernel, *bias = layer.variables(*shapes)
    nodes: list[Node] = [Linear(layer.name, kernel.T, bias[0] if bias else None)]
    return [*nodes, *activation_nodes(layer)], replace(flow, width=units)


def _activation(layer: Layer, flow: Flow) -> Read:
    return [*activation_nodes(layer)], flow


def _relu(layer: Layer, flow: Flow) -> Read:
    if layer.option("max_value") is not None or layer.number("threshold", 0.0) != 0.0:
        layer.refuse("is bounded (max_value, threshold)", "use a ReLU without them")
    return _leaky(layer, flow, layer.number("negative_slope", 0.0))


def _leaky_relu(layer: Layer, flow: Flow) -> Read:
    # Keras 2 calls the slope alpha.
    return _leaky(layer, flow, layer.number("negative_slope", layer.number("alpha", 0.3)))


def _leaky(layer: Layer, flow: Flow, slope: float) -> Read:
    if slope == 0.0:
        return [Activation(layer.name, "relu")], flow
    return [Activation(layer.name, "leaky_relu", slope)], flow


def _repeat(layer: Layer, flow: Flow) -> Read:
    if flow.steps is not None:
        layer.refuse("repeats a sequence", "repeat the last step (return_sequences=False)")
    steps = layer.size("n")
    return [RepeatVector(layer.name, steps)], Flow(flow.width, steps)


def _time_distributed(layer: Layer, flow: Flow) -> Read:
    if flow.steps is None:
        layer.refuse("reads a vector", "use the layer inside it alone")
    inner = layer.inner(layer.option("layer"), "layer")
    if inner.kind not in _ROW_BY_ROW:
        layer.refuse(f"applies {inner.kind} to each row", "expected Dense or an activation")
    nodes, out = layer_nodes(inner, Flow(flow.width))
    return nodes, Flow(out.width, flow.steps)


def _flatten(layer: Layer, flow: Flow) -> Read:
    if flow.steps is None:
        return [], replace(flow, horizon=None)
    if flow.steps == 1:
        return [LastStep(layer.name)], Flow(flow.width)
    return layer.refuse(
        f"joins the {flow.steps} rows of a sequence to one vector",
        "forecast from the last step (return_sequences=False)",
    )


def _reshape(layer: Layer, flow: Flow) -> Read:
    target = _target_shape(layer, flow.width * (flow.steps or 1))
    if target == flow.shape:
        return [], flow
    if flow.steps in (None, 1) and len(target) == 1:
        return _flatten(layer, flow)
    if flow.steps is None and len(target) == 2:
        return [], replace(flow, horizon=target[0])  # rows by target
    return layer.refuse(
        f"makes {list(target)} of {list(flow.shape)}",
        "expected a forecast, as [K, targets]; leave it out elsewhere",
    )


def _target_shape(layer: Layer, count: int) -> tuple[int, ...]:
    """Return the shape that a Reshape gives `count` numbers."""
    given = layer.option("target_shape")
    sizes = list(given) if isinstance(given, (list, tuple)) else []
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
    if not sizes or not whole or len(sizes) > 8:
        layer.refuse(f"has target_shape={given!r}", "expected whole numbers")
    known = int(np.prod([size for size in sizes if size != -1], dtype=object))
    if sizes.count(-1) == 1 and known > 0 and count % known == 0:
        sizes[sizes.index(-1)] = count // known
    elif known != count or min(sizes) < 1:
        layer.refuse(f"makes {sizes} of {count} numbers", f"expected a shape of {count}")
    return tuple(sizes)


def _batch_norm(layer: Layer, flow: Flow) -> Read:
    _check_last_axis(layer, flow, layer.option("axis", -1))
    _check_width(layer, flow)
    names = ["gamma"] * layer.flag("scale", default=True)
    names += ["beta"] * layer.flag("center", default=True)
    names += ["mean", "variance"]
    arrays = layer.variables(*[(flow.width,)] * len(names), more=layer.flag("renorm"))
    by_name = {name: a.astype(np.float64) for name, a in zip(names, arrays, strict=False)}
    if (by_name["variance"] < 0).any():
        layer.refuse("has a negative variance", "expected variances of at least 0")
    deviation = np.sqrt(by_name["variance"] + layer.number("epsilon", 1e-3))
    return _scaled(
        layer,
        flow,
        mean=by_name["mean"],
        deviation=deviation,
        gamma=by_name.get("gamma", np.ones(flow.width)),
        beta=by_name.get("beta", np.zeros(flow.width)),
    )


def _scaled(
    layer: Layer, flow: Flow, *, mean: Array, deviation: Array, gamma: Array, beta: Array
) -> Read:
    """Return gamma (x - mean) / deviation + beta."""
    if not (deviation > 0).all():
        layer.refuse("divides by zero", "train it on columns that vary")
    scale = gamma / deviation
    return [Linear.scaling(layer.name, scale, beta - mean * scale)], flow


def _normalization(layer: Layer, flow: Flow) -> Read:
    axis = layer.option("axis", -1)
    single = axis is None or (isinstance(axis, (list, tuple)) and not axis)
    if not single:
        _check_last_axis(layer, flow, axis)
    _check_width(layer, flow)
    given = [layer.option(name) for name in ("mean", "variance")]
    if given == [None, None]:
        shape: tuple[int, ...] = () if single else (flow.width,)
        arrays = [*layer.variables(shape, shape, ())[:2]]
    else:
        arrays = [_columns(layer, value, flow.width) for value in given]
    mean, variance = (np.broadcast_to(a.astype(np.float64), (flow.width,)) for a in arrays)
    if (variance < 0).any():
        layer.refuse("has a negative variance", "expected variances of at least 0")
    deviation = np.maximum(np.sqrt(variance), _EPSILON)
    if layer.flag("invert"):
        return [Linear.scaling(layer.name, deviation, mean)], flow
    ones = np.ones(flow.width)
    return _scaled(layer, flow, mean=mean, deviation=deviation, gamma=ones, beta=0 * ones)


def _rescaling(layer: Layer, flow: Flow) -> Read:
    _check_width(layer, flow)
    scale = _columns(layer, layer.option("scale", 1.0), flow.width)
    offset = _columns(layer, layer.option("offset", 0.0), flow.width)
    return [Linear.scaling(layer.name, scale, offset)], flow


def _columns(layer: Layer, value: Any, width: int) -> Array:
    """Return a number, or one per column, as [width]."""
    if isinstance(value, Mapping):  # an array, as Keras saves it
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, Mapping) else None
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    values = value if isinstance(value, (list, tuple)) else [value] * width
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if not numbers or len(values) != width or not all(abs(v) < 1e30 for v in values):
        layer.refuse(
            "scales by something else than a number or one per column",
            f"expected {width} finite numbers, or one",
        )
    return np.array(values, np.float64)


def _check_last_axis(layer: Layer, flow: Flow, axis: Any) -> None:
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if axes not in ([-1], [len(flow.shape)]):
        layer.refuse(f"has axis={axis!r}", "expected the last one, axis=-1")


def _check_width(layer: Layer, flow: Flow) -> None:
    if flow.width > _MOST_SCALED:
        layer.refuse(
            f"scales {flow.width} columns",
            f"expected {_MOST_SCALED} at most; scale the rows before",
        )


_IDENTITIES = dict.fromkeys(
    (
        "ActivityRegularization",
        "AlphaDropout",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "Identity",
        "SpatialDropout1D",
    ),
    _identity,
)
_POINTWISE: dict[str, Callable[[Layer, Flow], Read]] = {
    **_IDENTITIES,
    "Activation": _activation,
    "BatchNormalization": _batch_norm,
    "Dense": _dense,
    "LeakyReLU": _leaky_relu,
    "ReLU": _relu,
    "Rescaling": _rescaling,
}
_ROW_BY_ROW = (*_POINTWISE, "Flatten")
_READERS: dict[str, Callable[[Layer, Flow], Read]] = {
    **_POINTWISE,
    "Bidirectional": bidirectional,
    "Flatten": _flatten,
    "GRU": recurrent,
    "LSTM": recurrent,
    "Normalization": _normalization,
    "RNN": recurrent,
    "RepeatVector": _repeat,
    "Reshape": _reshape,
    "SimpleRNN": recurrent,
    "TimeDistributed": _time_distributed,
}

_JOINS = "joins several branches", "expected a chain of layers"
_POOLS = (
    "sums up all steps of the window",
    "forecast from the last step (return_sequences=False)",
)
_CONVOLVES = "mixes neighbouring rows by itself", "expected recurrent and dense layers"
_HINTS: dict[str, tuple[str, str]] = {
    "Masking": (
        "masks rows by their values",
        "leave it out: slidecell skips rows with missing values itself",
    ),
    "Embedding": ("looks rows up in a table", "expected numbers as features"),
    "LayerNormalization": ("normalises each vector by itself", "leave it out"),
    "Softmax": ("is a softmax", "predict values: leave it out"),
    "Add": _JOINS,
    "Average": _JOINS,
    "Concatenate": _JOINS,
    "Maximum": _JOINS,
    "Multiply": _JOINS,
    "Subtract": _JOINS,
    "Attention": ("attends to all steps", "expected recurrent and dense layers"),
    "MultiHeadAttention": ("attends to all steps", "expected recurrent and dense layers"),
    "GlobalAveragePooling1D": _POOLS,
    "GlobalMaxPooling1D": _POOLS,
    "Conv1D": _CONVOLVES,
    "ConvLSTM1D": _CONVOLVES,
    "StackedRNNCells": ("stacks cells", "stack layers"),
}

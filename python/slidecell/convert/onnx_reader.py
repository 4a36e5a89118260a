"""Reads what an ONNX graph computes: what depends on the windows as values, all else as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import whole_number
from slidecell.convert.graph import Graph, Linear
from slidecell.convert.layers_over_rows import RecursOverWindowsError
from slidecell.convert.onnx_calls import Call, Joined
from slidecell.convert.onnx_constants import CONSTANT_OPERATIONS
from slidecell.convert.onnx_files import OnnxFile, open_onnx
from slidecell.convert.onnx_operations import OPERATIONS, READ_FUNCTIONS
from slidecell.convert.pointwise import Pointwise, refuse_pointwise
from slidecell.convert.trace import Trace
from slidecell.convert.unrolled import Step
from slidecell.convert.values import Value, windows

__all__ = ["OnnxReading", "read_onnx"]

Array = npt.NDArray[Any]

_WINDOWS = 31
# Sizes are numbers of the file: what is computed with them stays small.
_MOST_NODES = 1 << 14
_LONGEST_CHAIN = 256
_MOST_FEATURES = 4096
_MOST_IN_WINDOW = 1 << 20
_MOST_IN_PRODUCT = 1 << 26

_HINTS = {
    "Softmax": ("is an attention", "leave it out"),
    "LayerNormalization": ("normalises each vector", "leave it out"),
    "InstanceNormalization": ("normalises by the window", "scale the rows before"),
    "ReverseSequence": ("reverses the rows", "use the direction 'bidirectional' of a layer"),
    "ReduceMean": ("averages rows or features", "read the last step"),
    "ReduceMax": ("pools rows or features", "read the last step"),
    "Conv": ("is a convolution", "leave it out"),
    "Loop": ("is a loop", "export the model with whole layers"),
    "Scan": ("is a loop", "export the model with whole layers"),
    "If": ("is a branch", "export the model with fixed axes, or by torch's newer exporter"),
}


@dataclass(frozen=True)
class OnnxReading:
    """What a file computes, and what is needed to run that part of it.

    Attributes
    ----------
    graph : Graph
    file : OnnxFile
    input : onnx.ValueInfoProto
        The windows.
    nodes : tuple
        Of the file, those that its outputs need.
    constants : mapping of str to ndarray
        The weights that they read.
    batch : int or None
        The number of windows that the file takes, if it takes no other.
    time_first : bool
        Whether it reads [W, N, F].
    """

    graph: Graph
    file: OnnxFile
    input: Any
    nodes: tuple[Any, ...]
    constants: Mapping[str, Array]
    batch: int | None = None
    time_first: bool = False


def read_onnx(onnx: Any, window: int | None = None, *, columns: int | None = None) -> OnnxReading:
    """Return what a model computes that came as a path, as bytes or as an `onnx.ModelProto`.

    Parameters
    ----------
    onnx, window
        As for `SequenceModel.from_onnx`.
    columns : int, optional
        F, where the file does not say it.

    Raises
    ------
    ValueError
        If it computes what no model can, or is damaged; the text names the node.
    """
    if window is not None:
        window = whole_number("window", window, least=1)
    file = open_onnx(onnx)
    nodes, constants = _needed(file)
    given, sizes = _input_of(file.model.graph)
    name = given.name
    if sizes[2] is None:
        sizes[2] = columns
    elif columns is not None and columns != sizes[2]:
        raise ValueError(f"features: expected {sizes[2]} names, one per column, got {columns}")
    if sizes[2] is None:
        raise ValueError(
            f"onnx: its input {name!r} does not say how many columns it has; pass features=[...]"
        )
    failures: list[ValueError] = []
    for time_first in (False, True):
        batch, rows = sizes[1::-1] if time_first else sizes[:2]
        if rows is None and window is None:
            failures.append(
                ValueError(
                    "window: expected the number of rows that the model sees, got None; its input "
                    f"{name!r} does not say it"
                )
            )
            continue
        if rows is not None and window not in (None, rows):
            text = f"window: expected {rows}, the model's own, got {window}"
            failures.append(ValueError(text))
            continue
        rows = window if rows is None else rows
        assert rows is not None
        _check_sizes(name, batch, rows, sizes[2])
        interpreter = _Interpreter(file, nodes, constants, (batch, rows, sizes[2]), time_first)
        try:
            graph = interpreter.graph(name)
        except RecursOverWindowsError as error:
            failures.append(error)
            continue
        return OnnxReading(graph, file, given, nodes, constants, batch, time_first)
    raise failures[0]  # of windows first, as most files have them


def _check_sizes(name: str, batch: int | None, rows: int, columns: int) -> None:
    if min(rows, columns, 1 if batch is None else batch) < 1:
        raise ValueError(f"onnx: its input {name!r} has an axis of no elements")
    if columns > _MOST_FEATURES or rows * columns > _MOST_IN_WINDOW:
        raise ValueError(
            f"onnx: its input {name!r} has windows of {rows} rows and {columns} columns; expected "
            f"at most {_MOST_FEATURES} columns and {_MOST_IN_WINDOW} numbers in a window"
        )
    if batch is not None and batch * rows * columns > _MOST_IN_WINDOW:
        raise ValueError(
            f"onnx: its input {name!r} takes {batch} windows at once; export it with a dynamic axis"
        )


def _needed(file: OnnxFile) -> tuple[tuple[Any, ...], dict[str, Array]]:
    """Return the nodes that the outputs need, in order, and the weights that these read."""
    graph = file.model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    wanted = {output.name for output in graph.output}
    found: list[Any] = []
    read: set[str] = set()
    given: set[str] = set()
    for node in reversed(graph.node):
        mine = {output for output in node.output if output}
        if mine & given:
            raise ValueError(f"onnx: its node {node.name!r} gives what another one gives, too")
        given |= mine
        if mine & wanted:
            found.append(node)
            wanted.update(name for name in node.input if name)
            read.update(name for name in node.input if name in weights)
        if len(found) > _MOST_NODES:
            raise ValueError(f"onnx: expected at most {_MOST_NODES} nodes, got more")
    return tuple(found[::-1]), {name: file.array(weights[name]) for name in sorted(read)}


def _input_of(graph: Any) -> tuple[Any, list[int | None]]:
    """Return the one input and its sizes, None for a size that may be any."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(repr(one.name) for one in inputs) or "none"
        raise ValueError(
            f"onnx: expected one input, the windows, got {names}; let states start from zeros "
            "inside the model"
        )
    (one,) = inputs
    kind = one.type.tensor_type
    sizes = [
        int(dim.dim_value) if dim.WhichOneof("value") == "dim_value" else None
        for dim in kind.shape.dim
    ]
    if len(sizes) != 3 or kind.elem_type not in (1, 10, 11):
        raise ValueError(
            f"onnx: expected an input of floats [N, W, F], got {one.name!r} of {len(sizes)} axes "
            f"and element type number {kind.elem_type}"
        )
    return one, sizes


class _Interpreter:
    """Runs the nodes of a file on windows of named axes."""

    def __init__(
        self,
        file: OnnxFile,
        nodes: tuple[Any, ...],
        constants: Mapping[str, Array],
        sizes: tuple[int | None, int, int],
        time_first: bool,
    ) -> None:
        batch, rows, columns = sizes
        self.file = file
        self.nodes = nodes
        self.time_first = time_first
        free = _WINDOWS if rows != _WINDOWS else _WINDOWS + 2
        count = free if batch in (None, 1) else batch
        assert count is not None
        self.trace = Trace("onnx", windows=count, window=rows, input_size=columns)
        self.batch = batch if batch != count else None
        self.known: dict[str, Any] = dict(constants)

    def graph(self, input_name: str) -> Graph:
        """Return what the file's outputs compute."""
        x = windows(self.trace)
        self.known[input_name] = x.permuted((1, 0, 2)) if self.time_first else x
        for node in self.nodes:
            self._run(node)
        outputs = [output.name for output in self.file.model.graph.output]
        values = [self._output(name) for name in outputs]
        if len(values) > 2:
            raise ValueError(
                f"onnx: expected one output, the prediction, or mean and log variance, got "
                f"{', '.join(map(repr, outputs))}; export the prediction alone"
            )
        (nodes, horizon), *second = [value.finished() for value in values]
        return Graph(
            self.trace.input_size,
            self.trace.window,
            nodes,
            log_variance=second[0][0] if second else None,
            horizon=horizon,
            source="onnx",
        )

    def _output(self, name: str) -> Value:
        value = self.known.get(name)
        if isinstance(value, Pointwise):
            refuse_pointwise(value)
        if isinstance(value, (Joined, Step)):
            raise value.refusal
        if not isinstance(value, Value):
            raise ValueError(f"onnx: its output {name!r} is the same whatever the window")
        if self.time_first and len(value.axes) == 3:
            return value.permuted((1, 0, 2))
        return value

    def _run(self, node: Any) -> None:
        name = node.name or f"{node.op_type} of {', '.join(node.output)}"
        if node.domain not in ("", "ai.onnx"):
            self.trace.refuse(
                name,
                f"is {node.op_type} of the domain {node.domain!r}, which ONNX does not define",
                "export the model with ONNX' own operators, before a runtime optimises it",
            )
        missing = [key for key in node.input if key and key not in self.known]
        if missing:
            self.trace.refuse(
                name, f"reads {missing[0]!r}, which nothing gives before it", "sort its nodes"
            )
        inputs = [self.known[key] if key else None for key in node.input]
        attributes = self._attributes(name, node)
        if any(isinstance(value, (Value, Pointwise, Joined, Step)) for value in inputs):
            results = self._call(name, node, inputs, attributes)
        else:
            results = self._folded(name, node, inputs, attributes)
        results = results if isinstance(results, (list, tuple)) else [results]
        for key, result in zip(node.output, results, strict=False):
            if isinstance(result, Value):
                self._check_size(name, result)
            self.known[key] = result

    def _attributes(self, name: str, node: Any) -> dict[str, Any]:
        from onnx import AttributeProto, helper

        found: dict[str, Any] = {}
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                found[attribute.name] = self.file.array(attribute.t)
            elif attribute.type in (
                AttributeProto.FLOAT,
                AttributeProto.INT,
                AttributeProto.STRING,
                AttributeProto.FLOATS,
                AttributeProto.INTS,
                AttributeProto.STRINGS,
            ):
                found[attribute.name] = helper.get_attribute_value(attribute)
            elif node.op_type not in _HINTS:
                self.trace.refuse(name, f"has the attribute {attribute.name!r}", "leave it out")
        return found

    def _call(self, name: str, node: Any, inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
        operator = node.op_type
        if operator in ("Shape", "Size"):
            first = inputs[0].base if isinstance(inputs[0], Pointwise) else inputs[0]
            like = SimpleNamespace(shape=first.shape, size=prod(first.shape))
            shape_only = CONSTANT_OPERATIONS[operator]
            return self._guarded(name, node, lambda: shape_only([like], attributes))  # type: ignore[list-item]
        for value in inputs:
            reads = ("Gather", "Slice") if isinstance(value, Joined) else ("Tanh", "Relu")
            if isinstance(value, (Joined, Step)) and operator not in reads:
                raise value.refusal
        function = READ_FUNCTIONS.get(operator)
        if function is None:
            for value in inputs:
                if isinstance(value, Pointwise):
                    refuse_pointwise(value)
            function = OPERATIONS.get(operator)
        if function is None:
            what, instead = _HINTS.get(
                operator, (f"computes {operator}, which models do not have", "leave it out")
            )
            self.trace.refuse(name, what, instead)
        call = Call(self.trace, name, operator, inputs, attributes, len(node.output), self.batch)
        return self._guarded(name, node, lambda: function(call))

    def _folded(
        self, name: str, node: Any, inputs: list[Any], attributes: Mapping[str, Any]
    ) -> Any:
        function = CONSTANT_OPERATIONS.get(node.op_type)
        if function is None:
            self.trace.refuse(
                name, f"computes {node.op_type} of constants alone", "fold constants on export"
            )
        return self._guarded(name, node, lambda: function(inputs, attributes))

    def _guarded(self, name: str, node: Any, run: Any) -> Any:
        """Return what a node gives; where its inputs do not fit, refuse it with its name."""
        try:
            with np.errstate(all="ignore"):
                return run()
        except ValueError as error:
            if str(error).startswith("onnx: "):
                raise
            self._refuse_unfit(name, node, error)
        except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
            self._refuse_unfit(name, node, error)

    def _refuse_unfit(self, name: str, node: Any, error: Exception) -> None:
        raise ValueError(
            f"onnx: its node {name!r} ({node.op_type}) does not fit what it reads: "
            f"{type(error).__name__}: {error}"
        ) from error

    def _check_size(self, name: str, value: Value) -> None:
        """Refuse chains that are very long, and dense layers whose product would be large."""
        linear = len(value.nodes)
        while linear and isinstance(value.nodes[linear - 1], Linear):
            linear -= 1
        run = value.nodes[linear:]
        first = run[0] if run else None
        large = (
            len(run) > 1
            and isinstance(first, Linear)
            and first.weight.shape[1] * value.width > _MOST_IN_PRODUCT
        )
        if len(value.nodes) > _LONGEST_CHAIN or large:
            self.trace.refuse(name, "ends a very long or wide chain of layers", "use fewer")

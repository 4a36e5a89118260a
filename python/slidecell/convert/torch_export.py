"""Reads what a torch module computes from the graph that `torch.export` makes of it."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from slidecell.convert.graph import Graph
from slidecell.convert.torch_hints import HINTS
from slidecell.convert.torch_operations import OPERATIONS, SHAPE_ONLY
from slidecell.convert.trace import Trace
from slidecell.convert.values import Value, windows

__all__ = ["read_exported"]


def read_exported(program: torch.export.ExportedProgram, x: Tensor) -> Graph:
    """Return what an exported module computes from windows `x` [N, W, F].

    Raises
    ------
    ValueError
        If it computes what no model can; the text names the node and what to do.
    """
    count, window, input_size = x.shape
    trace = Trace("module", windows=count, window=window, input_size=input_size)
    values = _Interpreter(program, trace).outputs()
    if len(values) not in (1, 2) or not all(isinstance(value, Value) for value in values):
        came = f"{len(values)} values" if len(values) > 1 else "what no window changes"
        raise ValueError(
            f"module: expected it to return one prediction, or mean and log variance, got {came}; "
            "return the prediction alone"
        )
    (nodes, horizon), *second = [value.finished() for value in values]
    return Graph(
        input_size,
        window,
        nodes,
        log_variance=second[0][0] if second else None,
        horizon=horizon,
    )


class _Interpreter:
    """Runs a graph: what depends on the windows as `Value`, all else as the tensors that it is."""

    def __init__(self, program: torch.export.ExportedProgram, trace: Trace) -> None:
        self.trace = trace
        self.graph = program.graph_module
        signature = program.graph_signature
        known: dict[str, Any] = {**program.state_dict, **program.constants}
        self.constants = {
            given: known[name]
            for table in (
                signature.inputs_to_parameters,
                signature.inputs_to_buffers,
                signature.inputs_to_lifted_tensor_constants,
            )
            for given, name in table.items()
        }
        self.inputs = signature.user_inputs
        self.answers = signature.user_outputs

    def outputs(self) -> list[Any]:
        """Return what the module returns, flattened."""
        given = {self.inputs[0]: windows(self.trace), **self.constants}
        by_name = {node.name: node for node in self.graph.graph.nodes}
        wanted = [by_name.get(str(name)) for name in self.answers]
        known = self._run(self.graph, given, [node for node in wanted if node is not None])
        return [None if node is None else known[node] for node in wanted]

    def _run(
        self, graph: torch.fx.GraphModule, given: dict[str, Any], wanted: Iterable[torch.fx.Node]
    ) -> dict[torch.fx.Node, Any]:
        known: dict[torch.fx.Node, Any] = {}
        needed = _needed(graph.graph, wanted)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                known[node] = given[node.name]
            elif node.op == "get_attr":
                known[node] = operator.attrgetter(str(node.target))(graph)
            elif node.op == "call_function" and node in needed:
                args = torch.fx.node.map_arg(node.args, known.__getitem__)
                kwargs = torch.fx.node.map_arg(node.kwargs, known.__getitem__)
                with torch.no_grad():
                    known[node] = self._call(node, args, kwargs)
                if _changes_its_input(node):
                    known[node.args[0]] = known[node]
        return known

    def _call(self, node: torch.fx.Node, args: Any, kwargs: Any) -> Any:
        target: Any = node.target
        name = _name_of(node)
        if target is operator.getitem:
            return args[0][args[1]]
        packet = getattr(target, "overloadpacket", None)
        operation = getattr(packet, "__name__", getattr(target, "__name__", str(target)))
        known = operation.removesuffix("_")
        random = torch.Tag.nondeterministic_seeded in getattr(target, "tags", ())
        if random and known not in OPERATIONS:
            self.trace.refuse(name, "draws random numbers", "answer the same in eval mode")
        if not _has_value((args, kwargs)):
            return target(*args, **kwargs)
        args, kwargs = _by_place(target, args, kwargs)
        function = OPERATIONS.get(known)
        if operation in SHAPE_ONLY:
            return SHAPE_ONLY[operation](*args, **kwargs)
        if function is None:
            what, instead = HINTS.get(
                operation, (f"computes {operation}, which models do not have", "leave it out")
            )
            self.trace.refuse(name, what, instead)
        return function(self.trace, name, *args, **kwargs)


def _by_place(target: Any, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments in the order of the operation's schema, those by name alone apart."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return list(args), dict(kwargs)
    by_name, by_place = dict(kwargs), list(args)
    places = [argument for argument in schema.arguments if not argument.kwarg_only]
    for argument in places[len(args) :]:
        if not by_name.keys() & {other.name for other in places[len(by_place) :]}:
            break
        by_place.append(by_name.pop(argument.name, argument.default_value))
    return by_place, by_name


def _needed(graph: torch.fx.Graph, wanted: Iterable[torch.fx.Node]) -> set[torch.fx.Node]:
    """Return the nodes that the answers depend on."""
    needed: set[torch.fx.Node] = set()
    pending = list(wanted)
    changing = [node for node in graph.nodes if _changes_its_input(node)]
    while pending:
        node = pending.pop()
        if node not in needed:
            needed.add(node)
            pending.extend(node.all_input_nodes)
            pending.extend(other for other in changing if other.args[0] is node)
    return needed


def _changes_its_input(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def _has_value(arguments: Any) -> bool:
    if isinstance(arguments, dict):
        return _has_value(tuple(arguments.values()))
    if isinstance(arguments, (tuple, list)):
        return any(map(_has_value, arguments))
    return isinstance(arguments, Value)


def _name_of(node: torch.fx.Node) -> str:
    """Return the name of a node and of the module that it belongs to."""
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    path = stack[-1] if stack else ""
    return f"{node.name} of {path}" if path else node.name

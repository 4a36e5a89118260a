"""Sequential and functional models of Keras, nested or not, as a chain of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from slidecell.convert.graph import LastStep, Linear, Node, refuse
from slidecell.convert.keras_layer import SOURCE, Flow, Layer, check_layer_config
from slidecell.convert.keras_layers import layer_nodes
from slidecell.convert.keras_stores import Store

__all__ = ["Answer", "Calls", "model_answers", "model_input"]

Answer: TypeAlias = tuple[tuple[Node, ...], Flow]  # the chain from the windows, and its shape
Tensor: TypeAlias = tuple[str, int, int]  # layer, call of it, output of the call
Config: TypeAlias = Mapping[str, Any]

_MODELS = ("Sequential", "Functional", "Model")
_SAVE = "save the model with Keras 3"


def model_input(config: Config) -> list[Any] | None:
    """Return the shape that a model's first layer declares, windows included; None without one."""
    layers = _layers(config)
    given = config["config"]
    first = [layer["config"] for layer in layers[:1]]
    if config["class_name"] != "Sequential":
        names = {name for name, _, _ in _tensors(given.get("input_layers"))}
        first = [layer["config"] for layer in layers if _name(layer) in names]
        if len(first) != 1:
            raise ValueError(
                f"{SOURCE}: expected one input, the windows [N, W, F], got {len(names)}"
            )
    for place in first:
        for key in ("batch_shape", "batch_input_shape"):  # the second is Keras 2's
            if isinstance(place.get(key), (list, tuple)):
                return list(place[key])
    inner = layers[0] if layers else {}
    if inner.get("class_name") in _MODELS:
        return model_input(inner)
    shape = given.get("build_input_shape")
    return list(shape) if isinstance(shape, (list, tuple)) else None


@dataclass
class Calls:
    """The calls of layers that are left, so that models inside models do not multiply them.

    Attributes
    ----------
    version : int
        Of Keras, the first number, which the model was saved with.
    left : int
    bytes_left : int
        Of matrices: a scaling of some columns becomes one, however short its text is.
    """

    version: int
    left: int = 1024
    bytes_left: int = 2**30

    def count(self, name: str) -> None:
        """Count a call; ValueError if there were too many."""
        self.left -= 1
        if self.left < 0:
            refuse(SOURCE, name, "comes after 1024 other layers", "expected fewer")

    def count_matrices(self, name: str, nodes: Sequence[Node]) -> None:
        """Count what a layer became; ValueError if it was too much."""
        self.bytes_left -= sum(node.weight.nbytes for node in nodes if isinstance(node, Linear))
        if self.bytes_left < 0:
            refuse(SOURCE, name, "is one of matrices that take more than 1 GiB", "expected less")


def model_answers(config: Config, store: Store, given: Answer, calls: Calls) -> list[Answer]:
    """Return what a model answers, output by output.

    Parameters
    ----------
    config : mapping
        The model as Keras saves it: its class, and its layers.
    store : Store
        Its variables.
    given : Answer
        What it reads.
    calls : Calls
        What is left of the calls.

    Raises
    ------
    ValueError
        If it is no chain of layers that models have; the text names the layer.
    """
    layers = _layers(config)
    stores = store.layers(layers)
    parts = {_name(layer): _Part(layer, inner) for layer, inner in zip(layers, stores, strict=True)}
    if len(parts) != len(layers):
        raise ValueError(f"{SOURCE}: expected distinct names of layers; {_SAVE}")
    if config["class_name"] == "Sequential":
        for part in parts.values():
            given = _single(part, _call(part, given, calls))
        return [given]
    return _Functional(config["config"], parts, given, calls).answers()


@dataclass(frozen=True)
class _Part:
    config: Config
    store: Store

    @property
    def name(self) -> str:
        return _name(self.config)


def _call(part: _Part, given: Answer, calls: Calls) -> list[Answer]:
    """Return what a layer, or a model inside the model, answers."""
    calls.count(part.name)
    kind = check_layer_config(part.config, part.name)
    nodes, flow = given
    if kind == "InputLayer":
        return [given]
    if kind in _MODELS:
        return model_answers(part.config, part.store, given, calls)
    layer = Layer(part.name, kind, part.config["config"], part.store, calls.version)
    more, out = layer_nodes(layer, flow)
    calls.count_matrices(part.name, more)
    return [((*nodes, *more), out)]


def _single(part: _Part, answers: list[Answer]) -> Answer:
    if len(answers) != 1:
        refuse(SOURCE, part.name, f"answers {len(answers)} tensors", "expected one")
    return answers[0]


class _Functional:
    """A functional model: a layer may be called several times, but answers are chains of calls."""

    def __init__(
        self, config: Config, parts: Mapping[str, _Part], given: Answer, calls: Calls
    ) -> None:
        self.parts = parts
        self.calls = calls
        self.longest = sum(len(_calls(part)) for part in parts.values())
        self.outputs = _tensors(config.get("output_layers"))
        self.known: dict[tuple[str, int], list[Answer]] = {
            (name, call): [given] for name, call, _ in _tensors(config.get("input_layers"))
        }

    def answers(self) -> list[Answer]:
        """Return the answers of all outputs; what two of them share is the same nodes."""
        return [self._answer(output) for output in self.outputs]

    def _answer(self, wanted: Tensor) -> Answer:
        chain: list[Tensor] = []  # from the output to what is known
        while wanted[:2] not in self.known:
            chain.append(wanted)
            if len(chain) > self.longest:
                raise ValueError(f"{SOURCE}: expected a chain of layers, got a circle; {_SAVE}")
            wanted = self._read_by(wanted)
        for output in reversed(chain):
            given = self._output(wanted)
            part = self.parts[output[0]]
            if _is_operation(part.config):
                answers = [_operation(part, _calls(part)[output[1]], given)]
            else:
                answers = _call(part, given, self.calls)
            self.known[output[:2]] = answers
            wanted = output
        return self._output(wanted)

    def _output(self, tensor: Tensor) -> Answer:
        """Return one of the outputs of a call: of a recurrent layer also its state."""
        answers = self.known[tensor[:2]]
        part, place = self.parts.get(tensor[0]), tensor[2]
        if place < len(answers):
            return answers[place]
        config = {} if part is None else part.config["config"]
        nodes, flow = answers[0]
        if place == 1 and config.get("return_state") is True and part is not None:
            if part.config["class_name"] == "Bidirectional":
                refuse(SOURCE, part.name, "answers the state of one direction", "join both")
            if flow.steps is None:
                return answers[0]
            return (*nodes, LastStep(part.name)), Flow(flow.width)
        return refuse(
            SOURCE, tensor[0], f"answers tensor {place}", "expected its output, or its state h"
        )

    def _read_by(self, tensor: Tensor) -> Tensor:
        """Return what the call that answers a tensor reads."""
        name, call, _ = tensor
        part = self.parts.get(name)
        calls = [] if part is None else _calls(part)
        if part is None or not 0 <= call < len(calls):
            raise ValueError(f"{SOURCE}: expected a layer {name!r} that is called; {_SAVE}")
        read, options = _arguments(calls[call])
        if len(read) > 1 and options.get("initial_state") is not None:
            refuse(
                SOURCE,
                name,
                "starts from the state of another layer",
                "let the decoder read the repeated code (RepeatVector) and start from zeros",
            )
        if len(read) != 1:
            check_layer_config(part.config, name)
            refuse(
                SOURCE,
                name,
                f"joins {len(read)} tensors ({part.config['class_name']})",
                "expected a chain of layers",
            )
        for option in ("mask", "initial_state"):
            if options.get(option) is not None:
                refuse(SOURCE, name, f"is called with {option}", "call it without")
        if options.get("training") is True:
            refuse(SOURCE, name, "is called with training=True", "call it without")
        return read[0]


def _operation(part: _Part, call: Any, given: Answer) -> Answer:
    """Return what an operation of `keras.ops` answers: x[:, -1] has a form."""
    nodes, flow = given
    kind = part.config.get("class_name")
    arguments = call.get("args") if isinstance(call, Mapping) else None
    key = arguments[1] if isinstance(arguments, (list, tuple)) and len(arguments) == 2 else None
    if kind == "GetItem" and flow.steps is not None and isinstance(key, (list, tuple)):
        places = [_plain_index(index) for index in key]
        if places[:1] == ["all"] and places[1:] in ([-1], [flow.steps - 1]):
            places.append("all")
        if places in (["all", -1, "all"], ["all", flow.steps - 1, "all"]):
            return (*nodes, LastStep(part.name)), Flow(flow.width)
    return refuse(
        SOURCE,
        part.name,
        f"computes {kind}",
        "expected layers, and x[:, -1] of keras.ops alone",
    )


def _plain_index(index: Any) -> Any:
    """Return a saved index: a number, "all" for a whole axis, None for anything else."""
    if isinstance(index, int) and not isinstance(index, bool):
        return index
    if isinstance(index, Mapping) and index.get("class_name") == "__slice__":
        bounds = index.get("config")
        if isinstance(bounds, Mapping) and all(bounds.get(k) is None for k in bounds):
            return "all"
    return None


def _is_operation(config: Config) -> bool:
    module = config.get("module")
    of_operations = isinstance(module, str) and module.startswith(("keras.src.ops", "keras.ops"))
    return of_operations or config.get("class_name") == "GetItem"  # an .h5 file has no modules


def _layers(config: Config) -> list[Config]:
    """Return the configurations of a model's layers, checked to be such."""
    if config.get("class_name") not in _MODELS:
        name = config.get("config", {}).get("name") or config.get("class_name")
        check_layer_config(config, str(name))
        raise ValueError(
            f"{SOURCE}: expected a Sequential or functional model, got {config['class_name']}"
        )
    check_layer_config(config, str(config["class_name"]))
    given = config.get("config")
    if isinstance(given, list):  # Sequential of early Keras 2
        raise ValueError(f"{SOURCE}: expected a model of Keras 2.2 or later; {_SAVE}")
    layers = given.get("layers") if isinstance(given, Mapping) else None
    if not isinstance(layers, list) or not layers:
        raise ValueError(f"{SOURCE}: expected a model with layers; {_SAVE}")
    for layer in layers:
        if not isinstance(layer, Mapping) or not isinstance(layer.get("config"), Mapping):
            raise ValueError(f"{SOURCE}: expected configurations of layers; {_SAVE}")
        if not isinstance(_name(layer), str):
            raise ValueError(f"{SOURCE}: expected names of layers; {_SAVE}")
    return layers


def _name(layer: Config) -> str:
    name: str = layer["config"].get("name", layer.get("name"))
    return name


def _calls(part: _Part) -> list[Any]:
    """Return the calls of a layer, as it was saved."""
    calls = part.config.get("inbound_nodes")
    return calls if isinstance(calls, list) else []


def _arguments(call: Any) -> tuple[list[Tensor], Mapping[str, Any]]:
    """Return the tensors that a call reads, and its options."""
    if isinstance(call, Mapping):
        options = call.get("kwargs")
        options = options if isinstance(options, Mapping) else {}
        return list(_histories([call.get("args"), options])), options
    # Keras 2: [[layer, call, tensor, options], ...]
    entries = [entry for entry in call if isinstance(entry, list)] if isinstance(call, list) else []
    options = next((e[3] for e in entries if len(e) == 4 and isinstance(e[3], Mapping)), {})
    return [tensor for entry in entries for tensor in _tensors([entry[:3]])], options


def _histories(value: Any) -> Iterator[Tensor]:
    """Return all tensors in the arguments of a call."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            yield from _tensors([config.get("keras_history")] if isinstance(config, Mapping) else 0)
        else:
            for inner in value.values():
                yield from _histories(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _histories(inner)


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors that are named as [layer, call, output], one alone or several."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str):
        value = [value]
    found: list[Tensor] = []
    for entry in value if isinstance(value, Sequence) else [value]:
        match entry:
            case [str(name), int(call), int(place)] if place >= 0:
                found.append((name, call, place))
            case _:
                raise ValueError(f"{SOURCE}: expected names of tensors; {_SAVE}")
    return found

"""From a chain of nodes to the metadata and the tensors of a `SequenceModel`.

A model is an encoder stack, an optional decoder stack and a head. Dense layers, scalings and batch
norms before a recurrent layer are folded into its input weights, in float64; those between the
activations of a head are multiplied to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell.convert.answers import Answers, decide_answers
from slidecell.convert.graph import (
    Activation,
    Direction,
    Graph,
    LastStep,
    Linear,
    Node,
    Recurrent,
    RepeatVector,
    refuse,
)
from slidecell.convert.heads import head_parts, joined, merged
from slidecell.convert.scalers import as_scaler

__all__ = ["Tensors", "lower"]

Tensors: TypeAlias = dict[str, npt.NDArray[np.float32]]


def lower(
    graph: Graph,
    *,
    horizon: int | None = None,
    targets: Sequence[int | str] | None = None,
    features: Sequence[str] | None = None,
    scaler: Mapping[str, Any] | object | None = None,
) -> tuple[dict[str, Any], Tensors]:
    """Return the metadata and the tensors (float32) of the model that `graph` describes.

    Parameters
    ----------
    graph : Graph
    horizon : int, optional
        K of a forecaster; by default what the graph says, or 1.
    targets : sequence of int or str, optional
        The columns that it predicts, in its order: numbers, or names among `features`. All by
        default.
    features : sequence of str, optional
        Names of the F columns.
    scaler : mapping or fitted scaler of scikit-learn, optional
        What rows went through before the network saw them: see `scalers.as_scaler`.

    Raises
    ------
    TypeError
        If there is no recurrent layer.
    ValueError
        If a node has no form in a model, if sizes do not fit or weights are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.convert.graph import Direction, Graph, LastStep, Linear, Recurrent
    >>> from slidecell.convert.lowering import lower
    >>> layer = Recurrent("rnn", "rnn", Direction(np.ones((4, 2)), np.ones((4, 4))))
    >>> half = Linear.scaling("half", np.array([0.5, 0.5]))
    >>> nodes = (half, layer, LastStep("last"), Linear("head", np.ones((2, 4))))
    >>> metadata, tensors = lower(Graph(2, 7, nodes))
    >>> metadata["horizon"], tensors["encoder.0.weight_ih_l0"][0].tolist()
    (1, [0.5, 0.5])
    """
    network = _sorted(graph, graph.nodes)
    head = merged(network.head)
    variance = None if graph.log_variance is None else _sorted(graph, graph.log_variance)
    rows = _output_size(network)
    if variance is not None:
        _check_same_layers(graph, network, variance)
        if _output_size(variance) != rows:
            raise ValueError(
                f"{graph.source}: expected as many log variances as means, {rows}, got "
                f"{_output_size(variance)}; return the prediction alone, if the second is no log "
                "variance"
            )
        head = joined(graph.source, network.head, variance.head)
    answers = decide_answers(
        graph,
        rows,
        reconstructs=bool(network.decoder),
        horizon=horizon,
        targets=targets,
        features=features,
    )
    tensors: Tensors = {}
    stacks: dict[str, list[dict[str, Any]]] = {"encoder": [], "decoder": []}
    for stack, layers in (("encoder", network.encoder), ("decoder", network.decoder)):
        for index, layer in enumerate(layers):
            stacks[stack].append(_layer_spec(layer))
            _add_layer(tensors, layer, f"{stack}.{index}")
    entries, head_tensors = head_parts(graph.source, head, network.layers[-1].output_size)
    for name, array in head_tensors.items():
        _add(tensors, name, array)
    metadata = _metadata(graph, answers, stacks, scaler)
    if entries is not None:
        metadata["head"] = entries
    if variance is not None:
        metadata["distribution"] = "gaussian"
    if entries is not None or variance is not None:
        del metadata["format"]  # a newer one, which the model chooses
    return metadata, tensors


def _metadata(
    graph: Graph,
    answers: Answers,
    stacks: Mapping[str, list[dict[str, Any]]],
    scaler: Mapping[str, Any] | object | None,
) -> dict[str, Any]:
    return {
        "format": 1,
        "window": graph.window,
        "horizon": answers.horizon,
        **stacks,
        "features": answers.features,
        "targets": answers.targets,
        "scaler": None if scaler is None else as_scaler(scaler, graph.input_size),
        "error": None,
        "smoothing": None,
        "threshold": None,
        "extra": {},
    }


@dataclass
class _Network:
    """A chain, sorted into the parts of a model."""

    encoder: list[Recurrent] = field(default_factory=list)
    decoder: list[Recurrent] = field(default_factory=list)
    head: list[Linear | Activation] = field(default_factory=list)
    sources: list[Node] = field(default_factory=list)  # all nodes before the head

    @property
    def layers(self) -> list[Recurrent]:
        return [*self.encoder, *self.decoder]


def _output_size(network: _Network) -> int:
    """Return the numbers that a chain ends on, at a step or in all."""
    for node in reversed(network.head):
        if isinstance(node, Linear):
            return node.output_size
    return network.layers[-1].output_size


def _sorted(graph: Graph, nodes: Sequence[Node]) -> _Network:
    """Sort a chain into encoder, decoder and head, with what can be folded into its layers."""
    source = graph.source
    network = _Network()
    stack = network.encoder
    repeated: RepeatVector | None = None
    last: LastStep | None = None
    between: list[Linear | Activation] = []  # since the last layer: alike at each step
    for place, node in enumerate(nodes):
        if isinstance(node, (Linear, Activation)):
            between.append(node)
        elif isinstance(node, Recurrent):
            if last is not None:
                refuse(
                    source,
                    node.name,
                    f"recurs over the last step alone, which {last.name!r} took",
                    "repeat the vector at each of the window's rows, or take all steps",
                )
            stack.append(_folded(source, between, node))
            between = []
            network.sources = list(nodes[: place + 1])
        elif isinstance(node, LastStep):
            if not stack or last is not None:
                refuse(source, node.name, "takes the last step of no layer", "let a layer read it")
            last = node
        else:
            _check_repeated(graph, node, before=repeated, last=last)
            repeated, last, stack = node, None, network.decoder
    if not network.encoder:
        raise TypeError(
            f"{source}: expected a slidecell.training module, or a network with an LSTM, GRU or "
            f"RNN layer that reads the window, got one without"
        )
    if repeated is None and last is None:
        refuse(
            source,
            nodes[-1].name,
            "answers at every row of the window",
            "forecast from the last step (out[:, -1], h_n), or repeat the last step for a decoder",
        )
    if repeated is not None and not network.decoder:
        refuse(source, repeated.name, "repeats a vector for no layer", "add a recurrent decoder")
    if repeated is not None and last is not None:
        refuse(
            source,
            last.name,
            "takes the last step of a decoder",
            "answer at all of its steps to reconstruct, or forecast from the encoder's last step",
        )
    network.head = between
    return network


def _check_repeated(
    graph: Graph, node: RepeatVector, *, before: RepeatVector | None, last: LastStep | None
) -> None:
    if before is not None:
        refuse(graph.source, node.name, "is a second bottleneck", "keep one")
    if last is None:
        refuse(graph.source, node.name, "repeats no last step", "repeat the encoder's last h")
    if node.steps != graph.window:
        refuse(
            graph.source,
            node.name,
            f"repeats a vector {node.steps} times, the window has {graph.window} rows",
            "reconstruct the whole window",
        )


def _check_same_layers(graph: Graph, mean: _Network, variance: _Network) -> None:
    if mean.decoder:
        raise ValueError(
            f"{graph.source}: expected log variances of a forecaster alone, got those of an "
            "autoencoder; return the reconstruction alone"
        )
    same = len(mean.sources) == len(variance.sources) and all(
        a is b for a, b in zip(mean.sources, variance.sources, strict=True)
    )
    if not same:
        raise ValueError(
            f"{graph.source}: expected mean and log variance of the same recurrent layers, got "
            f"them of different ones ({mean.layers[-1].name!r}, {variance.layers[-1].name!r})"
        )


def _folded(source: str, before: Sequence[Linear | Activation], layer: Recurrent) -> Recurrent:
    """Return the layer that reads what the nodes before it read."""
    for node in before:
        if isinstance(node, Activation):
            refuse(
                source,
                node.name,
                f"is an activation ({node.function}) before the recurrent layer {layer.name!r}",
                "leave it out, or apply it to the rows before slidecell sees them",
            )
    entries = merged(before)
    if not entries:
        return layer
    (linear,) = entries
    assert isinstance(linear, Linear)  # no activation is left
    if linear.output_size != layer.input_size:
        refuse(
            source,
            linear.name,
            f"gives {linear.output_size} numbers",
            f"{layer.name!r} reads {layer.input_size}",
        )

    def fold(weights: Direction) -> Direction:
        into = weights.weight_ih.astype(np.float64)
        bias = weights.bias_ih
        if linear.bias is not None and np.any(linear.bias):
            shift = into @ linear.bias.astype(np.float64)
            bias = shift if bias is None else bias.astype(np.float64) + shift
        return Direction(
            into @ linear.weight.astype(np.float64),
            weights.weight_hh,
            bias,
            weights.bias_hh,
            weights.weight_hr,
        )

    return Recurrent(
        layer.name,
        layer.cell,
        fold(layer.forward),
        None if layer.backward is None else fold(layer.backward),
        layer.activation,
        layer.recurrent_activation,
        layer.reset_after,
    )


def _layer_spec(layer: Recurrent) -> dict[str, Any]:
    return {
        "cell": layer.cell,
        "input_size": layer.input_size,
        "hidden_size": layer.hidden_size,
        "proj_size": layer.proj_size,
        "bidirectional": layer.backward is not None,
        "activation": layer.activation,
        "recurrent_activation": layer.recurrent_activation,
        "reset_after": layer.reset_after,
    }


def _add_layer(tensors: Tensors, layer: Recurrent, prefix: str) -> None:
    """Add a layer's weights under the names of a one-layer module of torch."""
    for suffix, weights in zip(("", "_reverse"), layer.directions, strict=False):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"):
            array = getattr(weights, name)
            if array is not None:
                _add(tensors, f"{prefix}.{name}_l0{suffix}", array)
        for name, other in (("bias_ih", "bias_hh"), ("bias_hh", "bias_ih")):
            # A layer with one bias per gate becomes one with torch's two.
            known = tensors.get(f"{prefix}.{name}_l0{suffix}")
            if known is not None:
                tensors.setdefault(f"{prefix}.{other}_l0{suffix}", np.zeros_like(known))


def _add(tensors: Tensors, name: str, array: npt.NDArray[Any]) -> None:
    """Add a copy that later training does not touch."""
    with np.errstate(over="ignore"):
        copy = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(copy).all():
        raise ValueError(f"{name}: expected finite weights, got NaN or infinity")
    tensors[name] = copy

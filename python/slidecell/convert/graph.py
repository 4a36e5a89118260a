"""What a recurrent network computes, as a chain of nodes: what every reader says of a model.

A reader (of torch modules, ONNX files, Keras models) makes a `Graph`; `slidecell.convert.lowering`
makes a model of it. Nothing here needs torch, onnx or Keras: weights are numpy arrays.

A chain begins with the windows [N, W, F]. Each node takes what the one before it gives:

* `Linear` and `Activation` act on the last axis and on each element, at every step or on a vector;
* `Recurrent` takes a sequence [N, T, I] and gives a sequence [N, T, D*H];
* `LastStep` takes a sequence and gives a vector [N, D*H]: each direction's last h;
* `RepeatVector` takes a vector and gives a sequence [N, steps, C].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell._cells import CELLS, CellName

__all__ = [
    "Activation",
    "Direction",
    "Graph",
    "LastStep",
    "Linear",
    "Node",
    "Recurrent",
    "RepeatVector",
    "refuse",
]

Array: TypeAlias = npt.NDArray[Any]  # float32 or float64


@dataclass(frozen=True, eq=False)
class Linear:
    """y = weight x + bias: a dense layer, a scaling, a batch norm, or a choice of columns.

    Attributes
    ----------
    name : str
        Of the node, as its source calls it.
    weight : ndarray, [O, I]
    bias : ndarray, [O], or None
        None where the node has none.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.convert.graph import Linear
    >>> Linear.scaling("norm", np.array([2.0, 4.0]), np.array([0.0, 1.0])).weight.tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    >>> Linear.columns("slice", [1], of=2).weight.tolist()
    [[0.0, 1.0]]
    """

    name: str
    weight: Array
    bias: Array | None = None

    @classmethod
    def scaling(cls, name: str, scale: Array, shift: Array | None = None) -> Linear:
        """Return y = scale x + shift, for `scale` [C] and `shift` [C]."""
        return cls(name, np.diag(np.asarray(scale, np.float64)), shift)

    @classmethod
    def columns(cls, name: str, columns: Iterable[int], *, of: int) -> Linear:
        """Return y = x[columns], for x of `of` columns."""
        return cls(name, np.eye(of)[list(columns)])

    @property
    def output_size(self) -> int:
        """O, numbers that it gives."""
        return int(self.weight.shape[0])


@dataclass(frozen=True, eq=False)
class Activation:
    """A function of each element.

    Attributes
    ----------
    name : str
    function : str
        "relu", "tanh", "sigmoid", "gelu" (with the error function), "gelu_tanh" (its
        approximation) or "leaky_relu". A reader refuses what is none of them.
    slope : float or None
        Of "leaky_relu" below zero; None for all others.
    """

    name: str
    function: str
    slope: float | None = None


@dataclass(frozen=True, eq=False)
class Direction:
    """Weights of one direction of a layer, in torch's gate order: `ifgo`, `rzn`.

    Attributes
    ----------
    weight_ih : ndarray, [G*H, I]
    weight_hh : ndarray, [G*H, H], or [G*H, P] with a projection
    bias_ih, bias_hh : ndarray, [G*H], or None
        A source with one bias per gate gives it as `bias_ih`, and None or zeros as the other.
    weight_hr : ndarray, [P, H], or None
        The projection of an LSTM's h.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None
    weight_hr: Array | None = None


@dataclass(frozen=True, eq=False)
class Recurrent:
    """One recurrent layer that starts from zeros; a stack of layers is as many nodes.

    Attributes
    ----------
    name : str
    cell : str
        "lstm", "gru" or "rnn".
    forward : Direction
    backward : Direction or None
        None where the layer runs in one direction. The layer's output has the backward
        direction's h behind the forward one's.
    activation : str
        Of candidate and output: "tanh", "relu", "sigmoid" or "linear".
    recurrent_activation : str
        Of the gates: "sigmoid" or "hard_sigmoid" = clip(x/6 + 1/2, 0, 1).
    reset_after : bool
        GRU: whether the reset gate comes after the recurrent product, as in torch, Keras'
        ``reset_after=True`` and ONNX' ``linear_before_reset=1``. True for all others.
    """

    name: str
    cell: CellName
    forward: Direction
    backward: Direction | None = None
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reset_after: bool = True

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The forward direction, and the backward one where there is one."""
        return (self.forward,) if self.backward is None else (self.forward, self.backward)

    @property
    def input_size(self) -> int:
        """I."""
        return int(self.forward.weight_ih.shape[1])

    @property
    def hidden_size(self) -> int:
        """H of one direction, before a projection."""
        return int(self.forward.weight_ih.shape[0]) // CELLS[self.cell].gates

    @property
    def proj_size(self) -> int:
        """P; 0 without a projection."""
        return 0 if self.forward.weight_hr is None else int(self.forward.weight_hr.shape[0])

    @property
    def output_size(self) -> int:
        """Numbers per step that it gives, those of both directions."""
        return (self.proj_size or self.hidden_size) * len(self.directions)


@dataclass(frozen=True, eq=False)
class LastStep:
    """Each direction's last h: torch's ``h_n``, Keras' ``return_sequences=False``.

    Of a layer in one direction this is the last step of its output. Of a bidirectional one it is
    not: there the backward direction has seen the last row alone.
    """

    name: str


@dataclass(frozen=True, eq=False)
class RepeatVector:
    """The vector at each of `steps` steps: what a decoder reads."""

    name: str
    steps: int


Node: TypeAlias = Linear | Activation | Recurrent | LastStep | RepeatVector


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as a chain of nodes.

    Attributes
    ----------
    input_size : int
        F, features per row.
    window : int
        W, rows per window.
    nodes : tuple of Node
        From the windows to the predictions. A forecaster ends on a vector: its last features are
        targets of the K rows ahead, in order (k, target). An autoencoder has a `RepeatVector` of
        W steps and ends on a sequence [N, W, targets].
    log_variance : tuple of Node or None
        A forecaster's second output, the natural logarithm of the variance of each number of the
        first: the whole chain from the windows again. The nodes that both outputs share are the
        same objects.
    horizon : int or None
        K where the shape of the output tells, as [N, K, targets] does; None where it does not, and
        for an autoencoder.
    source : str
        What error texts begin with: the argument that the network came in as.
    """

    input_size: int
    window: int
    nodes: tuple[Node, ...]
    log_variance: tuple[Node, ...] | None = None
    horizon: int | None = None
    source: str = "module"


def refuse(source: str, name: str, what: str, instead: str) -> NoReturn:
    """Raise the ValueError of a node that has no form here.

    Parameters
    ----------
    source : str
        What the network came in as: "module".
    name : str
        Of the node.
    what : str
        What it does, as a verb: "normalises h".
    instead : str
        What the caller can do.

    Examples
    --------
    >>> from slidecell.convert.graph import refuse
    >>> refuse("module", "layer_norm", "normalises each vector", "leave it out")
    Traceback (most recent call last):
    ...
    ValueError: module: its node 'layer_norm' normalises each vector; leave it out
    """
    raise ValueError(f"{source}: its node {name!r} {what}; {instead}")

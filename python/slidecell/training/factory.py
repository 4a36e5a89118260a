"""Choose the class of a recurrent layer by its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from slidecell._arguments import as_choice
from slidecell._cells import CELLS, CellName
from slidecell._choices import Activation, RecurrentActivation
from slidecell.recurrent import TORCH_NAMES
from slidecell.training.cells import FREE_LAYERS
from slidecell.training.layers import LAYERS

RecurrentLayer: TypeAlias = nn.Module


def recurrent_layer(
    cell: CellName,
    input_size: int,
    hidden_size: int,
    *,
    bidirectional: bool = False,
    activation: Activation = "tanh",
    recurrent_activation: RecurrentActivation = "sigmoid",
    reset_after: bool = True,
    proj_size: int = 0,
    single_bias: bool = False,
) -> RecurrentLayer:
    """Return a one-layer module, batch-first, with torch's tensor names and outputs.

    That is our `LSTM`, `GRU` or `RNN`, which are torch's with compiled kernels, where torch can do
    it; torch's own with a projection; `LSTMLayer` or `GRULayer` else.

    Parameters
    ----------
    cell : str
        A name in `slidecell.recurrent.STACKS`.
    input_size, hidden_size : int
    bidirectional : bool
    activation : {"tanh", "relu", "sigmoid", "linear"}
        Of the candidate and, in an LSTM, of the output. An RNN has "tanh" or "relu".
    recurrent_activation : {"sigmoid", "hard_sigmoid"}
        Of the gates; hard_sigmoid(x) = clip(x/6 + 1/2, 0, 1).
    reset_after : bool
        GRU: whether the reset gate stands after the recurrent product (torch) or before it.
    proj_size : int
        LSTM: size of the projected h; 0 for none.
    single_bias : bool
        One bias per gate (``bias_ih_l0``), as Keras has it, where torch has two.

    Examples
    --------
    >>> from slidecell.training import recurrent_layer
    >>> type(recurrent_layer("lstm", 3, 5)).__name__
    'LSTM'
    >>> type(recurrent_layer("gru", 3, 5, reset_after=False)).__name__
    'GRULayer'
    """
    kind = CELLS[as_choice("cell", cell, CELLS)]
    own: dict[str, Any] = {"bidirectional": bidirectional}
    if kind.has_projection:
        own["proj_size"] = proj_size
    usual = recurrent_activation == "sigmoid" and not single_bias
    if cell not in FREE_LAYERS:  # torch's own is all there is
        if not usual or proj_size or not reset_after:
            raise ValueError(
                f"cell: {kind.title} has no gates, no projection and two biases; "
                "recurrent_activation, reset_after, proj_size and single_bias need another cell"
            )
        own["nonlinearity"] = as_choice("activation", activation, kind.trained_activations)
    elif not usual or activation != "tanh" or (kind.has_reset_after and not reset_after):
        if kind.has_reset_after:
            own["reset_after"] = reset_after
        return FREE_LAYERS[cell](
            input_size,
            hidden_size,
            activation=activation,
            recurrent_activation=recurrent_activation,
            single_bias=single_bias,
            **own,
        )
    layers = getattr(nn, TORCH_NAMES[cell][0]) if own.get("proj_size") else LAYERS[cell]
    made: RecurrentLayer = layers(input_size, hidden_size, batch_first=True, **own)
    return made


def count_parameters(make: Callable[[], nn.Module]) -> int:
    """Return how many numbers the module that `make` returns would train, in no memory.

    Examples
    --------
    >>> from torch import nn
    >>> from slidecell.training.factory import count_parameters
    >>> count_parameters(lambda: nn.Linear(10**6, 10**6))
    1000001000000
    """
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make().parameters())

"""The two networks: a forecaster and an autoencoder, made of one-layer recurrent modules.

Their ``state_dict`` names are the tensor names of the model file: ``encoder.{l}.weight_ih_l0``,
``decoder.{l}....``, ``head.weight``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slidecell._arguments import as_choice, as_columns, as_fraction, as_sizes, whole_number
from slidecell._cells import CELLS, CellName
from slidecell._choices import Activation, RecurrentActivation
from slidecell.convert.interfaces import SequenceNetwork
from slidecell.training.cells import (
    ACTIVATIONS,
    RECURRENT_ACTIVATIONS,
)
from slidecell.training.factory import recurrent_layer
from slidecell.training.layers import Compiled


class _RecurrentNetwork(SequenceNetwork):
    """The base of both networks: the arguments of their layers and an encoder."""

    def __init__(
        self,
        input_size: int,
        *,
        cell: CellName,
        window: int,
        horizon: int,
        dropout: float,
        bidirectional: bool,
        activation: Activation,
        recurrent_activation: RecurrentActivation,
        reset_after: bool,
        proj_size: int,
        single_bias: bool,
    ) -> None:
        super().__init__()
        self.input_size = whole_number("input_size", input_size, least=1)
        self.cell: CellName = as_choice("cell", cell, CELLS)
        self.window = whole_number("window", window, least=1)
        self.horizon = horizon
        self.dropout = as_fraction("dropout", dropout)
        self.bidirectional = bool(bidirectional)
        self.activation: Activation = as_choice("activation", activation, ACTIVATIONS)
        self.recurrent_activation: RecurrentActivation = as_choice(
            "recurrent_activation", recurrent_activation, RECURRENT_ACTIVATIONS
        )
        self.reset_after = bool(reset_after)
        self.proj_size = whole_number("proj_size", proj_size, least=0)
        self.single_bias = bool(single_bias)
        kind = CELLS[self.cell]
        if not kind.has_reset_after and not self.reset_after:
            others = " or ".join(f"cell={name!r}" for name, c in CELLS.items() if c.has_reset_after)
            raise ValueError(f"reset_after: False needs {others}, got cell={cell!r}")
        if not kind.has_projection and self.proj_size:
            raise ValueError(f"proj_size: {kind.title} has no projection, got {proj_size}")

    def _stack(self, input_size: int, sizes: Sequence[int]) -> nn.ModuleList:
        """Return one layer per size, each fed by the one before."""
        if self.proj_size and self.proj_size >= min(sizes):
            raise ValueError(
                f"proj_size: expected less than every hidden size {list(sizes)}, "
                f"got {self.proj_size}"
            )
        inputs = [input_size, *(self._output_size(size) for size in sizes)]
        return nn.ModuleList(
            recurrent_layer(
                self.cell,
                inputs[layer],
                size,
                bidirectional=self.bidirectional,
                activation=self.activation,
                recurrent_activation=self.recurrent_activation,
                reset_after=self.reset_after,
                proj_size=self.proj_size,
                single_bias=self.single_bias,
            )
            for layer, size in enumerate(sizes)
        )

    def _output_size(self, hidden_size: int) -> int:
        """Return the width of a layer's output: both directions, projected."""
        return (2 if self.bidirectional else 1) * (self.proj_size or hidden_size)

    def _below_last(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        """`x` [N, T, I] -> what the last layer reads [N, T, D*H]."""
        for layer in list(layers)[:-1]:
            x = layer(x)[0]
            if self.dropout:
                x = nn.functional.dropout(x, self.dropout, self.training)
        return x

    def _last_hidden(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        """`x` [N, T, I] -> the last layer's last h [N, D*H]."""
        x, last = self._below_last(layers, x), list(layers)[-1]
        # A layer of torch's own is an LSTM with a projection.
        h_n: Tensor = last.last_hidden(x) if isinstance(last, Compiled) else last(x)[1][0]
        # Both directions' final h. out[:, -1] would hold the backward direction's first step.
        return torch.cat(tuple(h_n), dim=1) if self.bidirectional else h_n[0]

    def _check(self, x: Tensor) -> None:
        if x.ndim != 3 or x.shape[1] != self.window or x.shape[2] != self.input_size:
            raise ValueError(
                f"x: expected [N, {self.window}, {self.input_size}] (window={self.window}, "
                f"input_size={self.input_size}), got {list(x.shape)}"
            )

    def encode(self, x: Tensor) -> Tensor:
        """`x` [N, W, F] -> last h of the encoder [N, code_size], both directions concatenated."""
        self._check(x)
        return self._last_hidden(self.encoder, x)

    def reset_parameters(self) -> None:
        """Draw all weights anew from torch's global generator."""
        for layer in (*self.encoder, *self.decoder, self.head):
            layer.reset_parameters()


class Forecaster(_RecurrentNetwork):
    """`x` [N, W, F] -> [N, K*targets]: from a window, the next K rows (k major).

    Parameters
    ----------
    input_size : int
        F, columns of the series.
    hidden_size : int or sequence of int
        One size for all layers, or one per layer: ``(64, 32)``.
    num_layers : int
        With an integer `hidden_size`.
    cell : str
        "lstm" (the default) or another name in `slidecell.recurrent.STACKS`.
    window, horizon : int
        W rows seen, K rows predicted.
    dropout : float
        Between layers, not after the last one (as in ``nn.LSTM``).
    head_dropout : float
        Between the last h and the head.
    bidirectional : bool
        The head then reads both directions' final h.
    targets : sequence of int, optional
        Columns to predict; all by default.
    activation : {"tanh", "relu", "sigmoid", "linear"}
    recurrent_activation : {"sigmoid", "hard_sigmoid"}
    reset_after : bool
        GRU: False places the reset gate before the recurrent product.
    proj_size : int
        LSTM: size of the projected h; 0 for none.
    single_bias : bool
        One bias per gate, as Keras has it, where torch has two.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import Forecaster
    >>> module = Forecaster(7, (64, 32), window=30, horizon=2, dropout=0.2, head_dropout=0.2)
    >>> tuple(module(torch.rand(5, 30, 7)).shape)
    (5, 14)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        *,
        cell: CellName = "lstm",
        window: int,
        horizon: int = 1,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
        bidirectional: bool = False,
        targets: Sequence[int] | None = None,
        activation: Activation = "tanh",
        recurrent_activation: RecurrentActivation = "sigmoid",
        reset_after: bool = True,
        proj_size: int = 0,
        single_bias: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            cell=cell,
            window=window,
            horizon=whole_number("horizon", horizon, least=1),
            dropout=dropout,
            bidirectional=bidirectional,
            activation=activation,
            recurrent_activation=recurrent_activation,
            reset_after=reset_after,
            proj_size=proj_size,
            single_bias=single_bias,
        )
        num_layers = whole_number("num_layers", num_layers, least=1)
        if isinstance(hidden_size, Sequence):
            sizes = as_sizes("hidden_size", hidden_size)
            if num_layers not in (1, len(sizes)):
                raise ValueError(
                    f"num_layers: expected {len(sizes)}, the length of hidden_size, "
                    f"got {num_layers}"
                )
        else:
            sizes = (whole_number("hidden_size", hidden_size, least=1),) * num_layers
        self.hidden_size = sizes if isinstance(hidden_size, Sequence) else sizes[0]
        self.num_layers = len(sizes)
        self.head_dropout = as_fraction("head_dropout", head_dropout)
        self.targets = as_columns("targets", targets, self.input_size)
        self.encoder = self._stack(self.input_size, sizes)
        self.decoder = nn.ModuleList()
        self.code_size = self._output_size(sizes[-1])
        columns = self.input_size if self.targets is None else len(self.targets)
        self.head = nn.Linear(self.code_size, self.horizon * columns)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, W, F] -> [N, K*targets]."""
        code = self.encode(x)
        if self.head_dropout:
            code = nn.functional.dropout(code, self.head_dropout, self.training)
        prediction: Tensor = self.head(code)
        return prediction


class Autoencoder(_RecurrentNetwork):
    """`x` [N, W, F] -> [N, W, F]: the window through a bottleneck and back.

    Encoder stack, its last h repeated W times, decoder stack, a linear head on every step.

    Parameters
    ----------
    input_size : int
        F, columns of the series.
    encoder_sizes, decoder_sizes : sequence of int
        Hidden size per layer; the encoder's last one is the bottleneck.
    cell : str
        "lstm" (the default) or another name in `slidecell.recurrent.STACKS`.
    window : int
        W; 1 is allowed.
    dropout : float
        Between the layers of the encoder and between those of the decoder.
    bidirectional : bool
        Of all layers; the bottleneck is then both directions' final h.
    activation, recurrent_activation, reset_after, single_bias
        As for `Forecaster`.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import Autoencoder
    >>> module = Autoencoder(29, window=1, activation="relu", single_bias=True)
    >>> sum(parameter.numel() for parameter in module.parameters())
    6381
    >>> x = torch.rand(5, 1, 29)
    >>> tuple(module(x).shape), tuple(module.encode(x).shape)
    ((5, 1, 29), (5, 8))
    """

    def __init__(
        self,
        input_size: int,
        encoder_sizes: Sequence[int] = (16, 8),
        decoder_sizes: Sequence[int] = (8, 16),
        *,
        cell: CellName = "lstm",
        window: int,
        dropout: float = 0.0,
        bidirectional: bool = False,
        activation: Activation = "tanh",
        recurrent_activation: RecurrentActivation = "sigmoid",
        reset_after: bool = True,
        single_bias: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            cell=cell,
            window=window,
            horizon=0,
            dropout=dropout,
            bidirectional=bidirectional,
            activation=activation,
            recurrent_activation=recurrent_activation,
            reset_after=reset_after,
            proj_size=0,
            single_bias=single_bias,
        )
        self.encoder_sizes = as_sizes("encoder_sizes", encoder_sizes)
        self.decoder_sizes = as_sizes("decoder_sizes", decoder_sizes)
        self.targets = None
        self.encoder = self._stack(self.input_size, self.encoder_sizes)
        self.code_size = self._output_size(self.encoder_sizes[-1])
        self.decoder = self._stack(self.code_size, self.decoder_sizes)
        self.head = nn.Linear(self._output_size(self.decoder_sizes[-1]), self.input_size)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, W, F] -> [N, W, F]."""
        code = self.encode(x)
        repeated = code.unsqueeze(1).expand(-1, self.window, -1)
        out = self.decoder[-1](self._below_last(self.decoder, repeated))[0]
        prediction: Tensor = self.head(out)
        return prediction

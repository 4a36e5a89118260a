"""What the conversion asks of modules that are not made of torch's own LSTM or GRU alone.

`slidecell.training` derives its layers and networks from these classes, so that the conversion
knows them without importing the training.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

__all__ = ["CompiledModel", "RecurrentLayer", "SequenceNetwork"]


class CompiledModel(Protocol):
    """What a module is compared with: a `SequenceModel`, or a reference that computes the same."""

    @property
    def input_size(self) -> int:
        """F, features per row."""

    @property
    def window(self) -> int:
        """W, rows per window."""

    @property
    def horizon(self) -> int:
        """K, rows that are forecast; 0 for an autoencoder."""

    @property
    def num_targets(self) -> int:
        """Features that are predicted per row."""

    def predict(
        self, series: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64], /
    ) -> npt.NDArray[np.float32]:
        """`series` [S, F], `offsets` [G+1] -> predictions [N, K or W, targets]."""


class RecurrentLayer(nn.Module):
    """One LSTM or GRU layer, batch-first, with torch's tensor names, whatever its activations.

    Attributes
    ----------
    cell : str
        A name in `slidecell.recurrent.STACKS`.
    input_size, hidden_size, proj_size : int
    bidirectional : bool
    activation, recurrent_activation : str
        A GRU also has ``reset_after``, True where it lacks the attribute.
    """

    cell: str
    input_size: int
    hidden_size: int
    proj_size: int
    bidirectional: bool
    activation: str
    recurrent_activation: str


class SequenceNetwork(nn.Module):
    """A recurrent encoder, a decoder that may be empty, and a linear head.

    Attributes
    ----------
    encoder, decoder : nn.ModuleList
        One-layer recurrent modules, torch's or `RecurrentLayer`.
    head : nn.Linear
    window, horizon : int
        W and K; 0 for an autoencoder.
    targets : sequence of int or None
        Columns that are predicted; None for all.
    """

    encoder: nn.ModuleList
    decoder: nn.ModuleList
    head: nn.Linear
    window: int
    horizon: int
    targets: tuple[int, ...] | None

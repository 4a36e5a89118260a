"""The cells that the core runs, and what distinguishes one from another: one table for Python.

A new cell of the core appears in `CELLS` by itself; `CellName` is its name for type checkers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from slidecell import _core

CellName: TypeAlias = Literal["lstm", "gru", "rnn"]


@dataclass(frozen=True)
class Cell:
    """What the core says of a cell.

    Examples
    --------
    >>> from slidecell._cells import CELLS
    >>> CELLS["gru"].title, CELLS["gru"].gates, CELLS["gru"].states
    ('a GRU', 3, ('h',))
    """

    title: str
    gates: int  # rows of weights per hidden unit
    states: tuple[str, ...]  # "h", or "h" and "c"
    has_projection: bool  # takes proj_size
    has_reset_after: bool  # comes in two forms, by the place of its reset gate
    trained_activations: tuple[str, ...]  # with which the training kernels run it


CELLS: dict[str, Cell] = {name: Cell(**said) for name, said in _core.cells().items()}

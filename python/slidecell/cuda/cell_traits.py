"""What a cell is, once for packing and planning: csrc/cuda/cell_traits.cuh has its formula."""

from __future__ import annotations

from dataclasses import dataclass

from slidecell._core import UnsupportedError


@dataclass(frozen=True)
class CellTraits:
    """Numbers of gates and states of a cell, as the kernels' traits of the same name.

    Examples
    --------
    >>> from slidecell.cuda.cell_traits import CELLS
    >>> CELLS["lstm"].gates, CELLS["lstm"].states
    (4, ('h', 'c'))
    """

    gates: int
    waiting: int  # of the last gates: their products wait for the other gates of all units
    apart: int  # of the last gates: the product with h has a bias of its own, not the input's
    candidate: int  # the gate that takes the activation; the others take the recurrent one
    states: tuple[str, ...]  # that a caller gives and gets: "h", or "h" and "c"
    carries: str  # of them what a unit's formula reads of the step before: "h", "c" or ""


# In the order of the kernels' `enum Cell`.
CELLS = {
    "lstm": CellTraits(gates=4, waiting=0, apart=0, candidate=2, states=("h", "c"), carries="c"),
    "gru": CellTraits(gates=3, waiting=0, apart=1, candidate=2, states=("h",), carries="h"),
    "gru_reset_before": CellTraits(
        gates=3, waiting=1, apart=0, candidate=2, states=("h",), carries="h"
    ),
    "rnn": CellTraits(gates=1, waiting=0, apart=0, candidate=0, states=("h",), carries=""),
}


def number_of(cell: str) -> int:
    """Return a cell's place in the kernels' `enum Cell`.

    Examples
    --------
    >>> from slidecell.cuda.cell_traits import number_of
    >>> number_of("gru_reset_before")
    2
    """
    return list(CELLS).index(cell)


def cell_name(cell: str, *, reset_after: bool) -> str:
    """Return the name in `CELLS` of a layer's cell; UnsupportedError for one without kernels.

    Examples
    --------
    >>> from slidecell.cuda.cell_traits import cell_name
    >>> cell_name("gru", reset_after=False)
    'gru_reset_before'
    """
    name = "gru_reset_before" if cell == "gru" and not reset_after else cell
    if name not in CELLS:
        raise UnsupportedError(
            f"cuda: expected a layer's cell to be one of {', '.join(map(repr, CELLS))}, "
            f"got {name!r}"
        )
    return name

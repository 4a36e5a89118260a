"""Recurrent layers run over values: over all rows of a window, or one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.axes import Atom, Axes, axis, flat
from slidecell.convert.graph import LastStep, Recurrent, RepeatVector
from slidecell.convert.values import Value

__all__ = ["RecursOverWindowsError", "run_layers"]

Array = npt.NDArray[Any]


class RecursOverWindowsError(ValueError):
    """A layer takes the windows for its steps: it reads [W, N, F]."""


def run_layers(
    name: str,
    value: Value,
    layers: Sequence[Recurrent],
    *,
    time_axis: int,
    state: Sequence[Value | Array | None] = (),
) -> tuple[Value, Value, Value]:
    """Return out, h_n and c_n of a stack of layers, one after the other.

    Parameters
    ----------
    name : str
    layers : sequence of Recurrent
    time_axis : int
        0 or 1: of the rows. Where that axis has one element only, this is one step.
    state : sequence
        h and c to start from: zeros, or those of the row before.
    """
    trace, shape = value.trace, list(value.shape)
    if len(shape) != 3:
        trace.refuse(name, f"reads {shape}", "let it read the windows: [N, W, I]")
    steps, others = value.axes[time_axis], value.axes[1 - time_axis]
    if flat((steps,), "batch") and not flat((others,), "batch"):
        raise RecursOverWindowsError(
            f"{trace.source}: its layer {name!r} recurs over the windows; expected "
            "batch_first=True, or x.transpose(0, 1) before it"
        )
    if [a.label for a in steps] not in ([], ["time"]) or [a.label for a in others] != ["batch"]:
        trace.refuse(name, f"reads {shape}", "let it read the window row by row: [N, W, I]")
    if not steps and value.row is None:  # the same vector at each step of a decoder
        node = RepeatVector(name, trace.window)
        value = replace(value.vector(name).then(node, value.axes), row=_next_row(state))
    value = value.ordered(name)
    for layer in layers:
        if value.width != layer.input_size:
            trace.refuse(name, f"reads {value.width} numbers", f"give {layer.input_size}")
        if not steps and layer.backward is not None and trace.window > 1:
            trace.refuse(name, "is bidirectional in a loop", "let it read all rows")
        value = value.then(layer, (*value.axes[:2], axis("feature", layer.output_size)))
    last = layers[-1]
    directions = len(last.directions)
    states_axes: Axes = (
        (
            *axis("layer", len(layers)),
            *((Atom("feature", 2, last.output_size // 2),) if directions == 2 else ()),
        ),
        others,
        axis("feature", last.output_size // directions),
    )
    for place, given in enumerate(state or (None,)):
        _check_state(name, given, value, is_cell_state=place == 1)
    if steps:
        final = replace(value.then(LastStep(name), states_axes), row=None)
    else:
        final = replace(value, axes=states_axes)
    return value, final, replace(final, cell_state=True)


def _check_state(
    name: str, state: Value | Array | None, after: Value, *, is_cell_state: bool
) -> None:
    """Refuse a state to start from that is neither zeros nor the one of the row before."""
    if not isinstance(state, Value):
        if state is not None and np.any(state):
            after.trace.refuse(name, "starts from a state that is not zero", "start from zeros")
        if after.row not in (None, 0):
            after.trace.refuse(
                name,
                f"starts from zeros at row {after.row} of the window",
                "read the window from its first row on, or give a shorter window",
            )
        return
    own = state.nodes == after.nodes and state.cell_state == is_cell_state
    if not own or state.row is None or after.row is None:
        after.trace.refuse(
            name,
            "starts from another layer's state",
            "start from zeros and let it read that state: repeat it at each row",
        )
    if state.row != after.row - 1:
        after.trace.refuse(
            name,
            f"goes from row {state.row} to row {after.row}",
            "read each row once, in order",
        )


def _next_row(state: Sequence[Value | Array | None]) -> int:
    """Return the row that a step belongs to, by the state that it starts from."""
    h = state[0] if state else None
    return h.row + 1 if isinstance(h, Value) and h.row is not None else 0

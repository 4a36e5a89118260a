"""Values with named axes: what a graph of array operations does to the windows [N, W, F].

Readers of such graphs (of torch, of ONNX) call one method per operation; each returns the value
after it, or refuses it with its name. What is left at the end is a chain of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from slidecell.convert.axes import Atom, Axes, axis, flat, in_order, regroup, size, strided
from slidecell.convert.graph import (
    Activation,
    LastStep,
    Linear,
    Node,
    Recurrent,
    RepeatVector,
    refuse,
)
from slidecell.convert.heads import merged

__all__ = ["RecursOverWindowsError", "Trace", "Value", "concatenated", "linear_sum"]

Array = npt.NDArray[Any]
_SKIP = "leave the skip connection out, or train the network on the difference"


class RecursOverWindowsError(ValueError):
    """A layer takes the windows for its steps: it reads [W, N, F]."""


@dataclass(eq=False)
class Trace:
    """What the values of one network share.

    Attributes
    ----------
    source : str
        What error texts begin with.
    windows, window, input_size : int
        N, W and F. N is any number that is neither W nor 1.
    """

    source: str
    windows: int
    window: int
    input_size: int
    _known: dict[tuple[int, ...], list[Node]] = field(default_factory=dict)

    def start(self) -> Value:
        """Return the windows [N, W, F]."""
        axes = (
            (Atom("batch", self.windows),),
            axis("time", self.window),
            axis("feature", self.input_size),
        )
        return Value(self, (), axes, self.input_size, 0 if self.window == 1 else None)

    def after(self, nodes: tuple[Node, ...], node: Node) -> tuple[Node, ...]:
        """Return the chain with one more node: the same object where it is the same once more."""
        known = self._known.setdefault(tuple(map(id, nodes)), [])
        for other in known:
            if _same(other, node):
                return (*nodes, other)
        known.append(node)
        return (*nodes, node)

    def refuse(self, name: str, what: str, instead: str) -> NoReturn:
        """Raise the ValueError of a node that has no form here."""
        refuse(self.source, name, what, instead)


@dataclass(frozen=True, eq=False)
class Value:
    """A chain of nodes and the axes in which its numbers lie.

    Attributes
    ----------
    trace : Trace
    nodes : tuple of Node
    axes : tuple
        See `slidecell.convert.axes`.
    width : int
        Features that the chain gives.
    row : int or None
        The one row of the window to which the value belongs, where it has lost the axis of rows.
        None where it has that axis, and for a vector that belongs to the whole window.
    cell_state : bool
        Whether it is c of an LSTM, which only its next step may read.
    """

    trace: Trace
    nodes: tuple[Node, ...]
    axes: Axes
    width: int
    row: int | None = None
    cell_state: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(size(one) for one in self.axes)

    @property
    def is_sequence(self) -> bool:
        """Whether there is an axis of rows."""
        return bool(flat(self.axes, "time"))

    def place(self, axis_: int) -> int:
        """Return an axis as a number from 0."""
        return axis_ % len(self.axes)

    def permuted(self, order: Sequence[int]) -> Value:
        """Return the value with its axes in another order."""
        return replace(self, axes=tuple(self.axes[self.place(n)] for n in order))

    def reshaped(self, name: str, sizes: Sequence[int]) -> Value:
        """Return the value with other axes over the same elements in the same order."""
        axes = regroup(self.axes, sizes)
        if axes is None:
            self.trace.refuse(
                name,
                f"reshapes {list(self.shape)} to {list(sizes)}, mixing rows, windows or layers",
                "use the last step of the output, all of its steps, or h_n",
            )
        return replace(self, axes=axes)

    def unsqueezed(self, axis_: int) -> Value:
        """Return the value with one more axis of size 1."""
        axis_ %= len(self.axes) + 1
        return replace(self, axes=(*self.axes[:axis_], (), *self.axes[axis_:]))

    def squeezed(self, axes: Sequence[int] | None = None) -> Value:
        """Return the value without those of the axes (all: None) that have size 1."""
        chosen = range(len(self.axes)) if axes is None else [self.place(n) for n in axes]
        kept = [one for n, one in enumerate(self.axes) if one or n not in chosen]
        return replace(self, axes=tuple(kept))

    def selected(self, name: str, axis_: int, index: int) -> Value:
        """Return one element along an axis, without the axis."""
        axis_ = self.place(axis_)
        one = self.sliced(name, axis_, index % size(self.axes[axis_]), 1)
        return one.squeezed([axis_])

    def sliced(self, name: str, axis_: int, start: int, count: int) -> Value:
        """Return `count` elements along an axis, from `start` on."""
        axis_ = self.place(axis_)
        atoms = self.axes[axis_]
        if count == size(atoms):
            return self
        result, block = self, size(atoms)
        for place, atom in enumerate(atoms):
            if atom.label == "feature":
                # What is left are features alone, or the slice cuts what it must not.
                if all(other.label == "feature" for other in atoms[place:]):
                    return result._features(name, axis_, range(start, start + count))
                break
            block //= atom.size
            first = start // block
            if first != (start + count - 1) // block:
                break
            result = result._one(name, axis_, atom, first)
            start -= first * block
            if count == block:
                return result
        what = "rows" if any(atom.label == "time" for atom in atoms) else "elements"
        self.trace.refuse(
            name,
            f"takes {count} {what} of {size(atoms)}",
            "take all of them or the last one, or give a shorter window",
        )

    def _one(self, name: str, axis_: int, atom: Atom, index: int) -> Value:
        """Return one element of an atom that holds no features."""
        axes = list(self.axes)
        axes[axis_] = tuple(other for other in axes[axis_] if other is not atom)
        if atom.label == "batch":
            self.trace.refuse(name, "takes some of the windows", "answer each window alike")
        if atom.label == "time":
            return replace(self, axes=tuple(axes), row=index)
        # A layer of a stack: its recurrent nodes are the last ones, but for `LastStep`.
        end = [n for n, node in enumerate(self.nodes) if isinstance(node, Recurrent)][-1]
        nodes = self.nodes[: end - (atom.size - 1 - index) + 1]
        if self.row is None:
            nodes = self.trace.after(nodes, LastStep(name))
        return replace(self, nodes=nodes, axes=tuple(axes))

    def chosen(self, name: str, axis_: int, indices: Sequence[int]) -> Value:
        """Return the elements of these indices along an axis of features."""
        axis_ = self.place(axis_)
        count = size(self.axes[axis_])
        if any(atom.label != "feature" for atom in self.axes[axis_]):
            self.trace.refuse(name, "picks rows or windows by number", "take all or the last one")
        return self._features(name, axis_, [index % count for index in indices])

    def _features(self, name: str, axis_: int, indices: Sequence[int]) -> Value:
        """Return the value with those of the features along an axis."""
        if flat(self.axes, "layer"):
            self.trace.refuse(name, "takes h of several layers", "take h_n[-1], the last layer's")
        places = [strided(flat((one,), "feature")) for one in self.axes]
        places[axis_] = places[axis_][list(indices)]
        axes = list(self.axes)
        axes[axis_] = axis("feature", len(indices))
        node = Linear.columns(name, _sums(places).tolist(), of=self.width)
        return self._then(node, in_order(tuple(axes)))

    def _then(self, node: Node, axes: Axes) -> Value:
        """Return the value after one more node."""
        self._refuse_cell_state(node.name)
        width = node.output_size if isinstance(node, (Linear, Recurrent)) else self.width
        nodes = self.trace.after(self.nodes, node)
        return Value(self.trace, nodes, axes, width, self.row)

    def _refuse_cell_state(self, name: str) -> None:
        if self.cell_state:
            self.trace.refuse(name, "reads c, the cell state of an LSTM", "read h instead")

    def _ordered(self, name: str) -> Value:
        """Return the value with its features in the order in which its axes have them."""
        if flat(self.axes, "layer"):
            self.trace.refuse(name, "reads h of several layers", "read h_n[-1], the last layer's")
        axes = in_order(self.axes)
        if axes == self.axes:
            return self
        places = strided(flat(self.axes, "feature"))
        return self._then(Linear.columns(name, places.tolist(), of=self.width), axes)

    def linear(self, name: str, weight: Array, bias: Array | None = None) -> Value:
        """Return weight [O, I] times the last axis, plus bias [O]."""
        last = self.axes[-1]
        if any(atom.label != "feature" for atom in last) or size(last) != self.width:
            held = " and ".join(sorted({atom.label for atom in last})) or "part of the features"
            wrong = {"time": "the rows of a window", "batch": "the windows"}.get(held, held)
            self.trace.refuse(
                name,
                f"multiplies along {wrong}, shape {list(self.shape)}",
                "use one linear layer on the features of a step",
            )
        ordered = self._ordered(name)
        axes = (*ordered.axes[:-1], axis("feature", int(weight.shape[0])))
        return ordered._then(Linear(name, weight, bias), axes)

    def scaled(
        self, name: str, scale: Array | float | None = None, shift: Array | float | None = None
    ) -> Value:
        """Return scale x + shift, whose shapes are broadcast to the value's."""
        ordered = self._ordered(name)
        scales = None if scale is None else ordered._per_feature(name, scale)
        shifts = None if shift is None else ordered._per_feature(name, shift)
        if scales is None:
            scales = np.ones(self.width)
        return ordered._then(Linear.scaling(name, scales, shifts), ordered.axes)

    def _per_feature(self, name: str, numbers: Array | float) -> npt.NDArray[np.float64]:
        """Return one number per feature of what is broadcast to the value's shape."""
        array = np.asarray(numbers, np.float64)
        if array.size == 1:
            return np.full(self.width, array.item())
        missing = len(self.axes) - array.ndim
        if missing < 0:
            self.trace.refuse(name, "broadcasts to more axes", "keep the shape")
        array = array.reshape((1,) * missing + array.shape)
        sizes: list[int] = []
        for count, one in zip(array.shape, self.axes, strict=True):
            features = all(atom.label == "feature" for atom in one)
            if count != 1 and not features:
                what = "rows" if any(atom.label == "time" for atom in one) else "windows"
                self.trace.refuse(
                    name,
                    f"adds or multiplies by numbers that differ between {what}",
                    "leave it out",
                )
            if count not in (1, size(one)):
                self.trace.refuse(name, "broadcasts to a larger shape", "keep the shape")
            sizes.append(size(one) if features else 1)
        return np.broadcast_to(array, sizes).ravel()

    def activated(self, name: str, function: str, slope: float | None = None) -> Value:
        """Return a function of each element."""
        return self._then(Activation(name, function, slope), self.axes)

    def clamped(self, name: str, low: float, high: float) -> Value:
        """Return the value where it lies in low..high whatever the window, and refuse it else."""
        least, most = self._range()
        if not (low <= least and most <= high):
            self.trace.refuse(
                name,
                f"cuts values to {low:g} .. {high:g}",
                "leave it out; slidecell skips missing values itself",
            )
        return self

    def _range(self) -> tuple[float, float]:
        """Return bounds of the value."""
        for node in reversed(self.nodes):
            if isinstance(node, Recurrent):
                bounded = node.activation == "tanh" and not node.proj_size
                return (-1.0, 1.0) if bounded else (-np.inf, np.inf)
            if isinstance(node, Activation):
                bounds = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "relu": (0.0, np.inf)}
                return bounds.get(node.function, (-np.inf, np.inf))
            if isinstance(node, Linear):  # no choice of columns: each row has one 1
                rows = np.sort(np.abs(node.weight), axis=1)
                if node.bias is not None or rows[:, :-1].any() or (node.weight.sum(1) != 1).any():
                    break
        return -np.inf, np.inf

    def repeated(self, name: str, axis_: int, count: int) -> Value:
        """Return the vector repeated along an axis that lacks elements, or before its features."""
        if count == 1 != self.trace.window:
            return self
        if self.is_sequence or flat(self.axes, "layer"):
            self.trace.refuse(name, "repeats a sequence", "repeat one vector per window")
        axes = list(self.axes)
        axes[axis_] = (*axis("time", count), *axes[axis_])
        if flat((self.axes[axis_],), "batch"):
            self.trace.refuse(name, "repeats the windows", "repeat along an axis of its own")
        vector = self.vector(name)
        return vector._sequence(vector._then(RepeatVector(name, count), tuple(axes)))

    def _sequence(self, value: Value) -> Value:
        """Return a value that has just got all rows: of a window of one row, that one."""
        return replace(value, row=0 if self.trace.window == 1 else None)

    def expanded(self, name: str, sizes: Sequence[int]) -> Value:
        """Return the value with axes of size 1 repeated to these sizes; -1 keeps one."""
        value = self
        for _ in range(len(sizes) - len(self.axes)):
            value = value.unsqueezed(0)
        for place, count in enumerate(sizes):
            if count not in (-1, size(value.axes[place])):
                value = value.repeated(name, place, count)
        return value

    def vector(self, name: str) -> Value:
        """Return h of the last step for a value of one row; any other as it is.

        Of a bidirectional layer the forward direction's last h is in the last row, the backward
        one's in the first.
        """
        self._refuse_cell_state(name)
        if self.row is None:
            return self
        end = [n for n, node in enumerate(self.nodes) if isinstance(node, Recurrent)][-1:]
        if not end or any(isinstance(node, RepeatVector) for node in self.nodes[end[0] :]):
            self.trace.refuse(name, f"reads row {self.row} alone, not h of a layer", _SKIP)
        layer, then = self.nodes[end[0]], self.nodes[end[0] + 1 :]
        assert isinstance(layer, Recurrent)
        last = self.trace.window - 1
        if layer.backward is not None and last > 0:
            half = layer.output_size // 2
            read = (
                then[0].weight if then and isinstance(then[0], Linear) else np.ones((1, 2 * half))
            )
            if not (
                (self.row == last and not read[:, half:].any())
                or (self.row == 0 and not read[:, :half].any())
            ):
                self.trace.refuse(
                    layer.name,
                    f"is bidirectional and read at row {self.row}, where one direction has seen "
                    "that row alone",
                    "read both directions' final h, h_n, not out[:, -1]",
                )
        elif self.row != last:
            self.trace.refuse(
                layer.name,
                f"is read at row {self.row} of the window",
                f"read its last step, row {last}",
            )
        nodes = self.trace.after(self.nodes[: end[0] + 1], LastStep(name))
        for node in then:
            nodes = self.trace.after(nodes, node)
        return replace(self, nodes=nodes, row=None)

    def recurrent(
        self,
        name: str,
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
        steps, others = self.axes[time_axis], self.axes[1 - time_axis]
        if flat((steps,), "batch") and not flat((others,), "batch"):
            raise RecursOverWindowsError(
                f"{self.trace.source}: its layer {name!r} recurs over the windows; expected "
                "batch_first=True, or x.transpose(0, 1) before it"
            )
        if [a.label for a in steps] not in ([], ["time"]) or [a.label for a in others] != ["batch"]:
            self.trace.refuse(
                name, f"reads {list(self.shape)}", "let it read the window row by row: [N, W, I]"
            )
        value = self
        if not steps and self.row is None:  # the same vector at each step of a decoder
            node = RepeatVector(name, self.trace.window)
            value = replace(self.vector(name)._then(node, self.axes), row=_next_row(state))
        value = value._ordered(name)
        for layer in layers:
            if value.width != layer.input_size:
                self.trace.refuse(name, f"reads {value.width} numbers", f"give {layer.input_size}")
            if not steps and layer.backward is not None and self.trace.window > 1:
                self.trace.refuse(name, "is bidirectional in a loop", "let it read all rows")
            value = value._then(layer, (*value.axes[:2], axis("feature", layer.output_size)))
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
            self._check_state(name, given, value, is_cell_state=place == 1)
        if steps:
            final = replace(value._then(LastStep(name), states_axes), row=None)
        else:
            final = replace(value, axes=states_axes)
        return value, final, replace(final, cell_state=True)

    def _check_state(
        self, name: str, state: Value | Array | None, after: Value, *, is_cell_state: bool
    ) -> None:
        """Refuse a state to start from that is neither zeros nor the one of the row before."""
        if not isinstance(state, Value):
            if state is not None and np.any(state):
                self.trace.refuse(name, "starts from a state that is not zero", "start from zeros")
            if after.row not in (None, 0):
                self.trace.refuse(
                    name,
                    f"starts from zeros at row {after.row} of the window",
                    "read the window from its first row on, or give a shorter window",
                )
            return
        own = state.nodes == after.nodes and state.cell_state == is_cell_state
        if not own or state.row is None or after.row is None:
            self.trace.refuse(
                name,
                "starts from another layer's state",
                "start from zeros and let it read that state: repeat it at each row",
            )
        if state.row != after.row - 1:
            self.trace.refuse(
                name,
                f"goes from row {state.row} to row {after.row}",
                "read each row once, in order",
            )

    def finished(self) -> tuple[tuple[Node, ...], int | None]:
        """Return the chain of nodes and K, where the shape of a forecast tells it."""
        value = self
        while value.axes and not value.axes[0]:
            value = value.squeezed([0])
        value = value._ordered("output")
        labels = [[atom.label for atom in one] for one in value.axes]
        shape = list(self.shape)
        if labels[:1] != [["batch"]]:
            value.trace.refuse("output", f"has shape {shape}", "answer [N, ...], window by window")
        order = [label for one in labels[1:] for label in one]
        repeats = any(isinstance(node, RepeatVector) for node in value.nodes)
        if "time" in order and (order[0] != "time" or "time" in order[1:]):
            value.trace.refuse(
                "output", f"has shape {shape}, features before rows", "answer [N, W, F]"
            )
        if "time" in order or (repeats and value.trace.window == 1):
            return value.nodes, None
        horizon = None
        told = value.axes[2:] and (
            value.axes[2] or not value.axes[1] or value.trace.input_size == 1
        )
        if len(value.axes) == 3 and told:
            horizon = size(value.axes[1])
        return value.vector("output").nodes, horizon


def concatenated(name: str, values: Sequence[Value], axis_: int) -> Value:
    """Return values side by side: features of one vector, or all rows of a window in order."""
    first = values[0]
    axis_ = first.place(axis_)
    rows = [value.row for value in values]
    if all(not value.axes[axis_] and value.nodes == first.nodes for value in values) and rows == [
        *range(first.trace.window)
    ]:
        axes = list(first.axes)
        axes[axis_] = axis("time", len(values))
        return first._sequence(replace(first, axes=tuple(axes)))
    parts = [value.vector(name)._ordered(name) for value in values]
    for value in parts:
        others = [one for n, one in enumerate(value.axes) if n != axis_]
        if (
            flat(others, "feature")
            or any(atom.label != "feature" for atom in value.axes[axis_])
            or [flat((one,), "batch") for one in value.axes]
            != [flat((one,), "batch") for one in parts[0].axes]
        ):
            first.trace.refuse(
                name,
                "joins other things than the features of one step, or all rows in order",
                "read h_n, or the output at all rows",
            )
    nodes, maps = _over_one(name, parts, "joins")
    weight = np.concatenate([linear.weight for linear in maps])
    axes = list(parts[0].axes)
    axes[axis_] = axis("feature", len(weight))
    start = replace(parts[0], nodes=nodes, axes=tuple(axes))
    return _mapped(start, Linear(name, weight, _biases(maps)))


def linear_sum(name: str, a: Value, b: Value, factor: float = 1.0) -> Value:
    """Return a + factor b, where both are linear in the same vector."""
    parts = [value.vector(name)._ordered(name) for value in (a, b)]
    if parts[0].axes != parts[1].axes:
        a.trace.refuse(name, "adds values of different shapes", _SKIP)
    nodes, (left, right) = _over_one(name, parts, "adds")
    weight = left.weight + factor * right.weight
    bias: Array | None = None
    if left.bias is not None or right.bias is not None:
        bias = np.zeros(len(weight))
        bias += 0 if left.bias is None else left.bias
        bias += 0 if right.bias is None else factor * right.bias
    return _mapped(replace(parts[0], nodes=nodes), Linear(name, weight, bias))


def _over_one(
    name: str, values: Sequence[Value], verb: str
) -> tuple[tuple[Node, ...], list[Linear]]:
    """Return what several values have in common, and the linear map from there to each."""
    first = values[0]
    common = min(len(value.nodes) for value in values)
    for place in range(common):
        if any(value.nodes[place] is not first.nodes[place] for value in values):
            common = place
            break
    maps: list[Linear] = []
    for value in values:
        rest = value.nodes[common:]
        if not all(isinstance(node, Linear) for node in rest):
            named = next(node.name for node in rest if not isinstance(node, Linear))
            first.trace.refuse(
                name, f"{verb} what different layers give ({named!r} is in one alone)", _SKIP
            )
        entries = merged([node for node in rest if isinstance(node, Linear)])
        one = entries[0] if entries else Linear(name, np.eye(value.width))
        assert isinstance(one, Linear)
        maps.append(one)
    return first.nodes[:common], maps


def _mapped(value: Value, linear: Linear) -> Value:
    """Return the value after a linear map, which leaves its axes: itself where nothing changes."""
    rows, columns = linear.weight.shape
    if linear.bias is None and rows == columns and (linear.weight == np.eye(rows)).all():
        return replace(value, width=rows)
    return replace(value, nodes=value.trace.after(value.nodes, linear), width=rows)


def _biases(maps: Sequence[Linear]) -> Array | None:
    if all(one.bias is None for one in maps):
        return None
    return np.concatenate(
        [np.zeros(one.output_size) if one.bias is None else one.bias for one in maps]
    )


def _sums(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the sums of one element of each part, the last part's fastest."""
    result = np.zeros(1, np.int64)
    for part in parts:
        result = (result[:, None] + part).ravel()
    return result


def _next_row(state: Sequence[Value | Array | None]) -> int:
    """Return the row that a step belongs to, by the state that it starts from."""
    h = state[0] if state else None
    return h.row + 1 if isinstance(h, Value) and h.row is not None else 0


def _same(a: Any, b: Any) -> bool:
    """Whether two nodes, or what they are made of, compute the same, whatever their names."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if is_dataclass(a):
        return all(key == "name" or _same(one, vars(b)[key]) for key, one in vars(a).items())
    return bool(a == b)

"""Values with named axes: what a graph of array operations does to the windows [N, W, F].

Readers of such graphs (of torch, of ONNX) call one method per operation; each returns the value
after it, or refuses it with its name. What is left at the end is a chain of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

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
)
from slidecell.convert.trace import Trace

__all__ = ["SKIP", "Value", "windows"]

Array = npt.NDArray[Any]
SKIP = "leave the skip connection out, or train the network on the difference"


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
        return self.then(node, in_order(tuple(axes)))

    def then(self, node: Node, axes: Axes) -> Value:
        """Return the value after one more node."""
        self._refuse_cell_state(node.name)
        width = node.output_size if isinstance(node, (Linear, Recurrent)) else self.width
        nodes = self.trace.after(self.nodes, node)
        return Value(self.trace, nodes, axes, width, self.row)

    def _refuse_cell_state(self, name: str) -> None:
        if self.cell_state:
            self.trace.refuse(name, "reads c, the cell state of an LSTM", "read h instead")

    def ordered(self, name: str) -> Value:
        """Return the value with its features in the order in which its axes have them."""
        if flat(self.axes, "layer"):
            self.trace.refuse(name, "reads h of several layers", "read h_n[-1], the last layer's")
        axes = in_order(self.axes)
        if axes == self.axes:
            return self
        places = strided(flat(self.axes, "feature"))
        return self.then(Linear.columns(name, places.tolist(), of=self.width), axes)

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
        ordered = self.ordered(name)
        axes = (*ordered.axes[:-1], axis("feature", int(weight.shape[0])))
        return ordered.then(Linear(name, weight, bias), axes)

    def scaled(
        self, name: str, scale: Array | float | None = None, shift: Array | float | None = None
    ) -> Value:
        """Return scale x + shift, whose shapes are broadcast to the value's."""
        ordered = self.ordered(name)
        scales = None if scale is None else ordered._per_feature(name, scale)
        shifts = None if shift is None else ordered._per_feature(name, shift)
        if scales is None:
            scales = np.ones(self.width)
        return ordered.then(Linear.scaling(name, scales, shifts), ordered.axes)

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
        return self.then(Activation(name, function, slope), self.axes)

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
        return vector.then(RepeatVector(name, count), tuple(axes)).with_all_rows()

    def with_all_rows(self) -> Value:
        """Return the value as one that has just got an axis of rows: of one row, that row."""
        return replace(self, row=0 if self.trace.window == 1 else None)

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
            self.trace.refuse(name, f"reads row {self.row} alone, not h of a layer", SKIP)
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

    def finished(self) -> tuple[tuple[Node, ...], int | None]:
        """Return the chain of nodes and K, where the shape of a forecast tells it."""
        value = self
        while value.axes and not value.axes[0]:
            value = value.squeezed([0])
        value = value.ordered("output")
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


def windows(trace: Trace) -> Value:
    """Return the windows [N, W, F] of a network."""
    axes = (
        (Atom("batch", trace.windows),),
        axis("time", trace.window),
        axis("feature", trace.input_size),
    )
    return Value(trace, (), axes, trace.input_size, 0 if trace.window == 1 else None)


def _sums(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the sums of one element of each part, the last part's fastest."""
    result = np.zeros(1, np.int64)
    for part in parts:
        result = (result[:, None] + part).ravel()
    return result

"""One node of an ONNX graph and what it reads, for the functions that compute it on values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from slidecell.convert.pointwise import Pointwise
from slidecell.convert.trace import Trace
from slidecell.convert.values import Value

__all__ = ["MOST_FEATURES", "Call", "Joined"]

MOST_FEATURES = 2048  # of a value that is picked, joined or scaled, which makes a matrix


@dataclass(frozen=True)
class Call:
    """One node and what it reads.

    Attributes
    ----------
    trace : Trace
    name, operator : str
    inputs : list
        Values, functions of them, arrays; None for an input that is left out.
    attributes : mapping
    outputs : int
        How many it gives.
    batch : int or None
        The number of windows that the file was written for, if it says one.
    """

    trace: Trace
    name: str
    operator: str
    inputs: list[Any]
    attributes: Mapping[str, Any]
    outputs: int
    batch: int | None = None

    def refuse(self, what: str, instead: str) -> NoReturn:
        """Raise the ValueError of this node."""
        self.trace.refuse(self.name, what, instead)

    @property
    def value(self) -> Value:
        """The first input, which has to depend on the window."""
        first = self.inputs[0]
        if isinstance(first, Joined):
            raise first.refusal
        if not isinstance(first, Value):
            self.refuse("works on a constant by what the window holds", "work on the window")
        return first

    def constant(self, place: int, default: Any = None) -> Any:
        """Return an input that must not depend on the window."""
        given = self.inputs[place] if place < len(self.inputs) else None
        if isinstance(given, (Value, Pointwise)):
            self.refuse("takes a setting that depends on the window", "give it a constant one")
        return default if given is None else given

    def small(self, *values: Value) -> None:
        """Refuse values so wide that a matrix of their features would be too large."""
        if sum(value.width for value in values) > MOST_FEATURES:
            self.refuse(
                f"picks, joins or scales more than {MOST_FEATURES} features",
                "do so in one dense layer",
            )


@dataclass(frozen=True, eq=False)
class Joined:
    """Values side by side of which nodes have to pick one, as the last layer of h_n.

    Attributes
    ----------
    parts : tuple of Value
    axis : int
    refusal : ValueError
        Why they are no value together.
    """

    parts: tuple[Value, ...]
    axis: int
    refusal: ValueError

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all of them together."""
        first = list(self.parts[0].shape)
        first[self.axis] = sum(part.shape[self.axis] for part in self.parts)
        return tuple(first)

    def picked(self, axis: int, start: int, count: int) -> tuple[Value, int]:
        """Return the part that has these elements, and where in it they start."""
        if axis % len(self.shape) != self.axis:
            raise self.refusal
        for part in self.parts:
            size = part.shape[self.axis]
            if start < size:
                if start + count > size:
                    break
                return part, start
            start -= size
        raise self.refusal

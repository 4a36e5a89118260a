"""Axes that know what they hold: rows of windows, features, layers.

An axis is a tuple of atoms, outermost first: reshapes split and merge axes, atoms only move. Atoms
of size 1 are left out, so that an axis of size 1 is empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Atom", "Axes", "Axis", "axis", "flat", "in_order", "regroup", "size", "strided"]


@dataclass(frozen=True)
class Atom:
    """A part of an axis.

    Attributes
    ----------
    label : str
        "batch", "time", "layer" or "feature".
    size : int
    stride : int
        Of features: how far apart two neighbours lie in the vector that a chain of nodes gives.
    """

    label: str
    size: int
    stride: int = 1


Axis: TypeAlias = tuple[Atom, ...]
Axes: TypeAlias = tuple[Axis, ...]


def axis(label: str, count: int) -> Axis:
    """Return an axis of one atom; an empty one where it has a single element."""
    return (Atom(label, count),) if count != 1 else ()


def size(one: Axis) -> int:
    """Return the number of elements along an axis."""
    return math.prod(atom.size for atom in one)


def flat(axes: Iterable[Axis], label: str) -> Axis:
    """Return all atoms of a label, in the order in which they come."""
    return tuple(atom for one in axes for atom in one if atom.label == label)


def strided(atoms: Axis) -> npt.NDArray[np.int64]:
    """Return the place in the vector of each element along an axis of features."""
    places = np.zeros(1, np.int64)
    for atom in atoms:
        places = (places[:, None] + np.arange(atom.size) * atom.stride).ravel()
    return places


def in_order(axes: Axes) -> Axes:
    """Return the same axes for a vector that has the features in the order in which they come."""
    stride = size(flat(axes, "feature"))
    result: list[Axis] = []
    for one in axes:
        atoms: list[Atom] = []
        for atom in one:
            if atom.label == "feature":
                stride //= atom.size
                atoms.append(Atom("feature", atom.size, stride))
            else:
                atoms.append(atom)
        result.append(tuple(atoms))
    return tuple(result)


def regroup(axes: Axes, sizes: Sequence[int]) -> Axes | None:
    """Return axes of these sizes over the same elements in the same order.

    None where an axis of rows, windows or layers would have to be split. One size may be -1.

    Examples
    --------
    >>> from slidecell.convert.axes import Atom, regroup
    >>> batch, features = Atom("batch", 7), Atom("feature", 6)
    >>> regroup(((batch,), (features,)), (-1, 2, 3))[1:]
    ((Atom(label='feature', size=2, stride=3),), (Atom(label='feature', size=3, stride=1),))
    """
    atoms = [atom for one in axes for atom in one]
    total = math.prod(atom.size for atom in atoms)
    known = math.prod(count for count in sizes if count != -1)
    wanted = [total // known if count == -1 and known else count for count in sizes]
    if math.prod(wanted) != total:
        return None
    result: list[Axis] = []
    for count in wanted:
        group: list[Atom] = []
        missing = count
        while missing > 1:
            atom = atoms.pop(0)
            if missing % atom.size == 0:
                group.append(atom)
                missing //= atom.size
            elif atom.label == "feature" and atom.size % missing == 0:
                inner = atom.size // missing
                group.append(Atom("feature", missing, atom.stride * inner))
                atoms.insert(0, Atom("feature", inner, atom.stride))
                missing = 1
            else:
                return None
        result.append(tuple(group))
    return tuple(result)

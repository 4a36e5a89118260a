"""Which rows and columns a network's answers are: horizon, targets, names of features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slidecell._arguments import as_columns, whole_number
from slidecell.convert.graph import Graph

__all__ = ["Answers", "decide_answers"]


@dataclass(frozen=True)
class Answers:
    """What a model's metadata says of its answers."""

    horizon: int  # K; 0 for an autoencoder
    targets: list[int] | None
    features: list[str] | None


def decide_answers(
    graph: Graph,
    rows: int,
    *,
    reconstructs: bool,
    horizon: int | None,
    targets: Sequence[int | str] | None,
    features: Sequence[str] | None,
) -> Answers:
    """Return horizon and targets for a network that ends on `rows` numbers.

    `reconstructs`: whether it is an autoencoder, which ends on that many at each step.

    Raises
    ------
    ValueError
        If they do not fit; the text says which arguments would.
    """
    names = None if features is None else _names(features, graph.input_size)
    columns = as_columns("targets", _numbers(targets, names), graph.input_size)
    count = graph.input_size if columns is None else len(columns)
    if reconstructs:
        if horizon is not None and horizon != 0:
            raise ValueError(f"horizon: expected 0 for an autoencoder, got {horizon}")
        steps = 1
    else:
        own = 1 if graph.horizon is None else graph.horizon
        steps = own if horizon is None else whole_number("horizon", horizon, least=1)
        if graph.horizon not in (None, steps):
            raise ValueError(
                f"horizon: expected {graph.horizon}, the rows that the {graph.source} answers, "
                f"got {steps}"
            )
    if rows != steps * count:
        what = f"{steps * count} (" + (
            f"{count} columns" if reconstructs else f"horizon={steps} rows of {count} columns"
        )
        raise ValueError(
            f"{graph.source}: expected a head with out_features={what}), got {rows}"
            f"{_advice(graph, rows, count, reconstructs=reconstructs, given=columns is not None)}"
        )
    return Answers(
        horizon=0 if reconstructs else steps,
        targets=None if columns is None else list(columns),
        features=names,
    )


def _advice(graph: Graph, rows: int, count: int, *, reconstructs: bool, given: bool) -> str:
    if not reconstructs and graph.horizon is None and rows % count == 0:
        both = (
            "; return mean and log variance as two tensors, if they are that"
            if rows % (2 * count) == 0
            else ""
        )
        return f"; pass horizon={rows // count}{both}"
    if given:
        return "; pass targets=[...] with the columns that it predicts, in its order"
    return (
        "; pass targets=[...] with the columns that it predicts, in its order, "
        f"among 0..{graph.input_size - 1}"
    )


def _names(features: Sequence[str], count: int) -> list[str]:
    if isinstance(features, str) or not isinstance(features, Iterable):
        raise TypeError(f"features: expected a sequence of names, got {features!r}")
    names = list(features)
    if len(names) != count:
        raise ValueError(f"features: expected {count} names (input_size={count}), got {len(names)}")
    if len(set(names)) != len(names):
        raise ValueError(f"features: expected distinct names, got {names}")
    return names


def _numbers(
    targets: Sequence[int | str] | None, features: Sequence[str] | None
) -> Sequence[int] | None:
    """Return target columns by number."""
    if targets is None or isinstance(targets, str) or not isinstance(targets, Iterable):
        return targets  # type: ignore[return-value]  # refused by its type
    numbers: list[int] = []
    for target in targets:
        if not isinstance(target, str):
            numbers.append(target)
        elif features is None or target not in features:
            known = "features=, which name the columns" if features is None else f"{features}"
            raise ValueError(f"targets: expected a name among {known}, got {target!r}")
        else:
            numbers.append(list(features).index(target))
    return numbers

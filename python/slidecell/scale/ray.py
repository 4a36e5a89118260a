"""Ray Data: datasets scored by the workers of a cluster, with the bits of one process."""

from __future__ import annotations

import math
import os
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from slidecell._arguments import as_choice, whole_number
from slidecell._extras import require
from slidecell.detect.streams.state import Saved
from slidecell.scale.overlap import Overlap
from slidecell.scale.sources import Batch
from slidecell.scale.table_scorer import TableScorer

if TYPE_CHECKING:
    import ray.data

    from slidecell.detect.base import Detector
    from slidecell.model import SequenceModel

__all__ = ["RayScorer", "find_events", "score_dataset"]

# Blocks are divided until each actor has so many pieces, but for those of few rows: a piece that is
# short beside the rows carried into it costs more than it divides.
_PIECES, _LEAST_ROWS = 4, 1 << 14


class RayScorer(TableScorer):
    """A callable class for ``Dataset.map_batches`` and ``GroupedData.map_groups``.

    Each actor keeps one detector, with as many threads as it has CPUs. What comes must be whole
    entities, or blocks behind the rows that their scores depend on; `score_dataset` sees to it.

    Parameters
    ----------
    model_or_detector : Detector, SequenceModel or path
        Fitted. A path must lead to the same file on each machine.
    entity, time, max_gap, missing, duplicates
        As for `slidecell.scale.score_parquet`.
    num_threads : int, optional
        Default: the CPUs of the actor.

    Examples
    --------
    >>> import ray  # doctest: +SKIP
    >>> from slidecell.scale.ray import RayScorer  # doctest: +SKIP
    >>> dataset = ray.data.read_parquet("fleet")  # doctest: +SKIP
    >>> scored = dataset.groupby("machine").map_groups(  # doctest: +SKIP
    ...     RayScorer,
    ...     batch_format="pyarrow",
    ...     compute=ray.data.ActorPoolStrategy(size=2),
    ...     num_cpus=1,
    ...     fn_constructor_args=["model.safetensors"],
    ...     fn_constructor_kwargs={"entity": "machine", "time": "at"},
    ... )
    """

    def __init__(
        self,
        model_or_detector: Detector | SequenceModel | str | os.PathLike[str],
        *,
        entity: str | None = None,
        time: str | None = None,
        max_gap: str | None = None,
        missing: Literal["skip", "ffill"] | None = None,
        duplicates: Literal["error", "keep"] | None = None,
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            model_or_detector,
            entity=entity,
            time=time,
            max_gap=max_gap,
            missing=missing,
            duplicates=duplicates,
            num_threads=_own_cpus() if num_threads is None else num_threads,
        )


def score_dataset(
    dataset: ray.data.Dataset,
    model_or_detector: Detector | SequenceModel | str | os.PathLike[str],
    *,
    entity: str | None = None,
    time: str | None = None,
    max_gap: str | None = None,
    missing: Literal["skip", "ffill"] | None = None,
    duplicates: Literal["error", "keep"] | None = None,
    cut: Literal["groups", "blocks"] | None = None,
    concurrency: int | None = None,
    num_cpus: float = 1,
) -> ray.data.Dataset:
    """Score the rows of a dataset by the workers of Ray.

    Scores and flags are those of one process that has all rows, bit for bit, wherever the dataset
    is cut and however many workers there are, if their CPUs have one instruction set
    (`slidecell.active_isa`; ``SLIDECELL_ISA`` sets it).

    Parameters
    ----------
    dataset : ray.data.Dataset
        Such as ``ray.data.read_parquet(folder)``.
    model_or_detector : Detector, SequenceModel or path
        Fitted; a path as ``slidecell score`` takes it, read here and not by the workers.
    entity, time : str, optional
        Columns. Default: those that the detector was fitted with; ``""``: there is none.
    max_gap, missing : str, optional
        As in `slidecell.tables.options.TableOptions`. Default: as the detector was fitted.
    duplicates : {"error", "keep"}, optional
        Rows of one entity with the same time. Default: as the detector was fitted.
    cut : {"groups", "blocks"}, optional
        ``"groups"``, the default where there is an entity column: Ray groups the rows by entity,
        and each entity is scored as a whole, its rows in any order; it must fit a worker's memory.
        ``"blocks"``: an entity may span any number of blocks. Rows of an entity must be in the
        order of time over the blocks of the dataset; entities may interleave. Each block is scored
        behind the last rows of its entities in those before it, so that blocks should be long
        beside these. Long blocks are divided until there are some for every actor: Ray reads files
        of 100 MB into one block.
    concurrency : int, optional
        Actors, each with the detector. Default: as many as leave one CPU of the cluster to the
        tasks that read.
    num_cpus : float
        CPUs of an actor, which are its threads.

    Returns
    -------
    ray.data.Dataset
        The dataset's columns, ``score`` and ``flagged`` (int8). By groups it is lazy, as datasets
        are, and its rows come in the order of the groups. By blocks the dataset is read when the
        function is called, into Ray's object store, which spills to disk; the rows keep their
        order.

    Raises
    ------
    ImportError
        If Ray is not installed: ``pip install 'slidecell[ray]'``.
    ValueError
        If the dataset lacks a column or has one that is called as those of the scores; if the
        detector has to see whole entities and ``cut="blocks"``. Rows that are out of order, keys
        that are missing and blocks whose types differ are found when they are read: Ray raises
        its own error then, with the text of ours.

    Notes
    -----
    A worker that dies is replaced by Ray, which gives its block to another one. Smoothing and
    thresholds that depend on earlier scores (a mean of the last scores, CUSUM, SPOT) go on from
    block to block in tasks that wait for each other; the scores are computed before, by all.

    Examples
    --------
    >>> import ray  # doctest: +SKIP
    >>> from slidecell.scale.ray import score_dataset  # doctest: +SKIP
    >>> dataset = ray.data.read_parquet("fleet")  # doctest: +SKIP
    >>> scored = score_dataset(  # doctest: +SKIP
    ...     dataset, "detector", entity="machine", time="at", concurrency=2
    ... )
    >>> scored.write_parquet("scores")  # doctest: +SKIP
    """
    require("ray.data", extra="ray")
    import ray

    if not isinstance(dataset, ray.data.Dataset):
        raise TypeError(f"dataset: expected a ray.data.Dataset, got {type(dataset).__name__}")
    options = {
        "entity": entity,
        "time": time,
        "max_gap": max_gap,
        "missing": missing,
        "duplicates": duplicates,
    }
    scorer = TableScorer(model_or_detector, **options)  # type: ignore[arg-type]
    key = scorer.options.entity
    if cut is None:
        cut = "blocks" if key is None else "groups"
    as_choice("cut", cut, ("groups", "blocks"))
    if cut == "groups" and key is None:
        raise ValueError("cut: expected 'blocks' without an entity column, got 'groups'")
    if concurrency is None:
        free = ray.cluster_resources().get("CPU", 1) - 1 if ray.is_initialized() else 1
        concurrency = max(1, int(free // num_cpus))
    actors = {
        "batch_format": "pyarrow",
        "compute": ray.data.ActorPoolStrategy(
            size=whole_number("concurrency", concurrency, least=1)
        ),
        "num_cpus": num_cpus,
        "fn_constructor_args": [scorer.detector],
        "fn_constructor_kwargs": options,
    }
    names = dataset.columns()
    if names is None:  # there is no row
        raise ValueError("dataset: expected rows, got none")
    scorer.check_names(names, source="the dataset")
    if cut == "groups":
        return dataset.groupby(str(key)).map_groups(RayScorer, **actors)
    return _score_blocks(dataset, scorer, actors, concurrency)


def find_events(
    scored: ray.data.Dataset,
    model_or_detector: Detector | SequenceModel | str | os.PathLike[str],
    *,
    entity: str | None = None,
    time: str | None = None,
    max_gap: str | None = None,
    duplicates: Literal["error", "keep"] | None = None,
    event_gap: int | None = None,
) -> ray.data.Dataset:
    """Find the events of a dataset that `score_dataset` has scored.

    Each entity's keys, scores and flags are taken by one task, in any order.

    Parameters
    ----------
    scored : ray.data.Dataset
        To be materialized before if it is lazy and its scores are wanted too.
    model_or_detector, entity, time, max_gap, duplicates
        As for `score_dataset`. There must be a time.
    event_gap : int, optional
        Flagged rows with at most so many others between them are one event. Default: the
        detector's.

    Returns
    -------
    ray.data.Dataset
        The entity, and ``start``, ``end``, ``rows``, ``flagged``, ``peak`` and ``area`` of each
        event, as in ``events.csv`` of the command line.

    Examples
    --------
    >>> from slidecell.scale.ray import find_events  # doctest: +SKIP
    >>> events = find_events(scored, "detector", entity="machine", time="at")  # doctest: +SKIP
    >>> events.sort(["peak", "area"], descending=True).take(10)  # doctest: +SKIP
    """
    require("ray.data", extra="ray")

    scorer = TableScorer(
        model_or_detector,
        entity=entity,
        time=time,
        max_gap=max_gap,
        duplicates=duplicates,
        event_gap=event_gap,
    )
    rows = scored.select_columns(scorer.event_columns())
    work = partial(_events, scorer)
    key = None if scorer.options.entity is None else str(scorer.options.entity)
    return rows.groupby(key).map_groups(work, batch_format="pyarrow")


def _events(scorer: TableScorer, table: Any) -> Any:
    return scorer.events(table)


def _score_blocks(
    dataset: ray.data.Dataset, scorer: TableScorer, actors: dict[str, Any], concurrency: int
) -> ray.data.Dataset:
    """Score blocks behind what is carried into them, and then decide in the order of the blocks."""
    import ray

    blocks = _ordered_blocks(dataset)
    counted = ray.remote(_count)
    rows = ray.get([counted.remote(block) for block in blocks])
    size = max(_LEAST_ROWS, math.ceil(sum(rows) / (concurrency * _PIECES)))
    carried = ray.remote(_put_before)
    overlap = ray.put(scorer.overlap(ray.get(blocks[0]).schema))
    pieces: list[Any] = []
    for number, block in enumerate(blocks):
        count = max(1, math.ceil(rows[number] / size))
        work = carried.options(num_returns=count + 1)
        *parts, overlap = work.remote(number, block, count, overlap)
        pieces += parts
    scored = ray.data.from_arrow_refs(pieces).map_batches(RayScorer, batch_size=None, **actors)
    if scorer.decides_by_row:
        return scored
    blocks = _ordered_blocks(scored)
    decided = ray.remote(num_returns=2)(_decide)
    shared, state = ray.put(scorer), ray.put(None)
    for number, block in enumerate(blocks):
        blocks[number], state = decided.remote(shared, block, state)
    return ray.data.from_arrow_refs(blocks)


def _count(block: Any) -> int:
    return len(block)


def _put_before(number: int, block: Any, count: int, overlap: Overlap) -> tuple[Any, ...]:
    """Return pieces of a block, each behind what is carried into it, and what carries on."""
    cuts = [len(block) * part // count for part in range(count + 1)]
    pieces = [
        overlap.put_before(Batch(block.slice(start, stop - start), f"block {number}", start, 0))
        for start, stop in pairwise(cuts)
    ]
    return *pieces, overlap


def _decide(scorer: TableScorer, block: Any, state: Saved | None) -> tuple[Any, Saved]:
    return scorer.decide(block, state)


def _ordered_blocks(dataset: ray.data.Dataset) -> list[Any]:
    """Return references to the blocks of a dataset, tables of pyarrow, in the order of its rows."""
    options = dataset.context.execution_options
    before = options.preserve_order
    options.preserve_order = True
    try:
        return list(dataset.to_arrow_refs())
    finally:
        options.preserve_order = before


def _own_cpus() -> int | None:
    """Return how many CPUs this actor has; None outside of Ray."""
    import ray

    if not ray.is_initialized():
        return None
    assigned = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    return max(1, int(assigned))

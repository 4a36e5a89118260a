"""Spark: DataFrames and streams scored by its tasks, with the bits of one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from slidecell._arguments import as_choice, whole_number
from slidecell._extras import require
from slidecell.scale.overlap import CARRIED
from slidecell.scale.spark_state import KeyedState
from slidecell.scale.table_scorer import TableScorer

require("pyspark.sql", "google.protobuf", extra="spark")

import pyarrow as pa  # noqa: E402
from pyspark.sql import Window, functions  # noqa: E402
from pyspark.sql.streaming import StatefulProcessor  # noqa: E402
from pyspark.sql.types import (  # noqa: E402
    ByteType,
    DoubleType,
    FloatType,
    LongType,
    StructType,
    TimestampType,
)

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from slidecell.detect.base import Detector
    from slidecell.model import SequenceModel

__all__ = ["find_events", "score_frame", "score_stream"]

BLOCK_ROWS = 1 << 20
_ROW, _BLOCK, _MICROS = "slidecell_row", "slidecell_block", "slidecell_micros"


def score_frame(
    frame: DataFrame,
    model_or_detector: Detector | SequenceModel | str | os.PathLike[str],
    *,
    entity: str | None = None,
    time: str | None = None,
    max_gap: str | None = None,
    missing: Literal["skip", "ffill"] | None = None,
    duplicates: Literal["error"] = "error",
    cut: Literal["groups", "blocks"] | None = None,
    block_rows: int = BLOCK_ROWS,
) -> DataFrame:
    """Score the rows of a DataFrame by the tasks of Spark.

    Scores and flags are those of one process that has all rows, bit for bit, wherever Spark cuts
    the DataFrame and however many tasks there are, if their CPUs have one instruction set
    (`slidecell.active_isa`; ``SLIDECELL_ISA`` sets it).

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        In any order.
    model_or_detector : Detector, SequenceModel or path
        Fitted; a path as ``slidecell score`` takes it, read here and not by the tasks.
    entity, time : str, optional
        Columns. Default: those that the detector was fitted with; ``entity=""``: there is none.
        There must be a time: Spark keeps no order of rows.
    max_gap, missing : str, optional
        As in `slidecell.tables.options.TableOptions`. Default: as the detector was fitted.
    duplicates : {"error"}
        Two rows of an entity with the same time are refused, however the detector was fitted: they
        have no order in Spark. Drop them before, with ``dropDuplicates``.
    cut : {"groups", "blocks"}, optional
        ``"groups"``, the default where there is an entity column: each entity is scored as a whole
        by one task, which must have memory for it. ``"blocks"``: Spark numbers the rows of each
        entity in the order of time, and ``block_rows`` of them are scored at once, with the rows
        before them that their scores depend on.
    block_rows : int
        Rows of an entity that a task gets at once. No score depends on it.

    Returns
    -------
    pyspark.sql.DataFrame
        The columns of ``frame``, ``score`` and ``flagged`` (a byte, 0 or 1). It is lazy, as
        DataFrames are.

    Raises
    ------
    ImportError
        If Spark is not installed: ``pip install 'slidecell[spark]'``.
    ValueError
        If a column is absent, has another type than is expected or the name of those of the scores;
        if the detector has to see whole entities and ``cut="blocks"``, or missing values are to be
        filled. What is wrong with rows is found by tasks: Spark raises its own error then, with the
        text of ours.

    Notes
    -----
    By blocks, smoothing and thresholds that depend on earlier scores (a mean of the last scores,
    CUSUM, SPOT) take a second step by groups, over scores that are known: a task then has all rows
    of an entity in memory. Leave out columns that you do not need.

    Examples
    --------
    >>> from pyspark.sql import SparkSession  # doctest: +SKIP
    >>> from slidecell.scale.spark import score_frame  # doctest: +SKIP
    >>> spark = SparkSession.builder.getOrCreate()  # doctest: +SKIP
    >>> frame = spark.read.parquet("fleet")  # doctest: +SKIP
    >>> scored = score_frame(frame, "detector", entity="machine", time="at")  # doctest: +SKIP
    >>> scored.write.parquet("scores")  # doctest: +SKIP
    """
    if duplicates != "error":
        raise ValueError(
            f"duplicates: expected 'error', got {duplicates!r}: rows of one time have no order in "
            "Spark; drop them with dropDuplicates"
        )
    scorer = TableScorer(
        model_or_detector,
        entity=entity,
        time=time,
        max_gap=max_gap,
        missing=missing,
        duplicates=duplicates,
        num_threads=_task_cpus(frame),
    )
    schema = _scored_schema(frame, scorer)
    key, when = scorer.options.entity, scorer.options.time
    if when is None:
        raise ValueError("time: expected a column, got none: Spark keeps no order of rows")
    if cut is None:
        cut = "blocks" if key is None else "groups"
    as_choice("cut", cut, ("groups", "blocks"))
    if cut == "groups":
        if key is None:
            raise ValueError("cut: expected 'blocks' without an entity column, got 'groups'")
        return frame.groupBy(str(key)).applyInArrow(_on_tables(scorer), schema)
    blocks = _with_blocks(frame, scorer, whole_number("block_rows", block_rows, least=1))
    entities = [] if key is None else [str(key)]
    scored = blocks.groupBy(*entities, _BLOCK).applyInArrow(
        _on_tables(lambda table: scorer(table.drop_columns([_ROW, _BLOCK]))), schema
    )
    if scorer.decides_by_row:
        return scored
    return scored.groupBy(*entities).applyInArrow(
        _on_tables(lambda table: scorer.decide(table, None, sort=True)[0]), schema
    )


def find_events(
    scored: DataFrame,
    model_or_detector: Detector | SequenceModel | str | os.PathLike[str],
    *,
    entity: str | None = None,
    time: str | None = None,
    max_gap: str | None = None,
    event_gap: int | None = None,
) -> DataFrame:
    """Find the events of a DataFrame that `score_frame` has scored.

    Each entity's keys, scores and flags are taken by one task.

    Parameters
    ----------
    scored : pyspark.sql.DataFrame
        To be cached or written before if its scores are wanted too.
    model_or_detector, entity, time, max_gap
        As for `score_frame`.
    event_gap : int, optional
        Flagged rows with at most so many others between them are one event. Default: the
        detector's.

    Returns
    -------
    pyspark.sql.DataFrame
        The entity, and ``start``, ``end``, ``rows``, ``flagged``, ``peak`` and ``area`` of each
        event, as in ``events.csv`` of the command line.

    Examples
    --------
    >>> from slidecell.scale.spark import find_events  # doctest: +SKIP
    >>> events = find_events(scored, "detector", entity="machine", time="at")  # doctest: +SKIP
    >>> events.orderBy("peak", ascending=False).show()  # doctest: +SKIP
    """
    scorer = TableScorer(
        model_or_detector,
        entity=entity,
        time=time,
        max_gap=max_gap,
        duplicates="error",
        event_gap=event_gap,
    )
    rows = scored.select(*scorer.event_columns())
    entities = [] if scorer.options.entity is None else [str(scorer.options.entity)]
    at = rows.schema[str(scorer.options.time)].dataType
    schema = StructType([rows.schema[name] for name in entities])
    for name, kind in (
        ("start", at),
        ("end", at),
        ("rows", LongType()),
        ("flagged", LongType()),
        ("peak", DoubleType()),
        ("area", DoubleType()),
    ):
        schema = schema.add(name, kind)
    return rows.groupBy(*entities).applyInArrow(_on_tables(scorer.events), schema)


def score_stream(
    frame: DataFrame,
    model_or_detector: Detector | SequenceModel | str | os.PathLike[str],
    *,
    entity: str | None = None,
    time: str | None = None,
    max_gap: str | None = None,
    missing: Literal["skip", "ffill"] | None = None,
) -> DataFrame:
    """Score the rows of a streaming DataFrame, entity by entity in the order of time.

    A row is scored once the watermark has passed its time: rows may come out of order by as much as
    the watermark waits, and later ones are dropped and counted by Spark
    (``numRowsDroppedByWatermark``). Scores and flags are those of the same rows in one process, bit
    for bit. Rows of one time are taken in the order of their values.

    What is kept of each entity is the state of its stream, as bytes: the last rows, smoothing,
    threshold, and the rows that wait. A run that is killed goes on from its checkpoint.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        Streaming, with a watermark on the time column: ``frame.withWatermark("at", "10 minutes")``.
    model_or_detector : Detector, SequenceModel or path
        Fitted; a path as ``slidecell score`` takes it, read here and not by the tasks.
    entity, time : str, optional
        Columns; time must be a timestamp. Default: those that the detector was fitted with.
    max_gap, missing : str, optional
        As in `slidecell.tables.options.TableOptions`. Default: as the detector was fitted.

    Returns
    -------
    pyspark.sql.DataFrame
        The columns of ``frame``, ``score`` and ``flagged``; to be written in output mode "append".

    Raises
    ------
    ImportError
        If Spark is not installed: ``pip install 'slidecell[spark]'``.
    ValueError
        If a column is absent or of another type than is expected, or if scores depend on later
        rows. A query stops, with the key in its text, if a state in the checkpoint is of another
        model, of other options, of rows with other columns or of another version.

    Notes
    -----
    Spark keeps such states in RocksDB alone. Set
    ``spark.sql.streaming.stateStore.providerClass`` to
    ``org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider``.

    Examples
    --------
    >>> from slidecell.scale.spark import score_stream  # doctest: +SKIP
    >>> rows = spark.readStream.schema(schema).parquet("fleet")  # doctest: +SKIP
    >>> rows = rows.withWatermark("at", "10 minutes")  # doctest: +SKIP
    >>> scored = score_stream(rows, "detector", entity="machine", time="at")  # doctest: +SKIP
    >>> writer = scored.writeStream.option("checkpointLocation", "state")  # doctest: +SKIP
    >>> query = writer.start(  # doctest: +SKIP
    ...     "scores", format="parquet", outputMode="append"
    ... )
    """
    scorer = TableScorer(
        model_or_detector,
        entity=entity,
        time=time,
        max_gap=max_gap,
        missing=missing,
        duplicates="keep",
        num_threads=_task_cpus(frame),
    )
    schema = _scored_schema(frame, scorer)
    key, when = scorer.options.entity, scorer.options.time
    for name, column in (("entity", key), ("time", when)):
        if column is None:
            raise ValueError(f"{name}: expected a column for a stream, got none")
    kind = frame.schema[str(when)].dataType
    if not isinstance(kind, TimestampType):
        raise ValueError(
            f"time: expected a timestamp in column {when!r}, got {kind.simpleString()}"
        )
    scorer.detector.rows_in_parts()  # refuses what depends on later rows
    state = KeyedState(scorer, _arrow_schema(frame), str(when), _MICROS)
    # Timestamps reach pandas in the session's time zone, where an hour may come twice.
    counted = frame.withColumn(_MICROS, functions.unix_micros(functions.col(str(when))))
    return counted.groupBy(str(key)).transformWithStateInPandas(
        statefulProcessor=_Processor(state),
        outputStructType=schema,
        outputMode="append",
        timeMode="eventTime",
    )


class _Processor(StatefulProcessor):  # type: ignore[misc]  # of no known type
    """Hands rows and the watermark to the state of their key."""

    def __init__(self, state: KeyedState) -> None:
        self._state = state

    def init(self, handle: Any) -> None:
        self._handle = handle
        self._kept = handle.getValueState("slidecell", "state binary")

    def handleInputRows(  # noqa: N802  # Spark's name
        self, key: Any, rows: Iterator[pd.DataFrame], timerValues: Any
    ) -> Iterator[pd.DataFrame]:
        return self._go_on(key, list(rows), timerValues)

    def handleExpiredTimer(  # noqa: N802  # Spark's name
        self, key: Any, timerValues: Any, expiredTimerInfo: Any
    ) -> Iterator[pd.DataFrame]:
        del expiredTimerInfo
        return self._go_on(key, [], timerValues)

    def _go_on(
        self, key: Any, frames: list[pd.DataFrame], timer_values: Any
    ) -> Iterator[pd.DataFrame]:
        watermark = timer_values.getCurrentWatermarkInMs()
        kept = bytes(self._kept.get()[0]) if self._kept.exists() else None
        scored, state, wake = self._state.go_on(key, kept, frames, watermark)
        self._kept.update((state,))
        if wake is not None:
            self._handle.registerTimer(wake)
        if scored is not None:
            yield scored

    def close(self) -> None: ...


def _task_cpus(frame: DataFrame) -> int:
    """Return the CPUs of a task."""
    return max(1, int(frame.sparkSession.conf.get("spark.task.cpus", "1")))


def _arrow_schema(frame: DataFrame) -> Any:
    """Return the columns of a DataFrame as tasks get them."""
    return frame.sparkSession.createDataFrame([], frame.schema).toArrow().schema


def _scored_schema(frame: DataFrame, scorer: TableScorer) -> StructType:
    """Return the columns of a DataFrame and of its scores; ValueError if they do not fit."""
    engine = scorer.engine(_arrow_schema(frame), source="the DataFrame")
    kind = FloatType() if engine.score_type == pa.float32() else DoubleType()
    whole = StructType([*frame.schema.fields]).add("score", kind)
    return whole.add("flagged", ByteType())


def _with_blocks(frame: DataFrame, scorer: TableScorer, block_rows: int) -> DataFrame:
    """Return the rows with their block, those at its end also as carried ones of the next."""
    if scorer.options.missing == "ffill":
        raise ValueError(
            "cut: expected 'groups' with missing='ffill', got 'blocks': the last value of a column "
            "may lie in any block before"
        )
    when = str(scorer.options.time)
    kind = frame.schema[when].dataType.simpleString()
    if kind == "string":
        raise ValueError(f"time: expected a timestamp or a number in {when!r}, got {kind}: cast it")
    # One row at least, which tells two rows of one time.
    before = max(scorer.rows_before(), 1)
    size = max(block_rows, before)
    key = (
        functions.lit(0)
        if scorer.options.entity is None
        else functions.col(str(scorer.options.entity))
    )
    rows = Window.partitionBy(key).orderBy(functions.col(when))
    numbered = frame.withColumn(_ROW, functions.row_number().over(rows) - 1)
    own = functions.floor(functions.col(_ROW) / size)
    both = functions.col(_ROW) % size >= size - before
    blocks = functions.when(both, functions.array(own, own + 1)).otherwise(functions.array(own))
    return numbered.withColumn(_BLOCK, functions.explode(blocks)).withColumn(
        CARRIED, functions.col(_BLOCK) > own
    )


def _on_tables(work: Callable[[pa.Table], pa.Table]) -> Callable[[pa.Table], pa.Table]:
    """Return work as Spark knows it for one on tables: by its type hints."""

    def on_table(table: pa.Table) -> pa.Table:
        return work(_in_utc(table))

    return on_table


def _in_utc(table: pa.Table) -> pa.Table:
    """Return a table whose instants are in UTC, as Spark wants them back, not in its session's."""
    fields = [
        field.with_type(pa.timestamp(field.type.unit, "UTC"))
        if pa.types.is_timestamp(field.type) and field.type.tz is not None
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))

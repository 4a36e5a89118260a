"""Events of a run over files: kept in its parts, and written as one file at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.scale.open_events import Closed
from slidecell.tables.options import TableOptions
from slidecell.tables.sorting import sort_rows

if TYPE_CHECKING:
    import pandas as pd

    from slidecell.scale.entities import Entities

__all__ = ["events_table", "sorted_events", "write_events"]


def events_table(closed: Sequence[Closed], places: Any) -> Any:
    """Return events as a table of pyarrow; ``places`` is the type of what stands for rows."""
    import pyarrow as pa

    events = [one.event for one in closed]
    return pa.table(
        {
            "entity": pa.array([one.entity for one in closed], pa.int64()),
            "first": pa.array([event.start for event in events], pa.int64()),
            "start": pa.array([one.start for one in closed], places),
            "end": pa.array([one.end for one in closed], places),
            "rows": pa.array([event.rows for event in events], pa.int64()),
            "flagged": pa.array([event.flagged for event in events], pa.int64()),
            "peak": pa.array([event.peak for event in events], pa.float64()),
            "area": pa.array([event.area for event in events], pa.float64()),
        }
    )


def sorted_events(tables: Sequence[Any], entities: Entities) -> pd.DataFrame:
    """Return all events, worst first: by peak, then by area, then in the order of the rows."""
    import pandas as pd
    import pyarrow as pa

    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    names = entities.column()
    order = sort_rows(
        pd.DataFrame({"entity": names}), TableOptions(entity="entity"), source="entities"
    ).rows
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    codes = frame["entity"].to_numpy()
    worst = np.lexsort(
        (
            frame["first"].to_numpy(),
            rank[codes],
            -frame["area"].fillna(0.0).to_numpy(),
            -frame["peak"].to_numpy(),
        )
    )
    frame["entity"] = names.iloc[codes].array
    return frame.iloc[worst].drop(columns="first")


def write_events(frame: pd.DataFrame, path: Path, options: TableOptions) -> None:
    """Write a CSV file of events, as ``events.csv`` of the command line, without their columns."""
    shown = frame.assign(part="test")
    if options.entity is None:
        shown = shown.drop(columns="entity")
    shown.to_csv(path, index=False)

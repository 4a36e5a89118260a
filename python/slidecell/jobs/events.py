"""The events of a result: as a file, as facts, and as the section that a reader sees first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.event_shares import MOST_COLUMNS, MOST_ROWS, driving_columns, mean_shares
from slidecell.jobs.report import Section, Table
from slidecell.jobs.results import Result, judged_rows
from slidecell.thresholds.events import Event
from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["event_facts", "event_shares", "events_frame", "events_section"]

_EXPLAINED = 50  # events whose columns are found: the cost of the others would have no bound
_TOP = 20
_TOP_TERMINAL = 10
_LONGEST_NAME = 80

Ints = npt.NDArray[np.int64]


def event_shares(result: Result, events: Sequence[Event]) -> Floats | None:
    """Return each feature's share of events: [n, F], of at least 0, which add up to 1.

    It is the mean share of the event's flagged rows, weighted by how far their scores lie above the
    threshold; equal weights where the rule has no single value, and infinite scores have all of it.
    Only the highest 100 rows of an event count. A row of NaN belongs to an event whose rows have no
    shares.

    Parameters
    ----------
    result : Result
    events : sequence of Event, [n]
        Of `Result.events`.

    Returns
    -------
    ndarray of float64, [n, F]
        None where the detector cannot tell features apart.
    """
    if not result.detector.has_feature_parts:
        return None
    rows = [_highest_flagged(result, event) for event in events]
    if not rows:
        return np.zeros((0, result.table.num_features))
    shares = result.detector.shares_at(result.table, np.concatenate(rows))
    ends = np.cumsum([len(own) for own in rows])
    means = [
        mean_shares(own, result.scores[chosen], result.threshold)
        for own, chosen in zip(np.split(shares, ends[:-1]), rows, strict=True)
    ]
    return np.array(means)


def _highest_flagged(result: Result, event: Event) -> Ints:
    rows = event.start + np.flatnonzero(result.flagged[event.start : event.end + 1])
    return rows[np.argsort(-result.scores[rows], kind="stable")[:MOST_ROWS]]


def event_facts(result: Result) -> dict[str, Any]:
    """Return what ``report.json`` says of events.

    Returns
    -------
    dict
        ``gap``; ``events``, how many there are; ``part``, the rows that the following are about:
        the test part, or all rows where none of it has a score; ``events_of_part``; and ``worst``,
        the worst 50 of them, worst first, with the columns that drive each.
    """
    judged, name = judged_rows(result)
    events = [event for event in result.events if judged[event.peak_row]]
    worst = events[:_EXPLAINED]
    shares = event_shares(result, worst)
    return {
        "gap": result.event_gap,
        "events": len(result.events),
        "part": name,
        "events_of_part": len(events),
        "worst": [
            _describe(result, event)
            | ({} if shares is None else {"columns": _driving(result, shares[n])})
            for n, event in enumerate(worst)
        ],
    }


def _describe(result: Result, event: Event) -> dict[str, Any]:
    table = result.table
    start, end = (
        int(_input_row(result, row)) if table.times is None else table.times.text(row)
        for row in (event.start, event.end)
    )
    return {
        "start": start,
        "end": end,
        "rows": event.rows,
        "flagged": event.flagged,
        "peak": event.peak,
        "area": event.area,
        "entity": table.entity_name(event.start),
        "part": str(result.part[event.peak_row]),
    }


def _input_row(result: Result, rows: Any) -> Any:
    """Return the numbers of rows in the file of scores, which begins with 1."""
    order = result.table.order
    return (rows if order is None else order[rows]) + 1


def _driving(result: Result, shares: Floats) -> list[dict[str, Any]]:
    """Return the columns with the largest of the shares [F], the largest first."""
    names = _feature_names(result)
    return [{"column": names[c], "share": share} for c, share in driving_columns(shares)]


def _feature_names(result: Result) -> list[str]:
    table = result.table
    return [str(name) for name in table.names or range(table.num_features)]


def events_frame(result: Result, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return the file of events, worst first: one row for each event of all parts.

    Times and entities stand as in the file of scores; without times rows are counted as there,
    from 1. The columns that drive an event are those that the report names, for the same events.

    Parameters
    ----------
    result : Result
    facts : mapping
        Of `event_facts`.
    """
    import pandas as pd

    table, events = result.table, result.events
    first = np.array([event.start for event in events], np.int64)
    last = np.array([event.end for event in events], np.int64)
    tops = np.array([event.peak_row for event in events], np.int64)
    assert table.keys is not None  # a file has them
    assert table.options is not None
    keys = table.keys.iloc[_input_row(result, first) - 1]
    columns: dict[str, Any] = {}
    if table.options.entity is not None:
        columns["entity"] = keys[table.options.entity].array
    if table.options.time is None:
        columns["start"], columns["end"] = (_input_row(result, rows) for rows in (first, last))
    else:
        times = table.keys[table.options.time]
        for name, rows in (("start", first), ("end", last)):
            columns[name] = times.iloc[_input_row(result, rows) - 1].array
    columns["rows"] = [event.rows for event in events]
    columns["flagged"] = [event.flagged for event in events]
    columns["peak"] = np.array([event.peak for event in events], np.float64)
    columns["area"] = np.array([event.area for event in events], np.float64)  # None is NaN
    columns["part"] = result.part[tops]
    if result.detector.has_feature_parts:
        columns |= _driving_columns(result, facts)
    return pd.DataFrame(columns)


def _driving_columns(result: Result, facts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the names and shares of the columns that drive events, empty where nobody knows."""
    judged = judged_rows(result)[0]
    worst = iter(facts["worst"])
    known: list[list[dict[str, Any]]] = [
        next(worst, {"columns": []})["columns"] if judged[event.peak_row] else []
        for event in result.events
    ]
    columns: dict[str, list[Any]] = {}
    for n in range(min(MOST_COLUMNS, result.table.num_features)):
        columns[f"column_{n + 1}"] = [c[n]["column"] if n < len(c) else None for c in known]
        columns[f"share_{n + 1}"] = [c[n]["share"] if n < len(c) else np.nan for c in known]
    return columns


def events_section(facts: Mapping[str, Any], *, has_times: bool) -> Section:
    """Return what happened, worst first: the first that a reader of the page sees.

    Parameters
    ----------
    facts : mapping
        Of `event_facts`.
    has_times : bool
        Whether events begin and end at times, or else at rows.

    Examples
    --------
    >>> from slidecell.jobs.events import events_section
    >>> event = {"start": 7, "end": 9, "rows": 3, "flagged": 2, "peak": 6.0, "area": 4.0}
    >>> event |= {"entity": "", "part": "test", "columns": [{"column": "load", "share": 0.75}]}
    >>> facts = {"gap": 1, "events": 1, "part": "all rows", "events_of_part": 1, "worst": [event]}
    >>> section = events_section(facts, has_times=False)
    >>> section.tables[0].columns
    ['start', 'peak', 'driven by', 'end', 'rows']
    >>> section.tables[0].rows
    [['7', '6', 'load 75 %', '9', '3']]
    """
    worst, count = facts["worst"][:_TOP], facts["events_of_part"]
    if not worst:
        text = f"No row of {facts['part']} is flagged: there is no event."
        return Section("Events", text, main=True)
    # A narrow screen shows the first columns: where and when, how bad and why, then how long.
    cells = {
        "entity": [_short_name(event["entity"]) for event in worst],
        "start": [_place(event["start"]) for event in worst],
        "peak": [f"{event['peak']:.4g}" for event in worst],
        "driven by": [_name_columns(event.get("columns", ())) for event in worst],
        "end": [_place(event["end"]) for event in worst],
        "rows": [f"{event['rows']:,}" for event in worst],
    }
    cells = {name: texts for name, texts in cells.items() if any(texts)}
    number = "1 event" if count == 1 else f"{count:,} events"
    # A terminal shows fewer of them than the page does.
    listed = ", of which the worst follow" if count > _TOP_TERMINAL else ", the worst first"
    counted = "" if has_times else " Rows are counted as in the file of scores."
    text = (
        f"{number} in {facts['part']}{listed}. An event is flagged rows with at most "
        f"{facts['gap']:,} others between two of them, its peak the highest score.{counted}"
    )
    table = Table(
        list(cells),
        [list(row) for row in zip(*cells.values(), strict=True)],
        terminal=tuple(range(min(_TOP_TERMINAL, len(worst)))),
    )
    return Section("Events", text, [table], main=True)


def _place(value: str | int) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _name_columns(columns: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{_short_name(c['column'])} {100 * c['share']:.0f} %"
        for c in columns
        if c["share"] >= 0.005
    )


def _short_name(name: str) -> str:
    """Return a name as a cell of a table has room for it."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."

"""The thresholds of entities that have their own: as facts, as a table, and what is to be noted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slidecell.jobs.report import Table
from slidecell.jobs.results import Result, judged_rows
from slidecell.thresholds.per_entity import PerEntityThreshold

__all__ = ["entity_thresholds", "entity_thresholds_table", "unseen_notes"]

_LISTED = 10


def entity_thresholds(result: Result) -> dict[str, Any] | None:
    """Return the thresholds of the entities that were scored; None where they share one.

    Returns
    -------
    dict
        ``entities``, ``own`` and ``pooled``: how many there are, how many have a threshold of their
        own, how many take that of all; ``part``, the rows that are counted, in words; ``worst``:
        of at most ten of them, those with the most flagged rows first, ``entity``, ``threshold``,
        ``from``, ``scored`` and ``flagged``.
    """
    rule = result.detector.fitted_rule()
    if not isinstance(rule, PerEntityThreshold):
        return None
    chosen, part = judged_rows(result)
    names = result.table.segment_names()
    entities = list(dict.fromkeys(names))
    place = {name: index for index, name in enumerate(entities)}
    of_segment = np.array([place[name] for name in names], np.int64)
    of_row = np.repeat(of_segment, np.diff(result.table.offsets))
    counted = chosen & ~np.isnan(result.scores)
    scored = np.bincount(of_row[counted], minlength=len(entities))
    flagged = np.bincount(of_row[chosen & result.flagged], minlength=len(entities))
    worst = np.lexsort((-scored, -flagged))[:_LISTED]
    own = sum(name in rule.own for name in entities)
    return {
        "entities": len(entities),
        "own": own,
        "pooled": len(entities) - own,
        "part": part,
        "worst": [
            {
                "entity": entities[index],
                "threshold": _number(rule.for_entity(entities[index]).threshold),
                "from": rule.origin(entities[index]),
                "scored": int(scored[index]),
                "flagged": int(flagged[index]),
            }
            for index in worst.tolist()
        ],
    }


def entity_thresholds_table(facts: Mapping[str, Any]) -> Table:
    """Return the thresholds of at most ten entities, those with the most flagged rows first.

    Parameters
    ----------
    facts : mapping
        Of `entity_thresholds`.

    Examples
    --------
    >>> from slidecell.jobs.entity_thresholds import entity_thresholds_table
    >>> one = {"entity": "db", "threshold": 2.5, "from": "its own", "scored": 1200, "flagged": 12}
    >>> facts = {"entities": 30, "own": 28, "pooled": 2, "part": "the test part", "worst": [one]}
    >>> table = entity_thresholds_table(facts)
    >>> table.caption
    '28 of 30 entities have a threshold of their own. Most flagged rows of the test part:'
    >>> table.rows
    [['db', '2.5', 'its own', '1,200', '12', '1.00 %']]
    """
    rows = []
    for line in facts["worst"]:
        limit, scored, flagged = line["threshold"], line["scored"], line["flagged"]
        rows.append(
            [
                line["entity"],
                "-" if limit is None else f"{limit:.6g}",
                line["from"],
                f"{scored:,}",
                f"{flagged:,}",
                f"{100 * flagged / scored:.2f} %" if scored else "-",
            ]
        )
    caption = (
        f"{facts['own']:,} of {facts['entities']:,} entities have a threshold of their own. "
        f"Most flagged rows of {facts['part']}:"
    )
    columns = ["entity", "threshold", "from", "scored", "flagged", "share"]
    return Table(columns, rows, caption=caption)


def unseen_notes(result: Result) -> list[str]:
    """Return what is to be said of entities that training did not see."""
    rule = result.detector.fitted_rule()
    if not isinstance(rule, PerEntityThreshold):
        return []
    known = set(rule.notes())
    return [note for note in rule.notes(result.table.segment_names()) if note not in known]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

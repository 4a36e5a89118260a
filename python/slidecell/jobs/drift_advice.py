"""What the drift monitor says of the rows of a file, taken in the order of their times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.drift import Advisory, DriftMonitor

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.tables.rows import Rows

__all__ = ["advice_facts", "advice_note"]

_COMPARISONS = 500  # of a long file: a monitor's own would take longer than the scores
_NAMED = 5  # columns
_SAID = 0.05  # share of the comparisons that is worth a note


def advice_facts(
    detector: Detector,
    rows: Rows,
    judged: npt.NDArray[np.bool_],  # [S]
) -> dict[str, Any] | None:
    """Return the advisory at the end of the judged rows, and how often it was not fine before.

    Returns
    -------
    dict or None
        ``advice``, ``columns``, ``entities`` and ``text`` of the last advisory; ``comparisons``,
        and ``not_fine`` among them; ``first`` with ``rows`` and ``text`` of the first that was not
        fine, or None. None as a whole where the detector keeps too little of its training, or the
        rows do not fill a window.
    """
    kept = detector.training_statistics_
    if kept is None or kept.stretches is None or judged.sum() < kept.stretches.rows:
        return None
    order = rows.order_of_time()
    order = order[judged[order]]
    names = np.array(rows.names_of_entities(), object)
    whose = rows.entity_numbers()
    monitor = DriftMonitor(detector)
    step = max(monitor.every, len(order) // _COMPARISONS)
    monitor.every = step
    found: list[Advisory] = []
    for first in range(0, len(order) - step + 1, step):
        taken = order[first : first + step]
        entities = names[whose[taken]].tolist() if len(names) > 1 else None
        monitor.update(rows.features[taken], entities=entities)
        found.append(monitor.advisory)
    told = [advisory for advisory in found if advisory.advice != "fine"]
    last = found[-1]
    return {
        "advice": last.advice,
        "columns": list(last.columns),
        "entities": list(last.entities),
        "text": str(last),
        "comparisons": len(found),
        "not_fine": len(told),
        "first": {"rows": told[0].rows, "text": str(told[0])} if told else None,
    }


def advice_note(facts: Mapping[str, Any] | None, part: str, *, differs: bool = False) -> str:
    """Return what is to be said of them; an empty text where all is fine.

    Parameters
    ----------
    facts : mapping, optional
        Of `advice_facts`.
    part : str
        What the rows are called.
    differs : bool
        Whether all rows together differ from training, which has been said then.

    Examples
    --------
    >>> from slidecell.jobs.drift_advice import advice_note
    >>> first = {"rows": 900, "text": "watch: heat (level +2 training standard deviations)"}
    >>> facts = {"advice": "fine", "text": "fine", "comparisons": 40, "not_fine": 6, "first": first}
    >>> advice_note(facts, "the test part")
    '15 % of the test part is far from training, though not its end; first after 900 of its rows: \
watch: heat (level +2 training standard deviations)'
    """
    if facts is None:
        return ""
    first, share = facts["first"], facts["not_fine"] / facts["comparisons"]
    if facts["advice"] != "fine":
        since = f", and was fine no more after {first['rows']:,} of its rows"
        if differs:
            columns = ", ".join(facts["columns"][:_NAMED])
            told = f"the drift advisory at the end of {part} is {facts['advice']}"
            return f"{told}, for {columns}{since}"
        reasons = facts["text"].partition(": ")[2]
        return (
            "its last rows do not: the drift advisory at its end is "
            f"{facts['advice']}, for {reasons}{since}"
        )
    if share >= _SAID:
        return (
            f"{100 * share:.0f} % of {part} is far from training, though not its end; first after "
            f"{first['rows']:,} of its rows: {first['text']}"
        )
    if differs and first is None:
        return f"the drift advisory stays fine: each stretch of {part} is like one of training"
    return ""

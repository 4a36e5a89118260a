"""What the drift monitor says of the rows of a file, taken in the order of their times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.rows_advice import RowsAdvice

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.tables.rows import Rows

__all__ = ["advice_facts", "advice_note"]

_TAKEN = 1 << 16  # rows at once
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
        As `slidecell.detect.rows_advice.RowsAdvice.facts`; None, too, where the detector keeps too
        little of its training.
    """
    if not RowsAdvice.is_known(detector):
        return None
    order = rows.order_of_time()
    order = order[judged[order]]
    names = np.array(rows.names_of_entities(), object)
    whose = rows.entity_numbers()
    advice = RowsAdvice(detector, len(order))
    for first in range(0, len(order), _TAKEN):
        taken = order[first : first + _TAKEN]
        entities = names[whose[taken]].tolist() if len(names) > 1 else None
        advice.add(rows.features[taken], entities)
    return advice.facts()


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

"""What a table seems to hold that no option speaks of: labels, counters, gaps in time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.tables.columns import flag
from slidecell.tables.rows import Ints
from slidecell.tables.times import Times

__all__ = ["column_notes", "gap_notes"]

_LABEL_NAME = re.compile(
    r"(.*[^a-z])?(labels?|anomal(y|ies|ous)|is_?(anomaly|outlier|fraud|attack)|outliers?|attacks?|"
    r"faults?|fraud|ground_?truth|y_?true|target|class)([^a-z].*)?",
    re.IGNORECASE,
)
_FEW_VALUES = 10  # of a column that may be a label by its name
_LEAST_ROWS = 20  # below it, anything counts up
_NAMED = 5  # columns, at most, in one note

# A series has a step of its own if so many of its steps lie within half of the median about it;
# what is longer than that then is a gap. The steps of others (weekends, events) are no gaps.
_REGULAR = 0.95
_TOLERANCE = 0.5

_UNITS = (
    ("d", 86400 * 10**9),
    ("h", 3600 * 10**9),
    ("min", 60 * 10**9),
    ("s", 10**9),
    ("ms", 10**6),
)


def column_notes(
    columns: Sequence[npt.NDArray[np.float64]], names: Sequence[str], *, has_label: bool
) -> list[str]:
    """Return notes on features that look like labels or counters of rows.

    A label has a name that says so, and few values; or it is the only column of 0 and 1 among
    others. A counter rises by the same step from row to row.

    Parameters
    ----------
    columns : sequence of ndarray of float64, [R] each
        In the order of the input.
    names : sequence of str
    has_label : bool
        Whether a label is already named by an option.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.unasked import column_notes
    >>> rng = np.random.default_rng(0)
    >>> columns = [rng.normal(size=99), np.arange(99.0), (rng.random(99) > 0.9).astype(float)]
    >>> for note in column_notes(columns, ["load", "id", "is_anomaly"], has_label=False):
    ...     print(note)
    column 'is_anomaly' looks like a label, and is a feature now: --label is_anomaly measures the \
flags against it, --exclude is_anomaly leaves it out
    column 'id' rises by 1 from row to row, as a counter or a time does, and is a feature now: \
--exclude id leaves it out
    """
    notes = []
    labels = _labels(columns, names)
    counters = {
        name: step for name, own in zip(names, columns, strict=True) if (step := _step(own))
    }
    if len(columns) > 1:
        for name in labels[:_NAMED]:
            measured = "" if has_label else f"{flag('label', name)} measures the flags against it, "
            notes.append(
                f"column {name!r} looks like a label, and is a feature now: {measured}"
                f"{flag('exclude', name)} leaves it out"
            )
        for name, step in list(counters.items())[:_NAMED]:
            notes.append(
                f"column {name!r} rises by {step:g} from row to row, as a counter or a time does, "
                f"and is a feature now: {flag('exclude', name)} leaves it out"
            )
    return notes


def _labels(columns: Sequence[npt.NDArray[np.float64]], names: Sequence[str]) -> list[str]:
    named = [
        name
        for name, own in zip(names, columns, strict=True)
        if _LABEL_NAME.fullmatch(name) and _is_whole(own) and _distinct(own) <= _FEW_VALUES
    ]
    if named:
        return named
    binary = [name for name, own in zip(names, columns, strict=True) if _is_binary(own)]
    return binary if len(binary) == 1 and len(columns) > 2 else []


def _is_whole(column: npt.NDArray[np.float64]) -> bool:
    known = column[np.isfinite(column)]
    return bool((known == np.rint(known)).all())


def _distinct(column: npt.NDArray[np.float64]) -> int:
    return len(np.unique(column[np.isfinite(column)]))


def _is_binary(column: npt.NDArray[np.float64]) -> bool:
    """Tell a column that holds 0 and 1, fewer of the latter, and nothing else."""
    ones, zeros = np.count_nonzero(column == 1.0), np.count_nonzero(column == 0.0)
    return bool(0 < ones < zeros and ones + zeros == len(column))


def _step(column: npt.NDArray[np.float64]) -> float:
    """Return the step by which all rows of a column rise; 0 if they do not."""
    if len(column) < _LEAST_ROWS:
        return 0.0
    step = float(column[1] - column[0])
    if not (np.isfinite(step) and step > 0.0 and step == round(step)):
        return 0.0
    return step if (np.diff(column) == step).all() else 0.0


def gap_notes(times: Times, offsets: Ints, *, named: bool) -> list[str]:
    """Return a note on gaps in time that windows reach across, as no option cuts there.

    There is one where nearly all steps of the series are alike and some are longer.

    Parameters
    ----------
    times : Times
        Of the rows in order, [S].
    offsets : ndarray of int64, [G+1]
    named : bool
        Whether the time is a column that an option names, without which no gap can be asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.times import Times
    >>> from slidecell.tables.unasked import gap_notes
    >>> minutes = np.concatenate([np.arange(100), np.arange(400, 500)])
    >>> times = Times(minutes * 60 * 10**9, "date")
    >>> gap_notes(times, np.array([0, 200]), named=True)
    ['1 step in time is longer than the usual 1 min (the longest 5.02 h), and windows reach across \
it: --max-gap 90s cuts the series there']
    """
    steps = _steps(times.values, offsets)
    if len(steps) < _LEAST_ROWS:
        return []
    usual = float(np.median(steps))
    longest = (1.0 + _TOLERANCE) * usual
    alike = np.count_nonzero((steps >= (1.0 - _TOLERANCE) * usual) & (steps <= longest))
    gaps = np.count_nonzero(steps > longest)
    if not usual > 0.0 or alike < _REGULAR * len(steps) or gaps == 0:
        return []
    few = gaps == 1
    usual_text, longest_text = (_text(float(step), times) for step in (usual, steps.max()))
    mend = f": --max-gap {_option(longest, times)} cuts the series there" if named else ""
    return [
        f"{gaps:,} step{'' if few else 's'} in time {'is' if few else 'are'} longer than the usual "
        f"{usual_text} (the longest {longest_text}), and windows reach across "
        f"{'it' if few else 'them'}{mend}"
    ]


def _steps(values: npt.NDArray[Any], offsets: Ints) -> npt.NDArray[np.float64]:
    """Return the steps between neighbours of one segment, without those of equal times."""
    steps = np.diff(values)
    inside = np.ones(len(steps), np.bool_)
    cuts = offsets[1:-1] - 1
    inside[cuts[(cuts >= 0) & (cuts < len(steps))]] = False
    return np.asarray(steps[inside & (steps > 0)], np.float64)


def _text(step: float, times: Times) -> str:
    if times.kind == "number":
        return f"{step:g}"
    for unit, size in _UNITS:
        if step >= size:
            return f"{step / size:.3g} {unit}"
    return f"{step / 10**6:.3g} ms"


def _option(step: float, times: Times) -> str:
    """Return a step as a user types it; of dates in whole units, rounded up."""
    if times.kind == "number":
        return f"{step:g}"
    unit, size = next((pair for pair in _UNITS if step >= 10 * pair[1]), _UNITS[-1])
    return f"{int(np.ceil(step / size))}{unit}"

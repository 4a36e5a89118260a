"""The columns of a DataFrame: found by name, features and labels as numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.tables.numbers import number_float
from slidecell.tables.row_error import RowError
from slidecell.tables.times import looks_like_dates

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

_COMPARED = 1000  # names that a mistyped one is compared with, and cells that are looked at


class NoColumnError(ValueError):
    """A column that an option names is not in the table; ``flag`` is the option."""

    def __init__(self, text: str, flag: str) -> None:
        super().__init__(text)
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the flag: workers of other processes raise it too."""
        return type(self), (*self.args, self.flag)


def find_column(frame: Any, name: Hashable, *, flag: str, source: str) -> None:
    """Raise a ValueError, which lists near names, unless the frame has the column, and once.

    It is a `NoColumnError` if the frame lacks the column.
    """
    times = list(frame.columns).count(name)
    if times == 1:
        return
    if times > 1:
        raise ValueError(f"{flag}: column {name!r} occurs {times} times in {source}")
    columns = [str(column) for column in frame.columns]
    near = difflib.get_close_matches(str(name), columns[:_COMPARED], n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    text = f"{flag}: no column {name!r} in {source} (it has: {_listed(columns)}){hint}"
    raise NoColumnError(text, flag)


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def split_names(given: Iterable[str], columns: Iterable[str]) -> tuple[str, ...]:
    """Split ``a,b`` at commas unless it is a column's whole name; repeats are dropped."""
    known = set(map(str, columns))
    names: dict[str, None] = {}
    for text in given:
        parts = [text] if text in known else [part.strip() for part in text.split(",")]
        names |= dict.fromkeys(part for part in parts if part)
    return tuple(names)


def is_unnamed(name: str) -> bool:
    """Tell a column without a name in the header: most often a saved row index."""
    return name.startswith("Unnamed: ")


def to_numbers(column: pd.Series[Any]) -> Floats | None:
    """Return a numeric or boolean column as float64 [S] (missing: NaN), or None if it is text."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        if pd.api.types.is_complex_dtype(column.dtype):
            return None
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if column.isna().all() and not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.full(len(column), np.nan)
    if column.dtype == object:  # true and false with missing cells between them
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind in {"boolean", "integer", "floating", "mixed-integer-float", "decimal"}:
            numbers = [np.nan if pd.isna(v) else number_float(v) for v in column]
            return np.array(numbers, np.float64)
    return None


def feature_numbers(column: pd.Series[Any], *, source: str, may_exclude: bool = True) -> Floats:
    """Return a feature column as float64 [S]; a ValueError says how to mend text.

    With ``may_exclude`` the column may also be left out: a saved detector needs all of its own.
    """
    name = str(column.name)
    values = to_numbers(column)
    if values is None and column.isna().all():
        values = np.full(len(column), np.nan)
    if values is None:
        exclude = f"leave it out with {flag('exclude', name)}" if may_exclude else ""
        raise _text_complaint(column, name, exclude, source)
    if not np.isfinite(values).any():
        advice = f"leave it out with {flag('exclude', name)}" if may_exclude else "expected some"
        raise ValueError(f"{source}: column {name!r} has no values: {advice}")
    return values


def flag(name: str, value: str) -> str:
    """Write an option as a user would type it."""
    return f"--{name} {value!r}" if " " in value or not value else f"--{name} {value}"


def _text_complaint(column: pd.Series[Any], name: str, exclude: str, source: str) -> ValueError:
    """Return what is wrong with a column; ``exclude`` says how to leave it out."""
    import pandas as pd

    where = f"{source}: column {name!r}"
    or_exclude = f", or {exclude}" if exclude else ""
    filled = column[column.notna()]
    example = str(filled.iloc[0])
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return ValueError(
            f"{where} holds durations ({example!r}) and is no feature: "
            f"write them as numbers, such as seconds{or_exclude}"
        )
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or looks_like_dates(filled):
        time = f"name it as the time with {flag('time', name)}"
        mend = f"{time}{or_exclude}" if exclude else "expected numbers"
        return ValueError(f"{where} holds dates ({example!r}) and is no feature: {mend}")
    texts = filled.map(str)
    bad = pd.to_numeric(texts, errors="coerce").isna().to_numpy()
    if not bad.any():
        return ValueError(
            f"{where} holds numbers kept as text ({example!r}): write them as numbers{or_exclude}"
        )
    first = int(np.flatnonzero(bad)[0])
    cell = texts.iloc[first]
    advice = _cell_advice(cell)
    sample = texts.iloc[:_COMPARED]
    meant = ~bad[:_COMPARED] | [_cell_advice(text) is not None for text in sample]
    if bad.mean() < 0.5 or meant.mean() > 0.5:
        row = int(np.flatnonzero(column.notna().to_numpy())[first])
        # "10A" and "12A" may be currents, and names of seats.
        or_entity = (
            f", or {_entity_hint(name)}" if exclude and bad.all() and _has_unit(cell) else ""
        )
        return RowError(
            f"{where}: {_shortened(cell)} in ",
            [row],
            f" is no number: {advice or 'mend the cell'}{or_exclude}{or_entity}",
        )
    if not exclude:
        return ValueError(f"{where} holds text ({_shortened(example)}): expected numbers")
    return ValueError(
        f"{where} holds text ({_shortened(example)}) and is no feature: {exclude}, "
        f"or {_entity_hint(name)}"
    )


def _entity_hint(name: str) -> str:
    return f"if it names the series that a row belongs to use {flag('entity', name)}"


def _shortened(text: str, most: int = 60) -> str:
    return repr(text) if len(text) <= most else f"{text[:most]!r}..."


_SPACES = "\u00a0\u202f\u2009 "
_DIGITS = r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
_BEFORE_UNIT = re.compile(rf"([-+0-9.,eE{_SPACES}]*[0-9])[{_SPACES}]*([^0-9,.\s]{{1,12}})")


def _has_unit(text: str) -> bool:
    found = _BEFORE_UNIT.fullmatch(text.strip(_SPACES))
    return found is not None and found[2].isalpha()


def _cell_advice(text: str) -> str | None:
    """Return how to write a cell that a person reads as a number and a parser does not, or None."""
    cell = text.strip(_SPACES)
    bare = re.sub(rf"(?<=[0-9])[{_SPACES}](?=[0-9]{{3}})", "", cell)
    number = _commas_read(bare)
    if number is not None and "," in bare:
        return f"write it with a point for the decimal comma, and no other comma, as {number}"
    if re.fullmatch(_DIGITS, bare):
        return (
            f"write it without spaces (it has one between its digits or a no-break one), as {bare}"
        )
    found = _BEFORE_UNIT.fullmatch(cell)
    if found is None:
        return None
    number = _commas_read(re.sub(f"[{_SPACES}]", "", found[1]))
    if number is None:
        return None
    what = "the percent sign" if found[2] == "%" else f"the unit {found[2]!r}"
    return f"write the number without {what}, as {number}"


def _commas_read(text: str) -> str | None:
    """Return a number that may have a decimal comma, or commas between thousands, as Python's."""
    if re.fullmatch(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]*", text):
        return text.replace(",", "")
    if re.fullmatch(r"[-+]?[0-9]{1,3}(?:,[0-9]{3}){2,}", text):
        return text.replace(",", "")
    if re.fullmatch(r"[-+]?[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]*", text):
        return text.replace(".", "").replace(",", ".")
    plain = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    return plain if re.fullmatch(_DIGITS, plain) else None


def parse_labels(
    column: pd.Series[Any], *, source: str, blank: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int8]:
    """Return a label column as 0 and 1, [S]; anything else is a ValueError.

    The label of a row that ``blank`` [S] tells to hold nothing at all is not known: -1.
    """
    if blank is not None and blank.any() and not blank.all():
        labels = np.full(len(column), -1, np.int8)
        known = column.copy()
        known[blank] = known[~blank].iloc[0]  # any that is a label, or is refused as one
        labels[~blank] = parse_labels(known, source=source)[~blank]
        return labels
    values = to_numbers(column)
    if values is None:
        import pandas as pd

        texts = column.map(str)
        numbers = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.flatnonzero((numbers != 0) & (numbers != 1))
        bad = int(wrong[0]) if len(wrong) else 0
        missing = bool(column.isna().iloc[bad])
        got = "an empty cell" if missing else _shortened(texts.iloc[bad])
        if not len(wrong):
            got += " as text"
    else:
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if len(wrong) == 0:
            return values.astype(np.int8)
        bad = int(wrong[0])
        got = "an empty cell" if np.isnan(values[bad]) else f"{values[bad]:g}"
    raise RowError(
        f"{source}: label column {str(column.name)!r}: expected 0 or 1 (1 = anomaly), "
        f"got {got} in ",
        [bad],
    )

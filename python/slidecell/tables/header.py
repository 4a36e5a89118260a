"""The first line of a CSV file: what separates its cells, and whether it holds names."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from slidecell.tables.times import looks_like_dates

__all__ = ["counted_names", "find_delimiter", "no_header", "repeated_name", "stated_delimiter"]

_DELIMITERS = ",;\t|"
# A quoted cell begins the line or follows a delimiter; its end may be on a later line. A tab is no
# space before it: where tabs are many, each would be looked at once more for each.
_QUOTED = re.compile(r'(?:^|(?<=[,;\t|]))[^\S\t]*"(?:[^"]|"")*(?:"|$)')
_STATED = re.compile(r'"?sep=([^"\r\n])"?\s*', re.IGNORECASE)


def find_delimiter(line: str) -> str:
    r"""Return what separates the cells of a header: the one that is there most often.

    Those within quotes do not count; it is a comma where none occurs.

    Examples
    --------
    >>> from slidecell.tables.header import find_delimiter
    >>> find_delimiter('"speed (min, max, mean)";"load"'), find_delimiter("load")
    (';', ',')
    """
    bare = _QUOTED.sub("", line)
    return max(_DELIMITERS, key=bare.count)


def stated_delimiter(line: str) -> str | None:
    """Return the delimiter that a line like ``sep=;`` states, as spreadsheets write it, or None.

    Examples
    --------
    >>> from slidecell.tables.header import stated_delimiter
    >>> stated_delimiter("sep=;"), stated_delimiter("time;load")
    (';', None)
    """
    found = _STATED.fullmatch(line)
    return None if found is None else found[1]


def repeated_name(names: Sequence[str]) -> str | None:
    """Return the first name that was there before, or None.

    Examples
    --------
    >>> from slidecell.tables.header import repeated_name
    >>> repeated_name(["a", "b", "a"]), repeated_name(["a", "b"])
    ('a', None)
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def no_header(cells: Sequence[str], *, asked: Collection[str] = ()) -> str | None:
    """Return what to say of a first line that holds numbers, and no names; None if it holds names.

    Names that count (``0,1,2``, as pandas writes columns without names, or years) are names, and so
    are different ones that are all in ``asked``: a detector was fitted on columns of these names.
    Cells without a text say nothing. A time beside numbers is a cell of a row too.

    Examples
    --------
    >>> from slidecell.tables.header import no_header
    >>> no_header(["load", "2"]), no_header(["0", "1", "2"]), no_header(["", "0"])
    (None, None, None)
    >>> no_header(["103", "101"], asked=["101", "103"]) is None
    True
    >>> no_header(["0.5", "1"])
    "expected the names of the columns, got a row of numbers ('0.5', '1'): put a line of names before it"
    """  # noqa: E501
    texts = [text for cell in cells if (text := cell.strip())]
    if len(set(texts)) == len(cells) and set(texts) <= set(asked):
        return None
    blanks = len(texts) == 1 and len(cells) == 1 and len(texts[0].split()) > 1
    parts = texts[0].split() if blanks else texts
    numbers = [_is_number(text) for text in parts]
    if not any(numbers) or (not blanks and counted_names(cells)):
        return None
    rest = [text for text, number in zip(parts, numbers, strict=True) if not number]
    if rest and not _all_dates(rest):
        return None
    shown = ", ".join(map(repr, texts[:3])) + (", ..." if len(texts) > 3 else "")
    between = ", and commas between the cells" if blanks else ""
    return (
        f"expected the names of the columns, got a row of numbers ({shown}): "
        f"put a line of names before it{between}"
    )


def counted_names(cells: Sequence[str]) -> bool:
    """Tell whether the cells that have a text count by one, as the names of pandas do.

    They begin at 0 or 1, or are three or more. One number alone does, beside a cell without a text.

    Examples
    --------
    >>> from slidecell.tables.header import counted_names
    >>> counted_names(["", "0", "1"]), counted_names(["2019", "2020", "2021"])
    (True, True)
    >>> counted_names(["3", "4"]), counted_names(["7"]), counted_names(["1", "0"])
    (False, False, False)
    """
    texts = [text for cell in cells if (text := cell.strip())]
    if len(cells) == 0 or any(not re.fullmatch(r"0|[1-9][0-9]{0,8}", text) for text in texts):
        return False
    numbers = [int(text) for text in texts]
    if not numbers or any(b - a != 1 for a, b in pairwise(numbers)):
        return False
    # Where an index was saved, the first cell has no text.
    indexed = len(texts) == len(cells) - 1 and not cells[0].strip()
    whole = indexed or len(texts) == len(cells)
    return whole and (len(numbers) > 2 or (numbers[0] < 2 and (indexed or len(numbers) > 1)))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def _all_dates(texts: Sequence[str]) -> bool:
    import pandas as pd

    if not all(re.search(r"[0-9].*[-/.:].*[0-9]", text) for text in texts):
        return False
    return looks_like_dates(pd.Series(list(texts), dtype=object))

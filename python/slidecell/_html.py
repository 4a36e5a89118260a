"""Small tables in HTML, for notebooks: every text in them is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["figure", "html_table"]

_LONGEST = 200  # characters of a cell: names of columns come from files


def html_table(
    caption: str, rows: Sequence[Sequence[object]], *, header: Sequence[str] = ()
) -> str:
    """Return a table with a caption; the first cell of a row is its name.

    Examples
    --------
    >>> from slidecell._html import html_table
    >>> html_table("a < b", [("rows", 3)])
    '<table><caption>a &lt; b</caption><tr><th>rows</th><td>3</td></tr></table>'
    """
    head = "".join(f"<th>{_cell(name)}</th>" for name in header)
    lines = [f"<tr>{head}</tr>"] if head else []
    for name, *cells in rows:
        values = "".join(f"<td>{_cell(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{_cell(name)}</th>{values}</tr>")
    return f"<table><caption>{_escaped(caption)}</caption>{''.join(lines)}</table>"


def figure(value: float | None) -> str:
    """Return a number with six digits, or a dash where there is none.

    Examples
    --------
    >>> from slidecell._html import figure
    >>> figure(0.123456789), figure(None), figure(float("nan")), figure(7)
    ('0.123457', '-', '-', '7')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.6g}"


def _cell(value: object) -> str:
    text = str(value)
    return _escaped(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")


def _escaped(text: str) -> str:
    from html import escape  # its table of entities takes a millisecond that only notebooks need

    return escape(text)

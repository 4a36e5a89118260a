"""Texts and whole numbers as float64; those beyond it are too large, and not missing."""

from __future__ import annotations

import math
import sys

__all__ = ["number_float", "text_float"]


def text_float(text: str) -> float:
    """Return the number that a text is; one beyond float64 is the largest that it has.

    So it is too large for every model, as 1e300 is; infinity is what a text calls so: missing.

    Raises
    ------
    ValueError
        If the text is no number.

    Examples
    --------
    >>> from slidecell.tables.numbers import text_float
    >>> text_float("2.5"), text_float("-1e400"), text_float("inf")
    (2.5, -1.7976931348623157e+308, inf)
    """
    if "_" in text:  # Python's own way of writing 1_000
        raise ValueError(text)
    number = float(text)
    # Of those that have no digit, "inf" and "Infinity" are infinite.
    if math.isinf(number) and any(map(str.isdigit, text)):
        return math.copysign(sys.float_info.max, number)
    return number


def number_float(number: float) -> float:
    """Return a number as float; a whole one beyond float64 is the largest that it has.

    Examples
    --------
    >>> from slidecell.tables.numbers import number_float
    >>> number_float(3), number_float(-(10**400))
    (3.0, -1.7976931348623157e+308)
    """
    try:
        return float(number)
    except OverflowError:
        return math.copysign(sys.float_info.max, -1 if number < 0 else 1)

"""Numbers as a page's JSON has them."""

from __future__ import annotations

import math

__all__ = ["json_number"]


def json_number(value: float | None) -> float | str | None:
    """Return a number to five digits; null for NaN, a text for infinity, which JSON lacks.

    Examples
    --------
    >>> from slidecell.live.web.plain import json_number
    >>> [json_number(value) for value in (0.1234567, float("nan"), float("inf"), None)]
    [0.12346, None, 'Infinity', None]
    """
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0.0 else "-Infinity"
    return float(f"{value:.5g}")

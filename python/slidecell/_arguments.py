"""Checks of plain arguments, for modules that need numpy alone."""

from __future__ import annotations

import operator
from typing import Any


def whole_number(name: str, value: Any, *, least: int | None = None) -> int:
    """Return an integer as int: TypeError unless it is one, ValueError below `least`.

    Floats are refused whatever they hold, and so are True and False.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell._arguments import whole_number
    >>> whole_number("window", np.int32(5), least=1)
    5
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None
    if least is not None and number < least:
        raise ValueError(f"{name}: expected an integer >= {least}, got {number}")
    return number

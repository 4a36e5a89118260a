"""Whole numbers: what is one, and how others are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slidecell._arguments import at_least, whole_number


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_whole_numbers_of_any_type_are_taken(value: Any) -> None:
    number = whole_number("window", value, least=3)
    assert (number, type(number)) == (3, int)
    assert at_least("rows", value, 3) == 3


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float64(2), "2", None, [2]])
def test_values_that_are_no_whole_numbers_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"window: expected an integer, got "):
        whole_number("window", value)
    with pytest.raises((TypeError, ValueError), match=r"rows: expected a"):
        at_least("rows", value)


def test_whole_numbers_below_their_bound_are_refused() -> None:
    assert whole_number("window", -5) == -5
    with pytest.raises(ValueError, match="window: expected an integer >= 1, got 0"):
        whole_number("window", 0, least=1)
    for value in (1, 2.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"rows: expected a whole number .* 2, got {value}"):
            at_least("rows", value, 2)  # type: ignore[arg-type]

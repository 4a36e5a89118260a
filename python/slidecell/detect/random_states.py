"""Seeds of detectors, drawn from what scikit-learn takes as a random state."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from slidecell._arguments import whole_number

__all__ = ["seed_of"]


def seed_of(random_state: Any) -> int:
    """Return a seed: an integer itself, or one drawn from what scikit-learn takes for one.

    Examples
    --------
    >>> from slidecell.detect.random_states import seed_of
    >>> seed_of(3)
    3
    """
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool):
        return whole_number("random_state", random_state, least=0)
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    raise TypeError(
        "random_state: expected None, an integer or a numpy.random.RandomState, "
        f"got {random_state!r}"
    )

"""Checks of parameters, which happen in `fit`: constructors only store."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from slidecell._arguments import whole_number

__all__ = ["check_choice", "check_scaler", "check_share", "seed_of"]

_SCALERS = ("minmax", "standard", "robust")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a parameter that is none of the choices.

    Examples
    --------
    >>> from slidecell.detect.checks import check_choice
    >>> check_choice("cell", "gru", ("lstm", "gru"))
    """
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: expected one of {listed}, got {value!r}")


def check_share(name: str, value: Any) -> None:
    """Refuse what is no number of at least 0 and below 1.

    Examples
    --------
    >>> from slidecell.detect.checks import check_share
    >>> check_share("validation", 0.2)
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not 0.0 <= float(value) < 1.0:
        raise ValueError(f"{name}: expected a number >= 0 and < 1, got {value!r}")


def check_scaler(kind: object) -> None:
    """Refuse what is neither a kind of scaler nor None.

    Examples
    --------
    >>> from slidecell.detect.checks import check_scaler
    >>> check_scaler("minmax")
    """
    check_choice("scaler", kind, (*_SCALERS, None))


def seed_of(random_state: Any) -> int:
    """Return a seed: an integer itself, or one drawn from what scikit-learn takes for one.

    Examples
    --------
    >>> from slidecell.detect.checks import seed_of
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

"""Reading of what detectors keep as JSON: what is missing or of another type is a ValueError."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.thresholds.state_values import flag, mapping, number, numbers, whole

__all__ = [
    "names_array",
    "plain_names",
    "read_constants",
    "read_history",
    "read_names",
    "read_scaler",
    "read_table_options",
]

_HISTORY_COUNTS = (
    "best_epoch",
    "training_windows",
    "validation_windows",
    "skipped_windows",
    "purged_windows",
    "batch_size",
    "seed",
)


def names_array(names: Sequence[Hashable]) -> npt.NDArray[np.object_]:
    """Return names [F] as an array of objects, tuples as they are.

    Examples
    --------
    >>> from slidecell.detect.fitted_values import names_array
    >>> names_array([("cpu", 1), ("cpu", 2)]).tolist()
    [('cpu', 1), ('cpu', 2)]
    """
    array = np.empty(len(names), object)
    for place, name in enumerate(names):
        array[place] = name
    return array


def plain_names(names: Sequence[Hashable]) -> list[Any]:
    """Return names as JSON has them: text, numbers, None, and lists for tuples.

    Raises
    ------
    ValueError
        If a name is something else, such as a date.

    Examples
    --------
    >>> from slidecell.detect.fitted_values import plain_names
    >>> plain_names(["a", 7, ("cpu", "max")])
    ['a', 7, ['cpu', 'max']]
    """
    return [_plain_name(name) for name in names]


def _plain_name(name: Hashable) -> Any:
    if isinstance(name, tuple):
        return [_plain_part(part) for part in name]
    return _plain_part(name)


def _plain_part(name: Hashable) -> Any:
    if isinstance(name, np.generic):
        name = name.item()
    if name is None or isinstance(name, (str, int)):
        return name
    if isinstance(name, float) and np.isfinite(name):
        return name
    raise ValueError(
        f"column {name!r}: a name of type {type(name).__name__} cannot be saved: fit on a "
        "DataFrame whose columns are named by text or numbers"
    )


def _read_name(name: Any) -> Hashable:
    return tuple(map(_read_part, name)) if isinstance(name, list) else _read_part(name)


def _read_part(name: Any) -> Hashable:
    if name is None or isinstance(name, (str, int, float)):
        return name
    raise ValueError(f"expected a column's name, got {name!r}")


def read_names(values: Mapping[str, Any], features: int) -> list[Hashable] | None:
    """Return the features' names, if they have any.

    Examples
    --------
    >>> from slidecell.detect.fitted_values import read_names
    >>> read_names({"feature_names_in": ["a", ["cpu", 1]]}, 2)
    ['a', ('cpu', 1)]
    """
    names = values.get("feature_names_in")
    if names is None:
        return None
    if not isinstance(names, list) or len(names) != features:
        raise ValueError(
            f"'feature_names_in': expected {features} texts, numbers or lists of them, "
            f"got {names!r}"
        )
    return list(map(_read_name, names))


def read_constants(values: Mapping[str, Any], known: Sequence[Hashable]) -> list[Any]:
    """Return which of the features do not vary.

    Examples
    --------
    >>> from slidecell.detect.fitted_values import read_constants
    >>> read_constants({"constant_features": [1]}, range(3))
    [1]
    """
    constant = values.get("constant_features")
    if not isinstance(constant, list):
        raise ValueError(f"'constant_features': expected a list of features, got {constant!r}")
    names = list(map(_read_name, constant))
    if not all(name in known for name in names):
        raise ValueError(f"'constant_features': expected a list of features, got {constant!r}")
    return names


def read_scaler(values: Mapping[str, Any], features: int) -> dict[str, Any] | None:
    """Return a scaler as `slidecell.scaling.fit_scaler` makes it, or None.

    Examples
    --------
    >>> from slidecell.detect.fitted_values import read_scaler
    >>> saved = {"kind": "minmax", "center": [0.0], "scale": [2.0], "constant": []}
    >>> read_scaler({"scaler": saved}, 1) == saved
    True
    """
    if values.get("scaler") is None:
        return None
    scaler = mapping(values["scaler"], "'scaler'")
    center, scale = numbers(scaler, "center"), numbers(scaler, "scale")
    if len(center) != features or len(scale) != features or not np.all(scale):
        raise ValueError(f"'scaler': expected {features} centers and scales other than 0")
    if min(map(abs, scale)) < np.finfo(np.float64).tiny:
        raise ValueError(
            f"'scaler': 'scale': expected numbers that 1 can be divided by, got {min(scale)!r}"
        )
    constant = scaler.get("constant")
    if not isinstance(constant, list) or not all(index in range(features) for index in constant):
        raise ValueError(f"'scaler': 'constant': expected columns, got {constant!r}")
    return {"kind": scaler.get("kind"), "center": center, "scale": scale, "constant": constant}


def read_history(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `slidecell.training.History`.

    Examples
    --------
    >>> from slidecell.detect.fitted_values import read_history
    >>> from slidecell.training import History
    >>> read_history({"history": History(train_loss=[0.5]).to_dict()})["train_loss"]
    [0.5]
    """
    saved = mapping(values.get("history"), "'history'")
    return {
        "train_loss": numbers(saved, "train_loss"),
        "validation_loss": numbers(saved, "validation_loss"),
        "stopped_early": flag(saved, "stopped_early"),
        "seconds": number(saved, "seconds"),
        **{name: whole(saved, name) for name in _HISTORY_COUNTS},
    }


def read_table_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the fitted file was read; nothing in folders of version 0.1.

    Examples
    --------
    >>> from slidecell.detect.fitted_values import read_table_options
    >>> read_table_options({"table": {"time": "t", "entity": None}})
    {'time': 't', 'entity': None}
    """
    found = dict(mapping(values.get("table", {}), "'table'"))
    for name in ("time", "entity", "label", "max_gap", "missing", "duplicates", "time_format"):
        if not isinstance(found.get(name), (str, NoneType)):
            raise ValueError(f"'table': {name!r}: expected a text, got {found[name]!r}")
    return found

"""DataFrames as arrays: columns are matched by name."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt


def match_features(series: Any, features: list[str] | None) -> npt.ArrayLike:
    """Rows of a DataFrame in the model's column order; anything else as it is.

    Parameters
    ----------
    series : array_like, [S, F], or DataFrame (pandas, polars)
        A DataFrame may hold further columns.
    features : list of str or None
        The model's feature names; None: columns are taken in their order.

    Returns
    -------
    array_like, [S, F]

    Raises
    ------
    ValueError
        If the DataFrame lacks a feature.

    Examples
    --------
    >>> from slidecell.frames import match_features
    >>> match_features([[1.0, 2.0]], ["a", "b"])
    [[1.0, 2.0]]
    """
    if not hasattr(series, "columns") or not hasattr(series, "to_numpy"):
        return series  # type: ignore[no-any-return]
    if features is not None:
        missing = [name for name in features if name not in series.columns]
        if missing:
            raise ValueError(
                f"series: expected the columns {', '.join(map(repr, features))}, "
                f"but {', '.join(map(repr, missing))} is missing"
            )
        series = series[features]
    return series.to_numpy()  # type: ignore[no-any-return]

"""Keys of a DataFrame's rows, entities and times: columns, or what pandas has as its index."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from slidecell._extras import require
from slidecell._native_frames import eager_frame, pandas_column
from slidecell.tables.columns import find_column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_key", "has_index_of_times", "key_column", "time_column"]


def find_key(frame: Any, name: Hashable, *, flag: str, source: str) -> None:
    """Raise as `find_column` does, unless a column or a level of the index has this name."""
    if name in list(frame.columns) or name not in _index_names(frame):
        find_column(frame, name, flag=flag, source=source)


def key_column(frame: Any, name: Hashable) -> pd.Series[Any]:
    """Return a column, or a level of the index, as pandas has it: [R], numbered from 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.tables.keys import key_column
    >>> frame = pd.DataFrame({"x": [0.5, 1.5]}, index=pd.Index(["b", "a"], name="user"))
    >>> key_column(frame, "user").tolist()
    ['b', 'a']
    """
    require("pandas", extra="detect")
    import pandas as pd

    if name not in list(frame.columns):
        return pd.Series(frame.index.get_level_values(name), name=name)
    series: pd.Series[Any] = pandas_column(eager_frame(frame)[name])
    series = series.reset_index(drop=True)
    series.name = name  # pyarrow's columns have none
    return series


def time_column(frame: Any, time: Hashable | None) -> pd.Series[Any] | None:
    """Return the times of rows: of the column ``time``, or else of an index of dates, or None."""
    if time is not None:
        return key_column(frame, time)
    if not has_index_of_times(frame):
        return None
    import pandas as pd

    name = "index" if frame.index.name is None else frame.index.name
    return pd.Series(frame.index, name=name)


def has_index_of_times(frame: Any) -> bool:
    """Tell whether the index of a DataFrame holds dates, and so says in which order its rows are.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.tables.keys import has_index_of_times
    >>> has_index_of_times(pd.DataFrame({"x": [0.5]}, index=pd.to_datetime(["2024-01-31"])))
    True
    >>> has_index_of_times(pd.DataFrame({"x": [0.5]}))
    False
    """
    index = getattr(frame, "index", None)
    if index is None or callable(index):  # of pandas alone
        return False
    return getattr(getattr(index, "dtype", None), "kind", "O") == "M" or hasattr(
        index, "to_timestamp"
    )


def _index_names(frame: Any) -> list[Hashable]:
    index = getattr(frame, "index", None)
    return [name for name in getattr(index, "names", ()) if name is not None]

"""The two forms of a data set: labelled rows, or a training part and a labelled test part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LabelledRows", "LabelledSeries"]

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Labelled rows that are not split into parts.

    Parameters
    ----------
    name : str
    series : ndarray, [S, F]
    label : ndarray of int64, [S]
        1 = anomaly.
    columns : tuple of str, F
        Names of the features.
    time : ndarray, [S], optional
        Numbers or datetime64, where the data have them.
    kind : ndarray of int64, [S], optional
        Kind of anomaly, a place in `kinds`.
    kinds : tuple of str
        Names of the kinds; the first one is "none".

    Examples
    --------
    >>> from slidecell.datasets import ensemble_series
    >>> rows = ensemble_series()
    >>> rows.series.shape, rows.kinds[2], list(rows.frame().columns[-3:])
    ((15000, 8), 'contextual', ['channel_7', 'label', 'kind'])
    """

    name: str
    series: Array
    label: Ints
    columns: tuple[str, ...]
    time: Array | None = None
    kind: Ints | None = None
    kinds: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """Return everything as one table: ``time``, the features, ``label``, ``kind`` (text).

        Examples
        --------
        >>> from slidecell.datasets import ensemble_series
        >>> ensemble_series(rows=2000).frame().shape
        (2000, 10)
        """
        require("pandas", extra="detect")
        import pandas as pd

        table = pd.DataFrame(self.series, columns=list(self.columns))
        if self.time is not None:
            table.insert(0, "time", self.time)
        table["label"] = self.label
        if self.kind is not None:
            table["kind"] = np.array(self.kinds)[self.kind]
        return table


@dataclass(frozen=True, eq=False)
class LabelledSeries:
    """A training series, and a test series with labelled anomalies.

    Parameters
    ----------
    name : str
        Channel, machine or file.
    train, test : ndarray, [n, F] and [m, F]
        Rows in order of time.
    test_label : ndarray of int64, [m]
        1 = anomaly.
    columns : tuple of str, optional
        Names of the features, where the data have them.
    train_time, test_time : ndarray of datetime64, [n] and [m], optional
    train_label : ndarray of int64, [n], optional
        Where the training part is labelled as well.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets import LabelledSeries
    >>> rows = np.zeros((3, 2))
    >>> one = LabelledSeries("A-1", train=rows, test=rows, test_label=np.array([0, 1, 1]))
    >>> one.prevalence
    0.6666666666666666
    """

    name: str
    train: Array
    test: Array
    test_label: Ints
    columns: tuple[str, ...] | None = None
    train_time: Array | None = None
    test_time: Array | None = None
    train_label: Ints | None = None

    @property
    def prevalence(self) -> float:
        """Share of test rows that are labelled anomalous; 0 without rows."""
        return float(self.test_label.mean()) if len(self.test_label) else 0.0

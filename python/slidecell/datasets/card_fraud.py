"""Card transactions with frauds, from a local file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slidecell._extras import require
from slidecell.datasets.folders import as_labels, check_columns
from slidecell.datasets.labelled import LabelledRows

__all__ = ["CARD_FEATURES", "load_card_fraud"]

CARD_FEATURES = (*(f"V{number}" for number in range(1, 29)), "Amount")

_FILES = ("creditcard.csv", "creditcard.parquet", "creditcard_f32.parquet")


def load_card_fraud(path: str | Path) -> LabelledRows:
    """Load the card transactions of the Universite Libre de Bruxelles: rows [S, 29].

    Parameters
    ----------
    path : str or Path
        CSV or Parquet with the columns Time, V1 to V28, Amount and Class; or the folder of
        ``creditcard.csv``, ``creditcard.parquet`` or ``creditcard_f32.parquet``.

    Returns
    -------
    LabelledRows
        V1 to V28 and Amount in float64, in the file's order; ``time`` in seconds since the first
        transaction; ``label`` 1 for frauds. There are no card numbers: rows of one card cannot
        be distinguished from those of another.

    Raises
    ------
    FileNotFoundError
        If the file is absent.
    ValueError
        If it is damaged or lacks a column; the text says which.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from slidecell.datasets import CARD_FEATURES, load_card_fraud
    >>> table = pd.DataFrame(np.zeros((4, 29)), columns=CARD_FEATURES)
    >>> table.assign(Time=range(4), Class=[0, 0, 1, 0]).to_csv("creditcard.csv", index=False)
    >>> rows = load_card_fraud("creditcard.csv")
    >>> rows.series.shape, rows.label
    ((4, 29), array([0, 0, 1, 0]))
    """
    require("pandas", extra="detect")
    from slidecell.tables.files import read_frame

    file = _find(Path(path))
    table = read_frame(file)
    columns = ("Time", *CARD_FEATURES, "Class")
    check_columns(file, table.columns, columns, "Time, V1 to V28, Amount, Class")
    try:
        series = table[list(CARD_FEATURES)].to_numpy(np.float64)
        time = table["Time"].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected numbers, got {error}") from error
    label = as_labels(file, table["Class"].to_numpy(), len(table))
    return LabelledRows("creditcard", series, label, CARD_FEATURES, time=time)


def _find(path: Path) -> Path:
    """Return the file, looked for by name where a folder was given."""
    if path.is_dir():
        for name in _FILES:
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(f"path: expected one of {', '.join(_FILES)} in {path}, got none")
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a CSV or Parquet file, got {path}: not there")
    return path

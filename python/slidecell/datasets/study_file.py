"""Daily activity of users from a file, as a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slidecell._extras import require
from slidecell.datasets.folders import as_labels, check_columns
from slidecell.datasets.people import INSIDER_FEATURES
from slidecell.datasets.study import INSIDER_KINDS, InsiderStudy, split_users

__all__ = ["load_insider_study"]


def load_insider_study(path: str | Path, *, seed: int = 0) -> InsiderStudy:
    """Load daily features of users from CSV or Parquet, and split the users at random.

    Parameters
    ----------
    path : str or Path
        With the columns user, day (a date or a number), the seven of `INSIDER_FEATURES` and, if
        incidents are known, label (0 or 1). Other columns are left out; rows may be in any order.
    seed : int
        Of the split: 64 % of the users train, 16 % validate, 20 % are for the test.

    Returns
    -------
    InsiderStudy
        Rows in order of user and day. Empty cells are NaN.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is damaged, lacks a column or has fewer than five users; the text says which.

    Examples
    --------
    >>> from slidecell.datasets import insider_threat_study, load_insider_study
    >>> insider_threat_study(users=10).frame().to_csv("features.csv", index=False)
    >>> study = load_insider_study("features.csv")
    >>> study.counts.shape, int((study.part == "train").sum())
    ((3485, 7), 6)
    """
    require("pandas", extra="detect")
    from slidecell.tables.files import read_frame
    from slidecell.tables.times import parse_times

    file = Path(path)
    table = read_frame(file, keys=("user", "day"))
    columns = ("user", "day", *INSIDER_FEATURES)
    check_columns(file, table.columns, columns, ", ".join(columns))
    user = table["user"].astype(str).to_numpy()
    if table["user"].isna().any() or (user == "").any():
        raise ValueError(f"{file}: expected a user in every row, got an empty one")
    times = parse_times(table["day"], source=str(file))
    try:
        counts = table[list(INSIDER_FEATURES)].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected numbers, got {error}") from error
    given = table["label"].to_numpy() if "label" in table.columns else np.zeros(len(table), int)
    label = as_labels(file, given, len(table))
    names, codes = np.unique(user, return_inverse=True)
    if len(names) < 5:
        raise ValueError(f"{file}: expected at least 5 users to split, got {len(names)}")
    order = np.lexsort((times.values, codes))
    day = times.values.astype("datetime64[ns]") if times.kind == "date" else times.values
    return InsiderStudy(
        counts=counts[order],
        offsets=np.concatenate(([0], np.cumsum(np.bincount(codes)))),
        users=names,
        part=split_users(len(names), np.random.default_rng(seed)),
        day=day[order],
        label=label[order],
        kind=np.where(label[order] == 1, INSIDER_KINDS.index("other"), 0),
    )

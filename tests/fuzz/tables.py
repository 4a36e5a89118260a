"""Files of rows, CSV and Parquet: what cannot be read is refused with its place.

Run ``python -m tests.fuzz.tables --seconds 20``.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from slidecell.tables.options import TableOptions
from slidecell.tables.table import read_table
from tests.fuzz.changes import any_value, change_bytes
from tests.fuzz.driver import ALLOWED, Reached, check_text, main
from tests.fuzz.rows import TIMES, WORDS, csv_text

TYPES = (
    "float32", "float64", "int8", "uint64", "bool", "str", "object", "Int64", "boolean", "category",
    "datetime64[ns]", "datetime64[us]", "timedelta64[ns]", "float16", "complex64", "string",
)  # fmt: skip


def parquet_frame(random: Random, rows: int = 12) -> pd.DataFrame:
    """Return a frame with the columns t, host, load and heat, some of other types."""
    frame = pd.DataFrame(
        {
            "t": np.arange(rows),
            "host": [f"h{n % 2}" for n in range(rows)],
            "load": np.linspace(0, 1, rows),
            "heat": np.linspace(1, 3, rows).astype(np.float32),
        }
    )
    if random.random() < 0.5:
        frame["t"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(frame["t"], unit="s")
        if random.random() < 0.3:
            frame["t"] = frame["t"].dt.tz_localize(random.choice(("UTC", "Europe/Berlin")))
    for _ in range(random.choice((0, 1, 1, 2))):
        name = random.choice(list(frame.columns))
        what = random.randrange(6)
        if what < 3:
            frame[name] = frame[name].astype(random.choice(TYPES))
        elif what == 3:
            frame[name] = [random.choice((*WORDS, *TIMES)) for _ in range(rows)]
        elif what == 4:
            frame[name] = [any_value(random, 1) for _ in range(rows)]
        elif name != "t":
            frame = frame.rename(columns={name: random.choice(("", "t ", "x", "HOST"))})
    if random.random() < 0.1:
        frame = frame.set_index(random.choice(list(frame.columns)))
    if random.random() < 0.05:
        frame = frame.iloc[: random.randrange(2)]
    return frame


class Tables:
    """Makes files and reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, random: Random) -> Reached:
        suffix = random.choice((".csv", ".csv", ".parquet"))
        file = self.folder / f"rows{suffix}"
        if suffix == ".csv":
            data = csv_text(random).encode(
                random.choice(("utf-8",) * 8 + ("utf-16", "latin1")), "replace"
            )
            file.write_bytes(change_bytes(data, random) if random.random() < 0.1 else data)
        else:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    parquet_frame(random).to_parquet(file)
            except Exception:  # no such file: Arrow or pandas refuse the frame
                return Reached.NOTHING
            if random.random() < 0.15:
                file.write_bytes(change_bytes(file.read_bytes(), random))
        settings: dict[str, Any] = {"time": "t", "entity": "host"}
        for role in ("time", "entity"):
            if random.random() < 0.15:
                settings[role] = random.choice((None, "load", "none"))
        settings["duplicates"] = random.choice(("error", "keep", "last"))
        settings["missing"] = random.choice(("skip", "ffill"))
        if random.random() < 0.2:
            settings["max_gap"] = random.choice(("2", "1s", "2h", "x", "-1", "1e400", "nan"))
        if random.random() < 0.2:
            settings["features"] = random.choice(
                (("load",), ("heat", "load"), ("host",), ("none",))
            )
        if random.random() < 0.1:
            settings["label"] = random.choice(("load", "heat", "none"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = read_table(file, TableOptions(**settings))
                rows.floats(), rows.filled(), rows.summary()
        except ALLOWED as error:
            check_text(error)
            return (
                Reached.HEADER
                if "column" in str(error) or "line" in str(error)
                else Reached.NOTHING
            )
        return Reached.ALL


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="slidecell-fuzz-") as scratch:
        sys.exit(main("tests.fuzz.tables", Tables(Path(scratch))))

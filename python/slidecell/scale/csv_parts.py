"""Tables as lines of CSV, as pandas writes them: part by part, and the parts as one file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["CsvWriter", "join_csv"]


class CsvWriter:
    """Writes tables of pyarrow one below the other, without the names of their columns.

    Parameters
    ----------
    path : Path
    constants : mapping of str to str
        Columns behind those of the tables that have one text in all rows.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyarrow as pa
    >>> from slidecell.scale.csv_parts import CsvWriter, join_csv
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> writer = CsvWriter(folder / "part", {"part": "test"})
    >>> writer.write_table(pa.table({"id": ["a", "b"], "score": [0.5, None]}))
    >>> writer.close()
    >>> join_csv([folder / "part"], folder / "whole.csv", ["id", "score", "part"])
    >>> (folder / "whole.csv").read_text().split()
    ['id,score,part', 'a,0.5,test', 'b,,test']
    """

    def __init__(self, path: Path, constants: Mapping[str, str]) -> None:
        self._constants = dict(constants)
        self._file = path.open("w", encoding="utf-8", newline="")

    def write_table(self, table: Any) -> None:
        """Write the rows of a table."""
        table.to_pandas().assign(**self._constants).to_csv(self._file, header=False, index=False)

    def close(self) -> None:
        """End the file."""
        self._file.close()


def join_csv(parts: Sequence[Path], out: Path, names: Sequence[str]) -> None:
    """Write a header and the lines of all parts to one file."""
    import pandas as pd

    with out.open("wb") as whole:
        whole.write(pd.DataFrame(columns=list(names)).to_csv(index=False).encode())
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole)

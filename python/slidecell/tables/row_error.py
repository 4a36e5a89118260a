"""An error about rows of a table, which can be told by its lines where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RowError"]


class RowError(ValueError):
    """What is wrong with one row of a table, or with two.

    Parameters
    ----------
    before, after : str
        The text around the rows' numbers.
    rows : sequence of int
        From 0. They are counted from 1 in the text, as "data row 3".

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.row_error import RowError
    >>> error = RowError("'?' in ", [1], " is no number")
    >>> str(error), str(error.with_lines(np.array([2, 4])))
    ("'?' in data row 2 is no number", "'?' in data row 2 (line 4) is no number")
    """

    def __init__(self, before: str, rows: Sequence[int], after: str = "") -> None:
        self._before, self._rows, self._after = before, rows, after
        super().__init__(f"{before}{_counted('data row', np.add(rows, 1).tolist())}{after}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the rows: workers of other processes raise it too."""
        return type(self), (self._before, list(self._rows), self._after)

    def with_lines(self, lines: npt.NDArray[np.int64]) -> ValueError:
        """Return the error with the lines of the file too; ``lines`` [R] has each row's."""
        named = _counted("data row", np.add(self._rows, 1).tolist())
        where = _counted("line", lines[list(self._rows)].tolist())
        return ValueError(f"{self._before}{named} ({where}){self._after}")

    def at_lines(self, lines: npt.NDArray[np.int64]) -> ValueError:
        """Return the error with the lines of a file alone, where the rows are a piece of it."""
        where = _counted("line", lines[list(self._rows)].tolist())
        return ValueError(f"{self._before}{where}{self._after}")


def _counted(what: str, numbers: list[int]) -> str:
    plural = "s" if len(numbers) > 1 else ""
    return f"{what}{plural} {' and '.join(map(str, numbers))}"

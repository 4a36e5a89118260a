"""How far a run over files has come: rows, rows a second, time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slidecell._extras import require

__all__ = ["rows_progress"]


@contextmanager
def rows_progress(
    progress: bool | Callable[[int, int], object], total: int, done: int
) -> Iterator[Callable[[int], object]]:
    """Yield what is to be told how many rows are done.

    Parameters
    ----------
    progress : bool or callable
        True: a bar on standard error, where it is a terminal. A callable gets the rows that are
        done and all rows.
    total : int
    done : int
        Rows that an earlier run has done: no part of the rate.

    Examples
    --------
    >>> from slidecell.scale.progress import rows_progress
    >>> with rows_progress(lambda done, total: print(done, "of", total), 10, 0) as tell:
    ...     tell(5)
    5 of 10
    """
    if progress is False:
        yield lambda rows: None
    elif progress is not True:
        told = progress
        yield lambda rows: told(rows, total)
    else:
        require("rich", extra="detect")
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task("score", total=total, completed=done, rate="")

            def tell(rows: int) -> None:
                speed = bar.tasks[0].speed
                rate = "" if speed is None else f"{speed:,.0f} rows/s"
                bar.update(task, completed=rows, rate=rate)

            yield tell

"""Show the progress of a run: a bar on a terminal, else a line for each contest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

__all__ = ["Progress", "progress"]


class Progress:
    """A line on stderr after each step.

    Examples
    --------
    >>> from slidecell.bench.progress import Progress
    >>> steps = Progress(total=2)
    >>> steps.begin("score LSTM 16")
    >>> steps.end()
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.name = total, 0, ""
        self.start = self.began = perf_counter()

    def begin(self, name: str) -> None:
        """Begin a step."""
        self.name, self.began = name, perf_counter()

    def end(self) -> None:
        """End the step, and say how long the rest may take."""
        self.done += 1
        now = perf_counter()
        left = (now - self.start) / self.done * (self.total - self.done)
        rest = f"; about {_duration(left)} left" if self.done < self.total else ""
        self.write(f"[{self.done}/{self.total}] {self.name}: {now - self.began:.1f} s{rest}")

    def write(self, text: str) -> None:
        """Write a line."""
        sys.stderr.write(text + "\n")


class _Bar(Progress):
    def __init__(self, total: int, bar: Any) -> None:
        super().__init__(total)
        self.bar = bar
        self.task = bar.add_task("", total=total)

    def begin(self, name: str) -> None:
        super().begin(name)
        self.bar.update(self.task, description=name)

    def write(self, text: str) -> None:
        self.bar.update(self.task, completed=self.done)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Show a bar if stderr is a terminal and rich is installed, else lines."""
    try:
        from rich import progress as rich_progress
        from rich.console import Console
    except ModuleNotFoundError:
        yield Progress(total)
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(total)
        return
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(total, bar)

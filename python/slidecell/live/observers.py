"""What may look on at a live run: it is told what happens, and changes nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from slidecell.live.scored import ScoredBlock, ScoredRow

if TYPE_CHECKING:
    from slidecell.live.entity_events import EventLine
    from slidecell.live.rows import Row

__all__ = ["Observer", "Observers", "Reason", "ScoredBlock", "ScoredRow"]

Reason: TypeAlias = Literal["malformed", "out of order"]


def _unheard(text: str) -> None:
    """Say nothing: there is no run yet."""


class Observer:
    """Looks on at a live run; a subclass has those of the methods that it needs.

    All are called by the thread of the run, between its lines: what takes long delays the answers.
    Rows are told in blocks, in the order in which they came, and before what follows them.

    Examples
    --------
    >>> from slidecell.live.observers import Observer
    >>> class Alarms(Observer):
    ...     count = 0
    ...     def scored(self, rows):
    ...         self.count += int(rows.answers.alarms.sum())
    ...     def summary(self):
    ...         return [f"alarms: {self.count}"]
    >>> Alarms().summary()
    ['alarms: 0']
    """

    name = "observer"
    """What reports call it."""

    in_order = True
    """Whether what happens to events is told between the rows; else after the rows of a block."""

    say: Callable[[str], object] = staticmethod(_unheard)
    """Writes a line among the reports of the run; set when the run begins."""

    def scored(self, rows: ScoredBlock) -> None:
        """Take rows that have been scored: a sequence of `ScoredRow`, and their columns."""

    def missed(self, row: Row) -> None:
        """Take a line whose entity could be read: a missing row has taken its place."""

    def doubted(self, entities: Collection[str]) -> None:
        """Take a line whose entity is unknown: a missing row is to come for each of these."""

    def skipped(self, reason: Reason) -> None:
        """Take that a line was not used; `missed` or `doubted` may have been called for it."""

    def event(self, line: EventLine) -> None:
        """Take an event that has opened or closed."""

    def attend(self) -> None:
        """Do what is to be done now and then: called whenever input was read or a signal came."""

    def summary(self) -> list[str]:
        """Return lines for the reports of counters, those on SIGUSR1 and the last one."""
        return []

    def close(self) -> None:
        """End: no row follows. The run's own state has been saved."""


def _tell_rows(observer: Observer, rows: ScoredBlock) -> None:
    """Tell one observer rows and what has happened to events by them."""
    first = 0
    if not observer.in_order:
        observer.scored(rows)
        first = len(rows)
    for place, lines in rows.changes:
        if first <= place:
            observer.scored(rows[first : place + 1])
            first = place + 1
        for line in lines:
            observer.event(line)
    if first < len(rows):
        observer.scored(rows[first : len(rows)])


class Observers:
    """Tells all observers of a run; one that fails is reported and dropped, and the run goes on.

    Parameters
    ----------
    observers : sequence of Observer
    say : callable
        Gets the text of a report.

    Examples
    --------
    >>> from slidecell.live.observers import Observer, Observers
    >>> class Broken(Observer):
    ...     name = "the page"
    ...     def skipped(self, reason):
    ...         raise OSError("no room")
    >>> watching = Observers([Broken()], print)
    >>> watching.skipped("malformed")
    the page: OSError: no room; it looks on no more
    >>> watching.skipped("malformed")
    """

    def __init__(self, observers: Sequence[Observer], say: Callable[[str], object]) -> None:
        self._observers, self._say = list(observers), say
        for observer in self._observers:
            observer.say = say

    def scored(self, rows: ScoredBlock) -> None:
        """Tell rows, and what has happened to events by them."""
        self._tell(lambda observer: _tell_rows(observer, rows))

    def missed(self, row: Row) -> None:
        """Tell of a missing row."""
        self._tell(lambda observer: observer.missed(row))

    def doubted(self, entities: Collection[str]) -> None:
        """Tell of entities that may have lost a row."""
        self._tell(lambda observer: observer.doubted(entities))

    def skipped(self, reason: Reason) -> None:
        """Tell of a line that was not used."""
        self._tell(lambda observer: observer.skipped(reason))

    def event(self, line: EventLine) -> None:
        """Tell of an event."""
        self._tell(lambda observer: observer.event(line))

    def attend(self) -> None:
        """Let the observers do what is to be done."""
        self._tell(lambda observer: observer.attend())

    def summary(self) -> list[str]:
        """Return the lines of all observers."""
        lines: list[str] = []
        self._tell(lambda observer: lines.extend(observer.summary()))
        return lines

    def close(self) -> None:
        """End all observers."""
        self._tell(lambda observer: observer.close())

    def _tell(self, tell: Callable[[Observer], object]) -> None:
        for observer in list(self._observers):
            try:
                tell(observer)
            except Exception as error:  # it may be of a library of its own
                self._observers.remove(observer)
                self._say(f"{observer.name}: {type(error).__name__}: {error}; it looks on no more")

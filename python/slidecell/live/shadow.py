"""A challenger beside a live run: it scores the same rows, and decides nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from slidecell._whole_files import replacing
from slidecell.live.agreement import Agreement
from slidecell.live.entities import Entities, RefusedRow
from slidecell.live.observers import Observer, ScoredBlock

if TYPE_CHECKING:
    from slidecell.live.entity_events import EventLine
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.live.rows import Row
    from slidecell.model import SequenceModel

    Live: TypeAlias = SequenceModel | LiveDetector

__all__ = ["Shadow", "feature_order", "shadow_state"]


def shadow_state(state: Path) -> Path:
    """Return where the challenger's state lies: beside the champion's.

    Examples
    --------
    >>> from pathlib import PurePosixPath
    >>> from slidecell.live.shadow import shadow_state
    >>> shadow_state(PurePosixPath("run.state")).name
    'run.state.shadow'
    """
    return state.with_name(f"{state.name}.shadow")


def feature_order(champion: Live, challenger: Live, names: tuple[str, str]) -> list[int] | None:
    """Return the champion's place of each feature of the challenger; None: they are the same.

    Parameters
    ----------
    champion, challenger : SequenceModel or LiveDetector
    names : tuple of str
        What an error calls the two.

    Raises
    ------
    ValueError
        If they have other features.
    """
    own, theirs = champion.features, challenger.features
    if own is None or theirs is None:
        if champion.input_size != challenger.input_size:
            raise ValueError(
                f"{names[1]}: expected {champion.input_size} features, as {names[0]} has, got "
                f"{challenger.input_size}"
            )
        return None
    if sorted(own) != sorted(theirs):
        listed = ", ".join(own[:20]), ", ".join(theirs[:20])
        raise ValueError(
            f"{names[1]}: expected the features of {names[0]} ({listed[0]}), got {listed[1]}"
        )
    return None if own == theirs else [own.index(name) for name in theirs]


class Shadow(Observer):
    """Scores the rows of a run with a challenger, and compares its answers with the champion's.

    Whatever the challenger does, the run goes on: a row that it cannot take is counted, and is a
    missing row to it.

    Parameters
    ----------
    asked, options : LiveOptions
        Of the run: as they were given, and completed by the champion.
    champion, challenger : SequenceModel or LiveDetector
    event_gap : int
        Of the challenger's events, where the options name none.

    Raises
    ------
    ValueError
        If the challenger has other features than the champion, or cannot be used with the options.
    """

    name = "the challenger"
    in_order = False

    def __init__(
        self,
        asked: LiveOptions,
        options: LiveOptions,
        champion: Live,
        challenger: Live,
        *,
        event_gap: int,
    ) -> None:
        assert options.shadow is not None
        self._report = options.shadow_report
        self._order = feature_order(
            champion, challenger, (os.fspath(options.model), f"--shadow {options.shadow}")
        )
        self._state = None if options.state is None else shadow_state(options.state)
        own = replace(
            asked,
            model=options.shadow,
            state=self._state,
            time=options.time or "",
            entity=options.entity or "",
            duplicates=options.duplicates,
        ).with_model(challenger)
        self._note = ""
        try:
            self._entities = Entities(challenger, own, event_gap=event_gap)
        except ValueError as error:
            if self._state is None or not self._state.exists():
                raise
            self._note = f"challenger: {error}; it begins anew"
            self._entities = Entities(challenger, replace(own, state=None), event_gap=event_gap)
        self.agreement = Agreement()

    def attend(self) -> None:
        """Say what was found when the run began."""
        if self._note:
            self.say(self._note)
            self._note = ""

    def scored(self, rows: ScoredBlock) -> None:
        """Score rows that the champion has scored."""
        block = rows.rows if self._order is None else rows.rows.with_columns(self._order)
        first = 0
        for found in self._entities.score(block):
            if isinstance(found, RefusedRow):  # whatever it is, the champion's run goes on
                self._fail(found.row, found.error)
                first += 1
                continue
            own = rows[first : first + len(found)]
            first += len(found)
            self.agreement.add(
                own.answers.smoothed,
                found.answers.smoothed,
                flags=(own.answers.alarms, found.answers.alarms),
                costs=(own.nanoseconds, found.nanoseconds),
                labels=own.rows.labels,
            )
            opened = (line.change == "opened" for _, lines in found.changes for line in lines)
            self.agreement.count_events(0, sum(opened))
        self._count_events()

    def missed(self, row: Row) -> None:
        """Take a row of which nothing is known."""
        self._miss(row)
        self._count_events()

    def doubted(self, entities: Collection[str]) -> None:
        """Let a missing row precede the next one of each of these entities."""
        self._entities.doubt(entities)

    def event(self, line: EventLine) -> None:
        """Count the champion's events."""
        self.agreement.count_events(int(line.change == "opened"), 0)

    def summary(self) -> list[str]:
        """Return how far the two agree."""
        return self.agreement.lines()

    def close(self) -> None:
        """Save the challenger's state, and write the report of the agreement if it is asked for."""
        self._entities.save(self._state)
        if self._report is not None:
            text = json.dumps(self.agreement.to_dict(), indent=2, allow_nan=False)
            with replacing(self._report) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")

    def _fail(self, row: Row, error: Exception) -> None:
        self.agreement.fail(error)
        self._miss(row)

    def _miss(self, row: Row) -> None:
        try:
            self._entities.push_missing(row)
        except Exception:
            self._entities.doubt([row.entity])

    def _count_events(self) -> None:
        lines = self._entities.take_lines()
        if lines:
            self.agreement.count_events(0, sum(line.change == "opened" for line in lines))

"""The commands ``slidecell promote`` and ``slidecell rollback``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slidecell.cli import options as o
from slidecell.cli.guard import guarded

if TYPE_CHECKING:
    from slidecell.jobs.promote import Promoted

__all__ = ["promote", "rollback"]

_STATES = {
    "swapped": "; the states of both were exchanged",
    "kept": "; the state is its own",
    "none": "",
}

StateAgainOption = Annotated[
    Path | None,
    typer.Option(help="File of a stream that has ended, which is to go on with the other model."),
]


@guarded
def promote(
    model: o.ModelArgument,
    challenger: Annotated[
        Path, typer.Argument(metavar="CHALLENGER", help="What takes the place of MODEL.")
    ],
    *,
    state: StateAgainOption = None,
) -> None:
    """Let a challenger and MODEL change places, and keep the old MODEL for rollback.

    Both are model files, or folders of detectors, with the same features. Whoever reads one of the
    places finds a whole model, the old one or the new one, at every moment; the command, given
    again, ends the work of one that was killed. A stream that runs goes on with the model that it
    has read: end it, promote with its --state, and start it again.
    """
    from slidecell.jobs.promote import promote as run

    _say(run(model, challenger, state=state), "the challenger is in use; the old model is")


@guarded
def rollback(
    model: o.ModelArgument,
    *,
    state: StateAgainOption = None,
) -> None:
    """Bring back the model that was in use before the last promote; given twice, the newer one."""
    from slidecell.jobs.promote import rollback as run

    _say(run(model, state=state), "the model before the last promote is in use; the other one is")


def _say(done: Promoted, what: str) -> None:
    typer.echo(f"{done.model}: {what} {done.old}{_STATES[done.state]}")

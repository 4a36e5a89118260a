"""Errors of the command line: one line on stderr and an exit status."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from slidecell import UnsupportedError

__all__ = ["BAD_INPUT", "guarded", "one_line"]

Command = TypeVar("Command", bound=Callable[..., None])

BAD_INPUT = (ValueError, TypeError, OSError, ImportError, MemoryError, UnsupportedError)


def one_line(error: BaseException) -> str:
    """Return what an error says as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def guarded(command: Command) -> Command:
    """Turn the errors of bad input into one line on stderr and an exit status.

    Where the reader of standard output has gone, the command ends quietly with status 1.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            if sys.stdout is not None:  # closed by the caller
                sys.stdout.flush()
        except BrokenPipeError:
            raise  # the reader of the output has gone, as head does: typer ends without a word
        except KeyboardInterrupt:
            typer.echo("interrupted: nothing was written", err=True)
            # An interrupt inside an exec() of text, as a library's import may be, is remembered by
            # CPython, which then ends by the signal instead of the status. Another exec() forgets.
            exec("")
            raise typer.Exit(130) from None
        except BAD_INPUT as e:
            typer.echo(f"error: {one_line(e)}", err=True)
            raise typer.Exit(1) from None

    return run  # type: ignore[return-value]

"""Options of a job as the command that would run it again."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from slidecell.jobs.rule_options import RuleOptions
from slidecell.tables.options import TableOptions
from slidecell.training.settings import WITHOUT_FLAG, TrainingSettings

__all__ = ["command_line"]

_POSITIONAL = ("model", "file")
_FLAGS = {"num_threads": "threads", "max_bytes": "max-memory"}


def command_line(command: str, options: Any) -> str:
    """Return the command line of options: what differs from its default, quoted for a shell.

    Parameters
    ----------
    command : str
        ``detect``, ``score``, or words as ``reproduce ensemble``.
    options : DetectOptions or ScoreOptions

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.detect import DetectOptions, TableOptions
    >>> from slidecell.jobs.command_line import command_line
    >>> options = DetectOptions(Path("my data.csv"), Path("out"), TableOptions(time="t"), window=7)
    >>> command_line("detect", options)
    "slidecell detect 'my data.csv' --out out --time t --window 7"
    """
    words = [str(getattr(options, name)) for name in _POSITIONAL if hasattr(options, name)]
    return shlex.join(["slidecell", *command.split(), *words, *_flags(options)])


def _flags(options: Any) -> list[str]:
    found: list[str] = []
    training = {field.name for kind in (TrainingSettings, RuleOptions) for field in fields(kind)}
    for field in sorted(fields(options), key=lambda field: field.name in training):
        value = getattr(options, field.name)
        flag = f"--{_FLAGS.get(field.name, field.name).replace('_', '-')}"
        if isinstance(value, TableOptions):
            found += _flags(value)
        elif field.name in {*_POSITIONAL, *WITHOUT_FLAG} or value == field.default:
            continue
        elif isinstance(value, tuple) and all(isinstance(item, str) for item in value):
            found += [word for item in value for word in (flag, item)]
        elif isinstance(value, tuple):
            found += [flag, ",".join(map(str, value))]
        elif value is True:
            found.append(flag)
        else:
            found += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return found

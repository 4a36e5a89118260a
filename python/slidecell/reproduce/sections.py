"""The page of a system: its figures, what was run, thresholds, highest scores, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from slidecell.jobs.command_line import command_line
from slidecell.jobs.environment import cpu_name, versions
from slidecell.jobs.report import Section, Table

if TYPE_CHECKING:
    from slidecell.reproduce.outcome import Outcome, SystemOptions

__all__ = ["outcome_sections", "system_command"]


def system_command(name: str, options: SystemOptions) -> str:
    """Return the command line that runs a system once more.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.reproduce import SystemOptions
    >>> from slidecell.reproduce.sections import system_command
    >>> system_command("ensemble", SystemOptions(Path("out"), full=True, seed=7, progress=False))
    'slidecell reproduce ensemble --out out --full --seed 7'
    """
    return command_line(f"reproduce {name}", replace(options, progress=True))


def outcome_sections(
    outcome: Outcome, options: SystemOptions, files: Sequence[str] = ()
) -> list[Section]:
    """Return the sections of a system's page; those with nothing to say are left out.

    Parameters
    ----------
    outcome : Outcome
    options : SystemOptions
    files : sequence of str
        Names of the files that are written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.reproduce import Comparison, Outcome, SystemOptions
    >>> from slidecell.reproduce.sections import outcome_sections
    >>> outcome = Outcome("tiny", "A tiny system", "", [Comparison("windows", "10", "12")])
    >>> sections = outcome_sections(outcome, SystemOptions(Path("out")))
    >>> [section.title for section in sections]
    ['Beside the source', 'What was run']
    >>> sections[1].tables[0].rows[:3]
    [['command', 'slidecell reproduce tiny --out out'], ['seed', '0'], ['size', 'quick: no --full']]
    """
    highest = [] if outcome.highest is None else [outcome.highest]
    sections = [
        Section("Beside the source", outcome.summary, [outcome.comparison_table()]),
        Section("What was run", None, [_run_table(outcome, options, files)]),
        Section("Thresholds", None, _threshold_tables(outcome)),
        Section("Highest scores", None, highest),
        Section("Details", None, outcome.tables),
        Section("Figures", None, [], list(outcome.figures.values())),
    ]
    return [s for s in sections if s.text or s.tables or s.figures]


def _run_table(outcome: Outcome, options: SystemOptions, files: Sequence[str]) -> Table:
    seconds = outcome.report.get("seconds")
    rows: Mapping[str, str] = {
        "command": system_command(outcome.name, options),
        "seed": str(options.seed),
        "size": "full: --full" if options.full else "quick: no --full",
        "data": "generated" if options.data is None else str(options.data),
        "scored by": _plan(outcome),
        "processor": cpu_name(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "time": "" if seconds is None else f"{seconds:,.1f} s",
        "files": "\n".join(files),
    }
    return Table(["", ""], [[name, text] for name, text in rows.items() if text])


def _plan(outcome: Outcome) -> str:
    plan = outcome.plan
    if plan is None:
        return ""
    return f"{plan['kernel']} ({plan['isa']}), threads: {plan['threads']}"


def _threshold_tables(outcome: Outcome) -> list[Table]:
    rows = [[t.name, f"{t.value:.6g}", t.rule, t.fitted_on] for t in outcome.thresholds]
    columns = ["threshold of", "value", "rule", "fitted on"]
    return [Table(columns, rows)] if rows else []

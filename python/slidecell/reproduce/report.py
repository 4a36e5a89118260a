"""The report of a reproduced system, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from slidecell.jobs.command_line import command_line
from slidecell.jobs.json_file import write_json
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.page import write_page
from slidecell.jobs.report import Report, Section, Table, page_only
from slidecell.jobs.results import machine
from slidecell.jobs.sections import run_section
from slidecell.reproduce.outcome import Outcome, SystemOptions

__all__ = ["add_files", "system_command", "system_report", "write_outcome"]


def system_command(name: str, options: SystemOptions) -> str:
    """Return the command line that runs a system once more.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.reproduce import SystemOptions
    >>> from slidecell.reproduce.report import system_command
    >>> system_command("ensemble", SystemOptions(Path("out"), full=True, seed=7, progress=False))
    'slidecell reproduce ensemble --out out --full --seed 7'
    """
    return command_line(f"reproduce {name}", replace(options, progress=True))


def system_report(outcome: Outcome, options: SystemOptions) -> Report:
    """Return the report of a system; sections with nothing to say are left out.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.reproduce import Comparison, Outcome, SystemOptions
    >>> from slidecell.reproduce.report import system_report
    >>> outcome = Outcome("tiny", "A tiny system", "", [Comparison("windows", "10", "12")])
    >>> report = system_report(outcome, SystemOptions(Path("out")))
    >>> [section.title for section in report.sections]
    ['Beside the source', 'What was run']
    >>> report.sections[1].tables[0].rows[:3]
    [['command', 'slidecell reproduce tiny --out out'], ['seed', '0'], ['size', 'quick: no --full']]
    """
    names = [*(f"{figure.name}.png" for figure in outcome.figures), "report.json", "report.html"]
    files = [str(options.out / name) for name in names]
    facts = _facts(outcome, options) | {"files": files}
    seconds = facts.get("seconds")
    sections = [
        Section("Beside the source", outcome.summary, [outcome.comparison_table()]),
        run_section(
            facts["command"],
            facts["machine"],
            {} if seconds is None else {"total": seconds},
            files,
            details={
                "seed": str(options.seed),
                "size": "full: --full" if options.full else "quick: no --full",
                "data": "generated" if options.data is None else str(options.data),
            },
        ),
        Section("Thresholds", tables=_threshold_tables(outcome)),
        Section("Highest scores", tables=[] if outcome.highest is None else [outcome.highest]),
        Section("Details", tables=outcome.tables),
        Section("Figures", figures=outcome.figures),
    ]
    sections = [section for section in sections if not section.empty]
    return Report(outcome.title, facts["command"], sections, files, facts)


def add_files(folder: OutputFolder, report: Report) -> None:
    """Add ``report.json``, ``report.html`` and one PNG per figure to a folder."""
    for figure in report.figures:
        folder.add(f"{figure.name}.png", figure.save)
    folder.add("report.json", lambda path: write_json(path, report))
    folder.add("report.html", lambda path: write_page(path, report))


def write_outcome(outcome: Outcome, options: SystemOptions) -> list[Path]:
    """Write ``report.json``, ``report.html`` and one PNG per figure: all of them, or none.

    Returns
    -------
    list of Path
        The files, in the folder ``options.out``.
    """
    report = system_report(outcome, options)
    with OutputFolder(options.out) as folder:
        add_files(folder, report)
    return [Path(file) for file in report.files]


def _facts(outcome: Outcome, options: SystemOptions) -> dict[str, Any]:
    """Return everything as numbers and texts, ready for JSON."""
    settings: Mapping[str, Any] = {
        **asdict(options),
        "out": str(options.out),
        "data": None if options.data is None else str(options.data),
    }
    here = machine(outcome.plan)
    return {
        "system": outcome.name,
        "title": outcome.title,
        "command": system_command(outcome.name, options),
        "options": settings,
        "comparisons": [asdict(comparison) for comparison in outcome.comparisons],
        "thresholds": [asdict(threshold) for threshold in outcome.thresholds],
        "highest": None if outcome.highest is None else outcome.highest.to_dict(),
        "tables": [table.to_dict() for table in outcome.tables],
        **outcome.report,
        "machine": {"cpu": here["processor"], "plan": None, **here},
    }


def _threshold_tables(outcome: Outcome) -> list[Table]:
    rows = [[t.name, f"{t.value:.6g}", t.rule, t.fitted_on] for t in outcome.thresholds]
    return [page_only(Table(["threshold of", "value", "rule", "fitted on"], rows))] if rows else []

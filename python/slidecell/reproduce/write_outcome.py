"""Files of a reproduced system: report, page and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidecell.jobs.environment import cpu_name, versions
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.page import write_page
from slidecell.reproduce.outcome import Outcome, SystemOptions
from slidecell.reproduce.sections import outcome_sections, system_command

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_outcome"]


def write_outcome(outcome: Outcome, options: SystemOptions) -> list[Path]:
    """Write ``report.json``, ``report.html`` and one PNG per figure: all of them, or none.

    Returns
    -------
    list of Path
        The files, in the folder ``options.out``.
    """
    names = [*(f"{name}.png" for name in outcome.figures), "report.json", "report.html"]
    sections = outcome_sections(outcome, options, names)
    with OutputFolder(options.out) as folder:
        for name, (_, figure) in outcome.figures.items():
            folder.add(f"{name}.png", _saver(figure))
        folder.add("report.json", lambda path: path.write_text(_as_json(outcome, options)))
        folder.add("report.html", lambda path: write_page(path, outcome.title, sections))
    return [options.out / name for name in names]


def _saver(figure: Figure) -> Any:
    return figure.savefig


def _as_json(outcome: Outcome, options: SystemOptions) -> str:
    settings: Mapping[str, Any] = {
        **asdict(options),
        "out": str(options.out),
        "data": None if options.data is None else str(options.data),
    }
    report = {
        "system": outcome.name,
        "title": outcome.title,
        "command": system_command(outcome.name, options),
        "options": settings,
        "comparisons": [asdict(c) for c in outcome.comparisons],
        "thresholds": [asdict(threshold) for threshold in outcome.thresholds],
        "highest": None if outcome.highest is None else asdict(outcome.highest),
        **outcome.report,
        "machine": {"cpu": cpu_name(), "versions": versions(), "plan": outcome.plan},
    }
    return json.dumps(report, indent=2, allow_nan=False) + "\n"

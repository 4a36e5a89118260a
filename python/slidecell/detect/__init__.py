"""Anomaly detection from files: read, split, scale, train, score, report.

`run_detect` is the command ``slidecell detect`` as a function, `run_score` is ``slidecell score``.
"""

from __future__ import annotations

from slidecell.detect.job import DetectOptions, run_detect
from slidecell.detect.rescore import ScoreOptions, run_score
from slidecell.detect.results import Result
from slidecell.detect.table import Table, TableOptions, read_table

__all__ = [
    "DetectOptions",
    "Result",
    "ScoreOptions",
    "Table",
    "TableOptions",
    "read_table",
    "run_detect",
    "run_score",
]

"""The four published systems that slidecell reproduces, one file each: data, run, comparison.

Every system is one command, ``slidecell reproduce NAME``, and one function,
``run(options) -> Outcome``, in the module of its name. `slidecell.reproduce.report` makes the
report of it, which the renderers of `slidecell.jobs` show: figures beside the source's own, tables,
pictures.
"""

from __future__ import annotations

from slidecell.reproduce.outcome import (
    Comparison,
    Outcome,
    SystemOptions,
    UsedThreshold,
)
from slidecell.reproduce.report import write_outcome

__all__ = ["Comparison", "Outcome", "SystemOptions", "UsedThreshold", "write_outcome"]

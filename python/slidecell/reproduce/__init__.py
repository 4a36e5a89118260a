"""The four published systems that slidecell reproduces, one file each: data, run, comparison.

Every system is one command, ``slidecell reproduce NAME --out DIR``, and one function,
``run(options) -> Outcome``, in the module of its name. `slidecell.reproduce.write_outcome` writes
what came of it: a table beside the source's own figures, pictures, a report and a page.
"""

from __future__ import annotations

from slidecell.reproduce.outcome import (
    Comparison,
    Outcome,
    SystemOptions,
    UsedThreshold,
)
from slidecell.reproduce.write_outcome import write_outcome

__all__ = ["Comparison", "Outcome", "SystemOptions", "UsedThreshold", "write_outcome"]

"""Lines of rows in, lines of scores out: the work of ``slidecell stream``."""

from __future__ import annotations

from slidecell.live.options import LiveOptions
from slidecell.live.run import run_live

__all__ = ["LiveOptions", "run_live"]

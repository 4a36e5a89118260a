"""The command ``slidecell stream``: it reads lines of rows and writes lines of scores."""

from __future__ import annotations

from slidecell.live.options import LiveOptions
from slidecell.live.run import run_live

__all__ = ["LiveOptions", "run_live"]

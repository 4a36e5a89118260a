"""Scoring of files that are larger than memory."""

from __future__ import annotations

from slidecell.scale.files import score_csv, score_parquet
from slidecell.scale.runs import ScoredFiles

__all__ = ["ScoredFiles", "score_csv", "score_parquet"]

"""Scoring of files that are larger than memory."""

from __future__ import annotations

from slidecell.scale.parquet import ScoredFiles, score_parquet

__all__ = ["ScoredFiles", "score_parquet"]

"""The facts of a report as a JSON file."""

from __future__ import annotations

import json
import math
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from slidecell._whole_files import replacing
from slidecell.jobs.report import Report

__all__ = ["to_json", "write_json"]


def write_json(path: str | PathLike[str], report: Report) -> None:
    """Write the facts of a report as one JSON file, its notes among them: whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(
            to_json(report.data | ({"notes": report.notes} if report.notes else {})),
            encoding="utf-8",
        )


def to_json(value: object) -> str:
    """Return JSON text (RFC 8259): NaN becomes null, infinity the text "Infinity"."""
    return json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0.0 else "-Infinity"
    return str(value) if isinstance(value, Path) else value

"""The formats of lines: CSV and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slidecell.live.csv_format import CsvFormat
from slidecell.live.json_format import JsonFormat
from slidecell.live.line_format import Format, HeaderError, UnreadableRowError
from slidecell.live.rows import Row

if TYPE_CHECKING:
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = [
    "CsvFormat",
    "Format",
    "HeaderError",
    "JsonFormat",
    "Row",
    "UnreadableRowError",
    "make_format",
]


def make_format(
    options: LiveOptions, model: SequenceModel | LiveDetector, *, columns: int = 0
) -> Format:
    """Return a reader and writer for one source of lines.

    Parameters
    ----------
    options : LiveOptions
    model : SequenceModel or LiveDetector
    columns : int
        That closed events name at most.
    """
    return (CsvFormat if options.format == "csv" else JsonFormat)(options, model, columns=columns)

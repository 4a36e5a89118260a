"""Data to try things on: generators of labelled series."""

from __future__ import annotations

from slidecell.datasets.ensemble import ENSEMBLE_KINDS, ensemble_series
from slidecell.datasets.insider import INSIDER_FEATURES, insider_threat
from slidecell.datasets.labelled import LabelledRows, LabelledSeries
from slidecell.datasets.stacked import stacked_lstm_table

__all__ = [
    "ENSEMBLE_KINDS",
    "INSIDER_FEATURES",
    "LabelledRows",
    "LabelledSeries",
    "ensemble_series",
    "insider_threat",
    "stacked_lstm_table",
]

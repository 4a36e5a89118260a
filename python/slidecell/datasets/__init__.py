"""Labelled data: generators, and loaders of published sets from a local folder."""

from __future__ import annotations

from slidecell.datasets.card_fraud import CARD_FEATURES, load_card_fraud
from slidecell.datasets.ensemble import ENSEMBLE_KINDS, ensemble_series
from slidecell.datasets.insider import insider_threat
from slidecell.datasets.labelled import LabelledRows, LabelledSeries
from slidecell.datasets.nab import load_nab
from slidecell.datasets.people import INSIDER_FEATURES
from slidecell.datasets.stacked import stacked_lstm_table
from slidecell.datasets.study import (
    INSIDER_KINDS,
    InsiderStudy,
    inject_incidents,
    insider_threat_study,
)
from slidecell.datasets.study_file import load_insider_study
from slidecell.datasets.telemetry import load_asd, load_smap_msl, load_smd

__all__ = [
    "CARD_FEATURES",
    "ENSEMBLE_KINDS",
    "INSIDER_FEATURES",
    "INSIDER_KINDS",
    "InsiderStudy",
    "LabelledRows",
    "LabelledSeries",
    "ensemble_series",
    "inject_incidents",
    "insider_threat",
    "insider_threat_study",
    "load_asd",
    "load_card_fraud",
    "load_insider_study",
    "load_nab",
    "load_smap_msl",
    "load_smd",
    "stacked_lstm_table",
]

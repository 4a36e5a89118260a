"""Metrics of scores and flags against labels, each beside that of random scores.

`evaluate` measures everything; each metric is also a function of labels and scores (whatever the
threshold) or of labels and flags. Where one class or no event is given, what needs it is None.
"""

from __future__ import annotations

from slidecell.evaluate.affiliation import affiliation, affiliation_f1
from slidecell.evaluate.curves import pr_auc, precision_at_k, recall_at_k, roc_auc
from slidecell.evaluate.delay import Delay, detection_delay, event_delays
from slidecell.evaluate.entities import alarms_per, label_entities, rank_entities
from slidecell.evaluate.events import event_f1, event_recall, point_adjust, point_adjusted_f1
from slidecell.evaluate.points import PointScores, classification_report, point_scores
from slidecell.evaluate.ranges import range_f1
from slidecell.evaluate.summary import Evaluation, default_vus_window, evaluate
from slidecell.evaluate.vus import vus

__all__ = [
    "Delay",
    "Evaluation",
    "PointScores",
    "affiliation",
    "affiliation_f1",
    "alarms_per",
    "classification_report",
    "default_vus_window",
    "detection_delay",
    "evaluate",
    "event_delays",
    "event_f1",
    "event_recall",
    "label_entities",
    "point_adjust",
    "point_adjusted_f1",
    "point_scores",
    "pr_auc",
    "precision_at_k",
    "range_f1",
    "rank_entities",
    "recall_at_k",
    "roc_auc",
    "vus",
]

"""Figures of series, scores, training and attributions: one style, no window, no global state.

Every function returns a `matplotlib.figure.Figure` made without pyplot; write it with
``figure.savefig("name.png")``. Colours stay apart for colour-blind readers, and what differs by
colour also differs by line, marker or hatch, for paper.
"""

from __future__ import annotations

from slidecell.plots.attribution import plot_feature_attribution, plot_member_attribution
from slidecell.plots.comparison import plot_comparison
from slidecell.plots.confusion import plot_confusion
from slidecell.plots.curves import plot_pr_curve, plot_roc_curve
from slidecell.plots.errors import plot_errors
from slidecell.plots.history import plot_history
from slidecell.plots.operating import plot_precision_recall_thresholds
from slidecell.plots.scatter import plot_score_scatter
from slidecell.plots.scores import plot_scores
from slidecell.plots.series import plot_series_flags

__all__ = [
    "plot_comparison",
    "plot_confusion",
    "plot_errors",
    "plot_feature_attribution",
    "plot_history",
    "plot_member_attribution",
    "plot_pr_curve",
    "plot_precision_recall_thresholds",
    "plot_roc_curve",
    "plot_score_scatter",
    "plot_scores",
    "plot_series_flags",
]

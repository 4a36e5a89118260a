"""How well scores and flags agree with labels, beside what guessing would reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require

__all__ = ["evaluate"]


def evaluate(labels: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: float) -> dict[str, Any]:
    """Compare labels [n] with scores [n]; a row is flagged if its score is above the threshold.

    Rows without a score take no part, and are counted. ``prevalence`` is the share of labelled
    rows: the precision, and the area under the precision-recall curve, of random scores.

    Returns
    -------
    dict
        ``rows``, ``positives``, ``prevalence``, ``unscored_rows``, ``unscored_positives``,
        ``roc_auc``, ``pr_auc`` (average precision), ``precision``, ``recall``, ``f1`` and the
        counts ``true_positives``, ``false_positives``, ``false_negatives``,
        ``true_negatives``. What one class alone leaves undefined is None, and ``note`` says why.

    Examples
    --------
    >>> from slidecell.detect.metrics import evaluate
    >>> found = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], threshold=0.5)
    >>> found["roc_auc"], found["recall"], round(found["precision"], 3)
    (1.0, 1.0, 0.667)
    """
    require("sklearn", extra="detect")
    from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

    truth, score = np.asarray(labels), np.asarray(scores, np.float64)
    scored = np.isfinite(score)
    found: dict[str, Any] = {
        "rows": int(scored.sum()),
        "positives": int((truth[scored] == 1).sum()),
        "unscored_rows": int((~scored).sum()),
        "unscored_positives": int((truth[~scored] == 1).sum()),
        "threshold": threshold,
    }
    truth, score = truth[scored], score[scored]
    flagged = (score > threshold).astype(np.int64)
    counts = confusion_matrix(truth, flagged, labels=[0, 1]) if len(truth) else np.zeros((2, 2))
    tn, fp, fn, tp = (int(count) for count in counts.ravel())
    found["prevalence"] = _ratio(tp + fn, len(truth))
    both = 0 < found["positives"] < len(truth)
    found["roc_auc"] = float(roc_auc_score(truth, score)) if both else None
    found["pr_auc"] = float(average_precision_score(truth, score)) if both else None
    found["precision"] = _ratio(tp, tp + fp)
    found["recall"] = _ratio(tp, tp + fn)
    found["f1"] = _ratio(2 * tp, 2 * tp + fp + fn)
    found |= {"true_positives": tp, "false_positives": fp}
    found |= {"false_negatives": fn, "true_negatives": tn}
    if len(truth) == 0:
        found["note"] = "no row of the test part has a score"
    elif not both:
        only = "anomalous" if found["positives"] else "normal"
        found["note"] = (
            f"all {len(truth)} scored rows of the test part are labelled {only}: "
            "ROC-AUC and PR-AUC need both"
        )
    return found


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None

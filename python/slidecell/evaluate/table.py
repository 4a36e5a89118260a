"""Write an evaluation as a table of plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slidecell._html import html_table

__all__ = ["as_html", "as_table", "metric_rows"]

_METRICS = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "vus_roc": "VUS-ROC",
    "vus_pr": "VUS-PR",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "accuracy": "accuracy",
    "range_f1": "range F1",
    "event_f1": "event F1",
    "affiliation_f1": "affiliation F1",
    "point_adjusted_f1_inflated": "point-adjusted F1 (inflated)",
}


def metric_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the name, the figure and that of random scores for each metric of an evaluation.

    Examples
    --------
    >>> from slidecell.evaluate import evaluate
    >>> from slidecell.evaluate.table import metric_rows
    >>> metric_rows(evaluate([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9]).to_dict())[0]
    ('ROC-AUC', '0.7500', '0.5000')
    """
    random = found["random"]
    return [(name, _number(found[key]), _number(random.get(key))) for key, name in _METRICS.items()]


def as_html(found: Mapping[str, Any]) -> str:
    """Write an evaluation's dictionary as a table of HTML: the metrics and those of random scores.

    Examples
    --------
    >>> from slidecell.evaluate import evaluate
    >>> from slidecell.evaluate.table import as_html
    >>> html = as_html(evaluate([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9]).to_dict())
    >>> "<tr><th>ROC-AUC</th><td>0.7500</td><td>0.5000</td></tr>" in html
    True
    """
    caption = f"{_rows_line(found)}; {_threshold_line(found)}"
    return html_table(caption, metric_rows(found), header=("", "found", "random"))


def as_table(found: Mapping[str, Any]) -> str:
    """Write an evaluation's dictionary as text, a line for each metric.

    Examples
    --------
    >>> from slidecell.evaluate import evaluate
    >>> from slidecell.evaluate.table import as_table
    >>> text = as_table(evaluate([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], threshold=0.7).to_dict())
    >>> for line in text.splitlines()[:4]:
    ...     print(line)
    4 rows, 2 anomalous (50.00 %) in 1 event
    threshold 0.7: 1 row flagged
                                      found  random
    ROC-AUC                          0.7500  0.5000
    """
    lines = [_rows_line(found), _threshold_line(found), f"{'':<32}{'found':>7}{'random':>8}"]
    lines += [f"{name:<32}{value:>7}{chance:>8}" for name, value, chance in metric_rows(found)]
    if found["events_found"] is not None:
        lines.append(_delay_line(found))
    if found["vus_pr"] is not None:
        line = f"VUS: buffers of up to {_count(found['vus_window'], 'row')}"
        lines.append(f"{line}, half of it on each side of an event")
    if found["random"]:
        lines.append("random: random scores with as many flags")
    if found["note"]:
        lines.append(f"note: {found['note']}")
    return "\n".join(lines)


def _rows_line(found: Mapping[str, Any]) -> str:
    line = f"{_count(found['rows'], 'row')}"
    if found["unscored_rows"]:
        line += f" ({found['unscored_rows']:,} more without a score)"
    if found["prevalence"] is not None:
        share = f"{100 * found['prevalence']:.2f} %"
        line += (
            f", {found['positives']:,} anomalous ({share}) in {_count(found['events'], 'event')}"
        )
    if found["entities"] > 1:
        line += f", {found['entities']:,} entities"
    return line


def _threshold_line(found: Mapping[str, Any]) -> str:
    if found["threshold_origin"] == "flags":
        return f"flags as given: {_count(found['flagged'], 'row')} flagged"
    if found["threshold"] is None:
        return "no threshold"
    origin = (
        " (oracle: the best F1 on these labels)" if found["threshold_origin"] == "oracle" else ""
    )
    return f"threshold {found['threshold']:.6g}{origin}: {_count(found['flagged'], 'row')} flagged"


def _delay_line(found: Mapping[str, Any]) -> str:
    line = f"{found['events_found']:,} of {_count(found['events'], 'event')} found"
    if found["delay_median"] is None:
        return line
    median = f"{found['delay_median']:g} row{'' if found['delay_median'] == 1 else 's'}"
    return f"{line}, after {median} (median; mean {found['delay_mean']:.3g})"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""System D's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from slidecell.evaluate import PointScores
from slidecell.jobs.highest import highest_rows, highest_table, label_texts
from slidecell.jobs.report import Table
from slidecell.reproduce.ensemble_gru import KernelCheck
from slidecell.reproduce.ensemble_protocol import GRID, Fitted, Ints, Part
from slidecell.thresholds.scores import Floats

__all__ = [
    "alerts_table",
    "attribution_table",
    "kernel_table",
    "kinds_table",
    "number",
    "report_table",
    "score_summary",
    "smoothing_table",
    "top_table",
    "ways_table",
    "weights_table",
]

_SUMMARY = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")


def number(value: float | None, digits: int = 3) -> str:
    """Return a figure as text; a dash for None.

    Examples
    --------
    >>> from slidecell.reproduce.ensemble_tables import number
    >>> number(0.12345), number(None)
    ('0.123', '-')
    """
    return "-" if value is None else f"{value:.{digits}f}"


def ways_table(fitted: Fitted, part: Part, caption: str) -> Table:
    """Metrics of each detector alone, of each way to fuse them, and of random scores."""
    columns = ["score", "PR-AUC", "VUS-PR", "ROC-AUC", "F1", "precision", "recall", "flagged"]
    columns += ["event F1"]
    rows = []
    for name, evaluation in part.evaluations.items():
        areas = (evaluation.pr_auc, evaluation.vus_pr, evaluation.roc_auc)
        points = (evaluation.f1, evaluation.precision, evaluation.recall)
        cells = [
            *map(number, areas + points),
            f"{evaluation.flagged:,}",
            number(evaluation.event_f1),
        ]
        rows.append([_short(name), *cells])
    random, flagged = part.evaluations[GRID].random, part.evaluations[GRID].flagged
    metrics = ("pr_auc", "vus_pr", "roc_auc", "f1", "precision", "recall")
    cells = [number(random.get(metric)) for metric in metrics]
    rows.append(["random", *cells, f"{flagged:,}", number(random["event_f1"])])
    return Table(columns, rows, f"{caption}; random: as many flags as the grid's")


def weights_table(held_out: Fitted, inside: Fitted) -> Table:
    """Weight of each detector in each way to fuse them, in both protocols."""
    names = held_out.names
    rows = []
    for name, way in held_out.ways.items():
        if name in names:
            continue  # a detector alone
        for protocol, weights in (
            ("second half", way.weights),
            ("in-sample", inside.ways[name].weights),
        ):
            rows.append([_short(name), protocol, *(f"{w:.2f}" for w in weights)])
    return Table(["weights", "rows", *names], rows, "weights of the detectors")


def top_table(
    names: Sequence[str],
    part: Part,
    *,
    kind: Ints | None,
    kinds: Sequence[str],
    times: Sequence[str] | None,
) -> Table:
    """List the rows with the highest fused scores, and what the detectors add to them."""
    top = highest_rows(part.fused)
    rows = part.rows[top]
    known = {} if times is None else {"time": [times[row] for row in rows]}
    known["labelled"] = (
        label_texts(part.labels[top]) if kind is None else [kinds[k] for k in kind[rows]]
    )
    return highest_table(
        rows,
        part.fused[top],
        part.contributions[: len(top)],
        names,
        columns=known,
        caption="second half, rows counted from 0; parts add up to the score less its mean over "
        "the rows that fitted",
    )


def kinds_table(fitted: Fitted, part: Part, kind: Ints, kinds: Sequence[str]) -> Table:
    """Share of the rows of each kind of anomaly that each way flags."""
    present = [k for k in range(1, len(kinds)) if (kind[part.rows] == k).any()]
    rows = []
    for name in fitted.ways:
        flags = part.flags[name]
        rows.append(
            [_short(name), *(number(flags[kind[part.rows] == k].mean(), 2) for k in present)]
        )
    counts = [int((kind[part.rows] == k).sum()) for k in present]
    columns = [f"{kinds[k]} ({n})" for k, n in zip(present, counts, strict=True)]
    return Table(["recall of", *columns], rows, "recall by kind of anomaly (rows), second half")


def score_summary(names: Sequence[str], scores: Floats, caption: str) -> Table:
    """Describe normalised scores [n, M] as pandas does: count, mean, std, quartiles, extremes.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.reproduce.ensemble_tables import score_summary
    >>> score_summary(["z-score"], np.arange(5.0)[:, None], "scores").rows[0][:4]
    ['z-score', '5', '2.000', '1.581']
    """
    rows = []
    for m, name in enumerate(names):
        column = scores[np.isfinite(scores[:, m]), m]
        quartiles = np.quantile(column, [0.0, 0.25, 0.5, 0.75, 1.0])
        figures = [column.mean(), column.std(ddof=1), *quartiles]
        rows.append([name, f"{len(column):,}", *map(number, figures)])
    return Table(["score", *_SUMMARY], rows, caption)


def attribution_table(names: Sequence[str], held_out: Part, inside: Part) -> Table:
    """Mean contribution of each detector to the highest fused scores."""
    means = [part.contributions.mean(axis=0) for part in (held_out, inside)]
    order = np.argsort(-means[0], kind="stable")
    rows = [[names[m], *(number(mean[m], 4) for mean in means)] for m in order]
    caption = f"mean attribution of the top {len(held_out.top)}"
    return Table(["detector", "second half", "in-sample"], rows, caption)


def alerts_table(parts: Iterable[tuple[str, Part]]) -> Table:
    """Rows with an alarm of the fixed threshold and of CUSUM."""
    rows = []
    for name, part in parts:
        rules = {
            "fixed": part.flags[GRID],
            "CUSUM": part.cusum,
            "CUSUM, begun again after an alarm": part.restarting,
        }
        for rule, flags in rules.items():
            rows.append([name, rule, *_points(part.points(flags))])
    caption = "alarms of the fused score: fixed threshold and two-sided CUSUM"
    return Table(["rows", "rule", "alarms", "precision", "recall", "F1"], rows, caption)


def smoothing_table(part: Part) -> Table:
    """Effect of a causal moving average, each with its own threshold from the first half."""
    by_length = {1: part.points(part.flags[GRID]), **part.smoothed}
    rows = [[str(n), *_points(points)] for n, points in by_length.items()]
    caption = "causal moving average of the fused score, second half"
    return Table(["rows averaged", "alarms", "precision", "recall", "F1"], rows, caption)


def report_table(title: str, points: PointScores) -> Table:
    """Precision, recall, F1 and support by class, as a classification report lists them.

    Examples
    --------
    >>> from slidecell.evaluate import point_scores
    >>> from slidecell.reproduce.ensemble_tables import report_table
    >>> for row in report_table("flags", point_scores([0, 0, 1, 1], [0, 1, 1, 1])).rows:
    ...     print(row)
    ['normal', '1.000', '0.500', '0.667', '2']
    ['anomaly', '0.667', '1.000', '0.800', '2']
    ['accuracy', '', '', '0.750', '4']
    """
    swapped = PointScores(
        true_positives=points.true_negatives,
        false_positives=points.false_negatives,
        false_negatives=points.false_positives,
        true_negatives=points.true_positives,
    )
    rows = []
    for name, counts in (("normal", swapped), ("anomaly", points)):
        support = counts.true_positives + counts.false_negatives
        figures = (counts.precision, counts.recall, counts.f1)
        rows.append([name, *map(number, figures), f"{support:,}"])
    total = sum(points.confusion_matrix[0]) + sum(points.confusion_matrix[1])
    rows.append(["accuracy", "", "", number(points.accuracy), f"{total:,}"])
    return Table(["class", "precision", "recall", "F1", "rows"], rows, title)


def kernel_table(kernel: KernelCheck) -> Table:
    """Compiled codes beside those of a loop over NumPy steps.

    Examples
    --------
    >>> from slidecell.reproduce.ensemble_gru import KernelCheck
    >>> from slidecell.reproduce.ensemble_tables import kernel_table
    >>> kernel_table(KernelCheck(1000, 64, 2e-7, 9.5, 2100.0)).rows[1]
    ['NumPy, step by step', '64', '2,100']
    """
    rows = [
        ["compiled", f"{kernel.windows:,}", f"{kernel.kernel_us:.2f}"],
        ["NumPy, step by step", f"{kernel.loop_windows:,}", f"{kernel.loop_us:,.0f}"],
    ]
    caption = f"codes of the random GRU; largest difference {kernel.difference:.1e}"
    return Table(["encoder", "windows", "us a window"], rows, caption)


def _short(name: str) -> str:
    """Leave out what the rows beside it say as well: a terminal has a hundred columns."""
    return name.removeprefix("ensemble, ")


def _points(points: PointScores) -> list[str]:
    alarms = points.true_positives + points.false_positives
    return [f"{alarms:,}", number(points.precision), number(points.recall), number(points.f1)]

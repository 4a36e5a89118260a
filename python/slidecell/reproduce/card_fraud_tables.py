"""System C's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from slidecell.jobs.highest import highest_rows, highest_table, label_texts
from slidecell.jobs.report import Table
from slidecell.reproduce.card_fraud_protocol import PROTOCOLS, Ints, Measured, Trained
from slidecell.reproduce.outcome import UsedThreshold
from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    from slidecell.datasets import LabelledRows
    from slidecell.model import SequenceModel

__all__ = [
    "bottleneck_table",
    "layer_table",
    "protocol_table",
    "spread",
    "threshold_table",
    "top_table",
    "used_thresholds",
]

_SHOWN = 3  # rows of each class whose code is shown


def spread(values: Sequence[float], *, digits: int = 3, unit: str = "") -> str:
    """Return the mean of some seeds' figures and their standard deviation; one seed's as it is.

    Examples
    --------
    >>> from slidecell.reproduce.card_fraud_tables import spread
    >>> spread([0.95, 0.97]), spread([40.0], digits=1, unit=" %")
    ('0.960 ± 0.014', '40.0 %')
    """
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean + unit
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}{unit}"


def layer_table(model: SequenceModel) -> Table:
    """List layers, output shapes and parameters, as Keras's ``summary()`` does.

    Examples
    --------
    >>> import slidecell as sc
    >>> from slidecell.reproduce.card_fraud_tables import layer_table
    >>> from slidecell.training import Autoencoder
    >>> model = sc.SequenceModel.from_torch(Autoencoder(29, window=1, single_bias=True))
    >>> layer_table(model).rows[-1]
    ['all', '', '6,381']
    """
    from slidecell.training import to_module

    module = to_module(model)  # with one bias per gate where the second ones are zero
    W, F = model.window, model.input_size
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in module.named_modules()
    }
    rows = [["input", f"[N, {W}, {F}]", "0"]]
    for stack in ("encoder", "decoder"):
        layers = getattr(module, stack)
        for index, layer in enumerate(layers):
            bottleneck = stack == "encoder" and index == len(layers) - 1
            shape = f"[N, {layer.hidden_size}]" if bottleneck else f"[N, {W}, {layer.hidden_size}]"
            name = f"LSTM {layer.hidden_size}{' (bottleneck)' if bottleneck else ''}"
            rows.append([name, shape, f"{counts[f'{stack}.{index}']:,}"])
        if stack == "encoder":
            rows.append(["repeat", f"[N, {W}, {module.code_size}]", "0"])
    rows.append([f"linear {F}", f"[N, {W}, {F}]", f"{counts['head']:,}"])
    rows.append(["all", "", f"{counts['']:,}"])
    return Table(["layer", "output", "parameters"], rows, "the network")


def protocol_table(results: Sequence[Sequence[Measured]], caption: str) -> Table:
    """Compare the protocols: `results` holds each seed's figures, one per protocol."""
    columns = ["protocol", "ROC-AUC", "PR-AUC", "precision", "recall", "F1", "recall at 40 %"]
    columns += ["TN", "FP", "FN", "TP"]
    rows = []
    for name, measured in zip(PROTOCOLS, zip(*results, strict=True), strict=True):
        row = [name, spread([f.roc_auc for f in measured]), spread([f.pr_auc for f in measured])]
        for figure in ("precision", "recall", "f1"):
            row.append(spread([getattr(f.points, figure) or 0.0 for f in measured]))
        row.append(spread([f.recall_at_precision for f in measured]))
        counts = np.mean([np.ravel(f.points.confusion_matrix) for f in measured], axis=0)
        row += [f"{count:,.{0 if len(measured) == 1 else 1}f}" for count in counts]
        rows.append(row)
    seeds = f"mean of {len(results)} seeds ± standard deviation" if len(results) > 1 else "one seed"
    note = "recall at 40 %: the highest that any threshold has with that precision, an oracle's"
    return Table(columns, rows, f"{caption}, {seeds}; {note}")


def threshold_table(scores: Floats, y: Ints, measured: Measured, source: float) -> Table:
    """Judge the first seed's reported rows at several thresholds."""
    from slidecell.evaluate import point_scores
    from slidecell.thresholds import BestFThreshold

    truth, error = y[measured.reported], scores[measured.reported]
    oracle = BestFThreshold().fit(error, truth).threshold
    rows = []
    for name, threshold in (
        ("best F1 on the rows that choose", measured.threshold),
        ("the source's, whose scaling is not stated", source),
        ("oracle: best F1 on these very rows", oracle),
    ):
        points = point_scores(truth, error > threshold)
        shares = [points.accuracy, points.precision, points.recall, points.f1]
        rows.append(
            [
                name,
                f"{threshold:.5f}",
                *("-" if share is None else f"{share:.4f}" for share in shares),
            ]
        )
    columns = ["threshold", "value", "accuracy", "precision", "recall", "F1"]
    return Table(columns, rows, f"seed one, {len(truth):,} rows, {int(truth.sum())} frauds")


def bottleneck_table(trained: Trained, data: LabelledRows, rows: Ints) -> Table:
    """Show the code of a few rows of each class, and their error."""
    y = data.label[rows]
    shown = np.concatenate([rows[y == label][:_SHOWN] for label in (0, 1)])
    codes = trained.detector.encode(data.series[shown])
    columns = ["row", "class", *(f"code {n + 1}" for n in range(codes.shape[1])), "error"]
    cells = [
        [
            str(row),
            "fraud" if data.label[row] else "normal",
            *(f"{value:.3f}" for value in code),
            f"{trained.scores[row]:.5f}",
        ]
        for row, code in zip(shown.tolist(), codes, strict=True)
    ]
    return Table(columns, cells, "the bottleneck of a few rows")


def used_thresholds(measured: Sequence[Measured], y: Ints, seed: int) -> list[UsedThreshold]:
    """List the threshold of each protocol, of one seed."""
    return [
        UsedThreshold(
            f"error, seed {seed}: {name}",
            way.threshold,
            "best F1",
            f"{len(way.choosing):,} test rows with {int(y[way.choosing].sum())} frauds, which are "
            "not reported on",
        )
        for name, way in zip(PROTOCOLS, measured, strict=True)
    ]


def top_table(trained: Trained, data: LabelledRows, rows: Ints) -> Table:
    """List the reported rows with the largest errors, and the features that they come from."""
    from slidecell.detect.attribution import feature_attribution

    top = rows[highest_rows(trained.scores[rows])]
    known = {} if data.time is None else {"time": [f"{moment:,.0f} s" for moment in data.time[top]]}
    known["labelled"] = label_texts(data.label[top])
    return highest_table(
        top,
        trained.scores[top],
        feature_attribution(trained.detector, data.series, top),
        data.columns,
        columns=known,
        caption="rows reported on, counted from 0 in the file; each feature's part in the error",
    )

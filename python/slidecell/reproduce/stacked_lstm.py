"""System B: a stacked LSTM forecasts a numeric table, and flags rows by their error.

LSTM 64, dropout, LSTM 32, dropout, a linear head; windows of 30 rows, 20 epochs of batches of 32.
The source takes the 95th percentile of the very errors that it judges, so that 5 % of any rows
are flagged; here the threshold comes from training errors, before the test part is looked at. The
source's way is computed beside it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.jobs.highest import highest_rows, highest_table, label_texts
from slidecell.jobs.report import Figure, Table, page_only
from slidecell.reproduce.outcome import Comparison, Outcome, SystemOptions, UsedThreshold
from slidecell.reproduce.stacked_further import (
    as_autoencoder,
    live,
    retrained,
    with_holes,
)
from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    from slidecell.detect import ForecastDetector

__all__ = ["run"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

WINDOW = 30
EPOCHS = 20
PERCENTILE = 95.0
_TEST_SHARE = 0.2  # of the windows: the source's 22 batches of training say 1,000 rows and this
_TIME_NAMES = ("time", "timestamp", "date", "datetime")
_LEAST_ROWS = 6 * WINDOW
# Of the source's last epochs, whose rows are missing: the figures are of another table.
_SOURCE_LOSS = "0.0096 (epoch 19)"
_SOURCE_VALIDATION = "0.00003 to 0.0033 (epochs 9 to 19)"


@dataclass(frozen=True)
class _Data:
    """A table in order of time: S rows, F features."""

    X: Floats  # [S, F]
    names: tuple[str, ...]
    times: npt.NDArray[Any] | None  # [S]
    y: Ints | None  # [S]
    source: str
    moments: list[str] | None = None  # [S]: times as text
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Judged:
    """Rows of one part, flagged in one way."""

    threshold: float
    scored: int
    flags: Bools


def run(options: SystemOptions) -> Outcome:
    """Run system B; its size is the source's, whether ``full`` or not.

    Parameters
    ----------
    options : SystemOptions
        ``data``: a CSV or Parquet file of numbers, with or without a column of times, and maybe a
        column ``label`` (1 = anomaly) to measure with. Default: a generated table of 1,000 rows.

    Returns
    -------
    Outcome
    """
    require("pandas", "sklearn", "matplotlib", extra="detect")
    require("torch", extra="train")
    began = time.perf_counter()
    data = _generated(options.seed) if options.data is None else _read(options.data)
    S = len(data.X)
    if S < _LEAST_ROWS:
        raise ValueError(f"{data.source}: expected at least {_LEAST_ROWS} rows, got {S}")
    cut = S - round(_TEST_SHARE * (S - WINDOW))  # the first row of the test part
    detector = _detector(options)
    detector.fit(data.X[:cut])
    scores = detector.score_samples(data.X)
    test = np.arange(S) >= cut
    ours = _judge(scores, test, float(detector.threshold_))
    judged = {
        "training errors (ours)": ours,
        "test errors (the source's way)": _judge(scores, test, None),
    }
    everywhere = {
        "training errors (ours)": _judge(scores, np.full(S, True), float(detector.threshold_)),
        "all errors (the source's way)": _judge(scores, np.full(S, True), None),
    }
    tables = [
        _flag_table(judged, data, scores, test, "the test part, flagged"),
    ]
    further = [
        _flag_table(everywhere, data, scores, np.full(S, True), "the whole table, flagged"),
        _further_table(detector, data, cut),
    ]
    history = detector.history_
    return Outcome(
        name="stacked-lstm",
        title="Stacked LSTM forecaster with dropout",
        summary=_summary(data, cut, ours),
        comparisons=_comparisons(detector, data, scores, cut, judged),
        tables=[*tables, *map(page_only, further)],
        figures=_figures(detector, data, scores, ours.threshold, cut),
        report={
            "data": {"source": data.source, "rows": S, "features": list(data.names)},
            "training": history.to_dict(),
            "threshold": ours.threshold,
            "flagged": {name: int(way.flags.sum()) for name, way in judged.items()},
            "seconds": time.perf_counter() - began,
        },
        thresholds=_thresholds(judged, cut, S),
        highest=_highest_table(detector, data, scores, cut),
        plan=detector.model_.plan(num_threads=options.num_threads or 1),
    )


def _generated(seed: int) -> _Data:
    from slidecell.datasets import stacked_lstm_table

    frame, label = stacked_lstm_table(seed=seed)
    names = tuple(map(str, frame.columns[1:]))
    return _Data(
        frame[list(names)].to_numpy(np.float64),
        names,
        frame["time"].to_numpy(),
        label,
        f"1,000 generated hours of five sensors, seed {seed}",
        frame["time"].astype(str).tolist(),
    )


def _read(path: Path) -> _Data:
    """Read a table's numeric columns; a column of times orders the rows."""
    from slidecell.tables.columns import to_numbers
    from slidecell.tables.files import read_frame
    from slidecell.tables.options import TableOptions
    from slidecell.tables.table import make_table

    frame = read_frame(path)
    named = {str(column).lower(): str(column) for column in frame.columns}
    moment = next((named[name] for name in _TIME_NAMES if name in named), None)
    label = named.get("label")
    others = [str(column) for column in frame.columns if str(column) not in {moment, label}]
    text = tuple(name for name in others if to_numbers(frame[name]) is None)
    options = TableOptions(time=moment, label=label, exclude=text, duplicates="keep")
    table = make_table(frame, options, source=str(path))
    left_out = (f"columns without numbers left out: {', '.join(text)}",) if text else ()
    given = table.times
    times = None if given is None else given.values
    if given is not None and given.kind == "date" and times is not None:
        times = times.astype("datetime64[ns]")
    moments = None if given is None else [given.text(row) for row in range(len(given.values))]
    labels = None if table.labels is None else table.labels.astype(np.int64)
    notes = (*table.notes, *left_out)
    return _Data(table.features, table.names or (), times, labels, str(path), moments, notes)


def _detector(options: SystemOptions) -> ForecastDetector:
    """Return the source's network: its layers, dropout, epochs, batches, validation share."""
    from slidecell.detect import ForecastDetector

    return ForecastDetector(
        window=WINDOW,
        hidden_size=(64, 32),
        dropout=0.2,
        head_dropout=0.2,
        epochs=EPOCHS,
        batch_size=32,
        validation=0.1,
        patience=None,
        contamination=1.0 - PERCENTILE / 100.0,
        reduction="mse",
        smoothing=1,
        random_state=options.seed,
        num_threads=options.num_threads or 1,
        progress=options.progress,
    )


def _judge(scores: Floats, part: Bools, threshold: float | None) -> _Judged:
    """Flag the part's rows above a threshold; None: above its own 95th percentile."""
    scored = part & np.isfinite(scores)
    if threshold is None:
        threshold = float(np.percentile(scores[scored], PERCENTILE))
    return _Judged(threshold, int(scored.sum()), (scores > threshold) & part)


def _flag_table(
    judged: dict[str, _Judged], data: _Data, scores: Floats, part: Bools, caption: str
) -> Table:
    """One row per way: threshold, flagged rows and, with labels, how they agree."""
    from slidecell.evaluate import evaluate

    columns = ["95th percentile of", "threshold", "flagged", "share"]
    rows = [
        [
            name,
            f"{way.threshold:.6f}",
            f"{way.flags.sum():,} of {way.scored:,}",
            f"{100 * way.flags.sum() / way.scored:.2f} %",
        ]
        for name, way in judged.items()
    ]
    if data.y is None:
        return Table(columns, rows, caption)
    columns += ["precision", "recall", "F1", "events found"]
    for row, way in zip(rows, judged.values(), strict=True):
        measured = evaluate(data.y[part], scores[part], threshold=way.threshold)
        row += [_figure(value) for value in (measured.precision, measured.recall, measured.f1)]
        row.append(f"{measured.events_found} of {measured.events}")
    return Table(columns, rows, caption)


def _thresholds(judged: dict[str, _Judged], cut: int, S: int) -> list[UsedThreshold]:
    rule = f"percentile {PERCENTILE:g} of the errors"
    ours, theirs = (way.threshold for way in judged.values())
    return [
        UsedThreshold("error, ours", ours, rule, f"rows 0 to {cut - 1:,}, which train"),
        UsedThreshold(
            "error, the source's way", theirs, rule, f"rows {cut:,} to {S - 1:,}: judged"
        ),
    ]


def _highest_table(detector: ForecastDetector, data: _Data, scores: Floats, cut: int) -> Table:
    """List the test rows with the largest errors, and the features that they come from."""
    from slidecell.detect.attribution import feature_attribution

    rows = cut + highest_rows(scores[cut:])
    known = {} if data.moments is None else {"time": [data.moments[row] for row in rows]}
    if data.y is not None:
        known["labelled"] = label_texts(data.y[rows])
    return highest_table(
        rows,
        scores[rows],
        feature_attribution(detector, data.X, rows),
        data.names,
        columns=known,
        caption="test part, rows counted from 0 in order of time; each feature's part in the error",
    )


def _further_table(detector: ForecastDetector, data: _Data, cut: int) -> Table:
    """Tell in a line each what the source speaks of beside its code."""
    rows = [
        ["autoencoder", as_autoencoder(detector, data.X, data.y, cut)],
        *([f"missing cells, {name}", text] for name, text in with_holes(detector, data.X, cut)),
        ["streaming", live(detector.model_, data.X, cut)],
        ["retraining", retrained(detector, data.X, cut)],
    ]
    return Table(["also", "found"], rows, "what the source names and does not show")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _summary(data: _Data, cut: int, ours: _Judged) -> str:
    notes = "".join(f" Note: {note}." for note in data.notes)
    return (
        f"{data.source}: {len(data.X):,} rows of {len(data.names)} features, the first {cut:,} "
        f"train (their last tenth of windows validates), the rest tests. Scaler, network and "
        f"threshold are fitted on the training rows only; {ours.flags.sum():,} of {ours.scored:,} "
        f"test rows are flagged.{notes}"
    )


def _comparisons(
    detector: ForecastDetector,
    data: _Data,
    scores: Floats,
    cut: int,
    judged: dict[str, _Judged],
) -> list[Comparison]:
    """Put the source's figures beside ours."""
    history = detector.history_
    windows = cut - WINDOW
    held_out = history.validation_windows
    best = history.best_epoch - 1
    ours, theirs = judged.values()
    test = len(data.X) - cut
    batches = -(-history.training_windows // history.batch_size)
    other = "the source's table is missing: another table's loss"
    return [
        Comparison("network", "LSTM 64, LSTM 32, dropout 0.2", "LSTM 64, LSTM 32, dropout 0.2"),
        Comparison("windows in all", "961 to 992 (31 batches)", f"{len(data.X) - WINDOW:,}"),
        Comparison(
            "batches of 32 per epoch",
            "22",
            f"{batches}",
            f"of {windows:,} windows {windows - history.training_windows - held_out} would share "
            f"rows with the {held_out} that validate, and are left out",
        ),
        Comparison("test windows", "193 to 224 (7 batches)", f"{test:,}"),
        Comparison(
            "training loss after 20 epochs",
            _SOURCE_LOSS,
            f"{history.train_loss[-1]:.4f} ({history.train_loss[0]:.4f} at first)",
            other,
        ),
        Comparison(
            "validation loss",
            _SOURCE_VALIDATION,
            f"{history.validation_loss[best]:.5f} (best, epoch {history.best_epoch})",
            "the best epoch's weights are kept; the source keeps the last epoch's",
        ),
        Comparison(
            "threshold",
            "of the test errors",
            f"{ours.threshold:.6f} of training errors",
            f"the source's way gives {theirs.threshold:.6f}",
        ),
        Comparison(
            "test rows flagged",
            "5 % whatever the rows",
            f"{100 * ours.flags.sum() / ours.scored:.1f} %",
            f"mean error {np.nanmean(scores[cut:]):.5f}, of training rows "
            f"{np.nanmean(scores[:cut]):.5f}",
        ),
    ]


def _figures(
    detector: ForecastDetector, data: _Data, scores: Floats, threshold: float, cut: int
) -> list[Figure]:
    from slidecell.plots import plot_history, plot_scores, plot_series_flags

    times = data.times
    shown: dict[str, Any] = {"threshold": threshold, "names": list(data.names)}
    part = np.where(np.arange(len(data.X)) < cut, "train", "test")
    flags = scores > threshold
    return [
        Figure(
            partial(
                plot_scores,
                data.X[cut:],
                scores[cut:],
                labels=None if data.y is None else data.y[cut:],
                times=None if times is None else times[cut:],
                title="test part",
                max_features=0,
                **shown,
            ),
            "Error of every test row, threshold and flagged rows.",
            "errors",
        ),
        Figure(
            partial(
                plot_scores,
                data.X,
                scores,
                labels=data.y,
                part=part,
                times=times,
                title="whole table",
                max_features=0,
                **shown,
            ),
            "The same over the whole table; the threshold comes from the training part.",
            "errors_all",
        ),
        Figure(
            partial(
                plot_series_flags, data.X, flags, labels=data.y, times=times, names=list(data.names)
            ),
            "The whole table with its flagged rows.",
            "series",
        ),
        Figure(partial(plot_history, detector.history_), "Loss of each epoch.", "training"),
    ]

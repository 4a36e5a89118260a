"""System D with other random numbers, a further detector and other series."""

from __future__ import annotations

import numpy as np

from slidecell.evaluate import pr_auc
from slidecell.jobs.report import Table
from slidecell.reproduce.ensemble_protocol import (
    GRID,
    REFINED,
    REFINED_AREA,
    WINDOW,
    Fitted,
    Ints,
    Part,
    detectors,
    fit_system,
    report_on,
)
from slidecell.reproduce.ensemble_tables import number
from slidecell.thresholds.scores import Floats

__all__ = ["gru_seeds", "other_series", "with_forecaster"]

_SEEDS = 6  # of the GRU
_SERIES = 5
_EPOCHS = 10


def gru_seeds(
    X: Floats, y: Ints, half: int, *, seed: int = 0, num_threads: int | None = None
) -> Table:
    """PR-AUC of the random GRU alone on the second half, for several draws of its weights."""
    rows = slice(half + WINDOW, len(X))
    areas = []
    for draw in range(seed, seed + _SEEDS):
        gru = dict(detectors(seed=draw, num_threads=num_threads))["random GRU"].fit(X[:half])
        areas.append(pr_auc(*_scored(y[rows], gru.score_samples(X)[rows])))
    columns = [f"seed {draw}" for draw in range(seed, seed + _SEEDS)]
    row = [number(value) for value in areas]
    return Table(["", *columns], [["PR-AUC", *row]], "random GRU alone, by its random weights")


def with_forecaster(
    X: Floats, y: Ints, half: int, *, seed: int = 0, num_threads: int | None = None
) -> Table:
    """Return the second half's figures with a trained forecaster as a fifth detector."""
    from slidecell.detect import ForecastDetector

    forecaster = ForecastDetector(
        epochs=_EPOCHS,
        scaler="standard",
        reduction="mse",
        smoothing=1,
        random_state=seed,
        num_threads=num_threads,
    )
    fitted = fit_system(
        X[:half],
        y[:half],
        seed=seed,
        num_threads=num_threads,
        further=[("forecaster", forecaster)],
    )
    part = report_on(fitted, X, y, slice(half + WINDOW, len(X)))
    rows = []
    for name in ("forecaster", GRID, REFINED, REFINED_AREA):
        figures = part.evaluations[name]
        weights = " ".join(f"{w:.2f}" for w in fitted.ways[name].weights)
        rows.append([name, number(figures.pr_auc), number(figures.f1), weights])
    caption = f"second half, with a forecaster (LSTM 64, {_EPOCHS} epochs) as a fifth detector"
    return Table(["score", "PR-AUC", "F1", "weights"], rows, caption)


def other_series(first: int, *, seed: int = 0, num_threads: int | None = None) -> Table:
    """Return the second half's figures of other generated series: best detector alone, fused."""
    from slidecell.datasets import ensemble_series

    rows = []
    for number_of in range(first + seed, first + seed + _SERIES):
        data = ensemble_series(seed=number_of)
        half = len(data.series) // 2
        fitted = fit_system(
            data.series[:half], data.label[:half], seed=seed, num_threads=num_threads
        )
        part = report_on(fitted, data.series, data.label, slice(half + WINDOW, None))
        rows.append([str(number_of), *_best_and_fused(fitted, part)])
    columns = ["series", "best alone: PR-AUC", "F1", "grid: PR-AUC", "F1"]
    columns += ["refined by F1: PR-AUC", "F1", "refined by PR-AUC: PR-AUC", "F1"]
    return Table(columns, rows, "second half of other series")


def _best_and_fused(fitted: Fitted, part: Part) -> list[str]:
    cells = []
    for metric in ("pr_auc", "f1"):
        alone = [getattr(part.evaluations[name], metric) for name in fitted.names]
        cells.append(number(max(alone)))
    for name in (GRID, REFINED, REFINED_AREA):
        cells += [number(part.evaluations[name].pr_auc), number(part.evaluations[name].f1)]
    return cells


def _scored(labels: Ints, scores: Floats) -> tuple[Ints, Floats]:
    there = np.isfinite(scores)
    return labels[there], scores[there]

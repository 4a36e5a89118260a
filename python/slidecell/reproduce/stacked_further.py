"""System B beyond its code: autoencoder, missing values, streaming, retraining, a line each."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell.tables.filling import fill_forward
from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    from slidecell.detect import ForecastDetector
    from slidecell.model import SequenceModel

__all__ = ["as_autoencoder", "live", "retrained", "with_holes"]

Ints = npt.NDArray[np.int64]

_HOLES = 3
_MORE_EPOCHS = 5


def as_autoencoder(forecaster: ForecastDetector, X: Floats, y: Ints | None, cut: int) -> str:
    """Reconstruct windows instead: the same sizes mirrored, trained alike on X [S, F] to `cut`."""
    from slidecell.detect import AutoencoderDetector
    from slidecell.evaluate import roc_auc

    sizes = tuple(forecaster.hidden_size)  # type: ignore[arg-type]
    detector = AutoencoderDetector(
        window=forecaster.window,
        encoder_sizes=sizes,
        decoder_sizes=sizes[::-1],
        dropout=forecaster.dropout,
        contamination=forecaster.contamination,
        epochs=forecaster.epochs,
        batch_size=forecaster.batch_size,
        validation=forecaster.validation,
        patience=None,
        random_state=forecaster.random_state,
        num_threads=forecaster.num_threads,
        progress=forecaster.progress,
    ).fit(X[:cut])
    scores = detector.score_samples(X)
    flagged = scores[cut:] > detector.threshold_
    history = detector.history_
    text = (
        f"LSTM {', '.join(map(str, sizes))} and back: validation loss "
        f"{history.validation_loss[history.best_epoch - 1]:.5f}, {flagged.sum():,} of "
        f"{len(X) - cut:,} test rows flagged"
    )
    if y is None or not 0 < y[cut:].sum() < len(X) - cut:
        return text
    own = roc_auc(y[cut:], scores[cut:])
    other = roc_auc(y[cut:], forecaster.score_samples(X)[cut:])
    return f"{text}, ROC-AUC {own:.3f} (forecaster {other:.3f})"


def with_holes(detector: ForecastDetector, X: Floats, cut: int) -> Iterator[tuple[str, str]]:
    """Score the test rows with a few cells missing: what each way of handling them leaves."""
    whole = detector.score_samples(X)
    holed = X.copy()
    rng = np.random.default_rng(0)
    rows = rng.choice(np.arange(cut, len(X)), min(_HOLES, len(X) - cut), replace=False)
    holed[rows, rng.integers(0, X.shape[1], len(rows))] = np.nan
    filled = holed.copy()
    fill_forward(filled, np.array([0, len(X)]))
    for missing, given in (("skip", holed), ("ffill", filled)):
        scores = detector.score_samples(given)[cut:]
        scored = np.isfinite(scores)
        same = scores[scored] == whole[cut:][scored]
        flagged = scores > detector.threshold_
        kept = (
            f"{scored.sum():,} of {len(scores):,} test rows scored, {flagged.sum():,} flagged, "
            f"{same.sum():,} scores bit for bit as without the {len(rows)} holes"
        )
        yield missing, kept


def live(model: SequenceModel, X: Floats, cut: int) -> str:
    """Push the test rows one at a time, after a window of training rows."""
    first = max(0, cut - model.window)
    expected = model.score(X[first:], kernel="fma")  # whose bits a stream has
    stream = model.stream()
    got = np.empty(len(expected), np.float32)
    seconds = np.empty(len(expected))
    for row, values in enumerate(X[first:]):
        began = time.perf_counter()
        got[row] = stream.push(values)
        seconds[row] = time.perf_counter() - began
    same = got.view(np.uint32) == expected.view(np.uint32)
    same |= np.isnan(got) & np.isnan(expected)
    scored = np.isfinite(got)
    return (
        f"{(same & scored).sum():,} of {scored.sum():,} rows scored bit for bit as in the batch, "
        f"{1e6 * np.median(seconds):.1f} us a row"
    )


def retrained(detector: ForecastDetector, X: Floats, cut: int) -> str:
    """Go on training with the first half of the test rows; compare on the second half."""
    half = (cut + len(X)) // 2
    later = X[half - detector.window :]  # its first windows look back
    before = float(np.nanmean(detector.model_.score(later)))
    again = copy.deepcopy(detector).set_params(epochs=_MORE_EPOCHS)
    again.fit(X[:half], warm_start=True)
    after = float(np.nanmean(again.model_.score(later)))
    kept = "the new model is kept" if after < before else "the old model is kept"
    return (
        f"{_MORE_EPOCHS} more epochs with {half - cut:,} new rows: error of the last "
        f"{len(X) - half:,} rows {before:.6f} before, {after:.6f} after; {kept}"
    )

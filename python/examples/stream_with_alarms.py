"""Score rows as they arrive, raise alarms, and go on after a restart."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import slidecell as sc
from slidecell.detect import ForecastDetector
from slidecell.thresholds import PercentileThreshold
from slidecell.thresholds.smoothing import EWMA


def main() -> None:
    """Fit on past rows, watch later ones, save the monitor in between."""
    t = np.arange(3000)[:, None]
    rows = np.sin(t / [4.0, 7.0]) + np.random.default_rng(0).normal(0, 0.05, (3000, 2))
    rows[2500:2505, 0] += 2.0

    detector = ForecastDetector(window=16, scaler="standard", epochs=3, random_state=0)
    detector.fit(rows[:1500])
    model = detector.model_
    calm = EWMA(0.3).apply(model.score(rows[1500:2000])[16:])
    rule = PercentileThreshold(99.9).fit(calm)

    monitor = sc.Monitor(model.stream(), threshold=rule, smoothing=EWMA(0.3))
    for row in rows[2000:2400]:
        monitor.push(row)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "monitor"
        monitor.save(file)
        monitor = sc.Monitor.load(model, file)  # of another process, say

    for number, row in enumerate(rows[2400:2600], 2400):
        event = monitor.push(row)
        if event.alarm:
            share = event.attribution
            column = "" if share is None else f", column {share.argmax()} has {share.max():.0%}"
            print(f"row {number}: {event.smoothed:.2f} > {event.threshold:.2f}{column}")
            break


if __name__ == "__main__":
    main()

"""Let several detectors vote, and report events instead of rows."""

from __future__ import annotations

import numpy as np

from slidecell.datasets import ensemble_series
from slidecell.detect import Ensemble, KMeansDetector, RidgeDetector, ZScoreDetector
from slidecell.evaluate import evaluate
from slidecell.thresholds import find_events


def main() -> None:
    """Fit three detectors, tune them on labelled rows, and list what is found in others."""
    data = ensemble_series(rows=6000)
    train, tune, test = slice(0, 2000), slice(2000, 4000), slice(4000, 6000)
    ensemble = Ensemble(
        [
            ("ridge", RidgeDetector(window=16)),
            ("k-means", KMeansDetector(window=16, n_clusters=10, random_state=0)),
            ("z-score", ZScoreDetector()),
        ]
    )
    ensemble.fit(data.series[train])
    ensemble.tune(data.series[tune], data.label[tune], objective="f1")

    scores = ensemble.score_samples(data.series[test])
    flags = np.nan_to_num(scores) > ensemble.threshold_
    events = find_events(flags, scores, gap=16, threshold=ensemble.threshold_)
    found = evaluate(data.label[test], scores, threshold=ensemble.threshold_)
    print(f"{len(events)} events, {found.events_found} of {found.events} labelled ones found")
    for event in sorted(events, key=lambda event: -event.peak)[:3]:
        rows = f"rows {4000 + event.start} to {4000 + event.end}"
        print(f"{rows}: peak {event.peak:.2f}, {event.flagged} flagged")


if __name__ == "__main__":
    main()

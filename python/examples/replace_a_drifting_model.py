"""Watch live rows for drift, retrain on the last ones, compare both models, let the new one in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from slidecell.detect import RetrainOptions, ZScoreDetector, load_detector, run_retrain
from slidecell.detect.drift import DriftMonitor
from slidecell.jobs.promote import promote, rollback


def rows_of(rows: int, heat: float, seed: int) -> pd.DataFrame:
    """Return rows of two sensors."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"load": rng.normal(size=rows), "heat": rng.normal(heat, 2.0, rows)})


def main() -> None:
    """Fit, drift, retrain, promote, roll back."""
    folder = Path(tempfile.mkdtemp())
    model, challenger = folder / "model", folder / "challenger"
    ZScoreDetector().fit(rows_of(4000, 50.0, 0)).save(model)

    monitor = DriftMonitor(load_detector(model))
    live = pd.concat([rows_of(600, 50.0, 1), rows_of(1500, 58.0, 2)], ignore_index=True)
    said = "fine"
    for number in range(0, len(live), 30):
        advisory = monitor.update(live.iloc[number : number + 30]).advisory
        if advisory.advice != said:
            print(f"after {advisory.rows} rows: {advisory}")
            said = advisory.advice

    # The command does all of this: slidecell retrain MODEL FOLDER --if-drift, on the rows that
    # slidecell stream --keep-rows FOLDER has kept.
    live.tail(1200).to_csv(folder / "recent.csv", index=False)
    asked = RetrainOptions(model, folder / "recent.csv", folder / "new")
    found = run_retrain(asked, progress=False)
    found.detector.save(challenger)
    for name in ("old", "new"):
        measured = found.report[name]
        print(f"{name}: flags {measured['flagged']} of {measured['scored']} held-out rows")

    promote(model, challenger)
    print("in use:", load_detector(model).training_statistics_.columns.mean.round().tolist())
    rollback(model)
    print("again:", load_detector(model).training_statistics_.columns.mean.round().tolist())


if __name__ == "__main__":
    main()

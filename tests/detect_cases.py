"""Small data and jobs that several test files run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slidecell.jobs.detect import DetectOptions, run_detect
from slidecell.tables.options import TableOptions

PANEL = TableOptions(time="day", entity="user", label="label")


def panel(users=4, days=60) -> pd.DataFrame:
    """Users of a weekly rhythm with a labelled spike in the last days of two of them."""
    rng = np.random.default_rng(1)
    frames = []
    for user in range(users):
        day = np.arange(days)
        frame = pd.DataFrame(
            {
                "user": f"u{user}",
                "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D"),
                "load": np.sin(day / 7 * 2 * np.pi) + rng.normal(0, 0.1, days),
                "mail": rng.poisson(5, days),
                "label": 0,
            }
        )
        if user % 2:
            frame.loc[days - 5, ["load", "label"]] = [8.0, 1]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def options(file, out, **changes):
    small = {"table": PANEL, "detector": "forecast", "window": 5, "hidden_size": (8,)}
    small |= {"epochs": 1, "num_threads": 1}
    return DetectOptions(file=file, out=out, **(small | changes))


def run(tmp_path, frame=None, name="in.csv", **changes):
    file = tmp_path / name
    frame = panel() if frame is None else frame
    if name.endswith(".csv"):
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file, index=False)
    return run_detect(options(file, tmp_path / "out", **changes), progress=False)

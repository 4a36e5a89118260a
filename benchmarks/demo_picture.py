"""``python -m benchmarks.demo_picture FOLDER``: draw the README's picture from a demo's results.

FOLDER is what ``slidecell demo --out FOLDER`` wrote. `slidecell.plots.plot_scores` draws one user's
score and the three features that leave their usual values most.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from slidecell.plots import plot_scores

PICTURE = Path(__file__).parent / "results" / "demo.png"
KEYS = ["user", "day"]
SIZE = (9.6, 5.4)  # inches
FEATURES = 3


def draw(folder: Path, picture: Path) -> None:
    """Write the picture of the results in `folder`."""
    data = pd.read_csv(folder / "insider_threat.csv", parse_dates=["day"])
    scores = pd.read_csv(folder / "scores.csv", parse_dates=["day"])
    report = json.loads((folder / "report.json").read_text())
    rows = data.merge(scores, on=KEYS, validate="one_to_one").sort_values(KEYS)
    names = [name for name in data.columns if name not in {*KEYS, "label"}]
    figure = plot_scores(
        rows[names].to_numpy(),
        rows["score"].to_numpy(),
        threshold=report["threshold"]["value"],
        labels=rows["label"].to_numpy(np.int64),
        part=rows["part"].to_numpy(),
        times=rows["day"].to_numpy(),
        entities=rows["user"].to_numpy(),
        names=names,
        max_features=FEATURES,
    )
    figure.set_size_inches(*SIZE)
    figure.savefig(picture, format="png", dpi=100)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo_picture", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="what slidecell demo --out FOLDER wrote")
    parser.add_argument("--out", type=Path, default=PICTURE, help="default: %(default)s")
    options = parser.parse_args(arguments)
    draw(options.folder, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

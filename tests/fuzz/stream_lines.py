"""Lines that ``slidecell stream`` reads, in this process: a bad line is reported and passed over.

Run ``python -m tests.fuzz.stream_lines --seconds 20``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from slidecell.detect import KMeansDetector
from tests.fuzz.changes import change_bytes
from tests.fuzz.driver import ALLOWED, Reached, check_text, main
from tests.fuzz.rows import csv_text, json_lines
from tests.live_lines import live, save_model


def save_detector(path: Path) -> None:
    """Save a detector of the same columns that is no network."""
    frame = pd.DataFrame(np.random.default_rng(0).random((60, 2)), columns=["load", "heat"])
    KMeansDetector(3, n_clusters=4, contamination=0.2, random_state=0).fit(frame).save(path)


class Lines:
    """Makes lines and lets a stream read them; the state goes on from one input to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        save_model(folder / "model.safetensors")
        save_detector(folder / "detector")
        self.state = folder / "state"

    def __call__(self, random: Random) -> Reached:
        lines = random.random() < 0.5
        text = (json_lines if lines else csv_text)(random).encode("utf-8", "surrogatepass")
        if random.random() < 0.1:
            text = change_bytes(text, random)
        options: dict[str, Any] = {"format": "jsonl" if lines else "csv"}
        options["max_entities"] = random.choice((1, 4, 40))
        options["on_error"] = "skip" if random.random() < 0.9 else "fail"
        if random.random() < 0.2:
            options["max_gap"] = random.choice(("2", "1s", "1e400", "x", "-1", "nan"))
        if random.random() < 0.1:
            options["missing"] = "ffill"
        if random.random() < 0.3:
            options["output"] = random.choice(("events", "both"))
            options["event_gap"] = random.choice((None, 0, 1, 5))
        if random.random() < 0.3:
            options["model"] = self.folder / "detector"
        saves = random.random() < 0.2
        if saves:
            options["state"] = self.state
            self.state.unlink(missing_ok=True)
        try:
            out, _ = live(self.folder, text, **options)
            if saves and self.state.exists():
                # What was saved can be loaded: the same lines, in another run.
                options["on_error"] = "skip"
                live(self.folder, text, **options)
        except ALLOWED as error:
            check_text(error)
            if "not written, it could not be read" in str(error):
                raise AssertionError("a state that no start would read") from error
            return Reached.NOTHING
        return Reached.ALL if out.count("\n") > 1 else Reached.HEADER


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="slidecell-fuzz-") as scratch:
        sys.exit(main("tests.fuzz.stream_lines", Lines(Path(scratch))))

"""A fleet's rows with holes and odd values, and detectors that decide in every way."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slidecell.detect import PCADetector, RidgeDetector, WindowPCADetector, ZScoreDetector
from slidecell.detect.model_detector import ModelDetector
from slidecell.model import SequenceModel
from slidecell.thresholds import CusumThreshold, PercentileThreshold, PerEntityThreshold
from slidecell.thresholds.smoothing import EWMA, MovingAverage
from tests.models import MODELS, random_model

OPTIONS: dict[str, Any] = {"entity": "id", "time": "at", "max_gap": "1h", "duplicates": "keep"}


def fleet(rows: int = 600, *, entities: int = 5, seed: int = 0) -> Any:
    """Return rows of entities that interleave, in the order of time, with holes and odd values."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.array(["b", "a", "10", "9", "new"])[rng.integers(0, entities, rows)],
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) * 60, unit="s"),
            "x": np.sin(np.arange(rows) / 9) + 0.1 * rng.normal(size=rows),
            "y": rng.normal(size=rows),
        }
    )
    frame.loc[rng.integers(0, rows, rows // 50), "x"] = np.nan
    frame.loc[rows // 2 : rows // 2 + 3, "y"] = 60.0
    frame.loc[rows - 7, "y"] = 1e300
    frame.loc[frame.index > rows // 2, "at"] += pd.Timedelta("3h")
    return frame


def write_files(folder: Path, frame: Any, *, files: int = 3, group: int = 70) -> Path:
    folder.mkdir(exist_ok=True)
    for n, part in enumerate(np.array_split(np.arange(len(frame)), files)):
        frame.iloc[part].to_parquet(folder / f"{n}.parquet", index=False, row_group_size=group)
    return folder


def shared_fleet() -> Any:
    """Return rows that are the same wherever they are made: no function rounds on the way."""
    rng, rows = np.random.default_rng(7), 900
    frame = pd.DataFrame({"id": np.array(["b", "a", "10", "9", "new"])[rng.integers(0, 5, rows)]})
    minutes = np.arange(rows) + 180 * (np.arange(rows) > rows // 2)
    start = pd.Timestamp("2024-10-26 20:00", tz="UTC")
    frame["at"] = (start + pd.to_timedelta(minutes, unit="min")).astype("datetime64[us, UTC]")
    for name in ("x", "y"):
        frame[name] = rng.integers(-2048, 2048, rows) / 1024
    frame.loc[rng.integers(0, rows, rows // 50), "x"] = np.nan
    return frame


def random_cuts(rows: int, parts: int, seed: int) -> list[slice]:
    """Return slices that divide rows at random places."""
    inside = np.random.default_rng(seed).choice(np.arange(1, rows), parts - 1, replace=False)
    cuts = [0, *sorted(map(int, inside)), rows]
    return [slice(*ends) for ends in pairwise(cuts)]


def keep_digest(engine: str, scored: Any) -> None:
    """Write what tells scores and flags from others of any bit, for `.ci/scale` to compare.

    One process, Ray and Spark each do so in an environment of its own, with the shared fleet.
    """
    folder = os.environ.get("SLIDECELL_TEST_DIGESTS")
    if folder:
        bits = scored["score"].to_numpy(np.float32).tobytes()
        bits += scored["flagged"].to_numpy(np.int8).tobytes()
        (Path(folder) / engine).write_text(f"{hashlib.sha256(bits).hexdigest()}\n")


def network(**metadata: Any) -> SequenceModel:
    spec = MODELS["lstm"] | {"features": 2}
    model = SequenceModel(*random_model(np.random.default_rng(1), **spec))
    rule = {"kind": "fixed", "value": 1.5}
    return model.with_metadata(features=["x", "y"], threshold=rule, **metadata)


DETECTORS = {
    "zscore": lambda X: ZScoreDetector(entity="id", time="at", contamination=0.02).fit(X),
    "ffill": lambda X: PCADetector(entity="id", time="at", missing="ffill").fit(X),
    "window": lambda X: WindowPCADetector(window=12, entity="id", time="at").fit(X),
    "cusum": lambda X: ZScoreDetector(
        entity="id", time="at", threshold=CusumThreshold(k=0.5, h=3.0)
    ).fit(X),
    "per entity": lambda X: ZScoreDetector(
        entity="id", time="at", threshold=PerEntityThreshold(PercentileThreshold(97.0), least=20)
    ).fit(X),
    "cusum per entity": lambda X: ZScoreDetector(
        entity="id", time="at", threshold=PerEntityThreshold(CusumThreshold(k=0.5, h=3.0), least=20)
    ).fit(X),
    "ridge": lambda X: RidgeDetector(window=5, entity="id", time="at").fit(X),
    "network": lambda X: ModelDetector.of(network()),
    "ewma": lambda X: ModelDetector.of(network(smoothing=EWMA(0.25).state())),
    "average": lambda X: ModelDetector.of(network(smoothing=MovingAverage(4).state())),
}

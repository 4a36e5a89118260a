"""A fleet's rows with holes and odd values, and detectors that decide in every way."""

from __future__ import annotations

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

"""Rows that come masked, in unread frames, with columns twice; and models for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

pytest.importorskip("torch")
from slidecell.detect import ZScoreDetector
from slidecell.jobs.score import ScoreOptions, run_score
from slidecell.scaling import apply_scaler, fit_scaler
from tests.detectors import ALL, make, series

FRAME = pd.DataFrame({"user": [1, 1, 2, 2], "x": [1.0, 2.0, 3.0, 5.0]})


@pytest.mark.parametrize("kind", ALL)
def test_masked_cells_are_missing(kind: str) -> None:
    X = series(80)
    mask = np.zeros(X.shape, bool)
    mask[40, 1] = True
    expected = make(kind).fit(np.where(mask, np.nan, X))
    detector = make(kind).fit(np.ma.masked_array(np.where(mask, 1e20, X), mask))
    assert np.array_equal(detector.decision_scores_, expected.decision_scores_, equal_nan=True)


def test_masked_integers_and_masks_of_nothing() -> None:
    masked = np.ma.masked_array([[1], [2], [4]], mask=[[False], [True], [False]])
    assert np.isnan(ZScoreDetector(0.05).fit(masked).decision_scores_).tolist() == [
        False,
        True,
        False,
    ]
    assert masked.data.tolist() == [[1], [2], [4]]
    assert fit_scaler(masked, "minmax")["scale"] == [3.0]
    assert np.isnan(apply_scaler(None, masked)[:, 0]).tolist() == [False, True, False]
    assert apply_scaler(None, np.ma.masked_array([[1], [2]]))[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("role", ["entity", "time"])
def test_role_columns_that_occur_twice_are_named(role: Any) -> None:
    twice = pd.concat([FRAME, FRAME[["user"]]], axis=1)
    with pytest.raises(ValueError, match=f"{role}: column 'user' occurs 2 times in X"):
        ZScoreDetector(**{role: "user"}).fit(twice)


@pytest.mark.parametrize("entity", [None, "user"])
def test_lazy_frames_are_refused_with_the_remedy(entity: str | None) -> None:
    with pytest.raises(TypeError, match=r"got a LazyFrame: X\.collect\(\) makes one"):
        ZScoreDetector(entity=entity).fit(pl.from_pandas(FRAME).lazy())


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas])
def test_durations_are_times(convert: Any) -> None:
    hours = [30, 2, 11, 4]
    frame = FRAME.assign(time=pd.to_timedelta(hours, unit="h"))
    numbered = FRAME.assign(time=hours)
    options: dict[str, Any] = {"window": 2, "time": "time"}
    expected = make("rolling_variance", **options).fit(numbered).decision_scores_
    scores = make("rolling_variance", **options).fit(convert(frame)).decision_scores_
    assert np.array_equal(scores, expected, equal_nan=True)
    frame.loc[1, "time"] = pd.NaT
    with pytest.raises(ValueError, match="time column 'time': 1 empty, the first in data row 2"):
        make("rolling_variance", **options).fit(convert(frame))


@pytest.mark.parametrize("missing", ["skip", "ffill"])
def test_the_command_line_scores_as_the_detector(missing: str, tmp_path: Path) -> None:
    """Also rows in any order, with holes and with equal times."""
    frame = pd.DataFrame(series(80, features=2), columns=["a", "b"])
    frame.insert(0, "user", np.repeat(["v", "u"], 40))
    frame.insert(1, "day", np.tile(np.arange(40), 2))
    frame.loc[11, "day"] = 10
    frame.loc[30, "a"] = np.nan
    frame = frame.sample(frac=1.0, random_state=0)
    detector = make("forecast", missing=missing, entity="user", time="day").fit(frame)
    detector.model_.save(tmp_path / "model.safetensors")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    run_score(ScoreOptions(tmp_path / "model.safetensors", tmp_path / "rows.csv", tmp_path / "out"))
    written = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert written["user"].tolist() == frame["user"].tolist()
    np.testing.assert_allclose(written["score"], detector.decision_scores_, rtol=1e-6)

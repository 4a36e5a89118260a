"""The main job on labelled real series, where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

from slidecell.jobs.detect import DetectOptions, run_detect  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("SLIDECELL_DATA", _BESIDE))

pytestmark = pytest.mark.skipif(
    not (DATA / "smd").is_dir() or not (DATA / "nab").is_dir(),
    reason=f"no labelled series in {DATA}: set SLIDECELL_DATA to a folder with smd and nab",
)


def test_detect_real_server_machine(tmp_path):
    data = np.load(DATA / "smd" / "machine-1-6.npz")
    names = [f"metric_{index}" for index in range(data["train"].shape[1])]
    train = pd.DataFrame(data["train"][::4], columns=names)
    test = pd.DataFrame(data["test"][::4], columns=names)
    labels = next(data[name] for name in data.files if "label" in name)
    test["label"] = labels[::4].astype(int)
    train.to_parquet(tmp_path / "train.parquet")
    test.to_parquet(tmp_path / "test.parquet")
    options = DetectOptions(
        file=tmp_path / "train.parquet",
        test=tmp_path / "test.parquet",
        out=tmp_path / "out",
        table=TableOptions(label="label"),
        detector="forecast",
        window=8,
        hidden_size=(16,),
        epochs=2,
        num_threads=2,
    )
    metrics = run_detect(options, progress=False).report["metrics"]
    assert metrics["roc_auc"] > 0.7
    assert metrics["pr_auc"] > 2 * metrics["prevalence"]


def test_detect_real_univariate_with_dates(tmp_path):
    key = "artificialWithAnomaly/art_daily_jumpsup.csv"
    file = DATA / "nab" / "data" / key
    spans = json.loads((DATA / "nab" / "labels" / "combined_windows.json").read_text())[key]
    frame = pd.read_csv(file)
    times = pd.to_datetime(frame["timestamp"])
    inside = [(times >= first) & (times <= last) for first, last in np.array(spans, "M8[ns]")]
    frame["label"] = np.any(inside, axis=0).astype(int)
    frame.to_csv(tmp_path / "daily.csv", index=False)
    options = DetectOptions(
        file=tmp_path / "daily.csv",
        out=tmp_path / "out",
        table=TableOptions(time="timestamp", label="label"),
        detector="forecast",
        window=16,
        hidden_size=(16,),
        epochs=2,
        train_until="2014-04-10",
        num_threads=2,
    )
    report = run_detect(options, progress=False).report
    assert report["data"]["features"] == ["value"]
    assert report["flagged"]["test"]["scored"] == report["flagged"]["test"]["rows"]
    assert report["metrics"]["positives"] > 0
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert scores["timestamp"].tolist() == frame["timestamp"].tolist()

"""A detector as a model of MLflow: the same answers, by name, checked by its signature."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
pd = pytest.importorskip("pandas")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of MLflow about itself
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow: see .ci/adapters")
    from slidecell.adapters import log_mlflow_model, save_mlflow_model
    from slidecell.detect import KMeansDetector

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow about itself


def frame(S: int = 300) -> Any:
    t = np.arange(S)
    host = np.where(t % 2, "a", "b")
    heat = np.sin(t / 9) + 0.05 * np.cos(t**2)
    heat[250:256] += 3.0
    return pd.DataFrame({"host": host, "minute": t // 2, "heat": heat, "load": np.cos(t / 7)})


@pytest.fixture(scope="module")
def detector() -> KMeansDetector:
    settings = {"window": 6, "n_clusters": 8, "random_state": 0}
    return KMeansDetector(**settings, entity="host", time="minute").fit(frame()[:200])


def test_mlflow_model_answers_as_the_detector(detector: KMeansDetector, tmp_path: Path) -> None:
    rows = frame()
    save_mlflow_model(detector, tmp_path / "model", input_example=rows[:40])
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    shuffled = rows.sample(frac=1.0, random_state=0)[["load", "heat", "minute", "host"]]
    found = loaded.predict(shuffled).sort_index()
    np.testing.assert_array_equal(found["score"], detector.score_samples(rows))
    np.testing.assert_array_equal(found["flagged"], detector.predict(rows))
    assert found["flagged"].sum() > 3
    assert found["score"].isna().sum() == 10  # the first five of each host


def test_mlflow_model_has_a_signature_and_an_example(
    detector: KMeansDetector, tmp_path: Path
) -> None:
    rows = frame()
    save_mlflow_model(detector, tmp_path / "model", input_example=rows[:40])
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == ["host", "minute", "heat", "load"]
    assert signature.outputs.input_names() == ["score", "flagged"]
    with pytest.raises(mlflow.exceptions.MlflowException, match="heat"):
        loaded.predict(rows.drop(columns="heat"))
    example = loaded.metadata.load_input_example(str(tmp_path / "model"))
    pd.testing.assert_frame_equal(example, rows[:40])
    text = (tmp_path / "model" / "requirements.txt").read_text()
    assert "slidecell[detect]==" in text


def test_mlflow_logs_a_model_with_its_run(
    detector: KMeansDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database needs more packages
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    rows = frame()
    with mlflow.start_run():
        info = log_mlflow_model(detector, name="detector", input_example=rows[:40])
    found = mlflow.pyfunc.load_model(info.model_uri).predict(rows[:100])["score"]
    np.testing.assert_array_equal(found, detector.score_samples(rows[:100]))

"""A fitted detector of slidecell as a model of MLflow, of its flavour pyfunc."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import pyfunc
from mlflow.models import infer_signature

from slidecell import __version__
from slidecell.detect.base import Detector
from slidecell.detect.loading import load_detector

__all__ = ["DetectorModel", "log_mlflow_model", "save_mlflow_model"]

_CODE = f"""from mlflow.models import set_model
from {__name__} import DetectorModel
set_model(DetectorModel())
"""


class DetectorModel(pyfunc.PythonModel):  # type: ignore[misc]
    """What MLflow serves: whole series in, a score and a flag for each row out.

    A row's window is among the rows that it comes with. `Detector.stream` is for single rows.
    """

    detector: Detector

    def load_context(self, context: Any) -> None:
        """Load the detector from its own folder."""
        self.detector = load_detector(context.artifacts["detector"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return the columns ``score``, NaN where a row has none, and ``flagged``."""
        return _answers(self.detector, model_input)


def save_mlflow_model(
    detector: Detector, path: str | Path, *, input_example: pd.DataFrame, **options: Any
) -> None:
    """Write a fitted detector as a model of MLflow, with its signature and an example; no pickle.

    Parameters
    ----------
    detector : Detector
    path : path
        A folder that does not exist.
    input_example : DataFrame
        Rows whose types become the signature, by which MLflow checks requests.
    **options
        Of `mlflow.pyfunc.save_model`, as ``pip_requirements`` (this version of slidecell).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlflow import pyfunc
    >>> from slidecell.adapters import save_mlflow_model
    >>> from slidecell.detect import ZScoreDetector
    >>> frame = pd.DataFrame({"load": [0.0, 1.0, 2.0, 1.0] * 10})
    >>> save_mlflow_model(ZScoreDetector().fit(frame), "model", input_example=frame[:4])
    >>> pyfunc.load_model("model").predict(pd.DataFrame({"load": [1.0, 9.0]}))["flagged"].tolist()
    [False, True]
    """
    with tempfile.TemporaryDirectory() as folder:
        pyfunc.save_model(path=str(path), **_arguments(detector, folder, input_example, options))


def log_mlflow_model(detector: Detector, *, input_example: pd.DataFrame, **options: Any) -> Any:
    """Log a fitted detector with MLflow's active run; return what MLflow knows of the model.

    Arguments are those of `save_mlflow_model`, the options those of `mlflow.pyfunc.log_model`.
    """
    with tempfile.TemporaryDirectory() as folder:
        return pyfunc.log_model(**_arguments(detector, folder, input_example, options))


def _arguments(
    detector: Detector, folder: str, example: pd.DataFrame, options: dict[str, Any]
) -> dict[str, Any]:
    saved, code = Path(folder) / "detector", Path(folder) / "model.py"
    detector.save(saved)
    code.write_text(_CODE, encoding="utf-8")
    return {
        "python_model": str(code),
        "artifacts": {"detector": str(saved)},
        "signature": infer_signature(example, _answers(detector, example)),
        "input_example": example,
        "pip_requirements": [f"slidecell[detect]=={__version__}"],
    } | options


def _answers(detector: Detector, rows: pd.DataFrame) -> pd.DataFrame:
    table = rows if detector.feature_texts() else rows.to_numpy()
    flagged = detector.predict(table) == 1
    return pd.DataFrame({"score": detector.score_samples(table), "flagged": flagged}, rows.index)

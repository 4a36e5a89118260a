"""What the adapters share: imported when asked for, and scores that other libraries can use."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from slidecell import adapters
from slidecell.adapters.wrapped import finite_scores, fit_copy, nearest_scores
from slidecell.detect import ZScoreDetector

CLASSES = {"PyODDetector": "pyod", "SktimeDetector": "sktime", "AeonDetector": "aeon"}


def test_adapters_import_no_other_library_before_they_are_used() -> None:
    code = (
        "import sys\n"
        "import slidecell.adapters as a\n"
        "assert set(a.__all__) <= set(dir(a))\n"
        "a.scorer('pr_auc'), a.tsb_ad_runner(None)\n"
        "print({'pyod', 'sktime', 'aeon', 'TSB_AD', 'mlflow', 'torch'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", CLASSES)
def test_adapters_name_the_extra_of_an_absent_library(name: str) -> None:
    library = CLASSES[name]
    if importlib.util.find_spec(library) is not None:
        assert getattr(adapters, name).__module__ == f"slidecell.adapters.{library}_detector"
        return
    with pytest.raises(
        ImportError, match=rf"^{library} is not installed: pip install 'slidecell\[{library}\]'$"
    ):
        getattr(adapters, name)


def test_adapters_name_the_extra_of_mlflow() -> None:
    if importlib.util.find_spec("mlflow") is not None:
        pytest.skip("MLflow is there: see .ci/adapters")
    for name in ("log_mlflow_model", "save_mlflow_model"):
        text = r"^mlflow is not installed: pip install 'slidecell\[mlflow\]'$"
        with pytest.raises(ImportError, match=text):
            getattr(adapters, name)


def test_adapters_have_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'KerasDetector'"):
        _ = adapters.KerasDetector


@pytest.mark.parametrize("other", [None, ZScoreDetector, "zscore", object()])
def test_adapters_take_detectors_of_slidecell_only(other: object) -> None:
    with pytest.raises(TypeError, match=r"detector: expected one of slidecell\.detect, got"):
        fit_copy(other, np.eye(3))


def test_adapters_leave_the_detector_as_it_was() -> None:
    detector = ZScoreDetector()
    fitted = fit_copy(detector, np.eye(3))
    assert fitted is not detector
    assert not hasattr(detector, "threshold_")


def test_unscored_rows_and_infinite_scores_become_finite() -> None:
    greatest = np.finfo(np.float32).max
    scores = np.array([np.nan, 1.0, np.inf, np.nan, 0.5])
    assert finite_scores(scores, 0.7).tolist() == [0.7, 1.0, greatest, 0.7, 0.5]
    assert nearest_scores(scores).tolist() == [1.0, 1.0, greatest, greatest, 0.5]
    with pytest.raises(ValueError, match="X: no row has a score, of 3"):
        nearest_scores(np.full(3, np.nan))

"""slidecell's detectors as those of other libraries.

`PyODDetector`, `SktimeDetector` and `AeonDetector` make a detector of PyOD, sktime or aeon out of
any detector of `slidecell.detect`; `tsb_ad_runner` makes a function of TSB-AD. `scorer` is for
scikit-learn, whose estimators our detectors are. `save_mlflow_model` and `log_mlflow_model` make a
model of MLflow. The other library is imported when its adapter is asked for, and never before.

The other way, `slidecell.detect.SklearnDetector` takes detectors of scikit-learn and PyOD.

>>> from slidecell.adapters import scorer
>>> scorer("roc_auc")
scorer('roc_auc')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slidecell._extras import require

if TYPE_CHECKING:
    from slidecell.adapters.aeon_detector import AeonDetector
    from slidecell.adapters.mlflow_model import log_mlflow_model, save_mlflow_model
    from slidecell.adapters.pyod_detector import PyODDetector
    from slidecell.adapters.sklearn_scorer import scorer
    from slidecell.adapters.sktime_detector import SktimeDetector
    from slidecell.adapters.tsb_ad import tsb_ad_runner

# Where each name lives, and the library that it needs: both are imported when it is asked for.
_HOMES = {
    "AeonDetector": ("slidecell.adapters.aeon_detector", "aeon"),
    "PyODDetector": ("slidecell.adapters.pyod_detector", "pyod"),
    "SktimeDetector": ("slidecell.adapters.sktime_detector", "sktime"),
    "log_mlflow_model": ("slidecell.adapters.mlflow_model", "mlflow"),
    "save_mlflow_model": ("slidecell.adapters.mlflow_model", "mlflow"),
    "scorer": ("slidecell.adapters.sklearn_scorer", None),
    "tsb_ad_runner": ("slidecell.adapters.tsb_ad", None),
}

__all__ = [
    "AeonDetector",
    "PyODDetector",
    "SktimeDetector",
    "log_mlflow_model",
    "save_mlflow_model",
    "scorer",
    "tsb_ad_runner",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, library = _HOMES[name]
    require("sklearn", extra="detect")  # all detectors are its estimators
    if library is not None:
        require(library, extra=library)
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

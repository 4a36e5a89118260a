"""The detectors of this package: a new one is one file and one entry here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

__all__ = [
    "DEFAULT_MEMBERS",
    "DETECTORS",
    "QUICK_MEMBERS",
    "Entry",
    "detector_class",
    "detector_names",
    "detectors_with",
    "find_detector",
    "no_such_setting",
    "setting_flag",
]


@dataclass(frozen=True)
class Entry:
    """One detector.

    Attributes
    ----------
    name : str
        On the command line: ``--detector NAME``.
    kind : str
        Its class, which the folders of `Detector.save` name too.
    module : str
        Where the class is.
    about : str
        What its score is, in half a line: the command line's help and completion show it.
    """

    name: str
    kind: str
    module: str
    about: str

    def load(self) -> type[Any]:
        """Return the class; its module is imported only now."""
        found: Any = getattr(importlib.import_module(self.module), self.kind)
        return found  # type: ignore[no-any-return]


DETECTORS = (
    Entry(
        "forecast",
        "ForecastDetector",
        "slidecell.detect.forecast",
        "the error of a network's forecast",
    ),
    Entry(
        "autoencoder",
        "AutoencoderDetector",
        "slidecell.detect.autoencoder",
        "the error of a network's reconstruction",
    ),
    Entry(
        "ensemble",
        "Ensemble",
        "slidecell.detect.ensemble",
        "forecast, kmeans and window-pca as one",
    ),
    Entry(
        "random-gru",
        "RandomGRUDetector",
        "slidecell.detect.random_gru",
        "unusual states of a GRU with random weights",
    ),
    Entry(
        "kmeans",
        "KMeansDetector",
        "slidecell.detect.kmeans",
        "the distance of a window from the nearest usual one",
    ),
    Entry(
        "window-pca",
        "WindowPCADetector",
        "slidecell.detect.window_pca",
        "what the main components of a window leave over",
    ),
    Entry(
        "ridge",
        "RidgeDetector",
        "slidecell.detect.ridge",
        "the error of a linear forecast, in units of its usual error",
    ),
    Entry(
        "neighbors",
        "NeighborDetector",
        "slidecell.detect.neighbors",
        "the distance of a window from the most alike in training",
    ),
    Entry(
        "pca", "PCADetector", "slidecell.detect.pca", "what the main components of a row leave over"
    ),
    Entry("zscore", "ZScoreDetector", "slidecell.detect.zscore", "the distance from the mean"),
    Entry(
        "variance",
        "RollingVarianceDetector",
        "slidecell.detect.rolling_variance",
        "the variance of the rows before",
    ),
    Entry(
        "sklearn",
        "SklearnDetector",
        "slidecell.detect.sklearn_adapter",
        "an isolation forest of scikit-learn",
    ),
)


# Of the ensemble: what will come, what is usual, and how columns go together.
DEFAULT_MEMBERS = ("forecast", "kmeans", "window-pca")
QUICK_MEMBERS = ("ridge", "kmeans", "window-pca")  # no network to train


def find_detector(name: str) -> type[Any]:
    """Return the class of a detector by its name on the command line, or by that of the class.

    Examples
    --------
    >>> from slidecell.detect.registry import find_detector
    >>> find_detector("pca").__name__
    'PCADetector'
    """
    for entry in DETECTORS:
        if name in {entry.name, entry.kind}:
            return entry.load()
    raise ValueError(f"--detector: expected one of {', '.join(detector_names())}, got {name!r}")


def detector_names() -> list[str]:
    """Return the names that the command line takes."""
    return [entry.name for entry in DETECTORS]


def detector_class(kind: str) -> type[Any]:
    """Return a class by its name; only classes of the registry are ever imported."""
    return next(entry for entry in DETECTORS if entry.kind == kind).load()


def detectors_with(setting: str) -> list[str]:
    """Return the names of the detectors that a setting of the command line applies to.

    Examples
    --------
    >>> from slidecell.detect.registry import detectors_with
    >>> detectors_with("horizon")
    ['forecast', 'ensemble']
    """
    return [entry.name for entry in DETECTORS if entry.load().takes_setting(setting)]


def setting_flag(setting: str) -> str:
    """Return the option of the command line that is a setting of detectors.

    Examples
    --------
    >>> from slidecell.detect.registry import setting_flag
    >>> setting_flag("num_layers")
    '--layers'
    """
    return "--" + {"num_layers": "layers"}.get(setting, setting).replace("_", "-")


def no_such_setting(kind: str, setting: str, value: object) -> ValueError:
    """Return the error of a setting that a detector, named by its class, does not have."""
    name = next((entry.name for entry in DETECTORS if entry.kind == kind), kind)
    others = detectors_with(setting)
    *first, last = others or [""]
    choice = f"{', '.join(first)} or {last}" if first else last
    known = f", or choose --detector {choice}" if choice else ""
    return ValueError(
        f"{setting_flag(setting)}: the detector {name!r} has no such setting, got {value!r}: "
        f"leave it out{known}"
    )

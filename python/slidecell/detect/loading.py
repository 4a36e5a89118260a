"""Loading of detectors from their folders, from folders of results, and from model files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slidecell._whole_folders import whole_set
from slidecell.detect.base import Detector
from slidecell.detect.model_detector import ModelDetector
from slidecell.detect.storage import read_detector
from slidecell.model import SequenceModel

__all__ = ["find_saved", "load_detector", "load_saved", "set_as_far_as_known"]

_DETECTOR, _MODEL = "detector.json", "model.safetensors"


def load_detector(path: str | os.PathLike[str]) -> Detector:
    """Read a folder written by `Detector.save`; it tells which class the detector is of.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    Detector

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is damaged; the text names the place. No code of the folder is ever run.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.detect import PCADetector, load_detector
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "detector"
    >>> PCADetector(n_components=1).fit([[0.0, 0.1], [1.0, 0.9], [2.0, 2.1]]).save(folder)
    >>> load_detector(folder)
    PCADetector(n_components=1)
    """
    detector: Detector = read_detector(path)
    return detector


def find_saved(path: str | os.PathLike[str]) -> Path:
    """Return the folder of a detector, or the model file, that a path means.

    Parameters
    ----------
    path : path
        What ``slidecell detect`` wrote, its folder ``detector``, what `Detector.save` wrote, or a
        model file.

    Returns
    -------
    Path
        It need not exist yet, if a save was interrupted: `load_saved` reads it all the same.

    Raises
    ------
    ValueError
        If a folder has neither.

    Examples
    --------
    >>> from slidecell.detect.loading import find_saved
    >>> find_saved("my.safetensors").name
    'my.safetensors'
    """
    given = Path(path)
    # Where a save was interrupted, what it has completed lies in a hidden folder.
    whole = whole_set(given)
    if not whole.is_dir() or (whole / _DETECTOR).is_file():
        return given
    for name in ("detector", _MODEL):
        if (whole / name).exists():
            return given / name
    raise ValueError(
        f"{given}: expected a folder that 'slidecell detect' or Detector.save wrote, but it has no "
        f"detector, no {_DETECTOR} and no {_MODEL}"
    )


def load_saved(path: str | os.PathLike[str], **settings: Any) -> Detector:
    """Load the fitted detector that a path means: see `find_saved`.

    Parameters
    ----------
    path : path
    **settings
        Parameters to set, as far as the detector has them: ``num_threads``, which the members of an
        ensemble get too, or those of a further training.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.loading import load_saved
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "detector"
    >>> ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save(folder)
    >>> load_saved(folder.parent)
    ZScoreDetector()
    """
    found = find_saved(path)
    detector: Detector
    if whole_set(found).is_dir():
        detector = load_detector(found)
    else:
        detector = ModelDetector.of(_load_model(found))
    set_as_far_as_known(detector, settings)
    return detector


def set_as_far_as_known(detector: Detector, settings: Mapping[str, Any]) -> None:
    """Set those parameters that a detector has; its members get ``num_threads`` too.

    Examples
    --------
    >>> from slidecell.detect import KMeansDetector
    >>> from slidecell.detect.loading import set_as_far_as_known
    >>> detector = KMeansDetector()
    >>> set_as_far_as_known(detector, {"num_threads": 2, "lr": 0.1})
    >>> detector
    KMeansDetector(num_threads=2)
    """
    for name in detector.get_params():
        if name in settings:
            detector.set_params(**{name: settings[name]})
        elif name.endswith("__num_threads") and "num_threads" in settings:  # of a member
            detector.set_params(**{name: settings["num_threads"]})


def _load_model(file: Path) -> SequenceModel:
    """Load a model file; of a set of files that is not all in place yet, the one of the set."""
    new = whole_set(file.parent) / file.name
    if new != file and new.is_file():
        with contextlib.suppress(FileNotFoundError):  # it has been put in place meanwhile
            return SequenceModel.load(new)
    return SequenceModel.load(file)

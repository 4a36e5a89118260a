"""Loading of detectors from their folders, from folders of results, and from model files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from slidecell.detect.base import Detector
from slidecell.detect.model_detector import ModelDetector
from slidecell.detect.storage import read_detector
from slidecell.model import SequenceModel

__all__ = ["find_saved", "load_detector", "load_saved"]

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
    if not given.is_dir() or (given / _DETECTOR).is_file():
        return given
    for inside in (given / "detector", given / _MODEL):
        if inside.exists():
            return inside
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
        Parameters to set, as far as the detector has them: ``num_threads``, or those of a further
        training.

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
    if found.is_dir():
        detector = load_detector(found)
    else:
        detector = ModelDetector.of(SequenceModel.load(found))
    names = set(detector.get_params(deep=False))
    detector.set_params(**{name: v for name, v in settings.items() if name in names})
    return detector

"""Folders of fitted detectors: JSON, arrays, a model and an estimator, and no pickle."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from slidecell._extras import require
from slidecell._regular_files import read_regular
from slidecell._whole_folders import is_hidden, read_whole, replacing_folder, whole_set
from slidecell.detect.estimators import read_estimator, write_estimator
from slidecell.detect.registry import DETECTORS, detector_class
from slidecell.detect.saved_text import parse_saved_text

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

__all__ = [
    "Parts",
    "copy_detector",
    "owns_detector_file",
    "placed",
    "read_detector",
    "read_folder",
    "read_parts",
    "save_detector",
    "write_parts",
]

FORMAT = 1
_TEXT, _ARRAYS = "detector.json", "arrays.safetensors"
_MODEL, _ESTIMATOR = "model.safetensors", "estimator.skops"
_MEMBER = re.compile(r"member-[0-9]+")  # a folder of an ensemble


@dataclass
class Parts:
    """What a folder holds of one detector.

    Attributes
    ----------
    kind : str
        Name of the class.
    params : dict
        The constructor's arguments, as far as JSON has them.
    values : dict
        What `fit` found, as far as JSON has it.
    arrays : dict of str to ndarray
    model : SequenceModel, optional
    estimator : object, optional
        Of scikit-learn.
    """

    kind: str
    params: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    model: SequenceModel | None = None
    estimator: Any = None

    def array(self, name: str, *shape: int | None) -> npt.NDArray[np.float64]:
        """Return an array of doubles of this shape (None: any length)."""
        if name not in self.arrays:
            raise ValueError(f"{_ARRAYS}: missing array {name!r}")
        array = self.arrays[name]
        fits = array.ndim == len(shape) and all(
            size in (None, length) for size, length in zip(shape, array.shape, strict=False)
        )
        if array.dtype != np.float64 or not fits:
            sizes = ["any" if size is None else size for size in shape]
            raise ValueError(
                f"{_ARRAYS}: {name!r}: expected float64 {sizes}, "
                f"got {array.dtype} {list(array.shape)}"
            )
        return array

    def flags(self, name: str, length: int) -> npt.NDArray[np.bool_]:
        """Return an array of truth values; all are true where it was not saved."""
        flags = self.arrays.get(name, np.ones(length, np.bool_))
        if flags.dtype != np.bool_ or flags.shape != (length,):
            raise ValueError(
                f"{_ARRAYS}: {name!r}: expected bool [{length}], "
                f"got {flags.dtype} {list(flags.shape)}"
            )
        return flags

    def finite_array(self, name: str, *shape: int | None) -> npt.NDArray[np.float64]:
        """Do as `array`, of numbers that are computed with: none is NaN or infinite."""
        array = self.array(name, *shape)
        if not np.isfinite(array).all():
            raise ValueError(f"{_ARRAYS}: {name!r}: expected finite numbers, got NaN or infinity")
        return array

    def fitted_model(self, *, features: int, forecasts: bool) -> SequenceModel:
        """Return the model, if it is of that kind."""
        if self.model is None:
            raise ValueError(f"{_MODEL}: missing")
        if self.model.input_size != features or (self.model.horizon > 0) != forecasts:
            kind = "a forecaster" if forecasts else "an autoencoder"
            raise ValueError(f"{_MODEL}: expected {kind} of {features} features, got {self.model}")
        return self.model


class Storable(Protocol):
    """What has parts that a folder can keep: a `Detector`."""

    def save_into(self, folder: Path) -> None:
        """Write all parts to a folder that is there."""


def save_detector(detector: Storable, path: str | os.PathLike[str]) -> None:
    """Write a fitted detector to a folder: see `Detector.save`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.detect import ZScoreDetector, load_detector
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "detector"
    >>> ZScoreDetector().fit([[0.0], [2.0], [1.0]]).save(folder)
    >>> sorted(file.name for file in folder.iterdir())
    ['arrays.safetensors', 'detector.json']
    >>> load_detector(folder).score_samples([[1.0]])
    array([0.])
    """
    check_is_fitted(detector, "threshold_")
    kind = type(detector)
    if not any(
        (entry.kind, entry.module) == (kind.__name__, kind.__module__) for entry in DETECTORS
    ):
        raise ValueError(f"{kind.__name__}: only this package's own detectors can be saved")
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}")
    if target.exists() and not _may_hold_detector(target):
        raise FileExistsError(f"{path}: expected a new folder or one of a detector")
    with replacing_folder(target, owns=owns_detector_file) as folder:
        detector.save_into(folder)


def _may_hold_detector(folder: Path) -> bool:
    """Tell whether a detector is in a folder, or nothing but what an interrupted save has left."""
    if not folder.is_dir():
        return False
    return (whole_set(folder) / _TEXT).is_file() or all(map(is_hidden, os.listdir(folder)))


def owns_detector_file(relative: PurePath) -> bool:
    """Tell whether a path in a detector's folder is one that saving a detector replaces or removes.

    Examples
    --------
    >>> from pathlib import PurePath
    >>> from slidecell.detect.storage import owns_detector_file
    >>> owns_detector_file(PurePath("member-0/model.safetensors"))
    True
    >>> owns_detector_file(PurePath("notes.txt"))
    False
    """
    *folders, name = relative.parts
    known = name in (_TEXT, _ARRAYS, _MODEL, _ESTIMATOR) or _MEMBER.fullmatch(name)
    return bool(known) and all(map(_MEMBER.fullmatch, folders))


def copy_detector(source: Path, target: Path) -> None:
    """Copy the files of a saved detector, and no others, to a folder that is not there yet.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.storage import copy_detector, read_detector
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save(folder / "detector")
    >>> copy_detector(folder / "detector", folder / "copy")
    >>> read_detector(folder / "copy")
    ZScoreDetector()
    """

    def copy(whole: Path) -> None:
        def others(folder: str, names: list[str]) -> list[str]:
            place = PurePath(folder).relative_to(whole)
            return [name for name in names if not owns_detector_file(place / name)]

        shutil.rmtree(target, ignore_errors=True)  # of an attempt that met another save
        shutil.copytree(whole, target, ignore=others)

    read_whole(source, copy)


def read_detector(path: str | os.PathLike[str]) -> Any:
    """Return the detector of a folder: what `load_detector` does, of no class that is known here.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.storage import read_detector
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "detector"
    >>> ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save(folder)
    >>> read_detector(folder)
    ZScoreDetector()
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder")
    return read_whole(folder, read_folder)


def read_folder(folder: Path) -> Any:
    """Do as `read_detector`; members of an ensemble lie in folders of their own.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.storage import read_folder
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save_into(folder)
    >>> read_folder(folder)
    ZScoreDetector()
    """
    return detector_class(_read_text(folder)["class"]).load_from(folder)


def write_parts(folder: Path, parts: Parts) -> None:
    """Write all parts of a detector to a folder that is there."""
    require("safetensors", extra="detect")
    from safetensors.numpy import save

    import slidecell

    text = {
        "format": FORMAT,
        "class": parts.kind,
        "slidecell": slidecell.__version__,
        "params": {name: _plain(value, name) for name, value in parts.params.items()},
        "fitted": parts.values,
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in parts.arrays.items()}
    if parts.estimator is not None:
        write_estimator(folder / _ESTIMATOR, parts.estimator)
    if parts.model is not None:
        parts.model.save(folder / _MODEL)
    # Not save_file: on a full disk it raises an error of its own, no OSError.
    (folder / _ARRAYS).write_bytes(save(arrays))
    (folder / _TEXT).write_text(json.dumps(text, indent=2, allow_nan=False) + "\n", "utf-8")


def read_parts(folder: Path) -> Parts:
    """Read what `write_parts` wrote; a ValueError names the file that is damaged."""
    from slidecell.model import SequenceModel

    text = _read_text(folder)
    model, estimator = folder / _MODEL, folder / _ESTIMATOR
    return Parts(
        text["class"],
        {
            name: _frozen(value, f"{folder / _TEXT}: {name!r}")
            for name, value in text["params"].items()
        },
        text["fitted"],
        _read_arrays(folder / _ARRAYS),
        SequenceModel.load(model) if model.exists() else None,
        read_estimator(estimator) if estimator.exists() else None,
    )


def _read_text(folder: Path) -> dict[str, Any]:
    file = folder / _TEXT
    try:
        text = parse_saved_text(read_regular(file))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON, or damaged: {error}") from None
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        raise ValueError(f"{file}: expected an object of format {FORMAT}")
    for key in ("params", "fitted"):
        if not isinstance(text.get(key), dict):
            raise ValueError(f"{file}: {key!r}: expected an object")
    kind, kinds = text.get("class"), sorted(entry.kind for entry in DETECTORS)
    if not isinstance(kind, str) or kind not in kinds:
        known = ", ".join(kinds)
        raise ValueError(f"{file}: 'class': expected one of {known}, got {kind!r}")
    return text


def _read_arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    require("safetensors", extra="detect")
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(read_regular(file)))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: damaged: {error}") from None


def _plain(value: Any, name: str) -> Any:
    """Return a parameter as JSON has it."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item, name) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise ValueError(
        f"{name}: {value!r} cannot be saved; set_params({name}=...) replaces it by a number or text"
    )


def _frozen(value: Any, where: str) -> Any:
    """Turn lists into tuples: what constructors store should not change."""
    if isinstance(value, dict):
        raise ValueError(f"{where}: expected no object, got {value!r}")
    return tuple(_frozen(item, where) for item in value) if isinstance(value, list) else value


def placed(error: Exception, folder: Path) -> ValueError:
    """Return what is wrong with a folder as an error that names the file.

    Examples
    --------
    >>> from pathlib import PurePosixPath
    >>> from slidecell.detect.storage import placed
    >>> placed(ValueError("'scaler': missing"), PurePosixPath("detector"))
    ValueError("detector/detector.json: 'scaler': missing")
    """
    file, _, rest = str(error).partition(": ")
    if rest and file in (_TEXT, _ARRAYS, _MODEL, _ESTIMATOR):
        return ValueError(f"{folder / file}: {rest}")
    return ValueError(f"{folder / _TEXT}: {error}")


def check_params(params: Mapping[str, Any], expected: set[str]) -> None:
    """Refuse parameters other than those that a class has.

    Examples
    --------
    >>> from slidecell.detect.storage import check_params
    >>> check_params({"window": 3}, {"window"})
    """
    if set(params) != expected:
        odd = ", ".join(sorted(set(params) ^ expected))
        raise ValueError(f"{_TEXT}: 'params': expected {', '.join(sorted(expected))}; see {odd}")

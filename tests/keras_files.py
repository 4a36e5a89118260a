"""Files of Keras for tests: those of tests/golden/keras, and changed copies of them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import slidecell as sc

GOLDEN = Path(__file__).parent / "golden" / "keras"
TOLERANCE = 1e-5  # absolute, of answers around 1


def predicted(model: sc.SequenceModel, x: np.ndarray) -> np.ndarray:
    """What a model predicts for windows [N, W, F], each of them an entity."""
    return np.asarray(model.predict(*as_series(model, x)))


def as_series(model: sc.SequenceModel, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows [N, W, F] as rows and offsets, with rows to be forecast that no model sees."""
    N, W, F = x.shape
    ahead = np.zeros((N, model.horizon, F), np.float32)
    rows = np.concatenate([x, ahead], axis=1).reshape(-1, F)
    return rows, np.arange(N + 1) * (W + model.horizon)


def contents(path: Path) -> dict[str, bytes]:
    """The files in a zip file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """A zip file of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def with_config(path: Path, case: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A golden file whose configuration is changed."""
    files = contents(GOLDEN / f"{case}.keras")
    config = json.loads(files["config.json"])
    change(config)
    return packed(path, {**files, "config.json": json.dumps(config).encode()})


def with_weights(path: Path, case: str, change: Callable[[Any], Any]) -> Path:
    """A golden file whose HDF5 file is changed by h5py."""
    import h5py

    files = contents(GOLDEN / f"{case}.keras")
    buffer = io.BytesIO(files["model.weights.h5"])
    with h5py.File(buffer, "r+") as weights:
        change(weights)
    return packed(path, {**files, "model.weights.h5": buffer.getvalue()})


def layer_of(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first layer of this class in a model's configuration."""
    found: dict[str, Any] = next(
        layer for layer in config["config"]["layers"] if layer["class_name"] == kind
    )
    return found

"""Estimators of scikit-learn in files: by skops, of a fixed list of classes, and checked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from slidecell._extras import require
from slidecell._regular_files import read_regular

__all__ = ["read_estimator", "write_estimator"]

# Classes that may be saved, each with the types that skops does not trust by itself. Trees of
# neighbours (KDTree, BallTree) are left out: their arrays hold indices that compiled code follows
# unchecked, and that nothing here could check.
_TRUSTED: dict[str, tuple[str, ...]] = {
    "sklearn.covariance._elliptic_envelope.EllipticEnvelope": (),
    "sklearn.ensemble._iforest.IsolationForest": ("sklearn.tree._tree.Tree",),
    "sklearn.linear_model._stochastic_gradient.SGDOneClassSVM": (),
    "sklearn.mixture._gaussian_mixture.GaussianMixture": (),
    "sklearn.neighbors._lof.LocalOutlierFactor": (),
    "sklearn.svm._classes.OneClassSVM": (),
}


def write_estimator(file: Path, estimator: Any) -> None:
    """Write a fitted estimator.

    Raises
    ------
    ValueError
        If its class, or something in it, is not of those that can be read again.
    """
    require("skops", extra="detect")
    import skops.io

    trusted = _trusted(_name(type(estimator)), "estimator")
    data = skops.io.dumps(estimator)
    _refuse_others(data, trusted, "estimator")
    file.write_bytes(data)


def read_estimator(file: Path) -> Any:
    """Read what `write_estimator` wrote.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged or holds something else.
    """
    require("skops", extra="detect")
    import skops.io

    data = read_regular(file)
    try:
        _refuse_compressed(data, file)
        everything = [name for names in _TRUSTED.values() for name in names]
        _refuse_others(data, everything, str(file))
        estimator = skops.io.loads(data, trusted=everything)
        _refuse_others(data, _trusted(_name(type(estimator)), str(file)), str(file))
        _check_trees(estimator, file)
    # skops and what it builds raise whatever a damaged file leads them to.
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(str(file)):
            raise
        raise ValueError(f"{file}: not an estimator, or damaged: {error}") from None
    return estimator


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _trusted(name: str, where: str) -> tuple[str, ...]:
    if name not in _TRUSTED:
        known = ", ".join(sorted(full.rsplit(".", 1)[1] for full in _TRUSTED))
        raise ValueError(f"{where}: expected one of {known}, got {name}")
    return _TRUSTED[name]


def _refuse_others(data: bytes, trusted: list[str] | tuple[str, ...], where: str) -> None:
    import skops.io

    others = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted))
    if others:
        neighbours = any("sklearn.neighbors" in name for name in others)
        brute = "; algorithm='brute' does without" if neighbours else ""
        raise ValueError(f"{where}: holds types that are not trusted: {', '.join(others)}{brute}")


def _refuse_compressed(data: bytes, file: Path) -> None:
    """Let reading allocate no more than the file is long."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError(f"{file}: expected stored parts, not compressed")


def _check_trees(estimator: Any, file: Path) -> None:
    """Refuse trees whose nodes lead out of the tree or back: scoring follows them unchecked."""
    if not hasattr(estimator, "estimators_"):
        return
    columns = estimator.n_features_in_
    for part, used in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        tree = part.tree_
        # As in IsolationForest: a tree is given all columns, or those that it was grown with.
        width = columns if estimator._max_features == columns else len(used)
        node = np.arange(tree.node_count)
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        leaf = (left == -1) & (right == -1)
        inner = (left > node) & (right > node) & (left < len(node)) & (right < len(node))
        inner &= (feature >= 0) & (feature < width)
        if len(node) == 0 or not (leaf | inner).all():
            raise ValueError(f"{file}: a tree is damaged")

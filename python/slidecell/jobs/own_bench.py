"""The benchmark's command, with a reader of the user's own model and rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slidecell._extras import require

if TYPE_CHECKING:
    from slidecell.bench.own_case import OwnCase

__all__ = ["bench", "read_own"]


def bench(arguments: Sequence[str]) -> int:
    """Run ``slidecell bench``; return its exit status. Without ``--model`` it needs numpy alone."""
    from slidecell.bench.command import main

    return main(arguments, read_own)


def read_own(model: Path, data: Path, time: str | None, entity: str | None) -> OwnCase:
    """Read a saved network and the rows of a file, as ``slidecell score`` does.

    Parameters
    ----------
    model : Path
        A file of a model, or a folder of a detector with one network.
    data : Path
        A CSV or Parquet file; columns are matched by name where the model has names.
    time, entity : str, optional
        Columns of keys; by default those that the detector was fitted with.

    Raises
    ------
    ValueError
        If the detector has no network of its own, or the file does not fit.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from slidecell.bench.cases import random_model
    >>> from slidecell.jobs.own_bench import read_own
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> random_model("gru", (4,), features=2, window=3).save(folder / "model.safetensors")
    >>> np.savetxt(folder / "rows.csv", np.eye(9)[:, :2], delimiter=",", header="a,b", comments="")
    >>> case = read_own(folder / "model.safetensors", folder / "rows.csv", None, None)
    >>> case.rows.shape, case.offsets.tolist()
    ((9, 2), [0, 9])
    """
    require("pandas", extra="detect")
    from slidecell.bench.own_case import OwnCase
    from slidecell.detect.loading import load_saved
    from slidecell.jobs.score import SavedOptions, read_for, refuse_swapped

    refuse_swapped(model, data)
    detector = load_saved(model)
    network = detector.network
    if network is None:
        kind = type(detector).__name__
        raise ValueError(f"--model: expected one network, got {model} of a {kind}, which has none")
    rows = read_for(detector, SavedOptions(model, data, Path("-"), time, entity))
    return OwnCase(data.name, network, rows.features, rows.offsets)

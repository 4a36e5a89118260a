"""Networks that several commands here train in the same way, with a fixed seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.model import SequenceModel

__all__ = ["trained"]


def trained(
    rows: npt.NDArray[np.float32], cell: Any, window: int, units: int, **options: Any
) -> SequenceModel:
    """Return a forecaster of one layer that was trained on some rows; the options are `fit`'s."""
    import torch

    from slidecell.training import Forecaster, fit

    torch.manual_seed(0)
    module = Forecaster(rows.shape[1], units, cell=cell, window=window)
    fit(module, rows, seed=0, progress=False, **options)
    return SequenceModel.from_torch(module)

"""Windows on which a compiled model is compared with the network that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from slidecell.convert.interfaces import CompiledModel

__all__ = ["probe_rows", "refuse_difference", "unusual_rows"]

_WINDOWS = 32
Rows = npt.NDArray[np.float32]


def probe_rows(model: CompiledModel) -> Rows:
    """Return windows [32, W+K, F]: half of them in the range of scaled data, half beyond it."""
    shape = (_WINDOWS, model.window + model.horizon, model.input_size)
    generator = np.random.default_rng(0)
    rows = generator.random(shape, dtype=np.float32)
    rows[::2] = generator.standard_normal(rows[::2].shape, dtype=np.float32)
    return rows


def unusual_rows(rows: Rows) -> Rows:
    """Return windows [N, W+K, F] made of usual ones: large, with a spike, negative, zero."""
    made = rows.copy()
    made[0::4] *= 30.0
    made[1::4, made.shape[1] // 3] = 50.0
    made[2::4] = -np.abs(made[2::4])
    made[3::4] = 0.0
    made[3::8, -1] = -50.0
    return made


def refuse_difference(
    source: str,
    model: CompiledModel,
    rows: Rows,
    theirs: Sequence[npt.NDArray[Any]],
    *,
    tolerance: float,
    what: str,
) -> None:
    """Raise a ValueError with the figure if a model does not answer what its source answers.

    Parameters
    ----------
    source : str
        The argument that the network came in as.
    model : SequenceModel
    rows : ndarray, [N, W+K, F]
        Windows, with the rows that they are followed by.
    theirs : sequence of ndarray
        What the source answers to the windows: predictions, and log variances where it has them.
    tolerance : float
        Largest difference, relative to the largest answer where that is above 1.
    what : str
        Which windows these are.
    """
    count, length = rows.shape[:2]
    # Each window is an entity of its own, so that none overlaps another.
    offsets = np.arange(count + 1, dtype=np.int64) * length
    series = rows.reshape(count * length, -1)
    ours = [model.predict(series, offsets)]
    if len(theirs) == 2:
        ours.append(model.predict_log_variance(series, offsets))  # type: ignore[attr-defined]
    for one, other in zip(ours, theirs, strict=True):
        if other.size != one.size:
            raise ValueError(
                f"{source}: expected it to answer {list(one.shape)}, got {list(other.shape)}"
            )
        with np.errstate(invalid="ignore"):
            difference = float(np.abs(one - other.reshape(one.shape)).max())
        bound = tolerance * max(1.0, float(np.abs(other).max()))
        if not difference <= bound:  # NaN is no match either
            raise ValueError(
                f"{source}: its answers differ from the compiled model's by {difference:.3g} on "
                f"{what}, more than {bound:.3g}"
            )

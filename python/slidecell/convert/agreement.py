"""Whether a model answers as the network that it was made of: the windows, and the comparison."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["COARSE_TOLERANCE", "TOLERANCE", "refuse_difference", "unusual_rows", "usual_rows"]

Floats = npt.NDArray[np.float32]

# Largest difference to the network, relative to its largest output where that is above 1.
TOLERANCE = 1e-4
COARSE_TOLERANCE = 1e-3  # where large inputs make sums whose rounding is as much


def usual_rows(count: int, length: int, columns: int) -> Floats:
    """Return `count` pieces of rows [count, length, columns]: half of them as scaled data are."""
    generator = np.random.default_rng(0)
    rows = generator.random((count, length, columns), dtype=np.float32)
    rows[::2] = generator.standard_normal(rows[::2].shape, dtype=np.float32)
    return rows


def unusual_rows(rows: Floats) -> Floats:
    """Return pieces made of usual ones: large, with a spike, negative, zero."""
    made = rows.copy()
    made[0::4] *= 30.0
    made[1::4, made.shape[1] // 3] = 50.0
    made[2::4] = -np.abs(made[2::4])
    made[3::4] = 0.0
    made[3::8, -1] = -50.0
    return made


def refuse_difference(
    source: str, ours: Floats, theirs: Floats, tolerance: float, what: str
) -> None:
    """Raise a ValueError with the figure if answers of the same shape differ by more."""
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(ours - theirs).max())
    bound = tolerance * max(1.0, float(np.abs(theirs).max()))
    if not difference <= bound:  # NaN is no match either
        raise ValueError(
            f"{source}: its outputs differ from the layers and the head that were read from it by "
            f"{difference:.3g} on {what}, more than {bound:.3g}. It must apply its head to the "
            "last step alone (bidirectional: to both directions' final h, h_n, not to out[:, -1]) "
            "and nothing else"
        )

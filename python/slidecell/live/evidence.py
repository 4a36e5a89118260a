"""Find each feature's share of a forecast's error, row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from slidecell.stream import StreamModel

Floats = npt.NDArray[np.float64]

__all__ = ["Evidence", "ForecastHistory", "OneStepEvidence", "Shares"]


class Evidence(NamedTuple):
    """The errors that a score was computed from."""

    shares: Shares
    forecast: npt.NDArray[np.float32]  # [K, targets], raw
    rows: tuple[Floats, ...]  # K of [F], raw


class Shares:
    """Turns evidence into shares of the error; one for all entities of a model."""

    def __init__(self, model: StreamModel) -> None:
        targets = model.metadata["targets"]
        self._targets = list(range(model.input_size)) if targets is None else targets
        self._size = model.input_size
        scaler = model.scaler
        scale = np.ones(self._size) if scaler is None else np.asarray(scaler["scale"], np.float64)
        self._scale = scale[self._targets]

    def of(self, evidence: Evidence) -> Floats:
        """Return each feature's share of the squared error in scaled units: [F], sum 1.

        0 for features that the model does not predict; all 0 where the forecast was exact.
        """
        truth = np.stack(evidence.rows)[:, self._targets]
        errors = ((evidence.forecast - truth) / self._scale) ** 2
        shares = np.zeros(self._size)
        total = errors.sum()
        if total > 0.0:
            np.add.at(shares, self._targets, errors.sum(axis=0) / total)
        return shares


class OneStepEvidence(Sequence["Evidence | None"]):
    """The evidence of rows [n] whose forecasts are of one row each, made when it is asked for.

    Parameters
    ----------
    shares : Shares
    forecasts : ndarray of float32, [n, 1, targets]
        That the rows met.
    rows : ndarray of float64, [n, F]
    """

    def __init__(self, shares: Shares, forecasts: npt.NDArray[np.float32], rows: Floats) -> None:
        self._shares, self._forecasts, self._rows = shares, forecasts, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Evidence: ...
    @overload
    def __getitem__(self, place: slice) -> OneStepEvidence: ...
    def __getitem__(self, place: int | slice) -> Evidence | OneStepEvidence:
        """Return that of one row, which keeps nothing of the others, or of some of them."""
        if isinstance(place, slice):
            return OneStepEvidence(self._shares, self._forecasts[place], self._rows[place])
        return Evidence(self._shares, self._forecasts[place].copy(), (self._rows[place].copy(),))


class ForecastHistory:
    """The last K rows of an entity, and the forecasts that were there before each of them."""

    __slots__ = ("_forecasts", "_rows", "_shares")

    def __init__(self, horizon: int, shares: Shares) -> None:
        self._shares = shares
        self._forecasts: deque[npt.NDArray[np.float32]] = deque(maxlen=horizon)
        self._rows: deque[Floats] = deque(maxlen=horizon)

    def add(self, forecast: npt.NDArray[np.float32], row: Floats) -> Evidence | None:
        """Take a row [F] and the forecast [K, targets] from before it; None for K - 1 rows.

        Both are kept as they are: nobody else changes them.
        """
        self._forecasts.append(forecast)
        self._rows.append(row)
        full = len(self._rows) == self._rows.maxlen
        return Evidence(self._shares, self._forecasts[0], tuple(self._rows)) if full else None

    def state(self) -> dict[str, Any]:
        """Return the state, ready for JSON (null for numbers that are not finite)."""
        return {
            "forecasts": [_listed(forecast.ravel()) for forecast in self._forecasts],
            "rows": [_listed(row) for row in self._rows],
        }

    def load_state(self, state: Any, *, shape: tuple[int, int], features: int) -> None:
        """Go on from what `state` returned; `shape` is a forecast's, [K, targets]."""
        try:
            forecasts = [np.array(f, np.float32).reshape(shape) for f in state["forecasts"]]
            rows = [np.array(r, np.float64).reshape(features) for r in state["rows"]]
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"state: forecasts and rows: {error}") from None
        if len(forecasts) != len(rows) or len(rows) > (self._rows.maxlen or 0):
            raise ValueError("state: expected as many forecasts as rows, at most the horizon")
        self._forecasts.extend(forecasts)
        self._rows.extend(rows)


def _listed(values: npt.NDArray[Any]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]

"""Forecasting errors: how far the next rows are from what the network expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

from slidecell._arguments import whole_number
from slidecell._cells import CellName
from slidecell.detect.network_detector import NetworkDetector
from slidecell.detect.scales import ScalerKind

if TYPE_CHECKING:
    from slidecell.convert import SequenceNetwork

__all__ = ["ForecastDetector"]


@dataclass(repr=False, eq=False)
class ForecastDetector(NetworkDetector):
    """Score rows by the error of an LSTM's or GRU's forecast of them.

    From W rows the network forecasts the next K; the error stands at the last of them. The first
    W + K - 1 rows of an entity have no score.

    Parameters
    ----------
    window : int
        W rows in.
    hidden_size : int or sequence of int
        One size for all layers, or one per layer: ``(64, 32)``.
    num_layers : int
        With an integer `hidden_size`.
    cell : str
        "lstm" (the default) or another name in `slidecell.recurrent.STACKS`.
    horizon : int
        K rows ahead, at least 1.
    scaler : {"minmax", "standard", "robust"}, optional
    contamination : float, optional
        Share of the training scores above the threshold.
    epochs : int
    random_state : int, RandomState or None
        The same one: the same scores.
    dropout, head_dropout : float
        Between layers, and between the last h and the head; in training.
    activation : {"tanh", "relu", "sigmoid", "linear"}
    proj_size : int
        LSTM: size of the projected h; 0 for none.
    bidirectional, recurrent_activation, reset_after, single_bias
        Of the layers: see `NetworkDetector`.
    reduction : {"mse", "mae", "mahalanobis"}
    precision : {"highest", "high", "medium"}
    batch_size, patience, lr, optimizer, loss, clip_grad_norm, validation, device
        Of training: see `NetworkDetector`.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.
    num_threads : int, optional
    progress : bool or callable

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ForecastDetector
    >>> X = np.sin(np.arange(600) / 5)[:, None]
    >>> X[550] += 1.0
    >>> detector = ForecastDetector(window=8, hidden_size=8, epochs=5, lr=0.02, random_state=0)
    >>> scores = detector.fit(X[:500]).score_samples(X)
    >>> bool(scores[550] > detector.threshold_), int(np.isnan(scores).sum())
    (True, 8)
    """

    window: int = 32
    hidden_size: int | Sequence[int] = 64
    num_layers: int = 1
    cell: CellName = "lstm"
    horizon: int = 1
    scaler: ScalerKind | None = "minmax"
    contamination: float | None = None
    epochs: int = 50
    random_state: Any = None
    _: KW_ONLY
    head_dropout: float = 0.0
    activation: Literal["tanh", "relu", "sigmoid", "linear"] = "tanh"
    proj_size: int = 0

    @property
    def _rows_ahead(self) -> int:
        return self.horizon

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ForecastDetector:
        """Return an unfitted detector by the settings of the command line."""
        given = dict(settings)
        sizes = tuple(given.get("hidden_size", ()))
        if len(sizes) > 1:
            given["num_layers"] = len(sizes)
        elif sizes:
            given["hidden_size"] = sizes[0]
        return super().from_settings(given)

    def _check_parameters(self) -> None:
        whole_number("horizon", self.horizon, least=1)
        super()._check_parameters()

    def _dropouts(self) -> dict[str, float]:
        return {"dropout": self.dropout, "head_dropout": self.head_dropout}

    def _make_module(self, features: int) -> SequenceNetwork:
        from slidecell.training import Forecaster

        return Forecaster(
            features,
            self.hidden_size,
            self.num_layers,
            cell=self.cell,
            window=self.window,
            horizon=self.horizon,
            dropout=self.dropout,
            head_dropout=self.head_dropout,
            bidirectional=self.bidirectional,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
            reset_after=self.reset_after,
            proj_size=self.proj_size,
            single_bias=self.single_bias,
        )

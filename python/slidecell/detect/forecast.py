"""Forecasting errors: how far the next rows are from what the network expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy.typing as npt

from slidecell._arguments import as_choice, whole_number
from slidecell._cells import CellName
from slidecell.detect.given_model import TakesModel
from slidecell.detect.row_smoothing import ALIGNMENTS, Align, smooth_rows
from slidecell.detect.scales import ScalerKind
from slidecell.tables.rows import Rows
from slidecell.thresholds.smoothing import TrailingMean

if TYPE_CHECKING:
    from slidecell.convert import SequenceNetwork

__all__ = ["ForecastDetector"]


@dataclass(repr=False, eq=False)
class ForecastDetector(TakesModel):
    """Score rows by the error of an LSTM's or GRU's forecast of them.

    From W rows the network forecasts the next K; the error stands at the last of them. The first
    W + K - 1 rows of an entity have no score. Each error counts by how far it is beyond those of
    its column in training, and scores are averaged over the last rows: a single large error is
    often noise, several in a row are not.

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
    reduction : {"mse", "mae", "mahalanobis", "calibrated", "nll"}
        ``"calibrated"``: the mean of ``max((|error| - m) / s, 0)`` over columns and the K rows,
        with the mean m and the standard deviation s of each absolute error on the rows that train.
        It needs a scaler. ``"nll"`` needs a model of mean and log variance: see `from_model`. The
        others: see `SequenceModel.score`.
    align : {"end", "cover"}
        Which rows smoothing averages: ``end`` the last `smoothing` rows, so that nothing later is
        used; ``cover`` as many around a row, which no stream can do.
    smoothing : int
        Rows whose finite scores are averaged; 1: none. ``score_samples(X, smoothed=False)`` gives
        the scores before.
    precision : {"highest", "high", "medium", "low"}
    speculate : {"none", "auto", "carried", "carried_low", "low", "medium"}
        What `predict` and `flag` score with first: see `NetworkDetector`.
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

    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing", "reduction", "align", "smoothing")
    _reductions: ClassVar[tuple[str, ...]] = ("mse", "mae", "mahalanobis", "calibrated", "nll")
    _earlier_parameters: ClassVar[Mapping[str, Any]] = {
        "align": "end",
        "smoothing": 1,
        "speculate": "none",
    }

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
    reduction: Literal["mse", "mae", "mahalanobis", "calibrated", "nll"] = "calibrated"
    align: Align = "end"
    smoothing: int = 20

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
        as_choice("align", self.align, ALIGNMENTS)
        whole_number("smoothing", self.smoothing, least=1)
        if self.reduction == "calibrated" and self.scaler is None:
            raise ValueError(
                "reduction: 'calibrated' needs scaled errors, got scaler=None: give a scaler, or "
                "another reduction, such as 'mse'"
            )

    def _window_rows(self) -> int | None:
        if self._looks_ahead():
            return None
        return self.model_.window + self.model_.horizon + int(self._at_fit("smoothing")) - 1

    def _looks_ahead(self) -> bool:
        return bool(self._at_fit("align") == "cover")

    def _smooth(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return smooth_rows(
            scores,
            rows,
            length=self._at_fit("smoothing"),
            align=self._at_fit("align"),
            num_threads=self.num_threads,
        )

    def _smoothing_state(self) -> dict[str, Any] | None:
        length = int(self._at_fit("smoothing"))
        return None if length == 1 else TrailingMean(length).state()

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

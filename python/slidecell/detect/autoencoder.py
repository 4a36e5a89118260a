"""Reconstruction errors: how much of a window is lost on its way through a bottleneck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_choice
from slidecell._cells import CellName
from slidecell.detect.base import Alignment
from slidecell.detect.given_model import TakesModel
from slidecell.detect.row_smoothing import ALIGNMENTS, Align, columns_of_means
from slidecell.detect.scales import ScalerKind
from slidecell.tables.rows import Rows

if TYPE_CHECKING:
    from slidecell.convert import SequenceNetwork

__all__ = ["AutoencoderDetector"]


@dataclass(repr=False, eq=False)
class AutoencoderDetector(TakesModel):
    """Score rows by the error of an LSTM or GRU autoencoder that reconstructs their window.

    The error stands at the window's last row; the first W - 1 rows of an entity have no score.
    `encode` returns the bottleneck.

    Parameters
    ----------
    window : int
        W rows; 1 is allowed.
    encoder_sizes : sequence of int
        Hidden size per layer; the last one is the bottleneck.
    decoder_sizes : sequence of int, optional
        None: those of the encoder, mirrored.
    activation : {"tanh", "relu", "sigmoid", "linear"}
    cell : str
        "lstm" (the default) or another name in `slidecell.recurrent.STACKS`.
    scaler : {"minmax", "standard", "robust"}, optional
    contamination : float, optional
        Share of the training scores above the threshold.
    epochs : int
    random_state : int, RandomState or None
        The same one: the same scores.
    dropout : float
        Between the layers of the encoder and between those of the decoder, in training.
    bidirectional, recurrent_activation, reset_after, single_bias
        Of the layers: see `NetworkDetector`.
    reduction : {"mse", "mae", "mahalanobis"}
    aggregate : {"window", "last", "mean"}
        Of which errors: all of the window's, those of its last row, or those of a row in all
        windows that cover it. The latter looks ahead: a row's score changes as rows follow it.
    align : {"end", "cover"}
        ``end``: a window's score stands at its last row. ``cover``: a row's score is the mean of
        the scores of all complete windows of its entity that cover it, which looks ahead, and which
        no stream can do; ``aggregate="mean"`` averages the row's own errors instead.
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
    >>> from slidecell.detect import AutoencoderDetector
    >>> X = np.sin(np.arange(600) / 5)[:, None] * [1.0, -0.5]
    >>> X[550] += 1.0
    >>> detector = AutoencoderDetector(
    ...     window=8, encoder_sizes=(8, 4), decoder_sizes=(4, 8), epochs=5, lr=0.02, random_state=0
    ... )
    >>> scores = detector.fit(X[:500]).score_samples(X)
    >>> int(np.nanargmax(scores)) in range(550, 558), int(np.isnan(scores).sum())
    (True, 7)
    >>> detector.encode(X).shape
    (593, 4)
    """

    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing", "reduction", "aggregate", "align")
    _earlier_parameters: ClassVar[Mapping[str, Any]] = {"align": "end", "speculate": "none"}

    window: int = 32
    encoder_sizes: Sequence[int] = (16, 8)
    decoder_sizes: Sequence[int] | None = (8, 16)
    activation: Literal["tanh", "relu", "sigmoid", "linear"] = "tanh"
    cell: CellName = "lstm"
    scaler: ScalerKind | None = "minmax"
    contamination: float | None = None
    epochs: int = 50
    random_state: Any = None
    _: KW_ONLY
    aggregate: Literal["window", "last", "mean"] = "window"
    align: Align = "end"

    @property
    def _rows_ahead(self) -> int:
        return 0

    def _window_rows(self) -> int | None:
        # A mean over the windows that cover a row looks ahead.
        ahead = self._at_fit("aggregate") == "mean" or self._looks_ahead()
        return None if ahead else super()._window_rows()

    def _looks_ahead(self) -> bool:
        return bool(self._at_fit("align") == "cover")

    def _score(self, rows: Rows) -> npt.NDArray[Any]:
        return self._aligned(rows, super()._score(rows))

    def _score_features(self, rows: Rows) -> npt.NDArray[Any]:
        return self._aligned(rows, super()._score_features(rows))

    def _aligned(self, rows: Rows, scores: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Return scores [S] or [S, F] of windows at their last rows as `align` wants them."""
        if not self._looks_ahead():
            return scores
        ahead = self.model_.window - 1
        return columns_of_means(
            scores, rows, before=0, after=ahead, own=False, num_threads=self.num_threads
        )

    def _refuse_stream(self) -> None:
        if self._at_fit("aggregate") == "mean":
            raise ValueError(
                "aggregate='mean': an AutoencoderDetector scores a row by later ones then, and a "
                "stream has none: fit one with aggregate='window' or 'last'"
            )
        super()._refuse_stream()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> AutoencoderDetector:
        """Return an unfitted detector by the settings of the command line.

        ``hidden_size`` and ``num_layers`` are those of the encoder, which the decoder mirrors; a
        single size is halved from layer to layer.
        """
        given = dict(settings)
        horizon = given.pop("horizon", 0)
        if horizon != 0:
            raise ValueError(
                f"--horizon: expected 0, because an autoencoder forecasts nothing, got {horizon}: "
                "leave it out, or choose --detector forecast"
            )
        sizes = tuple(given.pop("hidden_size", ()))
        layers = given.pop("num_layers", None)
        if len(sizes) <= 1 and (sizes or layers not in {None, 1}):
            first = (sizes or (16,))[0]
            sizes = tuple(max(1, first >> layer) for layer in range(layers or 1))
        if sizes:
            given |= {"encoder_sizes": sizes, "decoder_sizes": sizes[::-1]}
        return super().from_settings(given)

    @classmethod
    def takes_setting(cls, name: str) -> bool:
        """Return whether the setting is one; sizes and layers are those of the encoder."""
        return name in {"hidden_size", "num_layers"} or super().takes_setting(name)

    def _check_parameters(self) -> None:
        as_choice("aggregate", self.aggregate, ("window", "last", "mean"))
        as_choice("align", self.align, ALIGNMENTS)
        if self.align == "cover" and self.aggregate != "window":
            raise ValueError(
                "align: 'cover' averages the scores of whole windows, got "
                f"aggregate={self.aggregate!r}: leave one of them as it is"
            )
        super()._check_parameters()

    def _score_options(self) -> dict[str, Any]:
        return {**super()._score_options(), "aggregate": self._at_fit("aggregate")}

    def _make_module(self, features: int) -> SequenceNetwork:
        from slidecell._arguments import as_sizes
        from slidecell.training import Autoencoder

        encoder_sizes = as_sizes("encoder_sizes", self.encoder_sizes)
        return Autoencoder(
            features,
            encoder_sizes,
            encoder_sizes[::-1] if self.decoder_sizes is None else self.decoder_sizes,
            cell=self.cell,
            window=self.window,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
            reset_after=self.reset_after,
            single_bias=self.single_bias,
        )

    @property
    def alignment(self) -> Alignment:
        """Which rows a score depends on: see `Detector`."""
        return "cover" if self._at_fit("aggregate") == "mean" else super().alignment

"""What detectors with a trained network share."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_choice, as_fraction, whole_number
from slidecell._choices import Speculate
from slidecell._extras import require
from slidecell.detect.audited import audited_flags
from slidecell.detect.base import Detector, FeatureReduction
from slidecell.detect.fitted_values import read_history
from slidecell.detect.fitting import training_part
from slidecell.detect.random_states import seed_of
from slidecell.detect.scales import SCALERS, ScalerKind
from slidecell.detect.streams.compiled import CompiledStream
from slidecell.error_statistics import least_errors
from slidecell.flags import Flags
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.split import held_out_rows, last_rows
from slidecell.tables.windowed import TooFewWindowsError, refuse_no_window, window_ends
from slidecell.thresholds.smoothing import Smoothing, smoothing_from_state

if TYPE_CHECKING:
    from slidecell.convert import SequenceNetwork
    from slidecell.detect.storage import Parts
    from slidecell.detect.streams.base import DetectorStream
    from slidecell.model import SequenceModel
    from slidecell.thresholds import Threshold
    from slidecell.training import History

__all__ = ["STATISTICS", "NetworkDetector"]

N = TypeVar("N", bound="NetworkDetector")

# What a model file has of each reduction that needs statistics.
STATISTICS: dict[Literal["mahalanobis", "calibrated"], str] = {
    "mahalanobis": "whiten",
    "calibrated": "slope",
}


class _Network(Detector):
    """The types of what each network has in its own place of the constructor, and learns."""

    window: int
    scaler: ScalerKind | None
    epochs: int
    random_state: Any

    model_: SequenceModel
    _history: History | dict[str, Any]


@dataclass(kw_only=True, repr=False, eq=False)  # a list of parameters, not a value
class NetworkDetector(_Network):
    """A detector that trains a recurrent network and scores with the compiled kernels.

    Scaler and network are fitted on the rows that train; the others are held out to stop in
    time: whole entities or, of one entity, the last part by time.

    Parameters
    ----------
    window : int
        W rows in.
    scaler : {"minmax", "standard", "robust"}, optional
        Of the features. None: rows are taken as they are.
    contamination : float, optional
        Share of the training scores above the threshold.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`. A rate is calibrated on the rows held out.
    epochs : int
    random_state : int, RandomState or None
        Of weights, held-out entities, order and dropout. The same one: the same scores.
    dropout : float
        Between layers, in training.
    bidirectional : bool
    recurrent_activation : {"sigmoid", "hard_sigmoid"}
        Of the gates.
    reset_after : bool
        GRU: False places the reset gate before the recurrent product.
    single_bias : bool
        One bias per gate, as Keras has it, where torch has two.
    reduction : {"mse", "mae", "mahalanobis", "calibrated"}
        How a window's errors become its score: see `SequenceModel.score`. The statistics of
        "mahalanobis" come from the rows held out, those of "calibrated" from the rows that train.
    precision : {"highest", "high", "medium", "low"}
        Of scoring: see `SequenceModel.score`.
    speculate : {"none", "auto", "carried", "carried_low", "low", "medium"}
        What `predict` and `flag` score all windows with first: see `SequenceModel.flag`. ``"none"``
        scores all of them exactly; the others give audited flags, which need a threshold that no
        score changes. `score_samples` is exact with all of them.
    batch_size : int, optional
        Default: a fiftieth of the training windows, within 32 and 2048.
    patience : int, optional
        Stop after so many epochs in a row without a lower error on the rows held out.
    lr : float
    optimizer : {"adam", "adamw", "sgd", "rmsprop"} or callable
    loss : {"mse", "mae", "huber"} or callable
    clip_grad_norm : float, optional
        See `slidecell.training.fit` for these.
    validation : float
        Share of the windows to hold out; 0: none.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.
    num_threads : int, optional
        For training and scoring. Default: one in training where more do not pay.
    device : str or torch.device, optional
        To train on.
    progress : bool or callable
        True: a bar on stderr if that is a terminal.

    Attributes
    ----------
    model_ : SequenceModel
        The network with its scaler, compiled. ``model_.save`` writes it for the command line,
        streams and C++; it knows `missing` and, where they are texts, `entity` and `time`.
    history_ : History
        Of the training.
    """

    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing", "reduction")
    _reductions: ClassVar[tuple[str, ...]] = ("mse", "mae", "mahalanobis")

    threshold: Threshold | str | float | None = None
    dropout: float = 0.0
    bidirectional: bool = False
    recurrent_activation: Literal["sigmoid", "hard_sigmoid"] = "sigmoid"
    reset_after: bool = True
    single_bias: bool = False
    reduction: Literal["mse", "mae", "mahalanobis", "calibrated", "nll"] = "mse"
    precision: Literal["highest", "high", "medium", "low"] = "highest"
    speculate: Speculate = "none"
    batch_size: int | None = None
    patience: int | None = 5
    lr: float = 1e-3
    optimizer: Any = "adam"
    loss: Any = "mse"
    clip_grad_norm: float | None = None
    validation: float = 0.2
    missing: Literal["skip", "ffill"] = "skip"
    entity: Hashable | None = None
    time: Hashable | None = None
    num_threads: int | None = None
    device: Any = None
    progress: bool | Callable[[int, int, float, float | None], object] = False

    def fit(
        self: N,
        X: Any,
        y: object = None,
        *,
        offsets: npt.ArrayLike | None = None,
        warm_start: bool = False,
    ) -> N:
        """Learn from rows [S, F] what is normal, and set the threshold.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
        y : object
            Ignored.
        offsets : array_like of int, [G+1], optional
            Where each entity begins. Default: one entity.
        warm_start : bool
            Go on from the fitted weights, also those of a loaded detector; scaler and features
            stay, the threshold is set anew on these rows.

        Returns
        -------
        NetworkDetector
            Itself.
        """
        if not warm_start:
            return super().fit(X, y, offsets=offsets)
        rows = self._known_rows(X, offsets)
        with self._unchanged_on_error():
            self._check_parameters()
            self._remember_parameters()
            rows = self._filled(rows)
            if rows.options is not None:
                self._table = rows.options.to_dict()
            held = self.held_out(rows)
            self._train(rows, held, start=self.model_)
            self._set_threshold(rows, held)
            self._keep_statistics(rows)
        return self

    def predict(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Ints:
        """Rows [S, F] -> 1 where the rule flags the score, else 0: int64 [S].

        With `speculate` these are the audited flags of `flag`: every 1 is proved, and of those that
        are missing `flag` tells a bound.
        """
        if self.speculate == "none":
            return super().predict(X, offsets=offsets)
        rows = self._known_rows(X, offsets)
        return rows.restore(self._audited(rows, 1024).flagged.astype(np.int64), 0)

    def flag(self, X: Any, *, offsets: npt.ArrayLike | None = None, audit: int = 1024) -> Flags:
        """Return audited flags of rows [S, F], in input order, as `speculate` says.

        Raised alarms are proved by exact scores, missed ones are bounded by a sample: see
        `SequenceModel.flag`.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
        offsets : array_like of int, [G+1], optional
        audit : int
            Decisions that are verified.

        Returns
        -------
        Flags
            Its ``score`` is that of each row before the detector smooths it.

        Raises
        ------
        UnsupportedError
            If the threshold follows the scores, or scores are not those of whole windows at their
            last rows, at ``precision="highest"``.
        """
        rows = self._known_rows(X, offsets)
        found = self._audited(rows, audit)
        return Flags(
            rows.restore(found.flagged, False),
            rows.restore(found.score, np.float32(np.nan)),
            rows.restore(found.exact, False),
            found.audit,
        )

    def _audited(self, rows: Rows, audit: int) -> Flags:
        rows = self._filled(rows)
        refuse_no_window(rows, window=self.model_.window, horizon=self.model_.horizon)
        return audited_flags(self, rows, speculate=self.speculate, audit=audit)

    def encode(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """Rows [S, F] -> the encoder's last h of every window [N, code_size].

        Windows are in the order of entities (by key, where a column names them) and of time; one
        with a missing value has NaN.
        """
        rows = self._known_rows(X, offsets)
        rows = self._filled(rows)
        refuse_no_window(rows, window=self.model_.window, horizon=self.model_.horizon)
        return self.model_.encode(rows.features, rows.offsets, num_threads=self.num_threads)

    @property
    def history_(self) -> History:
        """Course and outcome of the last training."""
        if "_history" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no history_ before fit")
        if isinstance(self._history, dict):  # loaded: torch is not needed to score
            from slidecell.training import History

            self._history = History(**self._history)
        return self._history

    @property
    def feature_reduction(self) -> FeatureReduction:
        """How `feature_scores` become scores."""
        return None if self._at_fit("reduction") == "mahalanobis" else "mean"

    @abstractmethod
    def _make_module(self, features: int) -> SequenceNetwork:
        """Return the network that the parameters describe, untrained."""

    @property
    @abstractmethod
    def _rows_ahead(self) -> int:
        """K; 0 for an autoencoder."""

    def _score_options(self) -> dict[str, Any]:
        """Return the arguments of `SequenceModel.score`."""
        return {
            "reduction": self._at_fit("reduction"),
            "precision": self.precision,
            "num_threads": self.num_threads,
        }

    def _dropouts(self) -> dict[str, float]:
        """Return what a compiled model does not know of its module."""
        return {"dropout": self.dropout}

    def _row_scaler(self) -> dict[str, Any] | None:
        return self.model_.scaler

    def _score(self, rows: Rows) -> npt.NDArray[np.float32]:
        refuse_no_window(rows, window=self.model_.window, horizon=self.model_.horizon)
        return self.model_.score(rows.features, rows.offsets, **self._score_options())

    def _score_features(self, rows: Rows) -> npt.NDArray[np.float32]:
        if self.feature_reduction is None:
            raise ValueError("feature_scores: reduction='mahalanobis' has none per feature")
        refuse_no_window(rows, window=self.model_.window, horizon=self.model_.horizon)
        return self.model_.score(
            rows.features, rows.offsets, per_feature=True, **self._score_options()
        )

    def _learn(self, rows: Rows, held: npt.NDArray[np.bool_]) -> None:
        self._train(rows, held, start=None)

    def _fit(self, rows: Rows) -> None:
        self._train(rows, np.zeros(len(rows), np.bool_), start=None)

    def _train(self, rows: Rows, held: npt.NDArray[np.bool_], start: SequenceModel | None) -> None:
        """Train from new weights, or from those of `start`, on the rows not held out; compile."""
        require("torch", extra="train")
        from slidecell.training.settings import TrainingSettings
        from slidecell.training.train_network import train_network

        seed = seed_of(self.random_state)
        stops = held if self.validation > 0.0 else np.zeros(len(rows), np.bool_)
        training, held_out = training_part(rows, held), rows.take(stops)
        self._check_windows(training)
        if len(held_out) and not self._window_ends(held_out).any():
            held_out = rows.take(np.zeros(len(rows), np.bool_))  # of another network's split
        if "mahalanobis" in self._error_statistics():
            self._check_enough(held_out)
        model, history = train_network(
            self._make_module if start is None else lambda _: self._going_on_from(start),
            (training.features, training.offsets),
            (held_out.features, held_out.offsets),
            scaler=self.scaler if start is None else start.scaler,
            settings=TrainingSettings.of(self, seed=seed),
            features=rows.text_names() if start is None else start.features,
            warm_start=start is not None,
            progress=self.progress,
        )
        for reduction in self._error_statistics():
            usual = training if reduction == "calibrated" else held_out
            model = model.fit_error(usual.features, usual.offsets, reduction=reduction)
        history.validation_rows = rows.restore(stops, False)
        # For the command line, which reads a file as these rows were read.
        self.model_ = model.with_metadata(extra={"detect": self.table_options()})
        self._history = history

    def held_out(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which of the rows that `fit` is given would train nothing, bool [S]."""
        require("torch", extra="train")  # before a job says that training begins
        if self._calibrates_each_entity():
            return last_rows(rows)
        held = held_out_rows(
            self._filled(rows),
            window=self.window,
            horizon=self._rows_ahead,
            fraction=self.validation,
            # Not drawn yet: the training draws it.
            seed=seed_of(copy.deepcopy(self.random_state)),
        )
        return held if held.any() else super().held_out(rows)

    def rows_to_stop(self) -> int | None:
        """Return the rows of a window and its target, if some are held out to stop in time."""
        return self.window + self._rows_ahead if self.validation > 0.0 else None

    def _error_statistics(self) -> Sequence[Literal["mahalanobis", "calibrated"]]:
        """Return the reductions whose statistics a training finds."""
        return [reduction for reduction in STATISTICS if reduction == self.reduction]

    def _window_rows(self) -> int | None:
        return self.model_.window + self.model_.horizon

    def shortest_series(self) -> int:
        """Return the rows of a window and its target."""
        return self.model_.window + self.model_.horizon

    @property
    def network(self) -> SequenceModel:
        """The network with its scaler, compiled: ``model_``."""
        return self.model_

    @property
    def scoring_model(self) -> SequenceModel | None:
        """``model_``, unless the detector makes scores of its errors in another way."""
        return self.model_ if self._scores_as_streams() else None

    def losses(self, rows: Rows) -> npt.NDArray[Any]:
        """Return the mean squared error of each window, at its last row [S].

        Windows that training would skip have none, NaN.
        """
        losses = self.model_.score(rows.features, rows.offsets, num_threads=self.num_threads)
        losses[self.too_large_rows(rows)] = np.nan
        return losses.astype(np.float64)

    def fit_again(self, rows: Rows) -> None:
        """Go on training from the fitted weights, on new rows."""
        self.fit(rows, warm_start=True)

    def live_model(self) -> SequenceModel:
        """Return the model that live streams score with, its smoothing and threshold included."""
        if self._looks_ahead():
            raise ValueError(
                "align: 'cover' needs rows of the future, which a stream does not have; expected "
                "'end'"
            )
        if not self._scores_as_streams():
            raise ValueError(
                "streams score by the errors of whole windows, this detector by "
                f"aggregate={self._score_options()['aggregate']!r}"
            )
        return self.model_

    def make_stream(self, num_entities: int, *, fill: bool, max_bytes: int) -> DetectorStream:
        """Return a stream of this very detector, which must not change any more."""
        if not self._compiled_streams_round_alike():
            return super().make_stream(num_entities, fill=fill, max_bytes=max_bytes)
        options = self._score_options()
        chosen = {name: options[name] for name in ("reduction", "aggregate") if name in options}
        return CompiledStream(
            self,
            self.model_,
            self.model_.stream(num_entities, max_bytes=max_bytes, **chosen),
            num_threads=self.num_threads,
            fill=fill,
            smoothing=self._stream_smoothing(),
        )

    def score_last(
        self, windows: Floats, seen: Ints, *, num_threads: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Score the last row of windows [n, W + K, F], not smoothed: [n]."""
        del seen  # a row that never came is a missing one
        n, length, features = windows.shape
        options = self._score_options()
        if num_threads is not None:
            options["num_threads"] = num_threads
        bounds = np.arange(0, n * length + 1, length)
        scores = self.model_.score(windows.reshape(n * length, features), bounds, **options)
        return scores[length - 1 :: length]

    @property
    def stream_model(self) -> SequenceModel | None:
        """``model_``, unless its stream would score or round in another way."""
        return self.scoring_model if self._compiled_streams_round_alike() else None

    def _compiled_streams_round_alike(self) -> bool:
        """Return whether streams have the scores' bits, which matrix kernels do not give."""
        precision = self._score_options()["precision"]
        if precision == "highest":
            return True
        return str(self.model_.plan(precision)["kernel"]).startswith(("fma", "int8"))

    def _stream_rows(self) -> int | None:
        return None if self._score_length() is None else self.shortest_series()

    def _stream_smoothing(self) -> Smoothing | None:
        state = self._smoothing_state()
        return None if state is None else smoothing_from_state(state)

    def _scores_as_streams(self) -> bool:
        whole = self._score_options().get("aggregate", "window") == "window"
        return whole and not self._looks_ahead()

    def _looks_ahead(self) -> bool:
        """Return whether rows after a row count in its score."""
        return False

    def _smoothing_state(self) -> dict[str, Any] | None:
        """Return the smoothing of scores as a model file keeps it."""
        return None

    def _window_ends(self, rows: Rows) -> npt.NDArray[np.bool_]:
        return window_ends(rows, window=self.window, horizon=self._rows_ahead)

    def _check_windows(self, training: Rows) -> None:
        """Refuse rows to train on that another split has left without a window."""
        refuse_no_window(training, window=self.window, horizon=self._rows_ahead)
        if not self._window_ends(training).any():
            raise TooFewWindowsError(f"{training.source}: every window has a missing value")

    def _check_enough(self, held_out: Rows) -> None:
        """Refuse rows held out that are too few for error statistics, before the training."""
        windows = int(self._window_ends(held_out).sum())
        ahead = self._rows_ahead
        errors = windows if ahead else windows * self.window
        least = least_errors(held_out.num_features * max(ahead, 1))
        if errors < least:
            raise TooFewWindowsError(
                f"{held_out.source}: expected at least {least} errors in the rows held out, for "
                f"the statistics of reduction='mahalanobis', got {errors} of {windows} windows: "
                "give more rows or a larger validation"
            )

    def _set_threshold(self, rows: Rows, held: npt.NDArray[np.bool_]) -> None:
        super()._set_threshold(rows, held)
        # For streams and the command line, which score whole windows.
        if self._scores_as_streams():
            reduction = self._at_fit("reduction")
            self.model_ = self.model_.with_metadata(
                threshold=self.threshold_state(),
                smoothing=self._smoothing_state(),
                **({} if reduction == "mse" else {"reduction": reduction}),
            )

    def _parts(self) -> Parts:
        parts = super()._parts()
        if callable(self.progress):  # what shows progress is no part of what was learnt
            parts.params["progress"] = False
        parts.model = self.model_
        history = self._history
        parts.values["history"] = history if isinstance(history, dict) else history.to_dict()
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        forecasts = self._rows_ahead > 0
        self.model_ = parts.fitted_model(features=self.n_features_in_, forecasts=forecasts)
        found = self.model_.metadata["error"] or {}
        for reduction in self._error_statistics():
            if STATISTICS[reduction] not in found:
                raise ValueError(
                    f"model.safetensors: no error statistics for reduction={reduction!r}"
                )
        self._history = read_history(parts.values)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("window", self.window, least=1)
        as_choice("scaler", self.scaler, SCALERS)
        as_choice("reduction", self.reduction, self._reductions)
        as_choice("precision", self.precision, ("highest", "high", "medium", "low"))
        as_choice(
            "speculate",
            self.speculate,
            ("none", "auto", "carried", "carried_low", "low", "medium"),
        )
        as_fraction("validation", self.validation)
        if self.reduction == "mahalanobis" and self.validation == 0:
            raise ValueError(
                "reduction: 'mahalanobis' takes its statistics from rows held out, got validation=0"
            )

    def _going_on_from(self, model: SequenceModel) -> SequenceNetwork:
        """Return the module that the fitted model is, if the parameters still describe it."""
        from slidecell.convert import to_metadata
        from slidecell.training import to_module

        described, _ = to_metadata(self._make_module(model.input_size))
        fitted = model.metadata
        for part in ("window", "horizon", "encoder", "decoder"):
            if described[part] != fitted[part]:
                raise ValueError(
                    f"warm_start: the parameters describe another network than the fitted one, "
                    f"{part}: expected {fitted[part]}, got {described[part]}"
                )
        return to_module(model, **self._dropouts())

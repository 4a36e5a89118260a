"""Detectors of a network that was trained elsewhere: rows calibrate them and train nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from slidecell.detect.fitting import training_part
from slidecell.detect.network_detector import STATISTICS, NetworkDetector
from slidecell.detect.scales import SCALERS
from slidecell.detect.shares import shares_of_sum, spread_shares
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Floats, Ints, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.model import SequenceModel

__all__ = ["TakesModel"]

T = TypeVar("T", bound="TakesModel")

# Of a training that did not take place: fields of `slidecell.training.History`.
_NO_TRAINING: dict[str, Any] = {
    "train_loss": [],
    "validation_loss": [],
    "stopped_early": False,
    "seconds": 0.0,
    "best_epoch": 0,
    "training_windows": 0,
    "validation_windows": 0,
    "skipped_windows": 0,
    "purged_windows": 0,
    "batch_size": 0,
    "seed": 0,
}


class TakesModel(NetworkDetector):
    """The part of a network's detector that takes a trained model in place of training one."""

    _given: SequenceModel | None = None

    @classmethod
    def from_model(cls: type[T], model: SequenceModel, **parameters: Any) -> T:
        """Return a detector of a trained model, to be calibrated on rows.

        `calibrate`, `fit` and an `Ensemble` that it is a member of set its threshold and train
        nothing; ``fit(X, warm_start=True)`` trains on where the network is one of
        `slidecell.training`. A clone has the same model.

        Parameters
        ----------
        model : SequenceModel
            As `SequenceModel.from_torch` and the others make it; with its scaler, where the
            network saw scaled rows.
        **parameters
            Of the constructor, but those that the model decides: window, horizon, layers, scaler.
            ``reduction="nll"`` is for forecasters of mean and log variance; where a forecaster has
            no scaler, "mse" is the default.

        Returns
        -------
        ForecastDetector or AutoencoderDetector

        Raises
        ------
        TypeError
            If it is no `SequenceModel`, or the model decides a parameter.
        ValueError
            If a forecaster is given to the detector of autoencoders, or the other way round.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> from slidecell.detect import ForecastDetector
        >>> from slidecell.training import Forecaster
        >>> X = np.sin(np.arange(300) / 5)[:, None]
        >>> model = sc.SequenceModel.from_torch(Forecaster(1, 4, window=8))
        >>> detector = ForecastDetector.from_model(model).calibrate(X)
        >>> detector.predict(X).shape, detector.window
        ((300,), 8)
        """
        decided = _decided_by(model)
        forecasts = "horizon" in cls._get_param_names()
        if forecasts != (model.horizon > 0):
            other = "AutoencoderDetector" if forecasts else "ForecastDetector"
            kind = "a forecaster" if forecasts else "an autoencoder"
            raise ValueError(f"model: expected {kind}, got {model}; use {other}.from_model")
        decided = {name: decided[name] for name in decided if name in cls._get_param_names()}
        odd = sorted(set(parameters) & set(decided))
        if odd:
            raise TypeError(f"{odd[0]}: the model decides it, {decided[odd[0]]!r}")
        if forecasts and model.scaler is None:
            parameters = {"reduction": "mse", **parameters}  # calibrated errors need a scaler
        detector = cls(**{**decided, **parameters})
        detector._given = model
        return detector

    def calibrate(self: T, X: Any, y: object = None, *, offsets: npt.ArrayLike | None = None) -> T:
        """Set the threshold on rows [S, F] that the model was not trained on.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
            Columns are matched by name where the model knows its features.
        y : object
            Ignored.
        offsets : array_like of int, [G+1], optional
            Where each entity begins. Default: one entity.

        Returns
        -------
        ForecastDetector or AutoencoderDetector
            Itself.

        Raises
        ------
        ValueError
            If the detector has no model of `from_model`.
        """
        if self._given is None:
            raise ValueError(
                f"calibrate: expected a detector of from_model, got a {type(self).__name__} "
                "without a model; use fit"
            )
        return self.fit(X, y, offsets=offsets)

    def __sklearn_clone__(self: T) -> T:
        made: T = clone_by_parameters(self)
        made._given = self._given
        return made

    def _columns(self, features: tuple[Any, ...] = (), **more: Any) -> TableOptions:
        if not features and self._given is not None and self._given.features is not None:
            features = tuple(self._given.features)
        return super()._columns(features, **more)

    def held_out(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which of the rows that `fit` is given would train nothing, bool [S]."""
        if self._given is not None:  # none does: there is nothing to hold out from
            return np.zeros(len(rows), np.bool_)
        return super().held_out(rows)

    def shares_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's share of the error: 0 for those that the model does not predict."""
        targets = self.model_.metadata["targets"]
        if targets is None:
            return super().shares_at(rows, chosen)
        errors = self._scores_at(rows, chosen, self._smoothed_features)[:, targets]
        shares = spread_shares(shares_of_sum(errors), targets, rows.num_features)
        return self._too_large_shares(rows, chosen, shares)

    def _score_features(self, rows: Rows) -> npt.NDArray[np.float32]:
        scores = super()._score_features(rows)
        targets = self.model_.metadata["targets"]
        if targets is None:
            return scores
        all_columns = np.full((len(scores), rows.num_features), np.nan, np.float32)
        all_columns[:, targets] = scores
        return all_columns

    def rows_to_stop(self) -> int | None:
        """Return the rows of a window by which training stops in time; None: nothing is trained."""
        return super().rows_to_stop() if self._given is None else None

    def _train(self, rows: Rows, held: npt.NDArray[np.bool_], start: SequenceModel | None) -> None:
        known = self._given or self.__dict__.get("model_")
        if self.reduction == "nll" and (
            known is None or known.metadata.get("distribution") != "gaussian"
        ):
            raise ValueError(
                "reduction: 'nll' needs a model of mean and log variance: see from_model"
            )
        if self._given is None or start is not None:
            super()._train(rows, held, start)
            self._given = self._given and self.model_
            return
        model = self._given
        rows = training_part(rows, held)
        if rows.num_features != model.input_size:
            raise ValueError(
                f"{rows.source}: expected [S, {model.input_size}] (the model's features), got "
                f"{list(rows.features.shape)}"
            )
        names = rows.text_names()
        if model.features is not None and names not in (None, model.features):
            raise ValueError(
                f"{rows.source}: expected the columns {', '.join(map(repr, model.features))} in "
                f"this order, got {', '.join(map(repr, names or ()))}"
            )
        for reduction in self._error_statistics():
            if STATISTICS[reduction] not in (model.metadata["error"] or {}):
                model = model.fit_error(rows.features, rows.offsets, reduction=reduction)
        known = {"features": names} if model.features is None else {}
        self.model_ = model.with_metadata(extra={"detect": self.table_options()}, **known)
        self._history = dict(_NO_TRAINING)

    def _parts(self) -> Parts:
        parts = super()._parts()
        if self._given is not None:
            parts.values["given_model"] = True
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        if parts.values.get("given_model") is True:
            self._given = self.model_


def clone_by_parameters(detector: Any) -> Any:
    """Return an unfitted detector of the same parameters, each cloned."""
    parameters = detector.get_params(deep=False)
    return type(detector)(**{name: clone(value, safe=False) for name, value in parameters.items()})


def _decided_by(model: SequenceModel) -> dict[str, Any]:
    """Return the parameters that a model decides, by their names in the constructors."""
    from slidecell.model import SequenceModel

    if not isinstance(model, SequenceModel):
        raise TypeError(
            f"model: expected a SequenceModel, got {type(model).__name__}; "
            "SequenceModel.from_torch makes one of a module"
        )
    metadata, scaler = model.metadata, model.scaler
    first = metadata["encoder"][0]
    encoder, decoder = (
        tuple(layer["hidden_size"] for layer in metadata[stack]) for stack in ("encoder", "decoder")
    )
    kind = None if scaler is None else scaler.get("kind")
    return {
        "window": model.window,
        "horizon": model.horizon,
        "hidden_size": encoder[0] if len(encoder) == 1 else encoder,
        "num_layers": len(encoder),
        "encoder_sizes": encoder,
        "decoder_sizes": decoder,
        "scaler": kind if kind in SCALERS else None,
        **{
            name: first[name]
            for name in (
                "cell",
                "activation",
                "recurrent_activation",
                "reset_after",
                "bidirectional",
                "proj_size",
            )
        },
    }

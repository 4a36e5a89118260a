"""Trained forecasters and autoencoders that score every window of a series."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell._arguments import as_choice, whole_number
from slidecell._arrays import integer_array, real_array, unmasked
from slidecell._choices import (
    Activation,
    Aggregate,
    Kernel,
    Precision,
    RecurrentActivation,
    Reduction,
    Speculate,
    Windows,
)
from slidecell._html import html_table
from slidecell._whole_files import replacing
from slidecell.error_statistics import (
    fit_calibration,
    fit_error_statistics,
    prediction_errors,
    row_parts,
)
from slidecell.flags import FlagAudit, Flags, averages_of, fixed_threshold
from slidecell.frames import match_features
from slidecell.scaling import apply_scaler
from slidecell.stream import Stream

if TYPE_CHECKING:
    from torch import nn

__all__ = ["SequenceModel"]

Floats = npt.NDArray[np.float32]

FORMAT, NEWEST_FORMAT = 1, 2
STREAM_BYTES = 2**30
_MOST_BYTES = 2**63 - 1  # as a 64-bit integer holds them
_DEFAULTS: dict[str, Any] = {
    "features": None,
    "targets": None,
    "scaler": None,
    "error": None,
    "smoothing": None,
    "threshold": None,
    "extra": {},
}


def _with_defaults(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with every key that a model file has.

    The format is the second where the first version would overlook what it says.
    """
    whole = {"format": FORMAT, **copy.deepcopy(_DEFAULTS), **metadata}
    if whole.get("reduction") is None:
        whole.pop("reduction", None)
    new = any(whole.get(key) is not None for key in ("head", "distribution", "reduction"))
    error = whole["error"]
    calibrated = isinstance(error, Mapping) and "slope" in error
    if whole["format"] == FORMAT and (new or calibrated):
        whole["format"] = NEWEST_FORMAT
    return whole


def _state_of(rule: Any) -> Any:
    """Return the state of a threshold or a smoothing that has seen no score since it was fitted.

    Anything else is returned as it is: the core checks it.
    """
    if not callable(getattr(rule, "state", None)):
        return rule
    rule.apply(np.empty(0))  # refuses one that is not fitted
    state: dict[str, Any] = rule.fresh().state()
    return state


class SequenceModel:
    """A recurrent encoder, an optional decoder and a head of dense layers, compiled for this CPU.

    A forecaster (``horizon`` K >= 1) predicts the K rows after a window from the encoder's last h.
    An autoencoder (``horizon`` 0) predicts the window itself: its decoder is fed the encoder's
    last h at every step. A model that carries a scaler takes raw rows and predicts raw values.

    Use `from_torch` or `load`; the constructor takes the parts of a model file.

    Parameters
    ----------
    metadata : mapping
        What the file's JSON says: ``window``, ``horizon``, ``encoder`` and ``decoder`` (one dict
        per layer), and optionally ``features``, ``targets``, ``scaler``, ``error``, ``reduction``,
        ``smoothing``, ``threshold``, ``extra``, ``head`` and ``distribution``.

        Without ``head`` the head is one dense layer, of horizon * targets rows (an autoencoder's:
        targets). Else ``head`` is a list of up to 8 layers, 1 to 4 of them dense. A dense layer has
        ``output_size``; each has an ``activation``, which follows the product, if any:
        ``"linear"`` (none), ``"relu"``, ``"tanh"``, ``"sigmoid"``, ``"gelu"``, ``"gelu_tanh"``
        (torch's ``approximate="tanh"``) or ``"leaky_relu"`` with its ``slope``. Its products are
        float32 at every precision.

        With ``distribution="gaussian"`` a forecaster's head has twice the rows: first the means,
        horizon by target, then the natural logarithms of their variances in the same order.
    tensors : mapping of str to ndarray
        Weights by name, as torch names them: ``encoder.0.weight_ih_l0``, ..., ``head.weight``,
        ``head.bias``; with a list of layers ``head.0.weight``, ``head.0.bias``, ..., numbered by
        their place in it.

    Raises
    ------
    ValueError
        If a size, a name or a weight does not fit; the text names it.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import slidecell as sc
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(3, 8, window=4, horizon=1))
    >>> series = np.random.default_rng(0).random((20, 3))
    >>> scores = model.score(series)
    >>> scores.shape, int(np.isnan(scores).sum())
    ((20,), 4)
    """

    def __init__(self, metadata: Mapping[str, Any], tensors: Mapping[str, npt.ArrayLike]) -> None:
        whole = _with_defaults(copy.deepcopy({**metadata}))
        copies = {
            name: np.array(unmasked(value), dtype=np.float32, order="C")
            for name, value in tensors.items()
        }
        core = _core.SequenceModel(json.dumps(whole, allow_nan=False), copies)
        self._take(core, whole, copies)

    def _take(
        self, core: _core.SequenceModel, metadata: dict[str, Any], tensors: dict[str, Floats]
    ) -> None:
        """Keep a compiled model and what it was made of."""
        self._core = core
        self._metadata = metadata
        self._tensors = tensors

    @classmethod
    def from_torch(
        cls,
        module: nn.Module,
        *,
        window: int | None = None,
        horizon: int | None = None,
        scaler: Mapping[str, Any] | object | None = None,
        features: Sequence[str] | None = None,
        targets: Sequence[int | str] | None = None,
    ) -> SequenceModel:
        """Compile a torch module, read by what it computes (``torch.export``).

        Parameters
        ----------
        module : torch.nn.Module
            A `slidecell.training.Forecaster` or `Autoencoder`; or any module [N, W, F] -> [N, K*F]
            or [N, K, F] (a forecaster) or -> [N, W, F] (an autoencoder), however it is written:
            LSTM, GRU and RNN layers and cells of any sizes, one after the other; dense layers,
            batch norms and scalings before them; a head of up to four dense layers with relu,
            tanh, sigmoid, gelu or leaky relu, which reads the last step. An autoencoder repeats
            its encoder's last step for its decoder. A forecaster may return two tensors, mean and
            log variance. Dropout and what else eval mode leaves out does not count.
        window : int, optional
            W; required where the module does not tell.
        horizon : int, optional
            K; by default what the module tells, or 1.
        scaler : mapping or fitted scaler of scikit-learn, optional
            What the module's rows were scaled with: the model then takes raw rows and predicts
            raw values. See `slidecell.scaling.fit_scaler`.
        features : sequence of str, optional
            Names of the F columns in their order: DataFrames are matched by them.
        targets : sequence of int or str, optional
            Columns that the module predicts, in its order, where it does not predict all.

        Returns
        -------
        SequenceModel

        Raises
        ------
        ValueError
            If the module computes something else: the text names the node of its graph and what
            to do. Also if its answers on random, large and spiky windows differ from the compiled
            model's by more than 1e-4 of the largest.

        Examples
        --------
        >>> import slidecell as sc
        >>> from torch import nn
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.norm = nn.Linear(3, 6)
        ...         self.gru = nn.GRU(6, 16, batch_first=True)
        ...         self.fc = nn.Linear(16, 1)
        ...
        ...     def forward(self, x):
        ...         return self.fc(self.gru(self.norm(x))[0][:, -1])
        >>> sc.SequenceModel.from_torch(Net(), window=8, features=["a", "b", "c"], targets=["c"])
        SequenceModel(3 features, gru 16, window=8, horizon=1)
        """
        from slidecell.convert import check_against, read_module

        columns = None if features is None else len(features)
        reading = read_module(module, window, columns=columns)
        metadata, tensors = reading.parts(
            horizon, targets=targets, features=features, scaler=scaler
        )
        model = cls({**metadata, "scaler": None}, tensors)
        check_against(module, model, reading)
        return model if scaler is None else model.with_metadata(scaler=metadata["scaler"])

    @classmethod
    def from_keras(
        cls,
        model: Any,
        *,
        window: int | None = None,
        horizon: int | None = None,
        scaler: Mapping[str, Any] | object | None = None,
        features: Sequence[str] | None = None,
        targets: Sequence[int | str] | None = None,
    ) -> SequenceModel:
        """Compile a Keras model: a live one, or its file, which needs no Keras.

        Parameters
        ----------
        model : keras.Model or path
            A Sequential or functional model of Keras 3, in memory or as a ``.keras`` file; also
            an ``.h5`` file of a whole model, of Keras 2 as well. A file is read as JSON and HDF5
            (``pip install 'slidecell[keras]'``): no code in it runs. A chain of layers: LSTM, GRU,
            SimpleRNN and RNN with one of their cells, Bidirectional (``merge_mode="concat"``),
            RepeatVector, TimeDistributed, Dense, BatchNormalization, Normalization, Rescaling,
            activations that a head has, Dropout, ``x[:, -1]``, and Flatten and Reshape where they
            change nothing, or give [K, targets] at the end. Two outputs are mean and log variance.
        window : int, optional
            W; required where the model's input does not tell.
        horizon, scaler, features, targets
            As for `from_torch`.

        Returns
        -------
        SequenceModel

        Raises
        ------
        ValueError
            If a layer has no form here (a Lambda, a mask, a state that is kept): the text names
            the layer and what to do. If a file is damaged or larger than it may be. If a live
            model's answers on random, large and spiky windows differ from the compiled model's by
            more than 1e-4 of the largest.
        ImportError
            If a file is to be read and h5py is not installed.

        Examples
        --------
        >>> import slidecell as sc
        >>> sc.SequenceModel.from_keras("detector.keras")  # doctest: +SKIP
        SequenceModel(4 features, lstm 64 + lstm 32, window=30, horizon=1)
        """
        from slidecell.convert import check_against_keras, lower, read_keras

        graph = read_keras(model, window)
        metadata, tensors = lower(
            graph, horizon=horizon, targets=targets, features=features, scaler=scaler
        )
        compiled = cls({**metadata, "scaler": None}, tensors)
        if not isinstance(model, (str, os.PathLike)):
            check_against_keras(model, compiled)
        return compiled if scaler is None else compiled.with_metadata(scaler=metadata["scaler"])

    @classmethod
    def from_state_dict(
        cls,
        state_dict: Mapping[str, Any],
        *,
        window: int,
        horizon: int | None = None,
        decoder: Sequence[str] | None = None,
        activation: Activation = "tanh",
        recurrent_activation: RecurrentActivation = "sigmoid",
        reset_after: bool = True,
        scaler: Mapping[str, Any] | object | None = None,
        features: Sequence[str] | None = None,
        targets: Sequence[int | str] | None = None,
    ) -> SequenceModel:
        """Compile weights by torch's names, without the module; torch need not be installed.

        Nothing can be compared with a module here: `from_torch` is the safer way where there is
        one.

        Parameters
        ----------
        state_dict : mapping of str to array or tensor
            Of LSTM, GRU or RNN parts (``lstm.weight_ih_l0``, ...) in the order in which they are
            computed, and one dense layer (``fc.weight``, ``fc.bias``), which reads their last step.
        window : int
            W.
        horizon : int, optional
            K; 1 by default, and 0 with a decoder.
        decoder : sequence of str, optional
            The recurrent parts of an autoencoder that read the others' last h at each step. By
            default those whose name begins with "dec".
        activation, recurrent_activation, reset_after
            Of all layers, as in `slidecell.LSTM` and `slidecell.GRU`: ``activation="relu"`` for
            an ``nn.RNN(nonlinearity="relu")``.
        scaler, features, targets
            As for `from_torch`.

        Returns
        -------
        SequenceModel

        Raises
        ------
        ValueError
            If the names tell another network, or sizes do not fit; the text names them.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> weights = {"gru.weight_ih_l0": np.ones((12, 3)), "gru.weight_hh_l0": np.ones((12, 4)),
        ...            "fc.weight": np.ones((3, 4)), "fc.bias": np.ones(3)}
        >>> sc.SequenceModel.from_state_dict(weights, window=7)
        SequenceModel(3 features, gru 4, window=7, horizon=1)
        """
        from slidecell.convert import lower, read_state_dict

        graph = read_state_dict(
            state_dict,
            window=window,
            decoder=decoder,
            activation=activation,
            recurrent_activation=recurrent_activation,
            reset_after=reset_after,
        )
        return cls(
            *lower(graph, horizon=horizon, targets=targets, features=features, scaler=scaler)
        )

    @classmethod
    def from_onnx(
        cls,
        onnx: Any,
        *,
        window: int | None = None,
        horizon: int | None = None,
        scaler: Mapping[str, Any] | object | None = None,
        features: Sequence[str] | None = None,
        targets: Sequence[int | str] | None = None,
    ) -> SequenceModel:
        """Compile an ONNX model, read by what it computes; nothing of the file is executed.

        Where ONNX Runtime is installed, it runs what was read, and the answers are compared.

        Parameters
        ----------
        onnx : path, bytes or onnx.ModelProto
            A model [N, W, F] -> [N, K*F] or [N, K, F] (a forecaster) or -> [N, W, F] (an
            autoencoder), as torch's two exporters and tf2onnx write them: LSTM, GRU and RNN nodes
            (an RNN also row by row), a head of dense layers with relu, tanh, sigmoid, gelu or
            leaky relu on the last step, and scalings or dense layers before the first layer. See
            `from_torch`. LSTM and GRU that are spelled out in single operations, as Keras on torch
            exports them, are refused. Weights may lie in
            another file of the same folder where this is a path.
        window : int, optional
            W; required where the model's input takes any number of rows.
        horizon, scaler, features, targets
            As for `from_torch`.

        Returns
        -------
        SequenceModel

        Warns
        -----
        RuntimeWarning
            If ONNX Runtime is installed and cannot run the model, as with ``layout=1``.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged or computes something else: the text names the node and what to do.
            Also if ONNX Runtime's answers on random, large and spiky windows differ from the
            compiled model's by more than 1e-4 of the largest.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> weights = {"gru.weight_ih_l0": np.ones((12, 3)), "gru.weight_hh_l0": np.ones((12, 4)),
        ...            "fc.weight": np.ones((3, 4)), "fc.bias": np.ones(3)}
        >>> sc.SequenceModel.from_state_dict(weights, window=7).to_onnx("a.onnx", reduction=None)
        >>> sc.SequenceModel.from_onnx("a.onnx", features=["a", "b", "c"])
        SequenceModel(3 features, gru 4, window=7, horizon=1)
        """
        from slidecell.convert import check_against_runtime, lower, read_onnx

        columns = None if features is None else len(features)
        reading = read_onnx(onnx, window, columns=columns)
        metadata, tensors = lower(
            reading.graph, horizon=horizon, targets=targets, features=features, scaler=scaler
        )
        model = cls({**metadata, "scaler": None}, tensors)
        check_against_runtime(reading, model)
        return model if scaler is None else model.with_metadata(scaler=metadata["scaler"])

    def to_onnx(
        self,
        path: str | os.PathLike[str],
        *,
        reduction: Literal["mse", "mae", "mahalanobis", "nll", "calibrated"] | None = "mse",
        aggregate: Literal["window", "last"] = "window",
    ) -> None:
        """Write the model to an ``.onnx`` file, scaler and score included: whole, or not at all.

        Its input ``x`` [n, W, F] holds windows of raw rows in float32. A forecaster's score also
        needs ``y`` [n, K, F], the K rows after each window. Its outputs are ``prediction``
        [n, K or W, targets] as `predict` gives it, ``log_variance`` of a model that predicts
        variances, and ``score`` [n]. What touches NaN or infinity is NaN; so is what is too large
        for float32 after scaling. Smoothing and threshold stay outside.

        Parameters
        ----------
        path : path
        reduction : {"mse", "mae", "mahalanobis", "nll", "calibrated"} or None
            Of the score, as for `score`. None: a graph of predictions alone, without ``y``.
        aggregate : {"window", "last"}
            As for `score`; what ``"mean"`` averages is in other windows.

        Raises
        ------
        OSError
            If the file cannot be written; a file of that name stays as it was.
        ValueError
            If the model has not what the reduction needs.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> weights = {"lstm.weight_ih_l0": np.ones((16, 2)), "lstm.weight_hh_l0": np.ones((16, 4)),
        ...            "fc.weight": np.ones((2, 4)), "fc.bias": np.ones(2)}
        >>> sc.SequenceModel.from_state_dict(weights, window=5).to_onnx("a.onnx", reduction="mae")
        """
        from slidecell.convert import onnx_bytes

        data = onnx_bytes(self, reduction=reduction, aggregate=aggregate)
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SequenceModel:
        """Read a model file written by `save`.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged; the text names the file and the place.
        """
        core, metadata, tensors = _core.load_model(os.fspath(path))
        model = cls.__new__(cls)
        model._take(core, _with_defaults(json.loads(metadata)), tensors)
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a ``.safetensors`` file: whole, or not at all.

        A symbolic link at ``path`` is replaced by the file.

        Raises
        ------
        OSError
            If the file cannot be written; a file of that name stays as it was.
        """
        data = _core.model_file_bytes(json.dumps(self._metadata), self._tensors)
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of the JSON in the model file."""
        return copy.deepcopy(self._metadata)

    @property
    def tensors(self) -> dict[str, Floats]:
        """The weights by name, as copies."""
        return {name: value.copy() for name, value in self._tensors.items()}

    @property
    def input_size(self) -> int:
        """F, features per row."""
        return self._core.input_size

    @property
    def window(self) -> int:
        """W, rows per window."""
        return self._core.window

    @property
    def horizon(self) -> int:
        """K, rows that are forecast; 0 for an autoencoder."""
        return self._core.horizon

    @property
    def num_targets(self) -> int:
        """Features that the head predicts per row."""
        return self._core.num_targets

    @property
    def code_size(self) -> int:
        """Length of `encode`'s rows."""
        return self._core.code_size

    @property
    def features(self) -> list[str] | None:
        """Feature names in column order, if known."""
        features: list[str] | None = copy.copy(self._metadata["features"])
        return features

    @property
    def scaler(self) -> dict[str, Any] | None:
        """``kind``, ``center``, ``scale`` and ``constant`` of the scaler, if the model has one."""
        scaler: dict[str, Any] | None = copy.deepcopy(self._metadata["scaler"])
        return scaler

    @property
    def reduction(self) -> str | None:
        """Whose scores smoothing and threshold are for; None: not said, as of version 0.1."""
        reduction: str | None = self._metadata.get("reduction")
        return reduction

    @property
    def threshold(self) -> dict[str, Any] | None:
        """The decision threshold kept with the model, if any."""
        threshold: dict[str, Any] | None = copy.deepcopy(self._metadata["threshold"])
        return threshold

    def with_metadata(self, **changes: Any) -> SequenceModel:
        """Return the same network with other metadata, such as a scaler or a threshold.

        Parameters
        ----------
        **changes
            ``features``, ``scaler``, ``error``, ``reduction`` (whose scores the threshold is for),
            ``smoothing``, ``threshold`` or ``extra``. A fitted object of `slidecell.thresholds` is
            kept as its state.

        Returns
        -------
        SequenceModel
        """
        allowed = sorted({*_DEFAULTS, "reduction"} - {"targets"})
        for key in changes:
            if key not in allowed:
                raise ValueError(f"{key}: expected one of {', '.join(allowed)}")
        plain = {
            key: _state_of(value) if key in ("threshold", "smoothing") else value
            for key, value in changes.items()
        }
        return SequenceModel({**self._metadata, **plain}, self._tensors)

    def fit_error(
        self,
        series: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        reduction: Literal["mahalanobis", "calibrated"] | None = None,
    ) -> SequenceModel:
        """Return the model with error statistics for ``"mahalanobis"`` and ``"calibrated"`` scores.

        For the Mahalanobis distance they are the mean and the covariance of the errors, shrunk
        after Ledoit and Wolf (2004, "A well-conditioned estimator for large-dimensional covariance
        matrices"). For calibrated errors they are the mean and the standard deviation of each
        target's absolute error, for each of the K rows ahead.

        Parameters
        ----------
        series : array_like, [S, F]
            Held-out normal rows, raw where the model has a scaler.
        offsets : array_like of int, [G+1], optional
            Entity g owns rows ``offsets[g]:offsets[g+1]``.
        reduction : {"mahalanobis", "calibrated"}, optional
            For which scores; statistics for the other ones stay as they are. Default: for both,
            or for the Mahalanobis distance where the model is no forecaster with a scaler.

        Returns
        -------
        SequenceModel

        Raises
        ------
        ValueError
            If the rows hold too few complete windows: two for calibrated errors, more for a
            covariance. If ``reduction="calibrated"`` and the model is no forecaster with a scaler.
        """
        if reduction is not None:
            as_choice("reduction", reduction, ("mahalanobis", "calibrated"))
        if reduction == "calibrated" and not self._can_calibrate():
            raise ValueError(
                "reduction: 'calibrated' needs a forecaster with a scaler, got "
                + ("an autoencoder" if self.horizon == 0 else "a model without a scaler")
            )
        rows = real_array(match_features(series, self._metadata["features"]), name="series")
        bounds = (
            np.array([0, len(rows)]) if offsets is None else integer_array(offsets, name="offsets")
        )
        found = dict(self._metadata["error"] or {})
        if reduction != "calibrated":
            errors = prediction_errors(self.predict(rows, bounds), rows, bounds, self._metadata)
            found |= fit_error_statistics(errors)
        if reduction == "calibrated" or (reduction is None and self._can_calibrate()):
            found |= fit_calibration(self._scaled_errors(rows, bounds))
        return self.with_metadata(error=found)

    def _can_calibrate(self) -> bool:
        return self.horizon > 0 and self._metadata["scaler"] is not None

    def _scaled_errors(
        self, rows: npt.NDArray[Any], offsets: npt.NDArray[np.integer[Any]]
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Yield errors of complete windows as `score` sees them, by parts of the rows [n, D].

        Predictions in raw units would be rounded there, far coarser than an error of a column
        whose values are large.
        """
        scaled = self.with_metadata(scaler=None, error=None, reduction=None)
        for part, bounds in row_parts(offsets, self.window + self.horizon):
            with np.errstate(over="ignore"):
                values = apply_scaler(self._metadata["scaler"], rows[part]).astype(np.float32)
            values[~np.isfinite(values).all(axis=1)] = np.nan  # also where no target is missing
            ahead = scaled.predict(values, bounds)
            yield prediction_errors(ahead, values, bounds, scaled._metadata)

    def score(
        self,
        series: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        precision: Precision = "highest",
        kernel: Kernel = "auto",
        reduction: Reduction = "mse",
        aggregate: Aggregate = "window",
        per_feature: bool = False,
        stride: int = 1,
        windows: Windows = "exact",
        num_threads: int | None = None,
        out: Floats | None = None,
    ) -> Floats:
        """Return the anomaly score of every row: [S], float32, higher = more anomalous.

        A window's score stands at the last row that it needs (its last target row for a
        forecaster, its last row for an autoencoder); rows without a score hold NaN, and so do the
        scores of windows that touch a missing row (NaN or infinity).

        A row with a finite value that float32 cannot hold, after scaling, is too large, not
        missing: it scores infinity itself, whether a window ends there or not, and the other
        windows that touch it NaN. Of several features those that hold such a value score infinity
        (all, where no target does).

        Parameters
        ----------
        series : array_like, [S, F]
            Rows in time order, any real dtype and memory layout. A DataFrame's columns are matched
            by name where the model knows its features.
        offsets : array_like of int, [G+1], optional
            Entity g owns rows ``offsets[g]:offsets[g+1]``; no window crosses an entity. Default:
            one entity.
        precision : {"highest", "high", "medium", "low"}
            Of the recurrent products, in torch's terms for float32 matrix products: float32
            accuracy; float32 numbers split into two bf16 parts (errors of a score up to 1e-6, or
            1e-6 of a score above 1, at torch's initial weights); bf16 (up to 1 % of a high score).
            Where the CPU has nothing faster, a better one runs; `plan` names it.

            ``"low"``, which torch does not have, multiplies h by 8-bit weights and the input,
            as float32, by weights of bf16, on every CPU.
            Scores of trained networks err by up to 3 % of their 95th percentile in 99 of 100
            windows, and find the highest percent of the exact ones with a ROC-AUC of 0.9999 or
            more. Input projection, states and head stay float32, and streams have the same bits.
            It serves models whose layers activate by tanh or sigmoid, have no ``proj_size`` and at
            most 2^17 units; all others run as at ``"medium"``.
        kernel : {"auto", "fma", "matrix"}
            Which instructions multiply: by a fixed rule (see `plan`), float32 multiply-adds, or
            the CPU's bf16 products: AMX tiles, or AVX512-BF16's dot products.
        reduction : {"mse", "mae", "mahalanobis", "nll", "calibrated"}
            Mean squared error, mean absolute error, squared Mahalanobis distance of the error, in
            scaled units; Gaussian negative log likelihood, in scaled units; or the mean of
            ``max((|error| - m) / s, 0)`` with the usual size m of each error and its spread s, for
            forecasters with a scaler. ``"mahalanobis"`` and ``"calibrated"``: see `fit_error`.
            ``"nll"`` is the mean of (log v + error^2 / v) / 2 with v the predicted variance, no
            smaller than 1e-6: what ``torch.nn.GaussianNLLLoss`` gives with its default
            ``eps=1e-6``. It may be negative, and takes a model with ``distribution="gaussian"``.
        aggregate : {"window", "last", "mean"}
            For autoencoders: all errors of the window, at its last row; the last row's own error;
            or a row's own errors averaged over all windows that cover it (not causal).
        per_feature : bool
            Return [S, targets]: each feature's own error.
        stride : int
            Score every stride-th window of an entity.
        windows : {"exact", "carried"}
            Whether every window starts from a zero state, or one state is carried through the
            windows of a block, which takes about 1.25 steps a row instead of W. See the notes.
        num_threads : int, optional
            Default: all that OpenMP offers; at most 1,024. Where the system has fewer, a
            RuntimeWarning says so once and the scores are the same.
        out : ndarray, optional
            float32 array of the result's shape to write to. A call that Ctrl-C ends may have
            written a part of it.

        Returns
        -------
        ndarray
            Scores; ``out`` if given.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit; the text names it.
        UnsupportedError
            If ``kernel="matrix"`` and the CPU or the model has no such kernel. If
            ``windows="carried"`` and the model is an autoencoder or has a bidirectional layer, or
            the stride is above 0.48 W.

        Notes
        -----
        Carried states: an entity's rows are cut into blocks of B rows, the least prime that is at
        least 4 W, and a window belongs to the block of its first target row. The state of a block
        starts from zero W rows before it and is carried through it, so that the first window of
        every block is exact and the others have seen up to B rows more than they hold. How much
        that changes their scores depends on how fast the network forgets: measure it on your
        data, as the example does. A missing row sets the state to zero: the first window after it
        is exact again. Scores are missing and infinite where those of exact windows are. They are
        bit for bit the same for all numbers of threads, and those of a series do not change when
        rows are appended to it.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> _ = torch.manual_seed(0)
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=30))
        >>> series = np.random.default_rng(0).normal(size=(1000, 2))
        >>> exact = model.score(series)
        >>> carried = model.score(series, windows="carried")
        >>> bool(np.nanmax(abs(carried - exact)) < 1e-4 * np.nanmax(exact))
        True
        """
        return self._core.score(
            match_features(series, self._metadata["features"]),
            offsets,
            precision=precision,
            kernel=kernel,
            reduction=reduction,
            aggregate=aggregate,
            per_feature=per_feature,
            stride=stride,
            windows=windows,
            num_threads=num_threads,
            out=out,
        )

    def flag(
        self,
        series: npt.ArrayLike,
        threshold: npt.ArrayLike | object,
        offsets: npt.ArrayLike | None = None,
        *,
        reduction: Reduction = "mse",
        smoothing: Mapping[str, Any] | object | None = None,
        stride: int = 1,
        audit: int = 1024,
        speculate: Speculate = "auto",
        certify: bool = False,
        num_threads: int | None = None,
    ) -> Flags:
        """Return which rows score above a threshold, at a fraction of what `score` takes.

        These are *audited* flags. Raised alarms are proved: each rests on scores that are those of
        `score`, bit for bit. Missed ones are bounded by a sample: ``audit.wrong_at_most``.

        Parameters
        ----------
        series : array_like, [S, F]
            As for `score`.
        threshold : float, array_like [G] or [S], or fitted threshold
            One for all rows, one per entity, or one per row (one per entity where there are as
            many entities as rows). A row is flagged where its score is strictly above, both taken
            as float64. Of `slidecell.thresholds` those that no score changes.
        offsets : array_like of int, [G+1], optional
            As for `score`.
        reduction : {"mse", "mae", "mahalanobis", "nll", "calibrated"}
            As for `score`.
        smoothing : MovingAverage, TrailingMean or their state, optional
            Of `slidecell.thresholds.smoothing`: the thresholds are compared with the averages.
        stride : int
            As for `score`.
        audit : int
            Decisions that are verified. More of them take longer, and bound misses more tightly.
        speculate : {"auto", "carried", "carried_low", "low", "medium", "none"}
            What scores all windows first: states that are carried through blocks of windows (see
            ``windows`` of `score`), such states by 8-bit products, these products alone, bf16
            products, or the exact kernel at once. ``"auto"`` takes the cheapest by counts of
            instructions, never by a clock: it tries those that could be on every 16th block, and
            takes the exact kernel where windows are few or most would be computed again. A method
            that is named runs whether it pays or not.
        certify : bool
            Measure the distance at every row of carried states with a second, younger chain, which
            has taken half to all of a window's rows: twice that distance is the row's margin where
            it is larger. It sees where a network that forgets elsewhere remembers, and takes 2
            steps a row more.
        num_threads : int, optional
            As for `score`. The flags do not depend on it.

        Returns
        -------
        Flags
            ``flagged``, ``score``, ``exact`` and ``audit``.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit; the text names it.
        UnsupportedError
            If ``speculate`` names what this model, stride or build does not have (carried states:
            autoencoders, bidirectional layers, strides above 0.48 W). If a threshold follows the
            scores, or a smoothing rests on all scores before a row (EWMA).

        Notes
        -----
        The cheap scores are measured against exact ones at seams: at the end of every block of
        carried states, where their state is oldest, or at one window of every 256. The margin is
        twice the largest distance of an entity's seams (of all entities' that have fewer than 64).
        A block whose distance is beyond ten times the 90 % quantile, and beyond 1e-5, is computed
        exactly and left out of the margin. Every window that is flagged or within the margin of
        its threshold is computed exactly, and widens the margin where its distance is larger,
        until nothing is added. At last one window in each of ``audit`` equal stretches of what
        stayed cheap, chosen by a hash, is computed exactly: if one is on the wrong side,
        everything is computed exactly. If more than three of them are further from their cheap
        scores than the margin, seams have missed something: the margin is widened to cover all but
        three, what now lies within is computed exactly, and another sample is drawn, at most four
        in all. If none of the last sample is on the wrong side, ``3 * cheap / audit`` bounds the
        wrong decisions among the cheap ones at 95 % confidence: the rule of three.

        The bound holds for a sample of this series; it is an estimate, not a proof, and says
        nothing of single rows. The smoothed scores of `smoothing` are not returned: apply it to
        ``score``.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> _ = torch.manual_seed(0)
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=30))
        >>> series = np.random.default_rng(0).normal(size=(20_000, 2))
        >>> exact = model.score(series)
        >>> threshold = float(np.nanpercentile(exact, 99))
        >>> flags = model.flag(series, threshold, audit=256)
        >>> flags.audit.method, bool(flags.exact[flags.flagged].all())
        ('carried', True)
        >>> bool((flags.flagged == (exact.astype(float) > threshold)).all())
        True
        """
        flagged, score, exact, found = self._core.flag(
            match_features(series, self._metadata["features"]),
            fixed_threshold(threshold),
            offsets,
            reduction=reduction,
            **averages_of(_state_of(smoothing)),
            stride=stride,
            audit=audit,
            speculate=speculate,
            certify=certify,
            num_threads=num_threads,
        )
        return Flags(flagged, score, exact, FlagAudit.from_core(found))

    def predict(
        self,
        series: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        num_threads: int | None = None,
    ) -> Floats:
        """Predict every window's targets: [N, K, targets], for an autoencoder [N, W, targets].

        In raw units where the model has a scaler, for the same windows that `score` uses
        (`WindowPlan.rows` says where each is scored), in float32. A window with a missing row, or
        one that is too large, predicts NaN.
        """
        return self._core.predict(
            match_features(series, self._metadata["features"]), offsets, num_threads=num_threads
        )

    def predict_log_variance(
        self,
        series: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        num_threads: int | None = None,
    ) -> Floats:
        """Predict the natural logarithm of the variance of every prediction: [N, K, targets].

        In raw units where the model has a scaler, as `predict`, and as the head gives it:
        `score` takes no variance below 1e-6 of scaled units.

        Raises
        ------
        ValueError
            If the model predicts no variances (``distribution="gaussian"`` in its metadata).
        """
        return self._core.predict_log_variance(
            match_features(series, self._metadata["features"]), offsets, num_threads=num_threads
        )

    def encode(
        self,
        series: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        num_threads: int | None = None,
    ) -> Floats:
        """Return the encoder's last h of every window that `score` uses: [N, code_size]."""
        return self._core.encode(
            match_features(series, self._metadata["features"]), offsets, num_threads=num_threads
        )

    def stream(
        self,
        num_entities: int = 1,
        *,
        precision: Precision = "highest",
        reduction: Reduction = "mse",
        aggregate: Aggregate = "window",
        mode: Windows = "exact",
        max_bytes: int = STREAM_BYTES,
        state: str | os.PathLike[str] | None = None,
    ) -> Stream:
        """Score live rows as `score` does with the whole series.

        The scores are the bits of ``score(kernel="fma")``, and at ``precision="low"`` those of
        ``score(precision="low")``; where `score` takes another kernel (see `plan`) the two agree
        within the precision's bound.

        Parameters
        ----------
        num_entities : int
            Entities that are kept apart: 0 .. num_entities-1.
        precision, reduction, aggregate
            As for `score`; ``aggregate="mean"`` needs future rows and is refused. At ``"medium"``
            streams of few entities take weights as bf16 for the answer; all else is float32. At
            ``"low"`` all recurrent products are of 8-bit weights and the input's weights are bf16,
            where these serve the model.
        mode : {"exact", "carried"}
            As ``windows`` of `score`: with ``"carried"`` an entity keeps two states instead of
            W - 1 unfinished windows, and a row takes about 1.25 steps instead of W. The scores are
            those of ``score(windows="carried", kernel="fma")``, or of ``precision="low"`` there,
            bit for bit (at ``"medium"`` within its bound), and `Stream.audit` tells how far they
            were from exact ones.
        max_bytes : int
            Memory that the stream may take, by default 1 GiB. Window and layers are numbers of the
            model file, which need not be one of your own.
        state : path, optional
            A file written by `Stream.save`: the stream goes on where it stopped, with the entities
            and options that it had. It takes memory in proportion to that file.

        Returns
        -------
        Stream

        Raises
        ------
        ValueError
            If an argument does not fit, or the stream would take more than ``max_bytes``.
        UnsupportedError
            If ``mode="carried"`` and the model is an autoencoder or has a bidirectional layer.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=10))
        >>> series = np.random.default_rng(0).random((200, 2), dtype=np.float32)
        >>> stream = model.stream(mode="carried")
        >>> scores = np.float32([stream.push(row) for row in series])
        >>> want = model.score(series, windows="carried", kernel="fma")
        >>> np.array_equal(scores, want, equal_nan=True), stream.audit()["seams"]
        (True, 4)
        """
        if state is not None:
            return Stream(self, self._core, _core.Stream.load(self._core, os.fspath(state)))
        core = _core.Stream(
            self._core,
            num_entities,
            precision=precision,
            reduction=reduction,
            aggregate=aggregate,
            mode=mode,
            max_bytes=min(whole_number("max_bytes", max_bytes, least=1), _MOST_BYTES),
        )
        return Stream(self, self._core, core)

    def plan(
        self,
        precision: Precision = "highest",
        *,
        kernel: Kernel = "auto",
        num_threads: int | None = None,
    ) -> dict[str, Any]:
        """Return what `score` runs: ``isa``, ``kernel``, ``precision``, ``tile`` and ``threads``.

        ``kernel`` begins with ``fma`` (float32 multiply-adds), ``amx`` (bf16 tiles), ``bf16``
        (dot products of AVX512-BF16) or ``int8`` (8-bit products by what follows: ``amx`` tiles,
        the instructions ``vnni``, ``vpmaddwd``, ``sdot`` or ``smull``, or ``plain`` C++), with the
        rows and columns that it holds at once, and ``fp16`` where AMX's products at medium are
        activated in float16 (AVX512-FP16).
        ``precision`` is the one that is computed.

        ``kernel="auto"`` depends on CPU, model and precision alone, never on a timing. With ISA
        ``amx``, tiles serve medium and high, and where every layer has 32 units or more highest
        and, with activations tanh and sigmoid, low.
        If the operating system refuses this process the tile registers, AVX-512 serves instead:
        ``isa`` is then ``avx512``, and ``kernel`` ends with the reason. It is asked again at each
        call where a thread's alternate signal stack was too small. An ISA ``amx`` that you named
        (`set_isa`, ``SLIDECELL_ISA``) is replaced by no other: `UnsupportedError`.
        With ISA ``avx512`` on a CPU with AVX512-BF16, dot products serve medium, but not on Intel,
        where they take twice the time of float32's (``kernel="matrix"`` takes them). 8-bit products
        serve low with every ISA for the models that `score` names, and give the same bits on AMX's
        tiles as on AVX-512; others run what medium runs. All else runs in float32, and so do models
        with bidirectional layers, projections of h, or activations other than tanh and sigmoid.
        ``kernel="fma"`` and ``"matrix"`` take no 8-bit products.

        Examples
        --------
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> model = sc.SequenceModel.from_torch(Forecaster(3, 8, window=4))
        >>> model.plan()["isa"] == sc.active_isa()
        True
        """
        return self._core.plan(precision, kernel=kernel, num_threads=num_threads)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the constructor's arguments, for copies and other processes."""
        return type(self), (self._metadata, self._tensors)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: sizes, layers, scaler and kernel."""
        rows = [
            ("features", self.input_size if self.features is None else ", ".join(self.features)),
            ("window", f"{self.window} rows"),
            ("horizon", f"{self.horizon} rows" if self.horizon else "none: it reconstructs"),
        ]
        for part in ("encoder", "decoder"):
            for number, layer in enumerate(self._metadata[part]):
                sides = ", both directions" if layer["bidirectional"] else ""
                rows.append((f"{part} {number}", f"{layer['cell']} {layer['hidden_size']}{sides}"))
        scaler = self.scaler
        rows += [
            ("predicts", f"{self.num_targets} of {self.input_size} features"),
            ("scaler", "none" if scaler is None else scaler.get("kind", "given")),
            ("weights", f"{sum(array.size for array in self._tensors.values()):,}"),
            ("kernel", f"{(plan := self.plan())['kernel']} ({plan['isa']})"),
        ]
        return html_table("SequenceModel", rows)

    def __repr__(self) -> str:
        layers = [f"{s['cell']} {s['hidden_size']}" for s in self._metadata["encoder"]]
        if self._metadata["decoder"]:
            layers.append("repeat")
            layers += [f"{s['cell']} {s['hidden_size']}" for s in self._metadata["decoder"]]
        return (
            f"SequenceModel({self.input_size} features, {' -> '.join(layers)}, "
            f"window={self.window}, horizon={self.horizon})"
        )

"""The public functions on series: scores, predictions, codes, windows, plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_choice, whole_number
from slidecell._choices import Aggregate, Backend, Precision, Reduction, Windows
from slidecell._core import UnsupportedError
from slidecell.cuda import whole_series
from slidecell.cuda.arrays import is_device_array
from slidecell.cuda.availability import require
from slidecell.cuda.calls import check_on_cpu, cupy_runtime, engine_of
from slidecell.cuda.device import DEVICES, Device
from slidecell.cuda.engine import Engine, ScoreOptions, head_of
from slidecell.cuda.network_weights import network_of_model
from slidecell.cuda.pipeline import CHUNK_BYTES
from slidecell.cuda.plan import PRECISIONS, plan_network
from slidecell.frames import match_features
from slidecell.scaling import finite_rows, too_large_cells

if TYPE_CHECKING:
    from slidecell.model import SequenceModel


_ROWS_AT_ONCE = 8192


def _model_engine(model: SequenceModel, runtime: Any) -> Engine:
    def make() -> Engine:
        metadata = model.metadata
        return Engine(runtime, network_of_model(metadata, model.tensors), head_of(metadata))

    return engine_of(model, runtime, make)


def _check_precision(precision: str, backend: str) -> None:
    if precision == "low" and backend == "cpu":
        return  # `SequenceModel.score` knows it
    if precision == "low":
        raise UnsupportedError(
            f"precision: backend={backend!r} has no int8 products ('low'); expected one of "
            f"{', '.join(map(repr, PRECISIONS))} ('medium' multiplies in bf16), or backend='cpu'"
        )
    as_choice("precision", precision, PRECISIONS)


def _check_options(model: SequenceModel, options: ScoreOptions, backend: str) -> None:
    _check_precision(options.precision, backend)
    as_choice("reduction", options.reduction, ("mse", "mae", "mahalanobis", "calibrated", "nll"))
    as_choice("aggregate", options.aggregate, ("window", "last", "mean"))
    if options.aggregate != "window" and model.horizon > 0:
        raise ValueError(
            f"aggregate: expected 'window' for a forecaster (horizon={model.horizon}); 'last' and "
            f"'mean' are an autoencoder's"
        )
    if options.reduction in ("calibrated", "nll") and backend != "cpu":
        raise UnsupportedError(
            f"reduction: backend={backend!r} has no {options.reduction!r} scores; expected 'mse', "
            "'mae', 'mahalanobis', or backend='cpu'"
        )
    if options.reduction == "mahalanobis":
        if "whiten" not in (model.metadata["error"] or {}):
            raise ValueError(
                "reduction: 'mahalanobis' needs error statistics, but the model has none: call "
                "fit_error on held-out normal rows first"
            )
        if options.per_feature:
            raise ValueError("per_feature: expected False with reduction 'mahalanobis'")


def score(
    model: SequenceModel,
    series: Any,
    offsets: npt.ArrayLike | None = None,
    *,
    backend: Backend = "cupy",
    precision: Precision = "highest",
    reduction: Reduction = "mse",
    aggregate: Aggregate = "window",
    per_feature: bool = False,
    stride: int = 1,
    windows: Windows = "exact",
    out: Any = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Any:
    """Anomaly score of every row: [S] (or [S, targets]), float32, as `SequenceModel.score` gives.

    Parameters
    ----------
    model : SequenceModel
        Layers without projection and in one direction; others raise UnsupportedError.
    series : array_like or device array, [S, F]
        Rows in time order. A contiguous device array (CuPy, torch, Numba) of any real dtype is
        read where it lies, in the stream that its library currently works in, and the scores are
        an array of the same library; nothing is waited for (Numba's kernels have a stream of their
        own, and wait before and after). A host array is staged through pinned memory in overlapping
        chunks and may be larger than the device's memory (but not with Numba); the scores are a
        numpy array. A DataFrame's columns are matched by name.
    offsets : array_like of int, [G+1], optional
        On the host. Entity g owns rows ``offsets[g]:offsets[g+1]``; default: one entity.
    backend : {"cupy", "numba", "cpu"}
        Hand-written CUDA C++ through CuPy, plain Numba kernels, or `model.score`.
    precision : {"highest", "high", "medium"}
        ``"highest"`` rounds as the CPU's AVX2 kernels do. ``"high"`` and ``"medium"`` run on the
        matrix units where `plan` says so, and as ``"highest"`` elsewhere: within 4e-6 and 3e-3 of
        its scores for the models of the test suite (H up to 17, scores up to 2). Numba has
        ``"highest"`` only, and ``"low"`` is the CPU's alone.
    reduction, aggregate, per_feature, stride, windows
        As for `SequenceModel.score`; ``reduction="calibrated"`` and ``windows="carried"`` with
        ``backend="cpu"`` alone.
    out : float32 array or device array, optional
        Where to write to: on the host or device as ``series`` is.
    chunk_bytes : int
        About as much memory as a chunk's rows, and its results, take on the device.

    Returns
    -------
    array or device array
        Scores; ``out`` if given. Rows of a device array that are too large for float32, once
        scaled, score NaN, as missing ones do; those of a host array score infinity.

    Raises
    ------
    UnsupportedError
        If there is no GPU or no library for it, or if the model is beyond its kernels. Never does
        it run on the CPU instead.
    ValueError, TypeError, MemoryError
        If an argument does not fit, or the device's memory is too small.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell import cuda
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(3, 8, window=4))
    >>> series = np.random.default_rng(0).random((20, 3))
    >>> backend = "cupy" if cuda.is_available("cupy") else "cpu"
    >>> cuda.score(model, series, backend=backend).shape
    (20,)
    """
    options = ScoreOptions(precision, reduction, aggregate, bool(per_feature))
    _check_options(model, options, backend)
    if as_choice("windows", windows, ("exact", "carried")) == "carried" and backend != "cpu":
        raise UnsupportedError(
            f"windows: backend={backend!r} has no 'carried' scores; expected 'exact', or "
            "backend='cpu'"
        )
    chunk_bytes = whole_number("chunk_bytes", chunk_bytes, least=1)
    series = match_features(series, model.features)
    if backend == "cpu":
        check_on_cpu(series)
        return model.score(
            series,
            offsets,
            precision=precision,
            reduction=reduction,
            aggregate=aggregate,
            per_feature=per_feature,
            stride=stride,
            windows=windows,
            out=out,
        )
    window = (model.window, model.horizon, stride)
    if backend == "cupy":
        with cupy_runtime(series, "series") as runtime:
            engine = _model_engine(model, runtime)
            scores = whole_series.score(
                engine, series, offsets, window, options=options, out=out, chunk_bytes=chunk_bytes
            )
    else:
        require(backend)
        from slidecell.cuda import numba_backend

        scores = numba_backend.score(model, series, offsets, window, options=options, out=out)
    if not is_device_array(series):
        mark_too_large(model, np.asarray(series), scores)
    return scores


def mark_too_large(
    model: SequenceModel, series: npt.NDArray[Any], scores: npt.NDArray[np.float32]
) -> None:
    """Set scores [S] or [S, T] on the host to infinity as `SequenceModel.score` does.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell.cuda.api import mark_too_large
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(1, 4, window=2))
    >>> scores = np.full(3, np.nan, np.float32)
    >>> mark_too_large(model, np.array([[0.0], [1e39], [0.0]]), scores)
    >>> scores
    array([nan, inf, nan], dtype=float32)
    """
    targets = model.metadata["targets"]
    for first in range(0, len(series), _ROWS_AT_ONCE):
        rows = series[first : first + _ROWS_AT_ONCE]
        cells = too_large_cells(model.scaler, rows)
        large = np.flatnonzero(cells.any(axis=1) & finite_rows(rows))
        if len(large) == 0:
            continue
        if scores.ndim == 1:
            scores[first + large] = np.inf
            continue
        of_targets = cells[large] if targets is None else cells[large][:, targets]
        none = ~of_targets.any(axis=1, keepdims=True)
        scores[first + large] = np.where(of_targets | none, np.inf, np.nan)


def _of_each_window(
    what: Literal["predict", "encode"],
    model: SequenceModel,
    series: Any,
    offsets: npt.ArrayLike | None,
    *,
    backend: str,
    chunk_bytes: int,
) -> Any:
    """Call the backend's function of that name."""
    chunk_bytes = whole_number("chunk_bytes", chunk_bytes, least=1)
    series = match_features(series, model.features)
    if backend == "cpu":
        check_on_cpu(series)
        return getattr(model, what)(series, offsets)
    window = (model.window, model.horizon)
    if backend == "cupy":
        with cupy_runtime(series, "series") as runtime:
            engine = _model_engine(model, runtime)
            return getattr(whole_series, what)(engine, series, offsets, window, chunk_bytes)
    require(backend)
    from slidecell.cuda import numba_backend

    return getattr(numba_backend, what)(model, series, offsets, window)


def predict(
    model: SequenceModel,
    series: Any,
    offsets: npt.ArrayLike | None = None,
    *,
    backend: Backend = "cupy",
    chunk_bytes: int = CHUNK_BYTES,
) -> Any:
    """Predict every window's targets: [N, K, targets], for an autoencoder [N, W, targets].

    As `SequenceModel.predict`, in raw units, for the windows and arrays that `score` takes.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell import cuda
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(3, 8, window=4))
    >>> cuda.predict(model, np.zeros((20, 3)), backend="cpu").shape
    (16, 1, 3)
    """
    return _of_each_window(
        "predict", model, series, offsets, backend=backend, chunk_bytes=chunk_bytes
    )


def encode(
    model: SequenceModel,
    series: Any,
    offsets: npt.ArrayLike | None = None,
    *,
    backend: Backend = "cupy",
    chunk_bytes: int = CHUNK_BYTES,
) -> Any:
    """Return the encoder's last h of every window: [N, code_size], as `SequenceModel.encode`.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell import cuda
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(3, 8, window=4))
    >>> cuda.encode(model, np.zeros((20, 3)), backend="cpu").shape
    (16, 8)
    """
    return _of_each_window(
        "encode", model, series, offsets, backend=backend, chunk_bytes=chunk_bytes
    )


def sliding_windows(
    series: Any,
    *,
    window: int,
    horizon: int = 1,
    stride: int = 1,
    offsets: npt.ArrayLike | None = None,
    backend: Backend = "cupy",
) -> Any:
    """Copy all windows of a series, cast to float32: X [N, W, F], y [N, K, F].

    As `slidecell.sliding_windows`, for the arrays that `score` takes; with ``horizon=0`` X only.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell import cuda
    >>> X, y = cuda.sliding_windows(np.zeros((10, 2)), window=3, backend="cpu")
    >>> X.shape, y.shape
    ((7, 3, 2), (7, 1, 2))
    """
    if backend == "cpu":
        from slidecell.windows import sliding_windows as on_cpu

        check_on_cpu(series)
        return on_cpu(series, window=window, horizon=horizon, stride=stride, offsets=offsets)
    if backend == "cupy":
        with cupy_runtime(series, "series") as runtime:
            return whole_series.gather(runtime, series, offsets, (window, horizon, stride))
    require(backend)
    from slidecell.cuda import numba_backend

    return numba_backend.sliding_windows(series, offsets, (window, horizon, stride))


def plan(
    model: SequenceModel,
    device: Device | str | None = None,
    *,
    precision: Precision = "highest",
    stride: int = 1,
) -> dict[str, Any]:
    """Return the kernel that `score` runs with ``backend="cupy"``, on this GPU or on another one.

    Parameters
    ----------
    model : SequenceModel
    device : Device or str, optional
        Limits to plan for, or a key of `DEVICES` such as ``"sm_90"``. Default: CuPy's current
        device; UnsupportedError if there is none.
    precision, stride
        As for `score`.

    Returns
    -------
    dict
        ``kernel``: "fma" (float32 on the ordinary cores), "mma" (bf16 products on the matrix
        units) or "wgmma" (the same by Hopper's groups of four warps); ``precision`` that runs,
        never lower than asked for; ``tile``, in windows; ``threads`` per block,
        ``blocks_per_multiprocessor``, ``grid``, ``shared_bytes`` per block;
        ``weights``: "shared" memory or "streamed" through the caches; ``projection`` of layer 0's
        input: "shared", "scratch" (device memory), or made "per window" on the matrix units.

    Examples
    --------
    >>> import slidecell as sc
    >>> from slidecell import cuda
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(7, 64, window=7))
    >>> found = cuda.plan(model, "sm_90", precision="medium")
    >>> found["kernel"], found["tile"], found["weights"]
    ('wgmma', 64, 'shared')
    """
    _check_precision(precision, "cupy")
    if isinstance(device, str):
        as_choice("device", device, tuple(DEVICES))
        limits = DEVICES[device]
    elif device is None:
        with cupy_runtime(None, "device") as runtime:
            limits = runtime.device
    else:
        limits = device
    network = network_of_model(model.metadata, model.tensors)
    made = plan_network(network, limits, window=model.window, stride=stride, precision=precision)
    return made.describe()

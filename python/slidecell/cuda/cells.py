"""The public functions on an `LSTM`, a `GRU` or an `RNN`: whole sequences, or one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._choices import Backend
from slidecell._core import UnsupportedError
from slidecell.cuda import sequences
from slidecell.cuda.availability import require
from slidecell.cuda.calls import check_on_cpu, cupy_runtime, engine_of
from slidecell.cuda.engine import Engine
from slidecell.cuda.network_weights import Network, network_of_layers

if TYPE_CHECKING:
    from slidecell.recurrent import GRU, LSTM, RNN


def _layers(module: LSTM | GRU | RNN) -> Network:
    if not module.state_dict():
        raise ValueError(f"{type(module).__name__}: no weights yet; call load_state_dict")
    return network_of_layers(module._specs(), module.state_dict())


def _shaped(value: Any) -> Any:
    """Return an array of any library as it is, and anything else as a numpy array."""
    return value if hasattr(value, "reshape") else np.asarray(value)


def forward(
    module: LSTM | GRU | RNN,
    x: Any,
    state: Any = None,
    *,
    lengths: npt.ArrayLike | None = None,
    backend: Backend = "cupy",
) -> Any:
    """Run an `LSTM`, a `GRU` or an `RNN` over sequences, as their ``forward`` does, in float32.

    Parameters
    ----------
    module : LSTM, GRU or RNN
        One direction, no projection; others raise UnsupportedError.
    x : array_like or device array, [N, T, I]
        As `score`'s series.
    state : optional
        (h0 [L, N, H], c0 [L, N, H]), for a GRU or an RNN h0: arrays of the kind that ``x`` is,
        float32 on the device. Zeros if None.
    lengths : array_like of int, [N], optional
        On the host: valid steps, 0 to T.
    backend : {"cupy", "numba", "cpu"}
        As for `score`. Numba takes no lengths.

    Returns
    -------
    out : [N, T, H]
        The top layer's h at every step.
    state : (h_n, c_n) [L, N, H] each, or h_n
        Final states.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell import cuda
    >>> gru = sc.GRU(1, 2, bias=False)
    >>> gru.load_state_dict({"weight_ih": np.ones((6, 1)), "weight_hh": np.ones((6, 2))})
    >>> out, h_n = cuda.forward(gru, np.ones((4, 3, 1)), backend="cpu")
    >>> out.shape, h_n.shape
    ((4, 3, 2), (1, 4, 2))
    """
    if backend == "cpu":
        check_on_cpu(x, "x")
        return module.forward(x, state, lengths=lengths)
    network = _layers(module)
    if backend == "cupy":
        with cupy_runtime(x, "x") as runtime:
            engine = engine_of(module._loaded(), runtime, lambda: Engine(runtime, network))
            out, finals = sequences.forward(engine, x, state, lengths)
    else:
        require(backend)
        if lengths is not None:
            raise UnsupportedError("lengths: backend 'numba' takes none; use backend='cupy'")
        from slidecell.cuda import numba_backend

        out, finals = numba_backend.forward(network, x, state)
    return out, (finals[0] if len(finals) == 1 else finals)


def step(module: LSTM | GRU | RNN, x: Any, state: Any = None, *, backend: Backend = "cupy") -> Any:
    """One step of an `LSTM`, a `GRU` or an `RNN`: x [N, I], state -> state, as their ``step`` does.

    States are [N, H] for one layer and [L, N, H] for a stack.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell import cuda
    >>> gru = sc.GRU(1, 2, bias=False)
    >>> gru.load_state_dict({"weight_ih": np.ones((6, 1)), "weight_hh": np.ones((6, 2))})
    >>> cuda.step(gru, np.ones((4, 1)), backend="cpu").shape
    (4, 2)
    """
    if backend == "cpu":
        check_on_cpu(x, "x")
        return module.step(x, state)
    require(backend)
    single = module.num_layers == 1
    network = _layers(module)
    several = len(network.encoder[0].traits.states) > 1
    given = None
    if state is not None:
        parts = tuple(map(_shaped, tuple(state) if several else (state,)))
        parts = tuple(part.reshape(1, *part.shape) for part in parts) if single else parts
        given = parts if several else parts[0]
    batch = _shaped(x)
    if len(batch.shape) != 2:
        raise ValueError(f"x: expected [N, {module.input_size}], got {list(batch.shape)}")
    rows, features = batch.shape
    if backend == "cupy":
        with cupy_runtime(batch, "x") as runtime:
            engine = engine_of(module._loaded(), runtime, lambda: Engine(runtime, network))
            sequence = batch.reshape(rows, 1, features)
            _, finals = sequences.forward(engine, sequence, given, None, outputs=False)
    else:
        from slidecell.cuda import numba_backend

        _, finals = numba_backend.forward(network, batch.reshape(rows, 1, features), given)
    if single:
        finals = tuple(part.reshape(rows, -1) for part in finals)
    return finals[0] if len(finals) == 1 else finals

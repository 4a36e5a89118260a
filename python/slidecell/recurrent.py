"""LSTM, GRU and RNN stacks on the compiled kernels: whole sequences (`forward`) or one `step`."""

from __future__ import annotations

from typing import Literal

import numpy.typing as npt

from slidecell._cells import CELLS, CellName
from slidecell._choices import Activation, Precision, RecurrentActivation
from slidecell._recurrent import Floats, Recurrent


class LSTM(Recurrent):
    """A stack of LSTM layers with torch's weights, names and gate order (`ifgo`).

    Parameters
    ----------
    input_size, hidden_size, num_layers
        As in `torch.nn.LSTM`; the API is batch-first.
    bias
        Whether the layers have `bias_ih` and `bias_hh`.
    bidirectional
        Run each layer in both directions and concatenate their outputs.
    proj_size
        P > 0: h is `[N,P]`, the projection of the cell's output.
    activation
        Of candidate and output: "tanh", "relu", "sigmoid" or "linear".
    recurrent_activation
        Of the gates: "sigmoid" or "hard_sigmoid" = clip(x/6 + 1/2, 0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> lstm = sc.LSTM(input_size=3, hidden_size=4, bias=False)
    >>> lstm.load_state_dict({"weight_ih_l0": np.ones((16, 3)), "weight_hh_l0": np.ones((16, 4))})
    >>> out, (h_n, c_n) = lstm.forward(np.zeros((2, 5, 3), np.float32))
    >>> out.shape, h_n.shape, c_n.shape
    ((2, 5, 4), (1, 2, 4), (1, 2, 4))
    """

    _cell = "lstm"
    _torch_names = ("LSTM", "LSTMCell")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        bidirectional: bool = False,
        proj_size: int = 0,
        activation: Activation = "tanh",
        recurrent_activation: RecurrentActivation = "sigmoid",
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            proj_size=proj_size,
            activation=activation,
            recurrent_activation=recurrent_activation,
        )

    def forward(
        self,
        x: npt.ArrayLike,
        state: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        num_threads: int | None = None,
        precision: Precision = "highest",
    ) -> tuple[Floats, tuple[Floats, Floats]]:
        """`x` [N,T,I], (h0 [L*D,N,P or H], c0 [L*D,N,H]) -> out [N,T,D*(P or H)], (h_n, c_n).

        Parameters
        ----------
        x
            Real numbers of any dtype and layout, cast to float32.
        state
            Initial states; zeros if None.
        lengths
            `[N]` integers in 0..T: `out` is zero from there on, and h_n and c_n are those of the
            last valid step. None: all T steps.
        num_threads
            None: as many as `slidecell.show_config()` reports.
        precision
            "low": recurrent products of 8-bit weights and input weights of bf16, as for
            `SequenceModel.score`, where all layers have "tanh" or "sigmoid" as activation and no
            projection. Rows whose h0 exceeds 1 or -1 alone run in float32, as all rows do at
            "highest", "high" and "medium".

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> lstm = sc.LSTM(1, 1, bias=False)
        >>> lstm.load_state_dict({"weight_ih": np.ones((4, 1)), "weight_hh": np.ones((4, 1))})
        >>> out, (h_n, c_n) = lstm.forward(np.ones((2, 3, 1)), lengths=[3, 1])
        >>> out[1, :, 0].round(2)
        array([0.37, 0.  , 0.  ], dtype=float32)
        """
        result: tuple[Floats, tuple[Floats, Floats]]
        result = self._loaded().forward(x, state, lengths, num_threads, precision)
        return result

    def step(
        self,
        x: npt.ArrayLike,
        state: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        *,
        precision: Precision = "highest",
    ) -> tuple[Floats, Floats]:
        """`x` [N,I], (h [N,P or H], c [N,H]) -> h, c after one step; [L,N,..] states for a stack.

        Equal to `forward` bit for bit, at ``precision="low"`` from states within 1 and -1 on.
        None: zeros.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> lstm = sc.LSTM(1, 2, bias=False)
        >>> lstm.load_state_dict({"weight_ih": np.ones((8, 1)), "weight_hh": np.ones((8, 2))})
        >>> h, c = lstm.step(np.ones((3, 1), np.float32))
        >>> h, c = lstm.step(np.ones((3, 1), np.float32), (h, c))
        >>> h.shape, c.shape
        ((3, 2), (3, 2))
        """
        result: tuple[Floats, Floats] = (self._core or self._loaded()).step(x, state, precision)
        return result


class GRU(Recurrent):
    """A stack of GRU layers with torch's weights, names and gate order (`rzn`).

    Parameters
    ----------
    input_size, hidden_size, num_layers
        As in `torch.nn.GRU`; the API is batch-first.
    bias
        Whether the layers have `bias_ih` and `bias_hh`.
    bidirectional
        Run each layer in both directions and concatenate their outputs.
    activation
        Of the candidate: "tanh", "relu", "sigmoid" or "linear".
    recurrent_activation
        Of the gates: "sigmoid" or "hard_sigmoid" = clip(x/6 + 1/2, 0, 1).
    reset_after
        True (torch, cuDNN): n = act(W_in x + b_in + r (W_hn h + b_hn)). False (the original
        paper): n = act(W_in x + b_in + W_hn (r h) + b_hn).

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> gru = sc.GRU(input_size=3, hidden_size=4, bias=False)
    >>> gru.load_state_dict({"weight_ih_l0": np.ones((12, 3)), "weight_hh_l0": np.ones((12, 4))})
    >>> out, h_n = gru.forward(np.zeros((2, 5, 3), np.float32))
    >>> out.shape, h_n.shape
    ((2, 5, 4), (1, 2, 4))
    """

    _cell = "gru"
    _torch_names = ("GRU", "GRUCell")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        bidirectional: bool = False,
        activation: Activation = "tanh",
        recurrent_activation: RecurrentActivation = "sigmoid",
        reset_after: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            activation=activation,
            recurrent_activation=recurrent_activation,
            reset_after=reset_after,
        )

    def forward(
        self,
        x: npt.ArrayLike,
        state: npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        num_threads: int | None = None,
        precision: Precision = "highest",
    ) -> tuple[Floats, Floats]:
        """`x` [N,T,I], h0 [L*D,N,H] -> out [N,T,D*H], h_n [L*D,N,H].

        The parameters are those of `LSTM.forward`.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> gru = sc.GRU(1, 1, bias=False)
        >>> gru.load_state_dict({"weight_ih": np.ones((3, 1)), "weight_hh": np.ones((3, 1))})
        >>> out, h_n = gru.forward(np.ones((2, 3, 1)), lengths=[3, 1])
        >>> out[1, :, 0].round(2)
        array([0.2, 0. , 0. ], dtype=float32)
        """
        result: tuple[Floats, Floats]
        result = self._loaded().forward(x, state, lengths, num_threads, precision)
        return result

    def step(
        self,
        x: npt.ArrayLike,
        state: npt.ArrayLike | None = None,
        *,
        precision: Precision = "highest",
    ) -> Floats:
        """`x` [N,I], h [N,H] -> h after one step; [L,N,H] for a stack.

        Equal to `forward` bit for bit, at ``precision="low"`` from states within 1 and -1 on.
        None: zeros.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> gru = sc.GRU(1, 2, bias=False)
        >>> gru.load_state_dict({"weight_ih": np.ones((6, 1)), "weight_hh": np.ones((6, 2))})
        >>> gru.step(np.ones((3, 1), np.float32)).shape
        (3, 2)
        """
        result: Floats = (self._core or self._loaded()).step(x, state, precision)
        return result


class RNN(Recurrent):
    """A stack of Elman layers, h' = act(W_ih x + b_ih + W_hh h + b_hh), with torch's weights.

    Parameters
    ----------
    input_size, hidden_size, num_layers
        As in `torch.nn.RNN`; the API is batch-first.
    nonlinearity
        "tanh" or "relu".
    bias
        Whether the layers have `bias_ih` and `bias_hh`.
    bidirectional
        Run each layer in both directions and concatenate their outputs.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> rnn = sc.RNN(input_size=3, hidden_size=4, nonlinearity="relu", bias=False)
    >>> rnn.load_state_dict({"weight_ih_l0": np.ones((4, 3)), "weight_hh_l0": np.ones((4, 4))})
    >>> out, h_n = rnn.forward(np.ones((2, 5, 3), np.float32))
    >>> out[0, :, 0]
    array([   3.,   15.,   63.,  255., 1023.], dtype=float32)
    """

    _cell = "rnn"
    _torch_names = ("RNN", "RNNCell")
    _activations = CELLS["rnn"].trained_activations  # torch has no others
    _activation_name = "nonlinearity"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            activation=nonlinearity,
        )

    @property
    def nonlinearity(self) -> str:
        """Return "tanh" or "relu"."""
        return self.activation

    def forward(
        self,
        x: npt.ArrayLike,
        state: npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        num_threads: int | None = None,
        precision: Precision = "highest",
    ) -> tuple[Floats, Floats]:
        """`x` [N,T,I], h0 [L*D,N,H] -> out [N,T,D*H], h_n [L*D,N,H].

        The parameters are those of `LSTM.forward`.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> rnn = sc.RNN(1, 1, nonlinearity="relu", bias=False)
        >>> rnn.load_state_dict({"weight_ih": np.ones((1, 1)), "weight_hh": np.ones((1, 1))})
        >>> out, h_n = rnn.forward(np.ones((2, 3, 1)), lengths=[3, 1])
        >>> out[:, :, 0]
        array([[1., 2., 3.],
               [1., 0., 0.]], dtype=float32)
        """
        result: tuple[Floats, Floats]
        result = self._loaded().forward(x, state, lengths, num_threads, precision)
        return result

    def step(
        self,
        x: npt.ArrayLike,
        state: npt.ArrayLike | None = None,
        *,
        precision: Precision = "highest",
    ) -> Floats:
        """`x` [N,I], h [N,H] -> h after one step; [L,N,H] for a stack.

        Equal to `forward` bit for bit, at ``precision="low"`` from states within 1 and -1 on.
        None: zeros.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> rnn = sc.RNN(1, 2, bias=False)
        >>> rnn.load_state_dict({"weight_ih": np.ones((2, 1)), "weight_hh": np.ones((2, 2))})
        >>> rnn.step(np.ones((3, 1), np.float32)).shape
        (3, 2)
        """
        result: Floats = (self._core or self._loaded()).step(x, state, precision)
        return result


# The class of every cell, and the names of torch's classes of it: layers and one step.
STACKS: dict[CellName, type[Recurrent]] = {kind._cell: kind for kind in (LSTM, GRU, RNN)}
TORCH_NAMES = {cell: kind._torch_names for cell, kind in STACKS.items()}

"""LSTM, GRU and RNN modules that run on the compiled kernels, or on torch's where these cannot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slidecell import _core
from slidecell._cells import CellName
from slidecell.training.fused import Memory, Nonlinearity, Weights, obstacle, run

__all__ = ["GRU", "LSTM", "RNN", "Compiled", "kernels_of", "mostly_compiled"]


class Compiled(nn.Module, ABC):
    """The base of layers with compiled kernels.

    Attributes
    ----------
    ran : str or None
        What the last call ran on: ``"compiled: avx512"``, or ``"torch: "`` and why, ``"float64"``
        for instance. None before the first call.
    """

    ran: str | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ran = None
        self._memory = Memory()

    def train(self, mode: bool = True) -> Any:
        """Switch between training and evaluation, which gives back what training has kept."""
        if not mode:
            self._memory.clear()
        return super().train(mode)

    @abstractmethod
    def last_hidden(self, x: Tensor) -> Tensor:
        """`x` as ``forward`` takes it -> the last layer's last h [D, N, H] alone, for less."""

    def _tell(self, reason: str | None) -> bool:
        """Record in `ran` what a call runs on; return whether it is compiled."""
        self.ran = f"torch: {reason}" if reason else f"compiled: {_core.active_isa()}"
        return reason is None

    def _stacked(
        self,
        cell: CellName,
        x: Tensor,
        weights: Sequence[Sequence[Weights]],
        state: tuple[Tensor, ...] | None,
        *,
        outputs: bool,
        dropout: float = 0.0,
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """`x` [N, T, I] through layers of directions -> out [N, T, D*H], (h_n, c_n) [L*D, N, H].

        Without `outputs`: None, (h_n [D, N, H] of the last layer,).
        """
        nonlinearity: Nonlinearity = getattr(self, "nonlinearity", "tanh")  # of nn.RNN
        states: list[tuple[Tensor, Tensor | None]] = []
        for index, layer in enumerate(weights):
            last = index + 1 == len(weights)
            outs: list[Tensor | None] = []
            for direction in layer:
                first = () if state is None else (part[len(states)] for part in state)
                out, h_n, c_n = run(
                    cell,
                    x,
                    direction,
                    *first,
                    outputs=outputs or not last,
                    reverse=len(outs) == 1,
                    memory=self._memory,
                    nonlinearity=nonlinearity,
                )
                outs.append(out)
                states.append((h_n, c_n))
            out = _joined([out for out in outs if out is not None])
            if out is not None and not last:
                x = _dropped(out, dropout) if dropout and self.training else out
        if not outputs:
            states = states[-len(weights[-1]) :]
        parts = (
            [part for part in parts if part is not None] for parts in zip(*states, strict=True)
        )
        return out, tuple(_stack(part) for part in parts if part)


def _is_state(state: Any) -> bool:
    return isinstance(state, (tuple, list)) and all(isinstance(part, Tensor) for part in state)


def _stack(parts: list[Tensor]) -> Tensor:
    """[N, H] of each -> [parts, N, H], without a copy of a single one."""
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)


def _joined(outs: list[Tensor]) -> Tensor | None:
    """[N, T, H] of each direction -> [N, T, D*H] with N and T in the same order in memory."""
    if len(outs) < 2:
        return outs[0] if outs else None
    if outs[0].stride(1) > outs[0].stride(0):
        return torch.cat([out.transpose(0, 1) for out in outs], dim=2).transpose(0, 1)
    return torch.cat(outs, dim=2)


def _dropped(x: Tensor, dropout: float) -> Tensor:
    """Drop numbers of `x` [N, T, size] in torch's order, step by step."""
    time_major = x.transpose(0, 1).contiguous()
    return nn.functional.dropout(time_major, dropout, True).transpose(0, 1)


class _TorchLayers(Compiled, nn.RNNBase):
    """The compiled passes that `LSTM`, `GRU` and `RNN` add to torch's modules."""

    cell: CellName
    batch_first: bool

    def last_hidden(self, x: Tensor) -> Tensor:
        """`x` as ``forward`` takes it -> the last layer's last h [D, N, H] alone, for less."""
        directions = 2 if self.bidirectional else 1
        if self._tell(self._reason(x, None)):
            return self._run(x, None, None, False)[1][0]
        state = super().forward(x)[1]
        h_n: Tensor = state[0] if isinstance(state, tuple) else state
        return h_n[-directions:]

    def _reason(self, x: Any, state: tuple[Any, ...] | None) -> str | None:
        """Say why torch's kernels must run; None if the compiled ones can."""
        if not isinstance(x, Tensor):
            return "a packed sequence"
        if x.ndim != 3:
            return "one sequence without a batch axis"
        if self.proj_size:
            return "a projection"
        if state is not None and not _is_state(state):
            return "a state that is no tensor"
        return obstacle(x, *(state or ()), *self._flat())

    def _flat(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    def _weights(self) -> list[list[Weights]]:
        flat, directions = self._flat(), 2 if self.bidirectional else 1
        size = 4 if self.bias else 2
        each = [
            Weights(*flat[at : at + size], *([None] * (4 - size)))
            for at in range(0, len(flat), size)
        ]
        return [each[at : at + directions] for at in range(0, len(each), directions)]

    def _run(
        self, x: Tensor, hx: Any, state: tuple[Tensor, ...] | None, outputs: bool
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """Run the compiled kernels, after torch's own checks of the sizes."""
        if hx is None:
            self.check_input(x, None)
        else:
            self.check_forward_args(x, hx, None)
        out, final = self._stacked(
            self.cell,
            x if self.batch_first else x.transpose(0, 1),
            self._weights(),
            state,
            outputs=outputs,
            dropout=float(self.dropout),
        )
        if out is not None and not self.batch_first:
            out = out.transpose(0, 1)
        return out, final


class LSTM(_TorchLayers, nn.LSTM):
    """``torch.nn.LSTM`` with compiled kernels for both passes.

    The same arguments, ``state_dict``, call and results. The kernels run float32 on the CPU, on
    ``torch.get_num_threads()`` threads, unless `torch_threads` says otherwise, and with the same
    bits on any number of them; whatever else comes (another device or dtype, autocast, tracing, a
    projection, a packed sequence) runs on torch's, and `ran` says which it was.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import LSTM
    >>> layer = LSTM(7, 16, num_layers=2, batch_first=True)
    >>> out, (h_n, c_n) = layer(torch.rand(5, 9, 7))
    >>> tuple(out.shape), tuple(h_n.shape), layer.ran.partition(":")[0]
    ((5, 9, 16), (2, 5, 16), 'compiled')
    >>> _ = layer.double()(torch.rand(5, 9, 7).double())
    >>> layer.ran
    'torch: float64'
    """

    cell = "lstm"

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run all layers; `input` [N, T, I] with ``batch_first=True``, as torch."""
        if not self._tell(self._reason(input, hx)):
            result: tuple[Tensor, tuple[Tensor, Tensor]] = super().forward(input, hx)
            return result
        out, (h_n, c_n) = self._run(input, hx, hx, True)
        assert out is not None
        return out, (h_n, c_n)


class GRU(_TorchLayers, nn.GRU):
    """``torch.nn.GRU`` with compiled kernels for both passes: see `LSTM`.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import GRU
    >>> layer = GRU(7, 16, batch_first=True, bidirectional=True)
    >>> out, h_n = layer(torch.rand(5, 9, 7))
    >>> tuple(out.shape), tuple(h_n.shape), layer.ran.partition(":")[0]
    ((5, 9, 32), (2, 5, 16), 'compiled')
    """

    cell = "gru"

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run all layers; `input` [N, T, I] with ``batch_first=True``, as torch."""
        state = None if hx is None else (hx,)
        if not self._tell(self._reason(input, state)):
            result: tuple[Tensor, Tensor] = super().forward(input, hx)
            return result
        out, (h_n,) = self._run(input, hx, state, True)
        assert out is not None
        return out, h_n


class RNN(_TorchLayers, nn.RNN):
    """``torch.nn.RNN`` with compiled kernels for both passes: see `LSTM`.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import RNN
    >>> layer = RNN(7, 16, nonlinearity="relu", batch_first=True)
    >>> out, h_n = layer(torch.rand(5, 9, 7))
    >>> tuple(out.shape), tuple(h_n.shape), layer.ran.partition(":")[0]
    ((5, 9, 16), (1, 5, 16), 'compiled')
    """

    cell = "rnn"

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run all layers; `input` [N, T, I] with ``batch_first=True``, as torch."""
        state = None if hx is None else (hx,)
        if not self._tell(self._reason(input, state)):
            result: tuple[Tensor, Tensor] = super().forward(input, hx)
            return result
        out, (h_n,) = self._run(input, hx, state, True)
        assert out is not None
        return out, h_n


# The layers of every cell.
LAYERS: dict[CellName, type[_TorchLayers]] = {kind.cell: kind for kind in (LSTM, GRU, RNN)}


def mostly_compiled(module: nn.Module) -> bool:
    """Return whether at least half of a module's weights are those of layers on compiled kernels.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import Forecaster
    >>> from slidecell.training.layers import mostly_compiled
    >>> module = Forecaster(3, 8, window=5)
    >>> mostly_compiled(module), mostly_compiled(module.double())
    (True, False)
    """
    compiled: dict[int, int] = {}
    for layer in module.modules():
        if isinstance(layer, Compiled) and not getattr(layer, "proj_size", 0):
            weights = list(layer.parameters())
            if obstacle(*weights) is None:
                compiled |= {id(weight): weight.numel() for weight in weights}
    return 2 * sum(compiled.values()) >= sum(weight.numel() for weight in module.parameters())


def kernels_of(module: nn.Module) -> dict[str, str | None]:
    """Say what each recurrent layer in `module` ran on in its last call.

    Parameters
    ----------
    module : nn.Module

    Returns
    -------
    dict
        Name of the layer -> `Compiled.ran`; ``"torch"`` for layers of torch.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import Forecaster, kernels_of
    >>> module = Forecaster(3, (8, 4), window=5)
    >>> _ = module(torch.rand(2, 5, 3))
    >>> [ran.partition(":")[0] for ran in kernels_of(module).values()]
    ['compiled', 'compiled']
    """
    return {
        name: part.ran if isinstance(part, Compiled) else "torch"
        for name, part in module.named_modules()
        if isinstance(part, (Compiled, nn.RNNBase))
    }

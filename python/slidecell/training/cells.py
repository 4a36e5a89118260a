"""One-layer LSTM and GRU, with the activations and variants that torch's own modules lack.

Every layer, torch's or ours, is batch-first and has torch's tensor names: ``weight_ih_l0``
[G*H, I], ``weight_hh_l0`` [G*H, H or P], ``bias_ih_l0`` and ``bias_hh_l0`` [G*H],
``weight_hr_l0`` [P, H] with a projection, and the same with ``_reverse``. Gates are in the
order i f g o (LSTM) and r z n (GRU).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from slidecell._cells import CELLS, CellName
from slidecell._choices import Activation, RecurrentActivation
from slidecell.convert.interfaces import RecurrentLayer
from slidecell.training.fused import Weights, obstacle
from slidecell.training.layers import Compiled


def _linear(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "linear": _linear,
}
# torch's hardsigmoid is relu6(x + 3) / 6 = clip(x/6 + 1/2, 0, 1).
RECURRENT_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": functional.hardsigmoid,
}


class _Layer(Compiled, RecurrentLayer):
    """Parameters and the loop over directions and steps; a subclass gives one step."""

    cell: CellName

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool = False,
        activation: Activation = "tanh",
        recurrent_activation: RecurrentActivation = "sigmoid",
        proj_size: int = 0,
        single_bias: bool = False,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.activation = activation
        self.recurrent_activation = recurrent_activation
        self.proj_size = proj_size
        self.single_bias = single_bias
        self._act = ACTIVATIONS[activation]
        self._gate = RECURRENT_ACTIVATIONS[recurrent_activation]
        self._suffixes = ("_l0", "_l0_reverse") if bidirectional else ("_l0",)
        rows = CELLS[self.cell].gates * hidden_size
        for suffix in self._suffixes:
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, input_size),
                "weight_hh": (rows, self.state_size),
                "bias_ih": (rows,),
            }
            if not single_bias:
                shapes["bias_hh"] = (rows,)
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for name, shape in shapes.items():
                self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape)))
        self.reset_parameters()

    @property
    def state_size(self) -> int:
        """Length of h: the projection's, where there is one."""
        return self.proj_size or self.hidden_size

    def reset_parameters(self) -> None:
        """Draw every parameter from torch's own distribution, uniform within 1/sqrt(H)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Return what ``repr`` shows between the parentheses."""
        return (
            f"{self.input_size}, {self.hidden_size}, bidirectional={self.bidirectional}, "
            f"activation={self.activation!r}, recurrent_activation={self.recurrent_activation!r}"
        )

    def _weights(self, suffix: str) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return w_ih [G*H, I], w_hh [G*H, H or P], b_ih [G*H] and b_hh [G*H] or None."""
        return (
            getattr(self, "weight_ih" + suffix),
            getattr(self, "weight_hh" + suffix),
            getattr(self, "bias_ih" + suffix),
            None if self.single_bias else getattr(self, "bias_hh" + suffix),
        )

    def _torch_weights(self) -> list[Tensor]:
        """Return the flat list that torch's kernels take, a missing second bias as zeros."""
        flat: list[Tensor] = []
        for suffix in self._suffixes:
            w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
            flat += [w_ih, w_hh, b_ih, torch.zeros_like(b_ih) if b_hh is None else b_hh]
            if self.proj_size:
                flat.append(getattr(self, "weight_hr" + suffix))
        return flat

    def _initial(self, x: Tensor, state: Tensor | None, size: int) -> Tensor:
        """Return `state` or zeros [D, N, size]."""
        if state is not None:
            return state
        return x.new_zeros(len(self._suffixes), x.shape[0], size)

    def _reason(self, x: Tensor, state: tuple[Tensor, ...] | None) -> str | None:
        """Say why the compiled kernels cannot run."""
        if self.activation != "tanh":
            return self.activation
        if self.recurrent_activation != "sigmoid":
            return self.recurrent_activation
        if self.proj_size:
            return "a projection"
        return obstacle(x, *(state or ()), *self.parameters())

    def _compiled(
        self, x: Tensor, state: tuple[Tensor, ...] | None, outputs: bool
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """`x` [N, T, I] -> out [N, T, D*H] or None, (h_n, c_n), on the compiled kernels."""
        directions = [Weights(*self._weights(suffix)) for suffix in self._suffixes]
        return self._stacked(self.cell, x, [directions], state, outputs=outputs)

    def last_hidden(self, x: Tensor) -> Tensor:
        """`x` [N, T, I] -> the last h [D, N, P or H] alone, for less."""
        self._check(x)
        if self._tell(self._reason(x, None)):
            return self._compiled(x, None, False)[1][0]
        state = self(x)[1]
        h_n: Tensor = state[0] if isinstance(state, tuple) else state
        return h_n

    def _check(self, x: Tensor) -> None:
        if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != self.input_size:
            raise ValueError(
                f"x: expected [N, T, {self.input_size}] with T >= 1 "
                f"(input_size={self.input_size}), got {list(x.shape)}"
            )


class LSTMLayer(_Layer):
    """One LSTM layer with free activations, an optional projection, one or two biases.

    x [N, T, I] -> (out [N, T, D*P or D*H], (h_n [D, N, P or H], c_n [D, N, H])).

    Examples
    --------
    >>> import torch
    >>> from slidecell.training.cells import LSTMLayer
    >>> out, (h_n, c_n) = LSTMLayer(3, 5, activation="relu")(torch.rand(2, 7, 3))
    >>> tuple(out.shape), tuple(h_n.shape)
    ((2, 7, 5), (1, 2, 5))
    """

    cell = "lstm"

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the layer; `state` is (h0 [D, N, P or H], c0 [D, N, H]), zeros by default."""
        self._check(x)
        if self._tell(self._reason(x, state)):
            compiled, (h_n, c_n) = self._compiled(x, state, True)
            assert compiled is not None
            return compiled, (h_n, c_n)
        if self.activation == "tanh" and self.recurrent_activation == "sigmoid":
            h0, c0 = state if state is not None else (None, None)
            hx = (
                self._initial(x, h0, self.state_size),
                self._initial(x, c0, self.hidden_size),
            )
            out, h_n, c_n = torch.lstm(
                x,
                hx,
                self._torch_weights(),
                True,
                1,
                0.0,
                self.training,
                self.bidirectional,
                True,
            )
            return out, (h_n, c_n)
        return self.loop(x, state)

    def loop(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the layer step by step; `forward` does the same, faster where torch can."""
        outs: list[Tensor] = []
        finals: list[tuple[Tensor, Tensor]] = []
        for d, suffix in enumerate(self._suffixes):
            start = None if state is None else (state[0][d], state[1][d])
            out, final = self._direction(x.flip(1) if d else x, suffix, start)
            outs.append(out.flip(1) if d else out)
            finals.append(final)
        if len(outs) == 1:
            h, c = finals[0]
            return outs[0], (h.unsqueeze(0), c.unsqueeze(0))
        out = torch.cat(outs, dim=2)
        return out, (torch.stack([h for h, _ in finals]), torch.stack([c for _, c in finals]))

    def _direction(
        self, x: Tensor, suffix: str, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`x` [N, T, I], (h [N, P or H], c [N, H]) or None -> out [N, T, P or H], state."""
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        w_hh = w_hh.t()
        w_hr = getattr(self, "weight_hr" + suffix).t() if self.proj_size else None
        bias = b_ih if b_hh is None else b_ih + b_hh
        # One product for all steps; unbind keeps the backward pass linear in T, where indexing
        # would build a [T, N, G*H] gradient per step.
        # A single step is a view on both ends, which saves a fifth of a small batch's time.
        one = x.shape[1] == 1
        inputs = (
            (functional.linear(x[:, 0], w_ih, bias),)
            if one
            else functional.linear(x.transpose(0, 1), w_ih, bias).unbind(0)
        )
        steps: list[Tensor] = []
        for projected in inputs:
            # From the zero state the recurrent product and the forget gate drop out.
            gates = projected if state is None else torch.addmm(projected, state[0], w_hh)
            i, f, g, o = gates.chunk(4, dim=1)
            c = self._gate(i) * self._act(g)
            if state is not None:
                c = c + self._gate(f) * state[1]
            h = self._gate(o) * self._act(c)
            if w_hr is not None:
                h = h @ w_hr
            state = (h, c)
            steps.append(h)
        return h.unsqueeze(1) if one else torch.stack(steps, dim=1), (h, c)


class GRULayer(_Layer):
    """One GRU layer with free activations, either place of the reset gate, one or two biases.

    x [N, T, I] -> (out [N, T, D*H], h_n [D, N, H]). With ``reset_after=False`` (the original
    paper) n = act(W_in x + b_in + W_hn (r * h) + b_hn); else, as torch and cuDNN,
    n = act(W_in x + b_in + r * (W_hn h + b_hn)). h' = (1 - z) n + z h.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training.cells import GRULayer
    >>> out, h_n = GRULayer(3, 5, reset_after=False)(torch.rand(2, 7, 3))
    >>> tuple(out.shape), tuple(h_n.shape)
    ((2, 7, 5), (1, 2, 5))
    """

    cell = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool = False,
        activation: Activation = "tanh",
        recurrent_activation: RecurrentActivation = "sigmoid",
        reset_after: bool = True,
        single_bias: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bidirectional=bidirectional,
            activation=activation,
            recurrent_activation=recurrent_activation,
            single_bias=single_bias,
        )
        self.reset_after = reset_after

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the layer; `state` is h0 [D, N, H], zeros by default."""
        self._check(x)
        given = None if state is None else (state,)
        if self._tell(self._reason(x, given)):
            compiled, (h_n,) = self._compiled(x, given, True)
            assert compiled is not None
            return compiled, h_n
        if (
            self.reset_after
            and self.activation == "tanh"
            and self.recurrent_activation == "sigmoid"
        ):
            h0 = self._initial(x, state, self.hidden_size)
            out, h_n = torch.gru(
                x,
                h0,
                self._torch_weights(),
                True,
                1,
                0.0,
                self.training,
                self.bidirectional,
                True,
            )
            return out, h_n
        return self.loop(x, state)

    def _reason(self, x: Tensor, state: tuple[Tensor, ...] | None) -> str | None:
        return super()._reason(x, state) if self.reset_after else "reset_after=False"

    def loop(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the layer step by step; `forward` does the same, faster where torch can."""
        outs: list[Tensor] = []
        finals: list[Tensor] = []
        direction = self._after if self.reset_after else self._before
        for d, suffix in enumerate(self._suffixes):
            h0 = x.new_zeros(x.shape[0], self.hidden_size) if state is None else state[d]
            steps = direction(x.flip(1) if d else x, suffix, h0)
            out = torch.stack(steps, dim=1)
            outs.append(out.flip(1) if d else out)
            finals.append(steps[-1])
        return outs[0] if len(outs) == 1 else torch.cat(outs, dim=2), torch.stack(finals)

    def _after(self, x: Tensor, suffix: str, h: Tensor) -> list[Tensor]:
        """`x` [N, T, I], h [N, H] -> h of every step, the reset gate after the product."""
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        steps: list[Tensor] = []
        for projected in functional.linear(x.transpose(0, 1), w_ih, b_ih).unbind(0):
            x_r, x_z, x_n = projected.chunk(3, dim=1)
            h_r, h_z, h_n = functional.linear(h, w_hh, b_hh).chunk(3, dim=1)
            r = self._gate(x_r + h_r)
            z = self._gate(x_z + h_z)
            n = self._act(x_n + r * h_n)
            h = n + z * (h - n)
            steps.append(h)
        return steps

    def _before(self, x: Tensor, suffix: str, h: Tensor) -> list[Tensor]:
        """`x` [N, T, I], h [N, H] -> h of every step, the reset gate before the product."""
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        sizes = [2 * self.hidden_size, self.hidden_size]
        w_gates, w_candidate = torch.split(w_hh.t(), sizes, dim=1)
        bias = b_ih if b_hh is None else b_ih + b_hh  # no gate stands between the two biases
        steps: list[Tensor] = []
        for projected in functional.linear(x.transpose(0, 1), w_ih, bias).unbind(0):
            x_gates, x_n = torch.split(projected, sizes, dim=1)
            r, z = self._gate(torch.addmm(x_gates, h, w_gates)).chunk(2, dim=1)
            n = self._act(torch.addmm(x_n, r * h, w_candidate))
            h = n + z * (h - n)
            steps.append(h)
        return steps


# The layers of each cell that has some; the others' activations are torch's.
FREE_LAYERS: dict[CellName, type[_Layer]] = {kind.cell: kind for kind in (LSTMLayer, GRULayer)}

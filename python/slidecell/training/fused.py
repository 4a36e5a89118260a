"""One LSTM, GRU or RNN layer on the compiled training kernels, for autograd.

The forward pass keeps the gates and states of every step; the backward pass is written by hand
(backpropagation through time) and compiled, too. What the kernels do not take, `obstacle` names.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell import _core
from slidecell._cells import CELLS, CellName
from slidecell.training.threads import kernel_threads

Nonlinearity: TypeAlias = Literal["tanh", "relu"]
Array: TypeAlias = "npt.NDArray[np.float32]"


class Weights(NamedTuple):
    """One direction of one layer, as torch has it; a bias may be None.

    Attributes
    ----------
    w_ih, w_hh : Tensor, [G*H, I] and [G*H, H]
    b_ih, b_hh : Tensor, [G*H], or None
    """

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None


class Memory:
    """Where layers keep their steps between the two passes; one step of training reuses another's.

    It holds no more than was in use at once. Copies and pickles of it are empty.

    Examples
    --------
    >>> from slidecell.training.fused import Memory
    >>> Memory().take(3).shape
    torch.Size([3])
    """

    def __init__(self) -> None:
        self._buffers = _core.TrainingMemory()

    def take(self, size: int) -> Tensor:
        """Return a tensor [size] of any numbers; its memory comes back when it is gone."""
        return torch.from_numpy(self._buffers.take(size))

    def clear(self) -> None:
        """Free the memory that is not in use."""
        self._buffers.clear()

    def __reduce__(self) -> tuple[type[Memory], tuple[()]]:
        return Memory, ()


def obstacle(*tensors: Tensor | None) -> str | None:
    """Say why the compiled kernels cannot run on `tensors`; None if they can.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training.fused import obstacle
    >>> obstacle(torch.zeros(2)) is None
    True
    >>> obstacle(torch.zeros(2), None, torch.zeros(2, dtype=torch.float64))
    'float64'
    """
    modes = {
        "autocast": _autocast(),
        "tracing": torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None,
        "torch.func": torch._C._are_functorch_transforms_active(),
    }
    for name, active in modes.items():
        if active:
            return name
    reasons = (_refused(tensor) for tensor in tensors if tensor is not None)
    return next(filter(None, reasons), None)


def _autocast() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # before torch 2.4
        return torch.is_autocast_cpu_enabled()


def _refused(tensor: Tensor) -> str | None:
    """Return the property of `tensor` that the compiled kernels refuse, or None."""
    if type(tensor) not in (Tensor, nn.Parameter):  # a fake tensor, for instance, has no memory
        return type(tensor).__name__
    if tensor.device.type != "cpu":
        return tensor.device.type
    if tensor.dtype != torch.float32:
        return str(tensor.dtype).removeprefix("torch.")
    return "an empty tensor" if tensor.numel() == 0 else None


def run(
    cell: CellName,
    x: Tensor,
    weights: Weights,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    *,
    outputs: bool = True,
    reverse: bool = False,
    memory: Memory | None = None,
    nonlinearity: Nonlinearity = "tanh",
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """Run a layer whose tensors have no `obstacle`.

    Parameters
    ----------
    cell : str
        A name in `slidecell.recurrent.STACKS`.
    x : Tensor, [N, T, I]
    weights : Weights
    h0, c0 : Tensor, [N, H], optional
        Zeros by default; c0 for an LSTM alone.
    outputs : bool
        False: h_n is wanted alone; the others are None and cost nothing.
    reverse : bool
        From the last step to the first.
    memory : Memory, optional
        Where to keep the steps until the backward pass; new memory by default.
    nonlinearity : {"tanh", "relu"}
        Of an RNN; other cells have tanh.

    Returns
    -------
    tuple
        out [N, T, H], h_n [N, H], c_n [N, H] (None but for an LSTM).

    Examples
    --------
    >>> import torch
    >>> from slidecell.training.fused import Weights, run
    >>> layer = torch.nn.GRU(3, 5)
    >>> weights = Weights(*(p for _, p in layer.named_parameters()))
    >>> out, h_n, _ = run("gru", torch.rand(2, 7, 3), weights)
    >>> tuple(out.shape), tuple(h_n.shape), h_n.requires_grad
    ((2, 7, 5), (2, 5), True)
    """
    call = _Call(cell, outputs, reverse, memory or Memory(), nonlinearity)
    tensors = (_rows(x), *weights, h0, c0)
    wants_gradient = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in tensors
    )
    if wants_gradient:
        result: tuple[Tensor | None, Tensor, Tensor | None]
        result = _Layer.apply(call, *tensors)  # type: ignore[no-untyped-call]
        return result
    return call.forward(None, *tensors)


class _Call(NamedTuple):
    """What a call is besides its tensors: x, w_ih, w_hh, b_ih, b_hh, h0, c0 in this order."""

    cell: CellName
    outputs: bool
    reverse: bool
    memory: Memory
    nonlinearity: Nonlinearity

    def forward(
        self, saved: Tensor | None, x: Tensor, *tensors: Tensor | None
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """Run the layer, and fill `saved` for its backward pass."""
        w_hh = tensors[1]
        assert w_hh is not None
        out = _empty_sequence(x, w_hh.shape[1]) if self.outputs else None
        h_n = x.new_empty(x.shape[0], w_hh.shape[1])
        c_n = torch.empty_like(h_n) if "c" in CELLS[self.cell].states and self.outputs else None
        _core.training_forward(
            self.cell,
            self.steps(x),
            tuple(_array(tensor) for tensor in tensors),
            _array(saved),
            None if out is None else self.steps(out),
            _array(h_n),
            _array(c_n),
            kernel_threads(),
            self.nonlinearity,
        )
        return out, h_n, c_n

    def steps(self, sequence: Tensor) -> Array:
        """`sequence` [N, T, size] in the order in which the layer runs."""
        array: Array = sequence.detach().numpy()
        return array[:, ::-1] if self.reverse else array


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: _Call, x: Tensor, w_ih: Tensor, w_hh: Tensor, *rest: Tensor | None
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        ctx.set_materialize_grads(False)
        ctx.call = call
        size = _core.training_saved_size(call.cell, x.shape[0], x.shape[1], w_hh.shape[1])
        saved = call.memory.take(size)
        b_ih, b_hh, h0, c0 = rest
        ctx.bias_shapes = tuple(None if b is None else b.shape for b in (b_ih, b_hh))
        ctx.save_for_backward(x, w_ih, w_hh, h0, c0, saved)
        return call.forward(saved, x, w_ih, w_hh, b_ih, b_hh, h0, c0)

    @staticmethod
    def backward(
        ctx: Any, d_out: Tensor | None, d_h_n: Tensor | None, d_c_n: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            gradients = _backward(ctx, d_out, d_h_n, d_c_n)
        if torch.is_grad_enabled():  # create_graph=True
            leaves = (None if g is None else g.requires_grad_() for g in gradients)
            gradients = _Final.apply(*leaves)  # type: ignore[no-untyped-call]
        return (None, *gradients)


def _backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
    """Gradients of out, h_n, c_n -> those of x, w_ih, w_hh, b_ih, b_hh, h0, c0."""
    call: _Call = ctx.call
    x, w_ih, w_hh, h0, c0, saved = ctx.saved_tensors
    states = (None if state is None else state.shape for state in (h0, c0))
    shapes = (w_ih.shape, w_hh.shape, *ctx.bias_shapes, *states)
    needs_x, *needs = ctx.needs_input_grad[1:]
    d_x = _empty_sequence(x, x.shape[2]) if needs_x else None
    wanted = [
        torch.empty(shape) if needed else None for needed, shape in zip(needs, shapes, strict=True)
    ]
    d_out, *d_states = given
    _core.training_backward(
        call.cell,
        call.steps(x),
        tuple(_array(tensor) for tensor in (w_ih, w_hh, None, None, h0, c0)),
        _array(saved),
        (
            None if d_out is None else call.steps(_rows(d_out)),
            *(_array(tensor) for tensor in d_states),
        ),
        (
            None if d_x is None else call.steps(d_x),
            *(_array(tensor) for tensor in wanted),
        ),
        kernel_threads(),
        call.nonlinearity,
    )
    return d_x, *wanted


class _Final(torch.autograd.Function):
    """Gradients that end here: to differentiate them again is an error, not zero."""

    @staticmethod
    def forward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return gradients

    @staticmethod
    def backward(ctx: Any, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        raise RuntimeError(
            "the compiled kernels have no second derivatives: use torch.nn.LSTM or torch.nn.GRU"
        )


def _array(tensor: Tensor | None) -> Array | None:
    """Return the tensor's memory as an array."""
    return None if tensor is None else tensor.detach().contiguous().numpy()


def _rows(sequence: Tensor) -> Tensor:
    """Return `sequence` [N, T, size] with `size` numbers side by side."""
    return sequence if sequence.stride(2) == 1 or sequence.shape[2] == 1 else sequence.contiguous()


def _empty_sequence(like: Tensor, size: int) -> Tensor:
    """Return [N, T, size] with the axes of `like` [N, T, any] in the same order in memory."""
    N, T, _ = like.shape
    if like.stride(1) > like.stride(0):
        return like.new_empty(T, N, size).transpose(0, 1)
    return like.new_empty(N, T, size)

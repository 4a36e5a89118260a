"""Looks for what a module does to its input, its hidden state and its output beside its layers.

Random windows show what happens to usual values. A clamp, a `nan_to_num` or a bounded activation
shows at others: here values are set at the layers' own inputs and outputs, by hooks, so that each
piece in between is seen alone and at any value. A piece that cannot be seen so is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from slidecell.convert.interfaces import SequenceNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["refuse_what_layers_do_not_do"]

_WINDOWS = 7  # so that no other size is likely to be the same
_LARGE = (0.0, -1e-3, 30.0, -30.0, 1e4, -1e4, 1e10, -1e10, 1e30, -1e30)
_MISSING = (float("nan"), float("inf"), float("-inf"))


def refuse_what_layers_do_not_do(
    module: nn.Module,
    first: nn.Module,
    last: nn.Module,
    head: nn.Module,
    *,
    window: int,
    input_size: int,
) -> None:
    """Raise a ValueError if `module` changes values before, between or after its layers.

    Parameters
    ----------
    module : nn.Module
        In eval mode, float32, on the CPU.
    first, last : nn.Module
        The layer that reads the windows [N, W, F], and the one whose h the head reads.
    head : nn.Module
        The linear layer that answers.
    window, input_size : int
        W and F.
    """
    generator = torch.Generator().manual_seed(0)
    usual = torch.randn(_WINDOWS, window, input_size, generator=generator)
    for values, what in ((_LARGE, "large values"), (_MISSING, "NaN and infinity")):
        x = _with_some(usual, values)
        _check_input(module, first, x, what)
        _check_output(module, head, usual, values, what)
    if isinstance(last, (nn.LSTM, nn.GRU, nn.RNN)):
        _check_hidden(module, last, head, usual, generator)


def _check_input(module: nn.Module, first: nn.Module, x: Tensor, what: str) -> None:
    """Refuse a first layer that reads something else than the windows."""
    read: list[Any] = []
    with (
        _hooked(first.register_forward_pre_hook, lambda _, args: read.append(args[0])),
        _encoding(module, read),
    ):
        _run(module, x)
    if len(read) != 1 or not isinstance(read[0], Tensor):
        return
    _refuse_unless_one(read[0], (x, x.transpose(0, 1)), f"its input before the layers, at {what}")


def _check_output(
    module: nn.Module,
    head: nn.Module,
    x: Tensor,
    values: tuple[float, ...],
    what: str,
) -> None:
    """Refuse a module that returns something else than its head."""
    returned: list[Tensor] = []

    def replace(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        returned.append(_with_some(output, values))
        return returned[-1]

    with _hooked(head.register_forward_hook, replace):
        answer = _run(module, x)
    if len(returned) != 1 or not isinstance(answer, Tensor):
        return
    made = returned[0]
    # The whole, or the last step of a head that is applied to all.
    steps = (made, made[:, -1], made[-1]) if made.ndim == 3 else (made,)
    flat = tuple(step.reshape(_WINDOWS, -1) for step in steps if step.numel() % _WINDOWS == 0)
    if answer.numel() % _WINDOWS == 0:
        _refuse_unless_one(
            answer.reshape(_WINDOWS, -1), flat, f"its output after the head, at {what}"
        )


def _check_hidden(
    module: nn.Module,
    layer: nn.LSTM | nn.GRU | nn.RNN,
    head: nn.Module,
    x: Tensor,
    generator: torch.Generator,
) -> None:
    """Refuse a head that reads something else than the last h, at any value that h takes."""
    returned: list[Tensor] = []
    read: list[Any] = []

    def replace(_: nn.Module, __: Any, output: Any) -> Any:
        out, state = output
        if not isinstance(out, Tensor):
            return output
        h_n = state[0] if isinstance(state, tuple) else state
        size, directions = h_n.shape[-1], 2 if layer.bidirectional else 1
        # Within the range of h: a clamp to it is none.
        low = 0.0 if getattr(layer, "nonlinearity", "tanh") == "relu" else -1.0
        h = torch.rand(h_n.shape, generator=generator) * (1.0 - low) + low
        made = torch.rand(out.shape, generator=generator) * (1.0 - low) + low
        time = 1 if layer.batch_first else 0
        made.select(time, -1)[..., :size] = h[-directions]
        if directions == 2:
            made.select(time, 0)[..., size:] = h[-1]
        returned.extend((torch.cat([*h[-directions:]], dim=-1), made))
        return made, ((h, *state[1:]) if isinstance(state, tuple) else h)

    with (
        _hooked(layer.register_forward_hook, replace),
        _hooked(head.register_forward_pre_hook, lambda _, args: read.append(args[0])),
    ):
        _run(module, x)
    if len(returned) != 2 or len(read) != 1 or not isinstance(read[0], Tensor):
        return
    code, sequence = returned
    came = read[0]
    _refuse_unless_one(
        came.reshape(code.shape) if came.numel() == code.numel() else came,
        (code, sequence, sequence.transpose(0, 1)),
        "h between the layers and the head",
    )


def _refuse_unless_one(came: Tensor, expected: tuple[Tensor, ...], what: str) -> None:
    """Refuse a tensor that is like one of the expected in shape and like none in value."""
    alike = [tensor for tensor in expected if tensor.shape == came.shape]
    if not alike:
        return  # nothing to compare with
    came = came.to(torch.float32)
    if any(torch.isclose(came, t, rtol=1e-4, atol=1e-4, equal_nan=True).all() for t in alike):
        return
    wrong = ~torch.isclose(came, alike[0], rtol=1e-4, atol=1e-4, equal_nan=True)
    before, after = float(alike[0][wrong][0]), float(came[wrong][0])
    raise ValueError(
        f"module: it changes {what}: {before:.6g} becomes {after:.6g}. It must be its recurrent "
        "layers and a linear head on the last step, and nothing else: no clamp, no nan_to_num, no "
        "other function; slidecell skips missing values itself"
    )


def _with_some(usual: Tensor, values: tuple[float, ...]) -> Tensor:
    """Return a copy of which about half of the elements are some of these values."""
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randint(0, len(values), usual.shape, generator=generator)
    replaced = torch.rand(usual.shape, generator=generator) < 0.5
    return torch.where(replaced, torch.tensor(values)[chosen], usual)


def _run(module: nn.Module, x: Tensor) -> Any:
    """Return the answer; None where the module refuses such values, which is its right."""
    with torch.no_grad(), suppress(Exception):
        return module(x.clone())
    return None


@contextmanager
def _encoding(module: nn.Module, read: list[Any]) -> Iterator[None]:
    """Note what a `SequenceNetwork` encodes, as far as it does so by its method of that name.

    It runs its layers without their hooks.
    """
    encode = getattr(module, "encode", None)
    if not isinstance(module, SequenceNetwork) or encode is None:
        yield
        return

    def noted(x: Tensor) -> Any:
        read.append(x)
        return encode(x)

    module.__dict__["encode"] = noted
    try:
        yield
    finally:
        del module.__dict__["encode"]


@contextmanager
def _hooked(register: Callable[..., Any], hook: Callable[..., Any]) -> Iterator[None]:
    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()

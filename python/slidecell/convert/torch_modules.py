"""A torch module read, by what it computes, and converted to the parts of a `SequenceModel`."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slidecell._arguments import whole_number
from slidecell.convert.graph import Graph
from slidecell.convert.interfaces import RecurrentLayer, SequenceNetwork
from slidecell.convert.layers_over_rows import RecursOverWindowsError
from slidecell.convert.lowering import Tensors, lower
from slidecell.convert.torch_attributes import cell_of, read_network, read_parts
from slidecell.convert.torch_export import read_exported
from slidecell.recurrent import TORCH_NAMES

__all__ = ["Reading", "TimeFirst", "evaluated", "read_module", "to_metadata", "unwrapped"]

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_WINDOWS = 32
# What torch.export says of modules that it cannot follow; the error says it once more.
_LOGGERS = ("torch.export", "torch.export._trace", "torch.fx.experimental.symbolic_shapes")


class TimeFirst(nn.Module):
    """A module that reads [W, N, F], for [N, W, F]."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        """`x` [N, W, F] -> what the module answers, windows first."""
        answers = self.module(x.transpose(0, 1))
        if isinstance(answers, (tuple, list)):
            return tuple(self._windows_first(answer) for answer in answers)
        return self._windows_first(answers)

    @staticmethod
    def _windows_first(answer: Any) -> Any:
        three = isinstance(answer, Tensor) and answer.ndim == 3
        return answer.transpose(0, 1) if three else answer


@dataclass(frozen=True)
class Reading:
    """What a module computes, and how that was found.

    Attributes
    ----------
    graph : Graph
    network : bool
        Whether it is a `SequenceNetwork`, which knows its horizon and its targets.
    targets : list of int or None
        Its own.
    time_first : bool
        Whether it reads [W, N, F].
    exported : bool
        Whether a graph told all that it does. If not, its attributes told its layers only.
    """

    graph: Graph
    network: bool = False
    targets: list[int] | None = None
    time_first: bool = False
    exported: bool = False

    def parts(
        self,
        horizon: int | None = None,
        *,
        targets: Sequence[int | str] | None = None,
        features: Sequence[str] | None = None,
        scaler: Mapping[str, Any] | object | None = None,
    ) -> tuple[dict[str, Any], Tensors]:
        """Return metadata and tensors; the arguments are those of `lowering.lower`."""
        if self.network:
            _check_own("horizon", horizon, self.graph.horizon or 0)
            if targets is not None:
                _check_own("targets", list(targets), self.targets)
            horizon, targets = self.graph.horizon, self.targets
        return lower(self.graph, horizon=horizon, targets=targets, features=features, scaler=scaler)


def to_metadata(
    module: nn.Module, window: int | None = None, horizon: int | None = None
) -> tuple[dict[str, Any], Tensors]:
    """Return the metadata and the tensors (float32) of the model that `module` is.

    Parameters
    ----------
    module : nn.Module
        A `Forecaster` or an `Autoencoder`, which know their window and horizon; or any module
        that is recurrent layers and a head: see `SequenceModel.from_torch`.
    window, horizon : int, optional
        W is needed for the latter; K is 1 by default.

    Raises
    ------
    TypeError
        If the module has no recurrent layer.
    ValueError
        If it computes something else, sizes do not fit or weights are not finite.

    Examples
    --------
    >>> from slidecell.training import Forecaster
    >>> from slidecell.convert import to_metadata
    >>> metadata, tensors = to_metadata(Forecaster(3, 5, window=4))
    >>> metadata["window"], metadata["horizon"], tensors["head.weight"].shape
    (4, 1, (3, 5))
    """
    return read_module(module, window).parts(horizon)


def read_module(
    module: nn.Module, window: int | None = None, *, columns: int | None = None
) -> Reading:
    """Return what a module computes.

    Parameters
    ----------
    module, window
        As for `to_metadata`.
    columns : int, optional
        F, where the caller knows it; by default the first number of columns that its parts read
        and that it runs on.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch module, got {type(module).__name__}")
    module = unwrapped(module)
    if isinstance(module, SequenceNetwork):
        _check_own("window", window, module.window)
        own = None if module.targets is None else list(module.targets)
        return Reading(read_network(module), network=True, targets=own)
    _refuse_without_head(module)
    if window is None:
        raise ValueError(
            f"window: expected the number of rows that {type(module).__name__} sees, got None"
        )
    window = whole_number("window", window, least=1)
    with evaluated(module) as reference, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on forms of its own
        return _read(reference, window, columns)


def _read(reference: nn.Module, window: int, columns: int | None) -> Reading:
    """Return what a module in eval mode computes."""
    if any(isinstance(part, RecurrentLayer) for part in reference.modules()):
        return Reading(read_parts(reference, window))  # export cannot look into their kernels
    size = _input_size(reference, window, columns)
    # A number of windows that no other size is likely to be.
    x = torch.zeros(_WINDOWS - 1 if window != _WINDOWS - 1 else _WINDOWS + 1, window, size)
    try:
        program = _exported(reference, x)
    except Exception as error:  # of any type, from any depth of torch
        try:
            return Reading(read_parts(reference, window))
        except TypeError as parts:
            raise ValueError(
                f"module: torch.export cannot follow it ({_first_line(error)}), and its attributes "
                f"do not tell what it is: {str(parts).removeprefix('module: ')}; leave branches on "
                "values out of its forward"
            ) from error
    try:
        return Reading(read_exported(program, x), exported=True)
    except RecursOverWindowsError as error:
        try:
            program = _exported(TimeFirst(reference), x)
        except Exception:
            raise error from None
        return Reading(read_exported(program, x), time_first=True, exported=True)


def _exported(module: nn.Module, x: Tensor) -> torch.export.ExportedProgram:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):  # where it fails it prints the graph
            return torch.export.export(module, (x,), strict=False)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".removesuffix(": ")


def _input_size(module: nn.Module, window: int, columns: int | None) -> int:
    """Return F: the first size that a part reads, for which the module runs.

    Preferred is one that what it answers is a multiple of, as predictions of all columns are.
    """
    sizes = [columns] if columns is not None else list(dict.fromkeys(_sizes_read(module)))
    failure: Exception | None = None
    runs: list[int] = []
    for size in sizes:
        try:
            answer = module(torch.zeros(_WINDOWS, window, size))
        except Exception as error:  # a module of the user's, which may raise anything
            failure = failure or error
            continue
        if not isinstance(answer, Tensor) or answer.numel() % (_WINDOWS * size) == 0:
            return size
        runs.append(size)
    if not runs:
        raise ValueError(
            f"module: it fails on x {[_WINDOWS, window, sizes[0]]}: {failure}"
        ) from failure
    return runs[0]


def _sizes_read(module: nn.Module) -> Iterator[int]:
    """Yield what the parts of a module read per step, in their order, then what they give."""
    for names in (("input_size", "in_features", "num_features"), ("out_features",)):
        for part in module.modules():
            for name in names:
                size = getattr(part, name, None)
                if isinstance(size, int) and size > 0:
                    yield size
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim:
            yield tensor.shape[-1]


def _refuse_without_head(module: nn.Module) -> None:
    cell = cell_of(module)
    if cell is not None:
        raise TypeError(
            f"module: a {type(module).__name__} alone has no head to predict with; "
            f"use slidecell.{cell.upper()}.from_torch for its hidden states"
        )
    if not any(cell_of(part) for part in module.modules()):
        *first, last = (f"nn.{layers}" for layers, _ in TORCH_NAMES.values())
        raise TypeError(
            f"module: expected a slidecell.training module, or one with an {', '.join(first)} or "
            f"{last}, got {type(module).__name__}"
        )


def _check_own(name: str, asked: Any, own: Any) -> None:
    if asked is not None and asked != own:
        raise ValueError(f"{name}: expected {own}, the module's own, got {asked}")


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile`` or a data-parallel wrapper holds."""
    while True:
        name = "module" if isinstance(module, _WRAPPERS) else "_orig_mod"
        inner = getattr(module, name, None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


@contextmanager
def evaluated(module: nn.Module) -> Iterator[nn.Module]:
    """Give `module`, or a float32 copy on the CPU, in eval mode; restore the flags after."""
    module = unwrapped(module)
    tensors = [*module.parameters(), *module.buffers()]
    if any(
        t.device.type != "cpu" or (t.is_floating_point() and t.dtype != torch.float32)
        for t in tensors
    ):
        module = copy.deepcopy(module).to("cpu", torch.float32)
    flags = [(part, part.training) for part in module.modules()]
    try:
        yield module.eval()
    finally:
        for part, training in flags:
            part.training = training

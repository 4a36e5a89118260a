"""A torch module converted to the metadata and tensors of a `SequenceModel`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell._arguments import whole_number
from slidecell.convert.interfaces import CompiledModel, RecurrentLayer, SequenceNetwork
from slidecell.convert.probes import refuse_what_layers_do_not_do
from slidecell.recurrent import TORCH_NAMES

__all__ = ["check_against", "to_metadata"]

Tensors: TypeAlias = dict[str, npt.NDArray[np.float32]]

# torch's classes of every cell: layers and one step.
_CLASSES = {cell: tuple(getattr(nn, name) for name in names) for cell, names in TORCH_NAMES.items()}
_RECURRENT = (*(layers for layers, _ in _CLASSES.values()), RecurrentLayer)
# Largest difference to the module, relative to its largest output where that is above 1.
_TOLERANCE = 1e-4
_COARSE_TOLERANCE = 1e-3  # where large inputs make sums whose rounding is as much
_CHECK_WINDOWS = 32


def to_metadata(
    module: nn.Module, window: int | None = None, horizon: int | None = None
) -> tuple[dict[str, Any], Tensors]:
    """Return the metadata and the tensors (float32) of the model that `module` is.

    Parameters
    ----------
    module : nn.Module
        A `Forecaster` or an `Autoencoder`, which know their window and horizon; or any module
        made of one ``nn.LSTM`` or ``nn.GRU``, whatever its layers, and one ``nn.Linear`` on the
        last step.
    window, horizon : int, optional
        W is needed for the latter; K is 1 by default.

    Raises
    ------
    TypeError
        If the module is made of something else.
    ValueError
        If sizes do not fit or weights are not finite.

    Examples
    --------
    >>> from slidecell.training import Forecaster
    >>> from slidecell.convert import to_metadata
    >>> metadata, tensors = to_metadata(Forecaster(3, 5, window=4))
    >>> metadata["window"], metadata["horizon"], tensors["head.weight"].shape
    (4, 1, (3, 5))
    """
    if isinstance(module, SequenceNetwork):
        return _from_network(module, window, horizon)
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch module, got {type(module).__name__}")
    if isinstance(module, (*_RECURRENT, nn.LSTMCell, nn.GRUCell, nn.RNNCell)):
        name = _cell_of(module).upper()
        raise TypeError(
            f"module: a {type(module).__name__} alone has no head to predict with; "
            f"use slidecell.{name}.from_torch for its hidden states"
        )
    return _from_parts(module, window, horizon)


def check_against(module: nn.Module, model: CompiledModel) -> None:
    """Compare the compiled `model` with `module` in ``eval`` mode on random windows.

    ValueError with the figure if they differ by more than 1e-4 (of the largest output, where
    that is above 1); on windows of large values, spikes and zeros by more than 1e-3. ValueError,
    too, if the module changes values before, between or after its layers, whatever they are. The
    module's training flags stay as they were.
    """
    window, horizon = model.window, model.horizon
    length = window + horizon
    # Half of the windows in the range of scaled data, half beyond it.
    generator = np.random.default_rng(0)
    rows = generator.random((_CHECK_WINDOWS, length, model.input_size), dtype=np.float32)
    rows[::2] = generator.standard_normal(rows[::2].shape, dtype=np.float32)
    with _evaluated(module) as reference, torch.no_grad():
        _compare(reference, model, rows, _TOLERANCE, "random windows")
        _compare(reference, model, _unusual(rows), _COARSE_TOLERANCE, "windows with large values")
        parts = _layers_to_probe(reference)
        if parts is not None:
            refuse_what_layers_do_not_do(
                reference, *parts, window=window, input_size=model.input_size
            )


def _unusual(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return windows [N, W+K, F] made of usual ones: large, with a spike, negative, zero."""
    made = rows.copy()
    made[0::4] *= 30.0
    made[1::4, made.shape[1] // 3] = 50.0
    made[2::4] = -np.abs(made[2::4])
    made[3::4] = 0.0
    made[3::8, -1] = -50.0
    return made


def _layers_to_probe(module: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module] | None:
    """Return the first layer, the last and the head; None where nobody knows them."""
    if isinstance(module, SequenceNetwork):
        return module.encoder[0], [*module.encoder, *module.decoder][-1], module.head
    try:
        recurrent, head = _find_parts(module)
    except TypeError:
        return None
    return recurrent, recurrent, head


def _compare(
    module: nn.Module,
    model: CompiledModel,
    rows: npt.NDArray[np.float32],  # [N, W+K, F]
    tolerance: float,
    what: str,
) -> None:
    window, horizon, columns = model.window, model.horizon, model.num_targets
    count, length = rows.shape[:2]
    # Each window is an entity of its own, so that none overlaps another.
    offsets = np.arange(count + 1, dtype=np.int64) * length
    ours = model.predict(rows.reshape(count * length, -1), offsets)  # [N, K or W, targets]
    x = torch.from_numpy(rows[:, :window].copy())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections", UserWarning)
            expected = module(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"module: it fails on x {list(x.shape)}: {error}") from error
    steps = horizon or window
    if not isinstance(expected, Tensor) or expected.numel() != count * steps * columns:
        came = list(expected.shape) if isinstance(expected, Tensor) else type(expected).__name__
        raise ValueError(
            f"module: expected it to return [N, {steps * columns}] for x [N, {window}, "
            f"{model.input_size}], got {came} for N={count}"
        )
    theirs = expected.to(torch.float32).numpy().reshape(ours.shape)
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(ours - theirs).max())
    bound = tolerance * max(1.0, float(np.abs(theirs).max()))
    if not difference <= bound:  # NaN is no match either
        raise ValueError(
            f"module: its outputs differ from LSTM, GRU or RNN layers with a linear head on the "
            f"last step by {difference:.3g} on {what}, more than {bound:.3g}. It must "
            "apply the head to the last step alone (bidirectional: to both directions' final h, "
            "h_n, not to out[:, -1]) and nothing else, batch first"
        )


@contextmanager
def _evaluated(module: nn.Module) -> Iterator[nn.Module]:
    """Give `module`, or a float32 copy on the CPU, in eval mode; restore the flags after."""
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


def _from_network(
    module: SequenceNetwork, window: int | None, horizon: int | None
) -> tuple[dict[str, Any], Tensors]:
    for name, asked, own in (
        ("window", window, module.window),
        ("horizon", horizon, module.horizon),
    ):
        if asked is not None and asked != own:
            raise ValueError(f"{name}: expected {own}, the module's own, got {asked}")
    tensors: Tensors = {}
    stacks: dict[str, list[dict[str, Any]]] = {"encoder": [], "decoder": []}
    for stack in stacks:
        for index, layer in enumerate(getattr(module, stack)):
            stacks[stack] += _layer_specs(layer)
            tensors.update(_layer_tensors(layer, 0, f"{stack}.{index}"))
    tensors.update(_head_tensors(module.head))
    metadata = _metadata(
        window=module.window,
        horizon=module.horizon,
        encoder=stacks["encoder"],
        decoder=stacks["decoder"],
        targets=None if module.targets is None else list(module.targets),
    )
    return metadata, _finite(tensors)


def _from_parts(
    module: nn.Module, window: int | None, horizon: int | None
) -> tuple[dict[str, Any], Tensors]:
    """Convert a module of one recurrent part and one linear one."""
    recurrent, linear = _find_parts(module)
    if window is None:
        raise ValueError(
            f"window: expected the number of rows that {type(module).__name__} sees, got None"
        )
    window = whole_number("window", window, least=1)
    horizon = 1 if horizon is None else whole_number("horizon", horizon, least=1)
    specs = _layer_specs(recurrent)
    columns = recurrent.input_size
    last = specs[-1]
    code = (last["proj_size"] or last["hidden_size"]) * (2 if last["bidirectional"] else 1)
    if linear.in_features != code:
        raise ValueError(
            f"module: expected a linear head on the last step, in_features={code}, "
            f"got {linear.in_features}"
        )
    if linear.out_features != horizon * columns:
        more = (
            f"; pass horizon={linear.out_features // columns}"
            if linear.out_features % columns == 0
            else "; a head for some of the columns needs slidecell.training.Forecaster(targets=)"
        )
        raise ValueError(
            f"module: expected a head with out_features={horizon * columns} "
            f"(horizon={horizon} rows of {columns} columns), got {linear.out_features}{more}"
        )
    tensors: Tensors = {}
    for index in range(len(specs)):
        tensors.update(_layer_tensors(recurrent, index, f"encoder.{index}"))
    tensors.update(_head_tensors(linear))
    metadata = _metadata(window=window, horizon=horizon, encoder=specs, decoder=[], targets=None)
    return metadata, _finite(tensors)


def _find_parts(module: nn.Module) -> tuple[nn.RNNBase | RecurrentLayer, nn.Linear]:
    """Return the recurrent part and the linear one; TypeError if anything else has weights."""
    parts = {name: part for name, part in module.named_modules() if _has_tensors(part)}
    recurrent = [part for part in parts.values() if isinstance(part, _RECURRENT)]
    linear = [part for part in parts.values() if isinstance(part, nn.Linear)]
    if len(recurrent) != 1 or len(linear) != 1 or len(parts) != 2:
        listed = ", ".join(
            f"{name or 'itself'}: {type(part).__name__}" for name, part in parts.items()
        )
        raise TypeError(
            f"module: expected a slidecell.training module, or one made of one {_listed()} "
            f"and one nn.Linear, got {type(module).__name__} with weights in "
            f"{listed or 'no part'}"
        )
    return recurrent[0], linear[0]


def _listed() -> str:
    *first, last = (f"nn.{layers}" for layers, _ in TORCH_NAMES.values())
    return f"{', '.join(first)} or {last}"


def _has_tensors(part: nn.Module) -> bool:
    parameter = next(part.parameters(recurse=False), None)
    return parameter is not None or next(part.buffers(recurse=False), None) is not None


def _metadata(
    *,
    window: int,
    horizon: int,
    encoder: list[dict[str, Any]],
    decoder: list[dict[str, Any]],
    targets: list[int] | None,
) -> dict[str, Any]:
    return {
        "format": 1,
        "window": window,
        "horizon": horizon,
        "encoder": encoder,
        "decoder": decoder,
        "features": None,
        "targets": targets,
        "scaler": None,
        "error": None,
        "smoothing": None,
        "threshold": None,
        "extra": {},
    }


def _cell_of(layer: nn.Module) -> str:
    """Return the name of the layer's cell."""
    if isinstance(layer, RecurrentLayer):
        return layer.cell
    return next(cell for cell, classes in _CLASSES.items() if isinstance(layer, classes))


def _layer_specs(layer: Any) -> list[dict[str, Any]]:
    """Return one entry per layer of an nn.LSTM, nn.GRU, nn.RNN or a `RecurrentLayer`."""
    outputs = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
    return [
        {
            "cell": _cell_of(layer),
            "input_size": outputs if index else layer.input_size,
            "hidden_size": layer.hidden_size,
            "proj_size": layer.proj_size,
            "bidirectional": bool(layer.bidirectional),
            "activation": getattr(layer, "nonlinearity", getattr(layer, "activation", "tanh")),
            "recurrent_activation": getattr(layer, "recurrent_activation", "sigmoid"),
            "reset_after": getattr(layer, "reset_after", True),
        }
        for index in range(getattr(layer, "num_layers", 1))
    ]


def _layer_tensors(layer: Any, index: int, prefix: str) -> Tensors:
    """Return layer `index` of `layer` under the names of a one-layer module."""
    tensors: Tensors = {}
    for suffix in ("", "_reverse") if layer.bidirectional else ("",):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"):
            tensor = getattr(layer, f"{name}_l{index}{suffix}", None)
            if tensor is not None:
                tensors[f"{prefix}.{name}_l0{suffix}"] = _as_array(tensor)
        bias = f"{prefix}.bias_ih_l0{suffix}"
        if bias in tensors:
            # A layer with one bias per gate becomes one with torch's two.
            other = f"{prefix}.bias_hh_l0{suffix}"
            tensors.setdefault(other, np.zeros_like(tensors[bias]))
    return tensors


def _head_tensors(head: nn.Linear) -> Tensors:
    tensors = {"head.weight": _as_array(head.weight)}
    if head.bias is not None:
        tensors["head.bias"] = _as_array(head.bias)
    return tensors


def _as_array(tensor: Tensor) -> npt.NDArray[np.float32]:
    """Return a copy that later training does not touch."""
    return np.array(tensor.detach().to("cpu", torch.float32).numpy(), order="C")


def _finite(tensors: Tensors) -> Tensors:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name}: expected finite weights, got NaN or infinity")
    return tensors

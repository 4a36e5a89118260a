"""What `LSTM`, `GRU` and `RNN` share: a checked architecture and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell._arguments import whole_number
from slidecell._arrays import real_array
from slidecell._cells import CELLS, CellName
from slidecell._choices import Activation, RecurrentActivation

if TYPE_CHECKING:
    from torch import nn

Floats = npt.NDArray[np.float32]

_Self = TypeVar("_Self", bound="Recurrent")

ACTIVATIONS = _core.activations()
RECURRENT_ACTIVATIONS = _core.recurrent_activations()


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def _float_array(name: str, value: Any) -> Floats:
    """Copy a numpy array or a torch tensor of real numbers as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = real_array(value, name=f"state_dict: {name}")
    with np.errstate(over="ignore"):  # a weight beyond float32's range is found as not finite
        return np.array(array, np.float32, order="C")


class Recurrent:
    """Layers of one cell and size, and their weights."""

    _cell: ClassVar[CellName]
    _activations: ClassVar[tuple[str, ...]] = ACTIVATIONS
    _torch_names: ClassVar[tuple[str, str]]
    _activation_name: ClassVar[str] = "activation"  # of the argument

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
        reset_after: bool = True,
    ) -> None:
        self.input_size = whole_number("input_size", input_size, least=1)
        self.hidden_size = whole_number("hidden_size", hidden_size, least=1)
        self.num_layers = whole_number("num_layers", num_layers, least=1)
        self.bias = bool(bias)
        self.bidirectional = bool(bidirectional)
        self.proj_size = whole_number("proj_size", proj_size, least=0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"proj_size: expected less than hidden_size={hidden_size}, got {proj_size}"
            )
        self.activation = _choice(self._activation_name, activation, self._activations)
        self.recurrent_activation = _choice(
            "recurrent_activation", recurrent_activation, RECURRENT_ACTIVATIONS
        )
        self.reset_after = bool(reset_after)
        self._tensors: dict[str, Floats] = {}
        self._core: _core.Recurrent | None = None

    @property
    def output_size(self) -> int:
        """Length of an output row: hidden (or projected) size times directions."""
        return (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor, in torch's order."""
        rows, state = CELLS[self._cell].gates * self.hidden_size, self.proj_size or self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            for direction in ("", "_reverse") if self.bidirectional else ("",):
                suffix = f"_l{layer}{direction}"
                shapes[f"weight_ih{suffix}"] = (
                    rows,
                    self.output_size if layer else self.input_size,
                )
                shapes[f"weight_hh{suffix}"] = (rows, state)
                if self.bias:
                    shapes[f"bias_ih{suffix}"] = shapes[f"bias_hh{suffix}"] = (rows,)
                if self.proj_size:
                    shapes[f"weight_hr{suffix}"] = (self.proj_size, self.hidden_size)
        return shapes

    def _specs(self) -> list[dict[str, Any]]:
        """One entry per layer, as in a model file's `encoder`."""
        return [
            {
                "cell": self._cell,
                "input_size": self.output_size if layer else self.input_size,
                "hidden_size": self.hidden_size,
                "proj_size": self.proj_size,
                "bidirectional": self.bidirectional,
                "activation": self.activation,
                "recurrent_activation": self.recurrent_activation,
                "reset_after": self.reset_after,
            }
            for layer in range(self.num_layers)
        ]

    def load_state_dict(self, state_dict: Mapping[str, npt.ArrayLike]) -> None:
        """Take the weights: torch's names, shapes and gate order; numpy arrays or torch tensors.

        A one-layer stack also takes the names of a torch cell, which have no `_l0`.
        Raises ValueError that names every missing, unexpected, ill-shaped or non-finite tensor.
        """
        shapes = self._shapes()
        given = dict(state_dict)
        if self.num_layers == 1 and not self.bidirectional:
            given = {k if k.endswith("_l0") else f"{k}_l0": v for k, v in given.items()}
        faults = [f"missing {name}" for name in shapes if name not in given]
        faults += [f"unexpected {name}" for name in given if name not in shapes]
        tensors = {name: _float_array(name, given[name]) for name in shapes if name in given}
        for name, tensor in tensors.items():
            if tensor.shape != shapes[name]:
                expected = list(shapes[name])
                faults.append(f"{name}: expected {expected}, got {list(tensor.shape)}")
            elif not np.isfinite(tensor).all():
                faults.append(f"{name}: expected finite float32 numbers, got NaN or infinity")
        if faults:
            raise ValueError(f"state_dict: {'; '.join(faults)}")
        self._core = _core.Recurrent(self._specs(), tensors)
        self._tensors = tensors

    def state_dict(self) -> dict[str, Floats]:
        """Copy the weights, under torch's names (none before any are loaded)."""
        return {name: tensor.copy() for name, tensor in self._tensors.items()}

    @classmethod
    def from_torch(cls: type[_Self], module: nn.Module) -> _Self:
        """Copy a torch module of this kind, as it is in eval mode (dropout is left out)."""
        from torch import nn

        kinds = tuple(getattr(nn, name) for name in cls._torch_names)
        if not isinstance(module, kinds):
            expected = " or ".join(f"torch.nn.{name}" for name in cls._torch_names)
            raise TypeError(f"module: expected {expected}, got {type(module).__name__}")
        sizes: Any = module
        options = {"bias": sizes.bias}
        if isinstance(module, nn.RNNBase):
            options |= {"num_layers": sizes.num_layers, "bidirectional": sizes.bidirectional}
            if sizes.proj_size:
                options["proj_size"] = sizes.proj_size
        if hasattr(sizes, "nonlinearity"):  # of nn.RNN and nn.RNNCell
            options["nonlinearity"] = sizes.nonlinearity
        ours = cls(sizes.input_size, sizes.hidden_size, **options)
        ours.load_state_dict(module.state_dict())
        return ours

    def _loaded(self) -> _core.Recurrent:
        if self._core is None:
            name = type(self).__name__
            raise ValueError(f"{name}: no weights yet; call load_state_dict or use from_torch")
        return self._core

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_core"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._core = _core.Recurrent(self._specs(), self._tensors) if self._tensors else None

    def __repr__(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        defaults = {
            "bias": True,
            "bidirectional": False,
            "proj_size": 0,
            "activation": "tanh",
            "recurrent_activation": "sigmoid",
            "reset_after": True,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                label = self._activation_name if name == "activation" else name
                text += f", {label}={getattr(self, name)!r}"
        return f"{type(self).__name__}({text})"

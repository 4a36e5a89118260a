"""One layer of a Keras model: its configuration, its variables, and what flows through it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from slidecell.convert.graph import refuse
from slidecell.convert.keras_stores import Store

__all__ = ["SOURCE", "Flow", "Layer", "check_layer_config", "listed_shape"]

SOURCE = "model"  # the argument that error texts begin with
Array = npt.NDArray[Any]

_HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
_PRECISIONS = ("float32", "float64", *_HALF)


@dataclass(frozen=True)
class Flow:
    """What goes from one layer to the next, for each window.

    Attributes
    ----------
    width : int
        Numbers per row, or of a vector.
    steps : int or None
        Rows of a sequence; None for a vector.
    horizon : int or None
        Rows that a last reshape made of a vector.
    """

    width: int
    steps: int | None = None
    horizon: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """As Keras has it, without the axis of windows."""
        if self.horizon is not None:
            return self.horizon, self.width // self.horizon
        return (self.width,) if self.steps is None else (self.steps, self.width)


@dataclass(frozen=True)
class Layer:
    """A layer as a saved model has it.

    Attributes
    ----------
    name : str
    kind : str
        The name of its class.
    config : mapping
        What ``get_config`` says.
    store : Store
        Its variables.
    version : int
        Of Keras, the first number, which the model was saved with.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    store: Store
    version: int = 3

    def refuse(self, what: str, instead: str) -> NoReturn:
        """Raise a ValueError that names the layer."""
        refuse(SOURCE, self.name, what, instead)

    def option(self, name: str, default: Any = None) -> Any:
        """Return an option; `default` where the configuration does not have it."""
        return self.config.get(name, default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean option."""
        value = self.config.get(name, default)
        if not isinstance(value, bool):
            self.refuse(f"has {name}={value!r}", "expected true or false")
        return value

    def size(self, name: str) -> int:
        """Return an option that is a whole number of at least 1."""
        value = self.config.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.refuse(f"has {name}={value!r}", "expected a whole number of at least 1")
        return value

    def number(self, name: str, default: float) -> float:
        """Return an option that is a finite number; `default` for None and where it is absent."""
        value = self.config.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(f"has {name}={value!r}", "expected a number")
        if not abs(value) <= float(np.finfo(np.float32).max):
            self.refuse(f"has {name}={value!r}", "expected a finite number")
        return float(value)

    def variables(self, *shapes: tuple[int, ...], more: bool = False) -> list[Array]:
        """Return its own variables, finite and of these shapes; with `more`, perhaps others."""
        arrays = self.store.variables()
        if len(arrays) != len(shapes) and not (more and len(arrays) > len(shapes)):
            self.refuse(
                f"has {len(arrays)} variables", f"expected {len(shapes)}: was the model built?"
            )
        return [
            self._checked(array, shape, place)
            for place, (array, shape) in enumerate(zip(arrays, shapes, strict=False))
        ]

    def _checked(self, array: Array, shape: tuple[int, ...], place: int) -> Array:
        if array.shape != shape:
            self.refuse(
                f"has {listed_shape(array.shape)} as variable {place}",
                f"expected {listed_shape(shape)}",
            )
        if array.dtype.kind not in "fiu":
            self.refuse(f"has numbers of {array.dtype} as variable {place}", "expected floats")
        with np.errstate(over="ignore"):
            single = array.astype(np.float32)
        if not np.isfinite(single).all():
            self.refuse(f"has NaN or infinity in variable {place}", "expected finite weights")
        return single

    def inner(self, given: Any, attribute: str) -> Layer:
        """Return the layer inside this one that `given` configures."""
        if not isinstance(given, Mapping) or not isinstance(given.get("config"), Mapping):
            self.refuse("wraps something that is no layer", "wrap a layer of Keras")
        name = f"{self.name}/{given['config'].get('name', attribute)}"
        return replace(
            self,
            name=name,
            kind=check_layer_config(given, name),
            config=given["config"],
            store=self.store.child(attribute),
        )


def listed_shape(shape: Sequence[int]) -> str:
    """Return a shape as an error text has it."""
    return f"an array {list(shape)} of {math.prod(shape)} numbers" if shape else "a single number"


def check_layer_config(given: Mapping[str, Any], name: str) -> str:
    """Return the name of the class that `given` configures.

    ValueError if it is not Keras' own, if it is a Lambda, or if it computes in integers.
    """
    kind, module, registered = (
        given.get(key) for key in ("class_name", "module", "registered_name")
    )
    if not isinstance(kind, str):
        refuse(SOURCE, name, "has no class", "save the model with Keras 3")
    if kind == "Lambda":
        refuse(
            SOURCE,
            name,
            "is a Lambda, whose code slidecell never runs",
            "write what it computes with layers of Keras",
        )
    own = module is None or (isinstance(module, str) and module.split(".")[0] == "keras")
    if not own or registered not in (None, kind):
        where = registered if isinstance(registered, str) else f"{module}.{kind}"
        refuse(
            SOURCE,
            name,
            f"is a custom object ({where}), whose code slidecell never runs",
            "write what it computes with layers of Keras",
        )
    config = given.get("config")
    precision: Any = config.get("dtype") if isinstance(config, Mapping) else None
    if isinstance(precision, Mapping):
        inner = precision.get("config")
        precision = inner.get("name") if isinstance(inner, Mapping) else precision
    if precision is not None and precision not in _PRECISIONS:
        refuse(
            SOURCE,
            name,
            f"computes in {precision!r}",
            "save the model before it is quantized",
        )
    return kind

"""Activations of Keras by name: those that models have, and the refusal of all others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from slidecell.convert.graph import Activation
from slidecell.convert.keras_layer import Layer

__all__ = ["activation_nodes", "function_name"]

_HEAD = ("linear", "relu", "tanh", "sigmoid", "gelu", "leaky_relu")
_SLOPE = 0.2  # of the activation "leaky_relu"; the layer has its own


def function_name(layer: Layer, option: str, default: str, known: Collection[str]) -> str:
    """Return the name of a layer's activation, which must be one of `known`.

    Parameters
    ----------
    layer : Layer
    option : str
        "activation" or "recurrent_activation".
    default : str
        What Keras takes where the configuration does not say.
    known : collection of str
    """
    value: Any = layer.option(option, default)
    name = "linear" if value is None else _named(value)
    if name not in known:
        if isinstance(value, Mapping) and name is None:
            names = [value.get(key) for key in ("config", "registered_name", "class_name")]
            what = next((said for said in names if isinstance(said, str)), "of no name")
            layer.refuse(
                f"has a custom {option} ({what}), whose code slidecell never runs",
                f"expected one of {', '.join(known)}",
            )
        layer.refuse(f"has {option}={name or value!r}", f"expected one of {', '.join(known)}")
    assert name is not None
    return name


def _named(value: Any) -> str | None:
    """Return the name of a function of Keras; None for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return None
    name, module = value.get("config"), value.get("module")
    own = isinstance(module, str) and module.split(".")[0] == "keras"
    return name if value.get("class_name") == "function" and own and isinstance(name, str) else None


def activation_nodes(layer: Layer) -> list[Activation]:
    """Return the node of a layer's activation; none for "linear"."""
    name = function_name(layer, "activation", "linear", _HEAD)
    if name == "linear":
        return []
    return [Activation(layer.name, name, _SLOPE if name == "leaky_relu" else None)]

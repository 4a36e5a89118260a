"""From a `SequenceModel` back to the torch module that it was compiled from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from slidecell._cells import CELLS
from slidecell.training.modules import Autoencoder, Forecaster
from slidecell.training.seeds import seeded

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

__all__ = ["to_module"]

# What a Forecaster or Autoencoder has once, for all of its layers.
_SHARED = (
    "cell",
    "bidirectional",
    "activation",
    "recurrent_activation",
    "reset_after",
    "proj_size",
)


def to_module(
    model: SequenceModel, *, dropout: float = 0.0, head_dropout: float = 0.0
) -> Forecaster | Autoencoder:
    """Return the module that `model` is, with its weights, in ``eval`` mode: to train on.

    The inverse of ``SequenceModel.from_torch``, bit for bit. A module takes and predicts scaled
    rows: the model's scaler, feature names, error statistics and threshold stay behind
    (``new.with_metadata(scaler=model.scaler, ...)`` carries them over).

    Parameters
    ----------
    model : SequenceModel
        Where it has no second bias per gate, or one of zeros in every layer, the module has one
        bias per gate (``single_bias=True``); biases that it has not at all start from zero.
    dropout, head_dropout : float
        Of the module; a compiled model does not know with what it was trained. An `Autoencoder`
        has no `head_dropout`.

    Returns
    -------
    Forecaster or Autoencoder

    Raises
    ------
    ValueError
        If its layers differ in what a module has once for all of them (cell, activations,
        direction, projection), or if an autoencoder has a projection.

    Examples
    --------
    >>> import slidecell as sc
    >>> from slidecell.training import Forecaster, to_module
    >>> model = sc.SequenceModel.from_torch(Forecaster(3, (8, 4), window=5))
    >>> module = to_module(model, dropout=0.2)
    >>> type(module).__name__, module.hidden_size, module.dropout
    ('Forecaster', (8, 4), 0.2)
    """
    metadata, tensors = model.metadata, model.tensors
    for key in ("head", "distribution"):
        if metadata.get(key) is not None:
            raise ValueError(
                f"model: expected a head of one dense layer (a slidecell.training module has no "
                f"other), got one with {key!r} in its metadata"
            )
    shared = _shared(metadata)
    shared["single_bias"] = not any(
        tensor.any() for name, tensor in tensors.items() if ".bias_hh_" in name
    )
    with seeded(0):  # the weights drawn here are replaced, and leave the global generator alone
        if metadata["decoder"]:
            module: Forecaster | Autoencoder = _autoencoder(
                model, shared, dropout=dropout, head_dropout=head_dropout
            )
        else:
            module = Forecaster(
                model.input_size,
                _sizes(metadata["encoder"]),
                window=model.window,
                horizon=model.horizon,
                targets=metadata["targets"],
                dropout=dropout,
                head_dropout=head_dropout,
                **shared,
            )
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in tensors:
                parameter.copy_(torch.from_numpy(tensors[name]))
            else:  # a bias that the model does without
                parameter.zero_()
    return module.eval()


def _autoencoder(
    model: SequenceModel, shared: dict[str, Any], *, dropout: float, head_dropout: float
) -> Autoencoder:
    if head_dropout:
        raise ValueError(f"head_dropout: expected 0 for an autoencoder, got {head_dropout!r}")
    if shared.pop("proj_size"):
        raise ValueError(
            "model: expected an autoencoder without projections (slidecell.training.Autoencoder "
            "has none)"
        )
    return Autoencoder(
        model.input_size,
        _sizes(model.metadata["encoder"]),
        _sizes(model.metadata["decoder"]),
        window=model.window,
        dropout=dropout,
        **shared,
    )


def _sizes(layers: list[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(layer["hidden_size"] for layer in layers)


def _shared(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what all layers have in common; ValueError where they differ."""
    layers = [*metadata["encoder"], *metadata["decoder"]]
    result: dict[str, Any] = {}
    for name in _SHARED:
        values = [layer[name] for layer in layers]
        if any(value != values[0] for value in values):
            listed = ", ".join(map(str, values))
            raise ValueError(
                f"model: expected layers with the same {name} (a slidecell.training module has "
                f"one for all layers), got {listed}"
            )
        result[name] = values[0]
    if not CELLS[result["cell"]].has_reset_after:
        result["reset_after"] = True  # says nothing of other cells
    return result

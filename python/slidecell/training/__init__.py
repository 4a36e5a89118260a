"""Torch modules that the compiled core can run, and one function that trains them.

`slidecell.convert` makes models of them. ``import slidecell`` does without torch.
Torch is imported when one of these names is asked for: ``import slidecell`` does without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidecell.training.factory import recurrent_layer
    from slidecell.training.history import History, TrainingInterrupted
    from slidecell.training.layers import GRU, LSTM, RNN, kernels_of
    from slidecell.training.loop import fit
    from slidecell.training.modules import Autoencoder, Forecaster
    from slidecell.training.rebuild import to_module
    from slidecell.training.seeds import seeded
    from slidecell.training.threads import torch_threads
    from slidecell.training.trainer import DivergenceError

_HOMES = {
    "GRU": "layers",
    "LSTM": "layers",
    "RNN": "layers",
    "Autoencoder": "modules",
    "DivergenceError": "trainer",
    "Forecaster": "modules",
    "History": "history",
    "TrainingInterrupted": "history",
    "fit": "loop",
    "kernels_of": "layers",
    "recurrent_layer": "factory",
    "seeded": "seeds",
    "to_module": "rebuild",
    "torch_threads": "threads",
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Autoencoder",
    "DivergenceError",
    "Forecaster",
    "History",
    "TrainingInterrupted",
    "fit",
    "kernels_of",
    "recurrent_layer",
    "seeded",
    "to_module",
    "torch_threads",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = importlib.import_module(f"slidecell.training.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            "slidecell.training needs torch: pip install 'slidecell[train]'"
        ) from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Torch modules that the compiled core can run, and one function that trains them.

`slidecell.convert` makes models of them. ``import slidecell`` does without torch.
"""

from __future__ import annotations

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("slidecell.training needs torch: pip install 'slidecell[train]'") from error

from slidecell.training.factory import recurrent_layer
from slidecell.training.history import History, TrainingInterrupted
from slidecell.training.layers import GRU, LSTM, kernels_of
from slidecell.training.loop import fit
from slidecell.training.modules import Autoencoder, Forecaster
from slidecell.training.rebuild import to_module
from slidecell.training.seeds import seeded
from slidecell.training.threads import torch_threads
from slidecell.training.trainer import DivergenceError

__all__ = [
    "GRU",
    "LSTM",
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

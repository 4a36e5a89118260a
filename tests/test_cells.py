"""The table of cells: what the core says of them, and who has to know every one."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

import slidecell as sc
from slidecell._cells import CELLS, Cell, CellName
from slidecell.bench.cases import random_model
from slidecell.recurrent import STACKS, TORCH_NAMES


def test_the_core_describes_its_cells() -> None:
    tanh, both = ("tanh",), ("tanh", "relu")
    assert {
        "lstm": Cell("an LSTM", 4, ("h", "c"), True, False, tanh),
        "gru": Cell("a GRU", 3, ("h",), False, True, tanh),
        "rnn": Cell("an RNN", 1, ("h",), False, False, both),
    } == CELLS


def test_type_checkers_and_classes_know_every_cell() -> None:
    assert get_args(CellName) == tuple(CELLS)
    assert list(STACKS) == list(CELLS)
    assert {cell: kind.__name__ for cell, kind in STACKS.items()} == {
        cell: names[0] for cell, names in TORCH_NAMES.items()
    }


@pytest.mark.parametrize("cell", CELLS)
def test_random_models_of_every_cell_have_its_gates(cell: CellName) -> None:
    model = random_model(cell, (5,), (3,), window=4, horizon=0)
    assert model.tensors["decoder.0.weight_hh_l0"].shape == (CELLS[cell].gates * 3, 3)
    scores = model.score(np.zeros((9, 7), np.float32))
    assert np.isfinite(scores[3:]).all()


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_has_layers_to_train(cell: CellName) -> None:
    torch = pytest.importorskip("torch")
    from slidecell.training import Forecaster, recurrent_layer
    from slidecell.training.layers import LAYERS

    assert list(LAYERS) == list(CELLS)
    layer = recurrent_layer(cell, 3, 5)
    assert type(layer) is LAYERS[cell]
    assert layer(torch.rand(2, 4, 3))[0].shape == (2, 4, 5)
    module = Forecaster(3, 5, cell=cell, window=4)
    compiled = sc.SequenceModel.from_torch(module)
    assert compiled.metadata["encoder"][0]["cell"] == cell


def test_an_unknown_cell_is_refused() -> None:
    """It ran as a GRU where a choice between two names ended in 'else'."""
    pytest.importorskip("torch")
    from slidecell.training import recurrent_layer

    with pytest.raises(ValueError, match="cell: expected one of 'lstm', 'gru', 'rnn', got 'cnn'"):
        recurrent_layer("cnn", 3, 5)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="cnn"):
        random_model("cnn", (5,))  # type: ignore[arg-type]

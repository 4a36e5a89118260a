"""Reads Keras models, live or from a file, as what they compute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from slidecell._arguments import whole_number
from slidecell.convert.graph import Graph
from slidecell.convert.keras_chains import Calls, model_answers, model_input
from slidecell.convert.keras_files import read_keras_file
from slidecell.convert.keras_hdf5 import RefusedFileError
from slidecell.convert.keras_layer import SOURCE, Flow
from slidecell.convert.keras_live import live_config, plain_model
from slidecell.convert.keras_stores import LiveStore, Store

__all__ = ["read_keras"]

_MOST = 2**31 - 1  # rows or features


def read_keras(model: Any, window: int | None = None) -> Graph:
    """Return what a Keras model computes.

    Parameters
    ----------
    model : keras.Model or path
        A live model of Keras 3; or a ``.keras`` or ``.h5`` file, which needs h5py and no Keras.
    window : int, optional
        W; required where the model's input does not tell.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the file is damaged, or a layer has no form in a model; the text names it.
    """
    if isinstance(model, (str, os.PathLike)):
        try:
            return _graph(*read_keras_file(model), window)
        except RefusedFileError as error:
            raise ValueError(f"{os.fspath(model)}: {error}") from error
        except RecursionError as error:
            raise ValueError(f"{os.fspath(model)}: it nests models too deeply") from error
    plain = plain_model(model)
    return _graph(live_config(plain), LiveStore(plain), 3, window)


def _graph(config: Mapping[str, Any], store: Store, version: int, window: int | None) -> Graph:
    width, steps = _input_sizes(model_input(config), window)
    answers = model_answers(config, store, ((), Flow(width, steps)), Calls(version))
    if len(answers) not in (1, 2):
        raise ValueError(
            f"{SOURCE}: expected one prediction, or mean and log variance, got {len(answers)} "
            "outputs; make a model of the prediction alone"
        )
    (nodes, flow), *second = answers
    return Graph(
        width,
        steps,
        nodes,
        log_variance=second[0][0] if second else None,
        horizon=flow.horizon,
        source=SOURCE,
    )


def _input_sizes(shape: list[Any] | None, window: int | None) -> tuple[int, int]:
    """Return F and W."""
    if shape is None:
        raise ValueError(
            f"{SOURCE}: expected one that tells its input, got none; begin with "
            "keras.Input((W, F)), or call the model once before it is saved"
        )
    if len(shape) != 3:
        raise ValueError(f"{SOURCE}: expected an input [N, W, F], got {shape}")
    _, steps, width = shape
    if window is not None:
        window = whole_number("window", window, least=1)
    if steps is not None and window not in (None, steps):
        raise ValueError(f"window: expected {steps}, which the model's input tells, got {window}")
    if steps is None and window is None:
        raise ValueError(f"window: expected W, as the model reads windows of any length: {shape}")
    return _size("features", width), _size("rows", window if steps is None else steps)


def _size(what: str, value: Any) -> int:
    """Return a size of the input that the model declares."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError(f"{SOURCE}: expected 1 to {_MOST} {what} as its input, got {value!r}")
    return value

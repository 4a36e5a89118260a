"""Keras models in memory: their configuration, and the comparison with a compiled model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.agreement import (
    COARSE_TOLERANCE,
    TOLERANCE,
    refuse_difference,
    unusual_rows,
    usual_rows,
)
from slidecell.convert.graph import refuse
from slidecell.convert.keras_layer import SOURCE

if TYPE_CHECKING:
    from slidecell.convert.interfaces import CompiledModel

__all__ = ["check_against_keras", "live_config", "plain_model"]

_FLAT = "with x = keras.Input((W, F)), pass keras.Model(x, model.call(x))"
_CHECK_WINDOWS = 32
_HALF_TOLERANCE = 0.05  # of a model that computes in half precision; slidecell computes in float32


def plain_model(model: Any) -> Any:
    """Return a Sequential or functional model of Keras' own class that computes what `model` does.

    Parameters
    ----------
    model : keras.Model
        Such a one, or of a class that is derived from them.

    Raises
    ------
    TypeError
        If it is no model of Keras 3.
    ValueError
        If code of its own joins its layers.
    """
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        raise TypeError(
            f"{SOURCE}: expected a model of Keras 3 or the path of its file, got "
            f"{type(model).__module__}.{type(model).__qualname__}"
        )
    version = str(getattr(keras, "__version__", "3"))
    if int(version.split(".", maxsplit=1)[0]) < 3:
        raise TypeError(f"{SOURCE}: expected Keras 3, got {version}; load its file with Keras 3")
    kind = type(model)
    if _is_of_keras(model) and kind.__name__ in ("Sequential", "Functional"):
        return model
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if inputs and outputs:
        return keras.Model(inputs, outputs)  # what else it does, the comparison shows
    raise ValueError(
        f"{SOURCE}: expected a Sequential or functional model, got {kind.__qualname__}, whose own "
        f"code joins its layers; {_FLAT}"
    )


def live_config(model: Any) -> Mapping[str, Any]:
    """Return what a model's file would say of its layers.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional.

    Raises
    ------
    ValueError
        If it is not built, or has layers of other classes than Keras' own.
    """
    if not model.built:
        raise ValueError(
            f"{SOURCE}: expected one that is built, got {model.name!r} without weights; begin with "
            "keras.Input((W, F)), or call it once"
        )
    for layer in _all_layers(model):
        if not _is_of_keras(layer):
            refuse(
                SOURCE,
                layer.name,
                f"is a layer of its own class ({type(layer).__qualname__})",
                "write what it computes with layers of Keras",
            )
    try:
        config = model.get_config()
    except Exception as error:  # of the code of a custom function or initializer, whatever it is
        raise ValueError(
            f"{SOURCE}: expected one that Keras can save, got {model.name!r}: {error}; is a "
            "function of your own among its activations?"
        ) from error
    return {"class_name": type(model).__name__, "module": "keras", "config": config}


def _is_of_keras(layer: Any) -> bool:
    return type(layer).__module__.split(".")[0] == "keras"


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)
        yield layer


def check_against_keras(model: Any, compiled: CompiledModel) -> None:
    """Compare the compiled model with the Keras model that it was made of.

    ValueError with the figure if they differ by more than 1e-4 of the largest output (5e-2 where
    Keras computes in half precision), on windows of large values by more than 1e-3.

    Parameters
    ----------
    model : keras.Model
    compiled : SequenceModel
        Without a scaler.
    """
    half = any("float16" in str(layer.compute_dtype) for layer in _all_layers(model))
    length = compiled.window + compiled.horizon
    rows = usual_rows(_CHECK_WINDOWS, length, compiled.input_size)
    kinds: list[tuple[npt.NDArray[np.float32], float, str]] = [
        (rows, _HALF_TOLERANCE if half else TOLERANCE, "random windows")
    ]
    if not half:
        kinds.append((unusual_rows(rows), COARSE_TOLERANCE, "windows with large values"))
    # Each window is an entity of its own, so that none overlaps another.
    offsets = np.arange(_CHECK_WINDOWS + 1, dtype=np.int64) * length
    for windows, tolerance, what in kinds:
        series = windows.reshape(_CHECK_WINDOWS * length, -1)
        ours = [compiled.predict(series, offsets)]
        answers = _answers(model, np.ascontiguousarray(windows[:, : compiled.window]))
        if len(answers) == 2:
            ours.append(compiled.predict_log_variance(series, offsets))  # type: ignore[attr-defined]
        for mine, theirs in zip(ours, answers, strict=True):
            if theirs.size != mine.size:
                raise ValueError(
                    f"{SOURCE}: expected it to answer {list(mine.shape)}, got {list(theirs.shape)}"
                )
            refuse_difference(SOURCE, mine, theirs.reshape(mine.shape), tolerance, what)


def _answers(model: Any, x: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
    """Return what a model answers to windows [N, W, F], in float32, output by output."""
    from keras import ops

    answers = model(ops.convert_to_tensor(x), training=False)
    if isinstance(answers, Mapping):
        answers = list(answers.values())
    several = answers if isinstance(answers, (list, tuple)) else [answers]
    return [np.asarray(ops.convert_to_numpy(ops.cast(one, "float32"))) for one in several]

"""The kernels' arguments as numpy structs: csrc/cuda/*.cuh field by field."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

VECTOR = 8  # kVector: consecutive windows of an entity that are computed together
MAX_LAYERS = 16

ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
RECURRENT_ACTIVATIONS = ("sigmoid", "hard_sigmoid")
SINKS = ("score", "feature_score", "predict", "encode", "sequence")

# Element types of a series, in the kernels' order.
DTYPES = ("f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

_Fields = list[tuple[str, Any]]


def _struct(fields: _Fields) -> np.dtype[Any]:
    return np.dtype([(name, kind) for name, kind in fields], align=True)


def _fields(kind: str, names: str) -> _Fields:
    return [(name, kind) for name in names.split()]


_POINTER, _LONG, _INT = "u8", "i8", "i4"

SERIES = _struct(
    _fields(_POINTER, "x bad") + _fields(_LONG, "first_row") + _fields(_INT, "rows features"),
)
WINDOWS = _struct(
    _fields(_POINTER, "offsets first_vector first_window")
    + _fields(_LONG, "first last")
    + _fields(_INT, "entities window horizon stride"),
)
LAYER = _struct(
    _fields(_INT, "cell activation recurrent_activation input hidden padded input_tiles")
    + _fields(_INT, "hidden_tiles w_ih w_hh bias b_hn h h_next c held gated")
)
NET = _struct(
    [
        ("weights", _POINTER),
        *_fields(_INT, "weights_words encoder_layers decoder_layers"),
        *_fields(_INT, "head_w head_b head_rows head_padded"),
        ("layers", (LAYER, (MAX_LAYERS,))),
    ]
)
SINK = _struct(
    _fields(_INT, "sink absolute first_row targets")
    + _fields(_POINTER, "target center scale")
    + _fields("f4", "factor")
    + _fields(_POINTER, "out complete")
    + _fields(_LONG, "first_window")
    + _fields(_POINTER, "h0 c0 h_n c_n lengths")
    + _fields(_LONG, "windows")
)
_COMMON: _Fields = [("series", SERIES), ("windows", WINDOWS), ("net", NET), ("sink", SINK)]
FMA = _struct(
    _COMMON
    + _fields(_INT, "columns steps x x_stride p p_stride prediction slice table")
    + [("scratch", _POINTER), ("scratch_words", _LONG)]
)
MMA = _struct(_COMMON + _fields(_INT, "warp_words first_warp prediction"))
ROWS = _struct(
    [
        ("data", _POINTER),
        *_fields(_INT, "dtype features"),
        ("rows", _LONG),
        *_fields(_POINTER, "center scale x bad"),
    ]
)
REDUCE = _struct(
    [
        ("series", SERIES),
        ("windows", WINDOWS),
        *_fields(_POINTER, "predictions complete"),
        ("first_window", _LONG),
        ("targets", _INT),
        ("target", _POINTER),
        *_fields(_INT, "absolute first_row per_feature"),
        *_fields(_POINTER, "whiten shift"),
        ("size", _INT),
        ("factor", "f4"),
        *_fields(_POINTER, "out sums counts"),
        ("divisor", "f8"),
        ("rows", _LONG),
    ]
)
GATHER = _struct(
    [("series", SERIES), ("windows", WINDOWS), ("first_window", _LONG), *_fields(_POINTER, "x y")]
)

Struct = npt.NDArray[np.void]


def struct(kind: np.dtype[Any], **values: Any) -> Struct:
    """One struct as an array [1], zeros where no value is given.

    Examples
    --------
    >>> from slidecell.cuda.structs import SERIES, struct
    >>> struct(SERIES, rows=5, features=2)["rows"].tolist()
    [5]
    """
    made = np.zeros(1, kind)
    for name, value in values.items():
        made[name] = value
    return made

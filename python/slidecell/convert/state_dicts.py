"""Reads a state dict: weights by name, without the module that computes with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_choice, whole_number
from slidecell._cells import CELLS, CellName
from slidecell._choices import Activation, RecurrentActivation
from slidecell.convert.graph import (
    Direction,
    Graph,
    LastStep,
    Linear,
    Node,
    Recurrent,
    RepeatVector,
)

__all__ = ["read_state_dict"]

_RECURRENT = re.compile(
    r"(?:(?P<part>.*)\.)?(?P<kind>weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)"
    r"(?:_l(?P<layer>\d+)(?P<reverse>_reverse)?)?"
)
_DENSE = re.compile(r"(?:(?P<part>.*)\.)?(?P<kind>weight|bias)")
_WRAPPERS = ("module.", "_orig_mod.")  # of data-parallel and of compiled modules
_MODULE = "use from_torch with the module"

Arrays = dict[str, npt.NDArray[Any]]


def read_state_dict(
    state_dict: Mapping[str, Any],
    *,
    window: int,
    decoder: Sequence[str] | None = None,
    activation: Activation = "tanh",
    recurrent_activation: RecurrentActivation = "sigmoid",
    reset_after: bool = True,
) -> Graph:
    """Return the network whose weights these are.

    Parameters
    ----------
    state_dict : mapping of str to array or tensor
        Of one or more recurrent parts, in the order in which they are computed, and one dense
        layer, the head.
    window : int
        W.
    decoder : sequence of str, optional
        Names of the recurrent parts that read the repeated last h of the others. By default those
        whose name begins with "dec".
    activation, recurrent_activation, reset_after
        Of all layers: a state dict does not tell.

    Raises
    ------
    ValueError
        If the names tell another network, or sizes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.convert.state_dicts import read_state_dict
    >>> weights = {"gru.weight_ih_l0": np.ones((12, 3)), "gru.weight_hh_l0": np.ones((12, 4)),
    ...            "fc.weight": np.ones((3, 4)), "fc.bias": np.ones(3)}
    >>> [type(node).__name__ for node in read_state_dict(weights, window=7).nodes]
    ['Recurrent', 'LastStep', 'Linear']
    """
    window = whole_number("window", window, least=1)
    as_choice("activation", activation, ("tanh", "relu", "sigmoid", "linear"))
    as_choice("recurrent_activation", recurrent_activation, ("sigmoid", "hard_sigmoid"))
    recurrent, dense = _sorted(state_dict)
    parts = [*recurrent]
    named = _decoder_parts(parts, decoder)
    if len(dense) != 1:
        raise ValueError(
            f"state_dict: expected one dense layer, the head, got {_listed(dense)}: a state dict "
            f"does not tell activations between several; {_MODULE}"
        )
    if not recurrent:
        raise ValueError("state_dict: expected weights of an LSTM, GRU or RNN, got none")
    nodes: list[Node] = []
    width: int | None = None
    for part in parts:
        if part in named and not any(isinstance(node, RepeatVector) for node in nodes):
            nodes += [LastStep("last h"), RepeatVector("repeat", window)]
        for layer in _layers(part, recurrent[part], activation, recurrent_activation, reset_after):
            if width is not None and layer.input_size != width:
                raise ValueError(
                    f"state_dict: expected {part!r} to read {width} numbers, which the part before "
                    f"it gives, got {layer.input_size}; list the parts in the order of computation"
                )
            width = layer.output_size
            nodes.append(layer)
    if not named:
        nodes.append(LastStep("last h"))
    ((name, head),) = dense.items()
    if "weight" not in head or head["weight"].ndim != 2 or head["weight"].shape[1] != width:
        came = list(head["weight"].shape) if "weight" in head else "none"
        raise ValueError(
            f"state_dict: expected {name + '.weight'!r} of shape [outputs, {width}], got {came}"
        )
    nodes.append(Linear(name, head["weight"], head.get("bias")))
    first = nodes[0]
    assert isinstance(first, Recurrent)
    return Graph(first.input_size, window, tuple(nodes), source="state_dict")


def _sorted(state_dict: Mapping[str, Any]) -> tuple[dict[str, Arrays], dict[str, Arrays]]:
    """Return the weights of recurrent parts and of dense ones, by part."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"state_dict: expected a mapping of names to arrays, got {type(state_dict).__name__}"
        )
    recurrent: dict[str, Arrays] = {}
    dense: dict[str, Arrays] = {}
    unknown: list[str] = []
    for key, value in state_dict.items():
        name = str(key)
        while name.startswith(_WRAPPERS):
            name = name.split(".", 1)[1]
        if found := _RECURRENT.fullmatch(name):
            place = f"{found['kind']}_l{found['layer'] or 0}{found['reverse'] or ''}"
            recurrent.setdefault(found["part"] or "", {})[place] = _array(key, value)
        elif (found := _DENSE.fullmatch(name)) and "parametrizations" not in name:
            dense.setdefault(found["part"] or "", {})[found["kind"]] = _array(key, value)
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(
            f"state_dict: expected weights of LSTM, GRU, RNN and dense layers alone, got "
            f"{_listed(unknown)}; {_MODULE}"
        )
    return recurrent, dense


def _array(key: str, value: Any) -> npt.NDArray[Any]:
    if hasattr(value, "detach"):  # a tensor of torch, on any device and of any precision
        value = value.detach().cpu().double().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"state_dict: expected numbers as {key!r}, got dtype {array.dtype}")
    return array


def _decoder_parts(parts: Sequence[str], decoder: Sequence[str] | None) -> set[str]:
    if decoder is None:
        return {part for part in parts if part.startswith("dec")}
    named = {part for part in parts if any(part == n or part.startswith(f"{n}.") for n in decoder)}
    if isinstance(decoder, str) or not named or named == {*parts}:
        raise ValueError(
            f"decoder: expected names of some of the recurrent parts {_listed(parts)}, "
            f"got {decoder!r}"
        )
    return named


def _layers(
    part: str, arrays: Arrays, activation: str, recurrent_activation: str, reset_after: bool
) -> list[Recurrent]:
    """Return one node per layer of a recurrent part."""
    count = 1 + max(int(re.findall(r"_l(\d+)", name)[0]) for name in arrays)
    layers: list[Recurrent] = []
    for index in range(count):
        forward = _direction(part, arrays, f"l{index}")
        backward = None
        if f"weight_ih_l{index}_reverse" in arrays:
            backward = _direction(part, arrays, f"l{index}_reverse")
        cell = _cell(part, forward)
        layers.append(
            Recurrent(
                part,
                cell,
                forward,
                backward,
                activation,
                recurrent_activation if CELLS[cell].gates > 1 else "sigmoid",
                reset_after if CELLS[cell].has_reset_after else True,
            )
        )
    return layers


def _direction(part: str, arrays: Arrays, suffix: str) -> Direction:
    given: dict[str, Any] = {
        kind: arrays.get(f"{kind}_{suffix}")
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    }
    for kind in ("weight_ih", "weight_hh"):
        if given[kind] is None or given[kind].ndim != 2:
            came = "none" if given[kind] is None else list(given[kind].shape)
            raise ValueError(f"state_dict: expected a matrix '{part}.{kind}_{suffix}', got {came}")
    return Direction(**given)


def _cell(part: str, weights: Direction) -> CellName:
    """Return the cell whose gates the rows of its weights are."""
    hidden = weights.weight_hh.shape[1] if weights.weight_hr is None else weights.weight_hr.shape[1]
    rows = weights.weight_ih.shape[0]
    for name, cell in CELLS.items():
        if rows == cell.gates * hidden:
            return name  # type: ignore[return-value]  # a key of `CELLS` is a name of a cell
    raise ValueError(
        f"state_dict: expected {part!r} to have 4, 3 or 1 rows per hidden unit (LSTM, GRU, RNN), "
        f"got {rows} rows for {hidden} units"
    )


def _listed(names: Any) -> str:
    quoted = [repr(name) for name in names]
    more = f" and {len(quoted) - 4} more" if len(quoted) > 4 else ""
    return (", ".join(quoted[:4]) + more) or "none"

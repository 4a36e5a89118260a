"""The contestants of scores that this installation has. A new one is one entry here."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from slidecell._choices import Precision
from slidecell.bench import peers_slidecell
from slidecell.bench.contestants import OURS, Peer

__all__ = ["absent", "score_peers"]

PLAIN_ROWS = 1_000  # of the loop in NumPy, a hundred times slower than the rest

# Modules that a peer needs, and who lacks them.
_NEEDS = {
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
    "openvino int8": ("openvino", "onnx", "nncf"),
}
# What the extra does not bring: it holds other packages back.
_APART = {"nncf": "pip install nncf"}


def absent() -> dict[str, str]:
    """Return peers that are not installed, with what installs them.

    Examples
    --------
    >>> from slidecell.bench.peers import absent
    >>> "numpy" in absent()
    False
    """
    missing = {
        name: [module for module in modules if find_spec(module) is None]
        for name, modules in _NEEDS.items()
    }
    return {
        name: _APART.get(modules[-1], "pip install 'slidecell[bench]'")
        for name, modules in missing.items()
        if modules
    }


def score_peers(*, plain: bool = False) -> dict[str, Peer]:
    """Return who scores, ours first: every other one's ratio is to it.

    With `plain` a loop in NumPy too, which every installation has.

    Examples
    --------
    >>> from slidecell.bench.peers import score_peers
    >>> list(score_peers())[:2]
    ['slidecell', 'slidecell high']
    """
    otherwise = peers_slidecell.runs_otherwise
    ours = peers_slidecell.score
    peers = {OURS: Peer(ours)}
    below: tuple[Precision, ...] = ("high", "medium", "low")
    for precision in below:
        peers[f"{OURS} {precision}"] = Peer(
            partial(ours, precision=precision), precision, takes=otherwise(precision)
        )
    if plain:
        peers["numpy"] = Peer(peers_slidecell.numpy_loop, rows=PLAIN_ROWS)
    missing = absent()
    if "torch" not in missing:
        peers["torch"] = Peer(_in("torch", "score"))
        peers["torch end to end"] = Peer(_in("torch", "end_to_end"))
        bf16 = partial(_in("torch", "score"), bf16=True)
        peers["torch bf16"] = Peer(bf16, "medium", takes=_in("torch", "has_bf16"))
        int8 = partial(_in("torch", "score"), int8=True)
        peers["torch int8"] = Peer(int8, "low", takes=_in("torch", "has_int8"))
    if "onnxruntime" not in missing:
        # It looks at the processor itself and has no setting that forbids it AVX-512.
        peers["onnxruntime"] = Peer(_in("onnx", "score"), isa_limited=False)
        int8 = partial(_in("onnx", "score"), int8=True)
        peers["onnxruntime int8"] = Peer(
            int8, "low", takes=_in("onnx", "has_int8"), isa_limited=False
        )
    if "openvino" not in missing:
        from slidecell.bench.peers_openvino import has

        peers["openvino"] = Peer(_in("openvino", "score"))
        for short in ("bf16", "f16"):
            lower = partial(_in("openvino", "score"), precision=short)
            peers[f"openvino {short}"] = Peer(lower, "medium", takes=has(short))
        if "openvino int8" not in missing:
            int8 = partial(_in("openvino", "score"), int8=True)
            peers["openvino int8"] = Peer(int8, "low", takes=_in("openvino", "has_int8"))
    return peers


def _in(library: str, function: str) -> Any:
    """Return the function of ``peers_<library>``, imported when it is called."""

    def call(*arguments: Any, **options: Any) -> Any:
        module = import_module(f"slidecell.bench.peers_{library}")
        return getattr(module, function)(*arguments, **options)

    return call

"""The detectors that are compared, as the command line names them: ``kmeans:align=cover``."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from benchmarks.detection.pyod_peers import PEERS, make_peer
from slidecell.detect.registry import detector_names, find_detector


@dataclass(frozen=True)
class Contestant:
    """A detector with its options, and its title in the tables."""

    title: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def make(self, seed: int) -> Any:
        """Return it unfitted, to run on one thread; a wrong name or option is a ValueError."""
        given = dict(self.options)
        if self.name in PEERS:
            return make_peer(self.name, given, seed)
        shared = {"random_state": seed, "num_threads": 1}
        return find_detector(self.name).from_settings({**shared, **given})


# With untouched options; the networks, and the baselines that they are held against.
DEFAULTS = (
    Contestant("forecaster", "forecast"),
    Contestant("autoencoder", "autoencoder"),
    Contestant("z-score", "zscore"),
    Contestant("PCA", "pca"),
)
NETWORKS = ("forecaster", "autoencoder")
BASELINES = ("z-score", "PCA")
RANDOM = "random"


def parse_contestant(text: str) -> Contestant:
    """Read ``NAME`` or ``NAME:OPTION=VALUE,...``, whose options are those of the class.

    Raises
    ------
    ValueError
        If there is no such detector or option; the text says which there are.
    """
    name, colon, rest = text.partition(":")
    if name not in {*detector_names(), *PEERS}:
        names = ", ".join([*detector_names(), *PEERS])
        raise ValueError(f"expected one of {names}, got {name!r}")
    options: dict[str, Any] = {}
    for part in re.split(r",(?=\s*\w+=)", rest) if colon else []:
        key, equals, value = part.strip().partition("=")
        if not equals or not key.isidentifier() or key in options:
            raise ValueError(
                f"expected NAME:OPTION=VALUE,..., each option once, got {part!r} in {text!r}"
            )
        options[key] = _value(value)
    contestant = Contestant(text, name, tuple(options.items()))
    try:
        contestant.make(0)
    except TypeError as error:
        raise ValueError(f"{text}: {error}") from error
    return contestant


def _value(text: str) -> Any:
    """Return the number, tuple or None that the text is in Python, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def alignment(detector: Any) -> str:
    """Return what rows a score depends on.

    ``end``: none after its own. ``cover``: those of all windows that cover it. ``mixed``: an
    ensemble of both.
    """
    if members := getattr(detector, "members", None):
        of_members = {alignment(member) for _, member in members}
        return of_members.pop() if len(of_members) == 1 else "mixed"
    own = getattr(detector, "alignment", None) or getattr(detector, "align", None)
    return own or "end"

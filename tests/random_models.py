"""Random models against the plain float64 truth: every ISA, streams, threads, order and cuts.

`python -m tests.random_models --count 2000` checks that many models from a fresh seed and prints
how far the worst score was from the truth; `tests/test_random_models.py` checks 200.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import slidecell as sc
from tests.models import layer, random_model
from tests.reference import encode_reference, predict_reference, score_reference

# Of a score at precision="highest", relative to max(1, score): what README.md says.
SCORE_BOUND = 1e-6
# Of a prediction or a code, in scaled units, relative to the largest one of the series, at least 1.
VALUE_BOUND = 1e-6


@dataclass(frozen=True)
class RandomCase:
    """A model, and what it is to score."""

    seed: int
    metadata: dict[str, Any]
    tensors: dict[str, np.ndarray]
    series: np.ndarray  # [S, F], float32 or float64, raw, with missing cells
    offsets: np.ndarray  # [G+1]
    stride: int
    options: dict[str, Any] = field(default_factory=dict)  # of score: reduction, aggregate, ...

    @property
    def reach(self) -> int:
        """Rows of one window and its target."""
        return int(self.metadata["window"] + self.metadata["horizon"])

    @property
    def unit(self) -> np.ndarray:
        """What one scaled unit of each target is in raw ones, [targets]."""
        features = self.series.shape[1]
        scaler, targets = self.metadata["scaler"], self.metadata["targets"]
        units = np.ones(features) if scaler is None else np.asarray(scaler["scale"])
        return units[range(features) if targets is None else targets]


def _layer(rng: np.random.Generator, *, widest: int, directions: bool) -> dict[str, Any]:
    cell = str(rng.choice(["lstm", "gru", "rnn"]))
    hidden = int(rng.integers(1, widest + 1))
    options: dict[str, Any] = {"bidirectional": directions and bool(rng.random() < 0.2)}
    options["activation"] = str(rng.choice(["tanh", "tanh", "relu"]))
    if cell != "rnn":
        options["activation"] = str(rng.choice(["tanh", "tanh", "relu", "sigmoid", "linear"]))
        options["recurrent_activation"] = str(rng.choice(["sigmoid", "sigmoid", "hard_sigmoid"]))
    if cell == "gru":
        options["reset_after"] = bool(rng.random() < 0.6)
    if cell == "lstm" and hidden > 1 and rng.random() < 0.25:
        options["proj_size"] = int(rng.integers(1, hidden))
    return layer(cell, hidden, **options)


def _scaler(rng: np.random.Generator, features: int) -> dict[str, Any] | None:
    kind = str(rng.choice(["none", "minmax", "standard", "robust"]))
    if kind == "none":
        return None
    return {
        "kind": kind,
        "center": (rng.normal(size=features) * 10.0 ** rng.integers(-2, 5)).tolist(),
        "scale": np.exp(rng.normal(0, 2, features)).tolist(),
        "constant": [],
    }


def random_case(seed: int) -> RandomCase:
    """Return the case of a seed: the same on every machine."""
    rng = np.random.default_rng(seed)
    widest = int(rng.choice([3, 9, 17, 40, 70], p=[0.2, 0.3, 0.25, 0.2, 0.05]))
    features = int(rng.integers(1, 10))
    window = int(rng.choice([1, 2, 3, 5, 8, 13, 30], p=[0.1, 0.15, 0.15, 0.2, 0.2, 0.15, 0.05]))
    encoder = [_layer(rng, widest=widest, directions=True) for _ in range(rng.integers(1, 4))]
    decoder = None
    targets = None
    if rng.random() < 0.3:
        decoder = [_layer(rng, widest=widest, directions=True) for _ in range(rng.integers(1, 3))]
    elif rng.random() < 0.3:
        targets = rng.permutation(features)[: rng.integers(1, features + 1)].tolist()
    metadata, tensors = random_model(
        rng,
        encoder,
        decoder,
        features=features,
        window=window,
        horizon=int(rng.integers(1, 5)),
        targets=targets,
        bias=bool(rng.random() < 0.85),
        scaler=_scaler(rng, features),
        error=True,
    )
    reach = window + metadata["horizon"]
    lengths = [0, 1, reach - 1, reach, int(rng.integers(reach, reach + 60))]
    lengths += rng.integers(0, 2 * reach + 3, rng.integers(0, 6)).tolist()
    offsets = np.concatenate([[0], np.cumsum(rng.permutation(lengths))])
    series = rng.normal(size=(offsets[-1], features))
    if (scaler := metadata["scaler"]) is not None:
        series = series * scaler["scale"] + scaler["center"]
    series[rng.random(series.shape) < 0.02 / features] = np.nan
    series[rng.random(series.shape) < 0.005 / features] = np.inf
    if rng.random() < 0.5:
        series = series.astype(np.float32)
    options: dict[str, Any] = {"reduction": str(rng.choice(["mse", "mae", "mahalanobis"]))}
    if scaler is not None and not decoder and rng.random() < 0.3:
        options["reduction"] = "calibrated"
    if decoder:
        options["aggregate"] = str(rng.choice(["window", "last", "mean"]))
    if options["reduction"] != "mahalanobis":
        options["per_feature"] = bool(rng.random() < 0.3)
    stride = int(rng.integers(1, window + 2))
    return RandomCase(seed, metadata, tensors, series, offsets, stride, options)


@dataclass
class Distances:
    """The largest distances from the truth that were seen."""

    score: float = 0.0
    value: float = 0.0

    def join(self, other: Distances) -> None:
        """Take the larger of each."""
        self.score = max(self.score, other.score)
        self.value = max(self.value, other.value)


def _distance(got: np.ndarray, want: np.ndarray, scale: Any, what: str) -> float:
    """Return the largest |got - want| / scale; NaN must stand at the same places."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want), what)
    if not np.isfinite(want).any():
        return 0.0
    return float(np.nanmax(np.abs(got - want) / scale))


def check(case: RandomCase, isas: list[str]) -> Distances:
    """Check a case on each ISA; return its distances, raise AssertionError where bits differ.

    Raises
    ------
    AssertionError
        If NaN stands elsewhere than in the truth, or if scores of one ISA depend on threads, on
        the order of entities, on where a series is cut, on the stride, on a stream or its rest.
    """
    given = (case.metadata, case.tensors, case.series, case.offsets)
    want = score_reference(*given, stride=case.stride, **case.options)
    ahead, codes = predict_reference(*given), encode_reference(*given)
    worst = Distances()
    before = sc.active_isa()
    try:
        for isa in isas:
            sc.set_isa(isa)
            model = sc.SequenceModel(case.metadata, case.tensors)
            got = model.score(case.series, case.offsets, stride=case.stride, **case.options)
            worst.score = max(
                worst.score, _distance(got, want, np.maximum(1.0, np.abs(want)), "score")
            )
            for values, truth, unit, name in (
                (model.predict(case.series, case.offsets), ahead, case.unit, "predict"),
                (model.encode(case.series, case.offsets), codes, 1.0, "encode"),
            ):
                scale = np.maximum(unit, np.nanmax(np.abs(truth), initial=0.0))
                worst.value = max(worst.value, _distance(values, truth, scale, name))
            _check_bits(case, model)
    finally:
        sc.set_isa(before)
    return worst


def _check_bits(case: RandomCase, model: sc.SequenceModel) -> None:
    """Compare scores of the float32 kernels that must be the same bits."""
    rng = np.random.default_rng([case.seed, 1])
    options = case.options | {"kernel": "fma"}
    scores = model.score(case.series, case.offsets, **options)

    def same(got: np.ndarray, want: np.ndarray, what: str) -> None:
        np.testing.assert_array_equal(got, want, f"seed {case.seed}, {sc.active_isa()}: {what}")

    for threads in (1, 3):
        again = model.score(case.series, case.offsets, num_threads=threads, **options)
        same(again, scores, f"num_threads={threads}")

    entities = [slice(a, b) for a, b in itertools.pairwise(case.offsets)]
    order = rng.permutation(len(entities))
    rows = np.concatenate([np.arange(len(scores))[entities[g]] for g in order])
    bounds = np.concatenate([[0], np.cumsum([np.diff(case.offsets)[g] for g in order])])
    same(model.score(case.series[rows], bounds, **options), scores[rows], "order of entities")

    if case.options.get("aggregate") != "mean":
        spaced = model.score(case.series, case.offsets, stride=case.stride, **options)
        kept = np.zeros(len(scores), bool)
        for entity in entities:
            kept[entity.start + case.reach - 1 : entity.stop : case.stride] = True
        same(spaced[kept], scores[kept], f"stride={case.stride}")
        assert np.isnan(spaced[~kept]).all()
        _check_cut(case, model, scores, rng, same)
        if not case.options.get("per_feature"):
            _check_stream(case, model, scores, rng, same)


def _check_cut(case: RandomCase, model: Any, scores: Any, rng: Any, same: Any) -> None:
    """Score the longest entity in two parts that overlap by one window less a row."""
    g = int(np.argmax(np.diff(case.offsets)))
    first, last = (int(o) for o in case.offsets[g : g + 2])
    cut = int(rng.integers(first + case.reach, last + 1))
    options = case.options | {"kernel": "fma"}
    same(model.score(case.series[first:cut], **options), scores[first:cut], f"cut at {cut}")
    rest = model.score(case.series[cut - case.reach + 1 : last], **options)
    same(rest[case.reach - 1 :], scores[cut:last], f"rest from {cut}")


def _check_stream(case: RandomCase, model: Any, scores: Any, rng: Any, same: Any) -> None:
    """Push all entities' rows in a random order, one by one and many, with a stop between."""
    options = {k: v for k, v in case.options.items() if k in ("reduction", "aggregate")}
    lengths = np.diff(case.offsets)
    turns = rng.permutation(np.repeat(np.arange(len(lengths)), lengths))
    places = np.empty(len(turns), np.int64)
    for g, start in enumerate(case.offsets[:-1]):
        places[turns == g] = np.arange(start, start + lengths[g])
    stream = model.stream(len(lengths) + int(rng.choice([0, 20])), **options)
    got = np.full(len(scores), np.nan, np.float32)
    stop = int(rng.integers(0, len(turns) + 1))
    for g, place in zip(turns[:stop], places[:stop], strict=True):
        got[place] = stream.push(case.series[place], int(g))
    with tempfile.TemporaryDirectory() as folder:
        stream.save(Path(folder) / "state")
        stream = model.stream(state=Path(folder) / "state")
    for at in range(stop, len(turns), 7):
        some = places[at : at + 7]
        got[some] = stream.push_many(turns[at : at + 7], case.series[some], num_threads=1)
    same(got, scores, "stream")


def main() -> None:
    """Check as many models as asked for, from a seed that is printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None, help="of the first model")
    given = parser.parse_args()
    first = secrets.randbelow(10**9) if given.seed is None else given.seed
    print(f"{given.count} models from seed {first} on {', '.join(sc.available_isas())}")
    worst = Distances()
    for seed in range(first, first + given.count):
        here = check(random_case(seed), sc.available_isas())
        if here.score > worst.score or here.value > worst.value:
            print(f"seed {seed}: score {here.score:.2g}, value {here.value:.2g}", flush=True)
        worst.join(here)
    print(f"largest distances: score {worst.score:.3g}, value {worst.value:.3g}")
    if worst.score > SCORE_BOUND or worst.value > VALUE_BOUND:
        raise SystemExit(f"beyond the bounds {SCORE_BOUND:g} and {VALUE_BOUND:g}")


if __name__ == "__main__":
    main()

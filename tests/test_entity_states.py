"""Entities of detectors' streams as bytes: they go on bit for bit in another stream, or not."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

for _module in ("torch", "sklearn", "skops"):
    pytest.importorskip(_module)

import slidecell as sc  # noqa: E402
from slidecell.detect import Detector, load_detector  # noqa: E402
from tests.detectors import series  # noqa: E402
from tests.test_detector_streams import KINDS, fit, rows, same  # noqa: E402


def fitted(kind: str, missing: str) -> Detector:
    return fit(kind) if kind == "model" else fit(kind, missing=missing)


@pytest.mark.parametrize("missing", ["skip", "ffill"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_entity_goes_on_bit_for_bit_in_another_stream(kind: str, missing: str) -> None:
    detector = fitted(kind, missing)
    X, noise = rows()[:70], series(9, seed=5)
    want = detector.score_samples(X)
    beside = detector.score_samples(np.vstack([noise, X[:1]]))[-1]
    got: list[float] = []
    stream, place, state = detector.stream(), 0, detector.stream(2).state_bytes(1)
    for entities, end in ((1, 1), (30, 6), (3, 57), (40, 70)):
        stream, place = detector.stream(entities), entities - 1
        for row in noise:
            stream.push_many([0, place] if place else [0], [row, row] if place else [row])
        stream.restore(place, state)
        assert stream.rows_seen(place) == len(got)
        got += [stream.push(row, place) for row in X[len(got) : end]]
        if place:  # its neighbour has kept its own
            assert same(stream.push(X[0], 0), beside)
        state = stream.state_bytes(place)
    assert same(got, want)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_of_a_saved_and_loaded_detector_is_its_own(kind: str, tmp_path: Any) -> None:
    if kind == "model":
        pytest.skip("it is saved as a model")
    detector = fit(kind)
    X = rows()[:30]
    detector.save(tmp_path / "detector")
    loaded = load_detector(tmp_path / "detector")
    stream, other = detector.stream(), loaded.stream()
    for row in X[:20]:
        stream.push(row)
    other.restore(0, bytearray(stream.state_bytes()))  # type: ignore[arg-type]
    assert same([other.push(row) for row in X[20:]], detector.score_samples(X)[20:])
    # Fitted on other rows, it is another one: also where its scores are the same.
    another = copy.deepcopy(detector).fit(series(80, seed=1) * 2.0).stream()
    text = f"state: the state of another detector than this {type(detector).__name__}"
    with pytest.raises(ValueError, match=text):
        another.restore(0, stream.state_bytes())
    assert another.rows_seen() == 0


@pytest.mark.parametrize("missing", ["skip", "ffill"])
@pytest.mark.parametrize("kind", ["ridge_smoothed", "ensemble", "forecast", "zscore"])
def test_a_damaged_state_changes_nothing(kind: str, missing: str) -> None:
    detector = fit(kind, missing=missing)
    fills = missing == "ffill" and kind != "ensemble"  # its members do
    stream = detector.stream(2)
    X = rows()[:40]
    for row in X[:20]:
        stream.push(row, 1)
    good = stream.state_bytes(1)
    for bad, text in (
        (b"", "state: expected what state_bytes of a detector's stream returned"),
        (good[:-1], "state: damaged: its check sum is another one"),
        (good + b"x", "state: damaged: its check sum is another one"),
        (good[:4] + b"\2" + good[5:], "state: version: expected 1, got 2"),
        (fit("pca").stream().state_bytes(), "state: the state of another detector than this"),
        (
            detector.stream(fill=not fills).state_bytes(),
            f"state: fill: expected the stream's, {fills}, got {not fills}",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            stream.restore(1, bad)
    for place in range(0, len(good), 5):
        bad = bytearray(good)
        bad[place] ^= 0x40
        with pytest.raises(ValueError, match=r"^state: "):
            stream.restore(1, bytes(bad))
    with pytest.raises(TypeError, match="state: expected bytes, got str"):
        stream.restore(1, "text")  # type: ignore[arg-type]
    for entity in (-1, 2):
        with pytest.raises(ValueError, match=f"entity: expected 0 to 1, got {entity}"):
            stream.restore(entity, good)
        with pytest.raises(ValueError, match=f"entity: expected 0 to 1, got {entity}"):
            stream.state_bytes(entity)
    assert stream.state_bytes(1) == good
    assert same([stream.push(row, 1) for row in X[20:]], detector.score_samples(X)[20:])


def test_what_cannot_go_on_leaves_the_entity_as_it_was() -> None:
    """The network of an ensemble refuses the state of another ISA after other members took it."""
    isas = sc.available_isas()
    if len(isas) < 2:
        pytest.skip("this CPU has one ISA")
    detector = fit("ensemble")
    before = sc.active_isa()
    X = rows()[:40]
    try:
        sc.set_isa(isas[0])
        foreign = detector.stream()
        sc.set_isa(isas[1])
        stream = detector.stream()
        for row in X[:20]:
            foreign.push(row * 2.0)
            stream.push(row)
        kept = stream.state_bytes()
        with pytest.raises(ValueError, match=f"state: isa: expected the stream's, {isas[1]}"):
            stream.restore(0, foreign.state_bytes())
        assert stream.state_bytes() == kept
        assert same([stream.push(row) for row in X[20:]], detector.score_samples(X)[20:])
    finally:
        sc.set_isa(before)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("zscore", 1 + 3),  # how many rows came, and the row
        ("window_pca", 1 + 4 * 3),
        ("ridge_smoothed", 1 + 5 * 3 + 2 * 6),  # W + 1 rows; the last 6 scores, each with its row
    ],
)
def test_its_size_is_as_stated(kind: str, numbers: int) -> None:
    for fill in (False, True):
        stream = fit(kind).stream(4, fill=fill)
        for row in series(40, seed=3):
            stream.push(row, 2)
        more = len(stream.state_bytes(2)) - 8 * (numbers + 3 * fill)
        assert 80 < more < 130


def test_the_size_of_a_network_is_that_of_its_stream() -> None:
    detector = fit("forecast")
    own = detector.stream().state_bytes()
    more = len(own) - len(detector.model_.stream().state_bytes())
    assert 80 < more < 130

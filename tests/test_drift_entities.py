"""One entity of many that drifts alone is named, with its columns, in memory that has an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
pytest.importorskip("pandas")

import pandas as pd
from safetensors.numpy import load_file, save_file

from slidecell.detect import ZScoreDetector, load_detector
from slidecell.detect.drift import DriftMonitor
from slidecell.detect.entity_stretches import EntityStretches, key_of
from slidecell.detect.entity_windows import EntityWindows
from slidecell.detect.stretches import QUANTILES, StretchSettings

FLEET, ROWS = 50, 640
NAMES = [f"m{number}" for number in range(FLEET)]


def fleet(rows: int, seed: int, apart: float) -> np.ndarray:
    """Rows of 50 machines in turn, [rows * 50, 2], whose levels lie apart."""
    levels = apart * np.random.default_rng(100).normal(size=(FLEET, 2))
    noise = np.random.default_rng(seed).normal(size=(rows, FLEET, 2))
    return (noise + levels).reshape(-1, 2)


def frame(values: np.ndarray) -> pd.DataFrame:
    rows = len(values) // FLEET
    keys = {"t": np.repeat(np.arange(rows), FLEET), "host": NAMES * rows}
    return pd.DataFrame({**keys, "load": values[:, 0], "heat": values[:, 1]})


@pytest.fixture(scope="module", params=[0.0, 20.0], ids=["alike", "apart"])
def trained(request: pytest.FixtureRequest) -> tuple[ZScoreDetector, float]:
    table = frame(fleet(ROWS, 0, request.param))
    return ZScoreDetector(entity="host", time="t").fit(table), request.param


def watched(detector: Any, values: np.ndarray, **options: Any) -> DriftMonitor:
    monitor = DriftMonitor(detector, **options)
    return monitor.update(values, entities=NAMES * (len(values) // FLEET))


def faulty(values: np.ndarray, fault: str) -> np.ndarray:
    """Return the rows with a fault in the second column of the machine m17."""
    changed = values.reshape(-1, FLEET, 2).copy()
    own = changed[:, 17, 1]
    level = own.mean()
    if fault == "shift":
        own += 2.0
    elif fault == "gain":
        own[:] = level + 3.0 * (own - level)
    elif fault == "dead":
        own[:] = own[0]
    elif fault == "missing":
        own[:] = np.nan
    return changed.reshape(-1, 2)


@pytest.mark.parametrize(
    ("fault", "cause", "text"),
    [
        ("shift", "distribution", "of 'm17': level +"),
        ("gain", "distribution", "times as wide"),
        ("dead", "still", "it repeats its last value for 299 rows of 'm17'"),
        ("missing", "missing", "of 'm17': 100 % of it is missing"),
    ],
)
def test_one_of_fifty_is_named_with_its_column(
    trained: tuple[ZScoreDetector, float], fault: str, cause: str, text: str
) -> None:
    detector, apart = trained
    monitor = watched(detector, fleet(200, 1, apart))
    assert monitor.advisory.advice == "fine"
    rows = faulty(fleet(300, 2, apart), fault)
    found = monitor.update(rows, entities=NAMES * 300).advisory
    assert (found.advice, found.columns, found.entities) == ("watch", ("heat",), ("m17",))
    assert found.reasons[0].cause == cause
    assert text in str(found)
    if fault == "shift":
        assert float(str(found).split("level ")[1].split()[0]) == pytest.approx(2.0, abs=0.4)
    # It is mended: the next comparison finds nothing.
    usual = fleet(200, 3, apart)
    assert monitor.update(usual, entities=NAMES * 200).advisory.advice == "fine"


def test_fifty_untouched_machines_are_fine(trained: tuple[ZScoreDetector, float]) -> None:
    detector, apart = trained
    monitor = DriftMonitor(detector)
    pieces = np.split(fleet(1200, 4, apart), 60)
    found = [monitor.update(piece, entities=NAMES * 20).advisory.advice for piece in pieces]
    assert set(found) == {"fine"}


def test_where_all_drift_the_fleet_is_said_to_and_asks_for_a_training(
    trained: tuple[ZScoreDetector, float],
) -> None:
    detector, apart = trained
    moved = np.add(fleet(200, 5, apart), [0.0, 4.0 * max(apart, 1.0)])
    found = watched(detector, moved).advisory
    assert (found.advice, found.columns, found.entities) == ("retrain", ("heat",), ())


def test_the_advisory_of_entities_does_not_depend_on_where_rows_are_cut(
    trained: tuple[ZScoreDetector, float],
) -> None:
    detector, apart = trained
    rows = faulty(fleet(160, 6, apart), "shift")
    whole = watched(detector, rows).advisory
    assert whole.entities == ("m17",)
    monitor = DriftMonitor(detector)
    first = 0
    for size in np.random.default_rng(7).integers(1, 400, len(rows)).tolist():
        names = (NAMES * 20)[first % FLEET :][:size]
        monitor.update(rows[first : first + size], entities=names[: len(rows) - first])
        first += size
        if first >= len(rows):
            break
    assert monitor.advisory == whole


def test_entities_take_turns_where_there_is_no_room_for_all(
    trained: tuple[ZScoreDetector, float],
) -> None:
    """Room for 5 of 50: each is compared once while ten windows of its rows pass by."""
    detector, apart = trained
    window = DriftMonitor(detector).entity_window
    assert window == 80
    monitor = watched(detector, fleet(10, 8, apart), entity_cells=5 * window * 2)
    rows = faulty(fleet(12 * window, 9, apart), "shift")
    named = []
    for piece in np.split(rows, 24):
        monitor.update(piece, entities=NAMES * (len(piece) // FLEET))
        named.append(monitor.advisory.entities)
    assert ("m17",) in named
    assert set(named) == {(), ("m17",)}


def test_a_machine_that_is_gone_gives_its_place_and_its_name_up() -> None:
    rng = np.random.default_rng(10)
    owners = np.arange(3000) % 3
    training = EntityStretches.of(rng.normal(size=(3000, 1)), owners, ["a", "b", "c"])
    assert training is not None
    windows = EntityWindows(training, most_cells=2 * training.rows)
    assert windows.places == 2
    rows = np.arange(2 * training.rows) % 2
    shifted = rng.normal(9.0 * rows)[:, None]
    windows.add(shifted, ["ab"[n] for n in rows.tolist()])
    assert windows.far() == []  # half of the entities are far
    for _ in range(8):
        windows.add(rng.normal(size=(150, 1)) + 9.0, ["b"] * 150)
        windows.add(rng.normal(size=(150, 1)), ["c"] * 150)
        windows.add(rng.normal(size=(150, 1)), ["a"] * 150)
    assert [name for name, _ in windows.far()] == ["b"]
    for _ in range(16):
        windows.add(rng.normal(size=(150, 1)), ["c"] * 150)
        windows.add(rng.normal(size=(150, 1)), ["a"] * 150)
    assert windows.far() == []


def test_an_unknown_entity_is_compared_with_all() -> None:
    rng = np.random.default_rng(11)
    owners = np.arange(3000) % 3
    levels = np.array([0.0, 50.0, 100.0])
    values = rng.normal(levels[owners])[:, None]
    training = EntityStretches.of(values, owners, ["a", "b", "c"])
    assert training is not None
    usual = training.sketch(training.scaled(rng.normal(50.0, size=(150, 1))))
    odd = training.sketch(training.scaled(rng.normal(75.0, size=(150, 1))))
    assert training.distance(usual, "new")[0] < training.far[0] < training.distance(usual, "a")[0]
    assert training.distance(odd, "new")[0] == pytest.approx(25.0, rel=0.05)


def test_the_distance_of_an_entity_is_wassersteins() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(12)
    owners = np.repeat([0, 1], 600)
    values = np.concatenate([rng.gamma(2.0, size=600), 1e6 + rng.gamma(3.0, size=600)])[:, None]
    kept = EntityStretches.of(values, owners, ["a", "b"], settings=StretchSettings(rows=60))
    assert kept is not None
    assert kept.rows == 60
    recent = 1e6 + rng.gamma(4.0, size=(60, 1))
    starts = np.linspace(600, 1140, 37).astype(int)
    apart = [
        stats.wasserstein_distance(values[first : first + 60, 0], recent[:, 0]) for first in starts
    ]
    found = kept.distance(kept.sketch(kept.scaled(recent)), "b")[0] * kept.unit[0]
    assert found == pytest.approx(min(apart), rel=0.05)
    assert kept.quantiles.shape == (74, 1, len(QUANTILES))
    assert kept.keys.tolist() == [key_of("a"), key_of("b")]


def test_a_saved_detector_watches_entities_as_before(
    trained: tuple[ZScoreDetector, float], tmp_path: Path
) -> None:
    detector, apart = trained
    detector.save(tmp_path / "saved")
    rows = faulty(fleet(200, 13, apart), "gain")
    again = load_detector(tmp_path / "saved")
    assert watched(again, rows).advisory == watched(detector, rows).advisory
    # A folder that was saved before entities were watched.
    file = tmp_path / "saved" / "arrays.safetensors"
    arrays = {name: a for name, a in load_file(file).items() if not name.startswith("entity_")}
    save_file(arrays, file)
    old = watched(load_detector(tmp_path / "saved"), rows)
    assert (old.entity_window, old.advisory.advice) == (None, "fine")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: a.pop("entity_keys"), "missing array 'entity_keys'"),
        (
            lambda a: a.update(entity_quantiles=a["entity_quantiles"][:2]),
            r"'entity_quantiles': expected float32 \[\d+, 2, 20\], got float32 \[2, 2, 20\]",
        ),
        (
            lambda a: a["entity_owners"].__setitem__(0, 99),
            "'entity_owners': expected places in order",
        ),
        (
            lambda a: a["entity_limits"].__setitem__((0, 2), 0.0),
            "'entity_limits': expected positive units",
        ),
        (
            lambda a: a["entity_limits"].__setitem__((slice(None), 0), 1.5),
            "'entity_limits': expected a number of rows",
        ),
    ],
)
def test_damaged_stretches_of_entities_are_refused_with_their_place(
    trained: tuple[ZScoreDetector, float], change: Any, text: str, tmp_path: Path
) -> None:
    trained[0].save(tmp_path / "damaged")
    file = tmp_path / "damaged" / "arrays.safetensors"
    arrays = load_file(file)
    change(arrays)
    save_file(arrays, file)
    with pytest.raises(ValueError, match=rf"damaged/arrays\.safetensors: {text}"):
        load_detector(tmp_path / "damaged")


def test_a_monitor_goes_on_from_its_bytes(trained: tuple[ZScoreDetector, float]) -> None:
    """Also between two comparisons, while entities take turns, and while a sensor stands still."""
    detector, apart = trained
    rows = faulty(fleet(400, 14, apart), "shift")
    rows[np.arange(len(rows)) % FLEET == 3, 0] = 1.0
    options = {"entity_cells": 20 * 80 * 2}
    whole = watched(detector, rows, **options)
    assert whole.advisory.columns == ("load", "heat")
    assert whole.advisory.entities == ("m3", "m17")
    monitor = DriftMonitor(detector, **options)
    sizes = [1, 77, 3000, 5555, len(rows)]
    for first, last in zip([0, *sizes], sizes, strict=False):
        names = (NAMES * 400)[first:last]
        monitor.update(rows[first:last], entities=names, scores=np.zeros(last - first))
        state = monitor.state_bytes()
        monitor = DriftMonitor(detector, **options)
        monitor.restore(state)
        assert monitor.state_bytes() == state
    assert monitor.advisory == whole.advisory
    assert np.array_equal(monitor.distance, whole.distance)
    found = monitor.score_drift()
    assert found is not None


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    trained: tuple[ZScoreDetector, float],
) -> None:
    detector, apart = trained
    monitor = watched(detector, fleet(20, 15, apart))
    before = monitor.state_bytes()
    other = ZScoreDetector(entity="host", time="t").fit(frame(fleet(ROWS, 16, apart)))
    for state, text in (
        (DriftMonitor(other).state_bytes(), "state: the state of another detector"),
        (before[:-1], "state: damaged: its check sum is another one"),
        (b"", "state: expected what state_bytes"),
    ):
        with pytest.raises(ValueError, match=text):
            monitor.restore(state)
        assert monitor.state_bytes() == before
    named = DriftMonitor(detector).update(fleet(1, 17, apart), entities=[("a", 1)] * FLEET)
    with pytest.raises(TypeError, match="entities: expected names of text or whole numbers"):
        named.state_bytes()

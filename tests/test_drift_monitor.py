"""The drift monitor: fine, watch, retrain, and the columns that say so; live, and in notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")

from safetensors.numpy import load_file, save_file

from slidecell.detect import ZScoreDetector, load_detector
from slidecell.detect.drift import DriftMonitor
from slidecell.detect.repetitions import Repetitions
from slidecell.detect.stretches import LEAST_TRAINING, Stretches

NAMES = ["load", "heat", "flow"]


def usual(rows: int, seed: int = 0) -> np.ndarray:
    """A day's wave of 400 rows, noise, and a sensor with few values."""
    rng = np.random.default_rng(seed)
    wave = 3.0 * np.sin(2 * np.pi * np.arange(rows) / 400) + rng.normal(size=rows)
    return np.column_stack([wave, rng.normal(50.0, 2.0, rows), rng.integers(0, 4, rows)])


def frame(values: np.ndarray) -> Any:
    return pytest.importorskip("pandas").DataFrame(values, columns=NAMES)


@pytest.fixture(scope="module")
def detector() -> ZScoreDetector:
    return ZScoreDetector().fit(frame(usual(4000)))


def test_rows_like_those_of_training_are_fine_at_every_hour(detector: ZScoreDetector) -> None:
    monitor = DriftMonitor(detector)
    assert monitor.names == tuple(NAMES)
    advices = [monitor.update(piece).advisory for piece in np.split(usual(3990, 1), 133)]
    assert {advisory.advice for advisory in advices} == {"fine"}
    assert (monitor.distance < monitor.limits).all()
    assert advices[-1].rows == monitor.rows == 3990
    # The wave alone has moved by more than the limit since the hour before.
    means = usual(4000, 1)[:, 0].reshape(-1, 160).mean(axis=1)
    assert np.abs(np.diff(means)).max() / usual(4000)[:, 0].std() > monitor.limits[0]


@pytest.mark.parametrize(
    ("change", "column", "cause", "times", "text"),
    [
        (lambda x: np.add(x, [0.0, 2.0, 0.0]), "heat", "distribution", None, "level +"),
        (lambda x: np.add(x, [0.0, 8.0, 0.0]), "heat", "distribution", 10.0, "level +"),
        (lambda x: x * [1.0, 1.5, 1.0], "heat", "distribution", 31.0, "level +12 "),
        (lambda x: x * [3.0, 1.0, 1.0], "load", "distribution", None, "times as wide"),
        (lambda x: np.where([0, 1, 0], x[0], x), "heat", "still", None, "repeats its last value"),
        (
            lambda x: np.where([0, 0, 1], np.nan, x),
            "flow",
            "missing",
            10.0,
            "100 % of it is missing",
        ),
    ],
)
def test_a_fault_is_watched_within_500_rows_with_its_column(
    detector: ZScoreDetector, change: Any, column: str, cause: str, times: float, text: str
) -> None:
    monitor = DriftMonitor(detector).update(usual(600, 2))
    assert monitor.advisory.advice == "fine"
    found = [monitor.update(piece).advisory for piece in np.split(change(usual(1200, 3)), 40)]
    watched = next(n for n, advisory in enumerate(found) if advisory.advice != "fine")
    assert 30 * watched < 500
    assert found[watched].advice == "watch"
    assert found[watched].columns == (column,)
    last = found[-1]
    assert (last.since, last.columns) == (600 + 30 * (watched + 1), (column,))
    # A sensor is mended; another level is learnt.
    assert last.advice == ("retrain" if cause == "distribution" else "watch")
    reason = last.reasons[0]
    assert reason.cause == cause
    assert reason.times > 1.0 if times is None else reason.times == pytest.approx(times, rel=0.1)
    assert text in str(last)
    assert str(last).startswith(f"{last.advice}: {column} (")


def test_what_has_passed_is_fine_again(detector: ZScoreDetector) -> None:
    monitor = DriftMonitor(detector).update(np.add(usual(270, 2), [0.0, 8.0, 0.0]))
    assert monitor.advisory.advice == "watch"
    assert monitor.update(usual(390, 3)).advisory.advice == "fine"
    assert monitor.advisory.since is None


def test_the_advisory_does_not_depend_on_where_rows_are_cut(detector: ZScoreDetector) -> None:
    rows = np.concatenate([usual(333, 4), np.add(usual(500, 5), [0.0, 4.0, 0.0])])
    rows[600:, 2] = 1.0
    whole, one_by_one = DriftMonitor(detector), DriftMonitor(detector)
    whole.update(rows)
    for row in rows:
        one_by_one.update(row)
    assert whole.advisory == one_by_one.advisory
    assert set(whole.advisory.columns) == {"flow", "heat"}
    assert np.array_equal(whole.distance, one_by_one.distance)


def test_columns_come_by_name(detector: ZScoreDetector) -> None:
    rows = np.add(usual(400, 6), [0.0, 0.0, 9.0])
    found = DriftMonitor(detector).update(frame(rows)[NAMES[::-1]]).advisory
    assert found.columns == ("flow",)


def test_a_sensor_of_one_entity_stands_still_among_others(detector: ZScoreDetector) -> None:
    rows = usual(900, 7)
    entities = ["a", "b", "c"] * 300
    rows[1::3, 1] = rows[1, 1]
    found = DriftMonitor(detector).update(rows, entities=entities).advisory
    assert (found.advice, found.columns) == ("watch", ("heat",))
    assert str(found) == "watch: heat (it repeats its last value for 299 rows of 'b')"
    # As one series no value is repeated.
    alone = DriftMonitor(detector).update(rows).advisory
    assert all(reason.cause != "still" for reason in alone.reasons)


def test_the_distance_is_wassersteins() -> None:
    stats = pytest.importorskip("scipy.stats")
    training = np.random.default_rng(8).gamma(2.0, size=(2000, 1))
    kept = Stretches.of(training)
    assert kept is not None
    recent = np.random.default_rng(9).gamma(3.0, size=(150, 1))
    starts = range(0, 1851, 37)
    distances = [
        stats.wasserstein_distance(training[first : first + 150, 0], recent[:, 0])
        for first in starts
    ]
    assert len(kept.quantiles[0]) == len(distances)
    found = kept.distance(recent)[0] * kept.unit[0]
    assert found == pytest.approx(min(distances), rel=0.05)


def test_repetitions_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(10)
    values = rng.integers(0, 2, (400, 3)).astype(float)
    values[rng.random((400, 3)) < 0.1] = np.nan
    entities = rng.integers(0, 5, 400).tolist()
    runs = Repetitions(np.array([2.0, 3.0, 4.0]))
    last: dict[int, np.ndarray] = {}
    counts = {entity: np.zeros(3) for entity in range(5)}
    for first in range(0, 400, 37):
        part = slice(first, first + 37)
        runs.add(values[part], entities[part])
        for row, entity in zip(values[part], entities[part], strict=True):
            before = last.get(entity, np.full(3, np.nan))
            counts[entity] = np.where(row == before, counts[entity] + 1, 0)
            last[entity] = row
        table = np.stack(list(counts.values()))
        assert runs.still.tolist() == (table >= [2, 3, 4]).any(axis=0).tolist()
        for column in range(3):
            longest, entity = runs.longest(column)
            assert counts[int(str(entity))][column] == longest == table[:, column].max()


def test_entities_that_take_turns_are_compared_in_the_order_of_time() -> None:
    """Levels of entities differ; a stream gives them in turn, and a detector keeps them so."""
    rng = np.random.default_rng(11)
    levels = np.array([0.0, 20.0, 40.0])
    training = rng.normal(size=(3, 1000)) + levels[:, None]
    offsets = [0, 1000, 2000, 3000]
    detector = ZScoreDetector().fit(training.reshape(-1, 1), offsets=offsets)
    monitor = DriftMonitor(detector)
    live = (rng.normal(size=(300, 3)) + levels).reshape(-1, 1)
    assert monitor.update(live, entities=[0, 1, 2] * 300).advisory.advice == "fine"
    assert monitor.distance[0] < 0.1
    assert monitor.update(live + 10.0, entities=[0, 1, 2] * 300).advisory.advice == "retrain"


def test_a_saved_detector_watches_as_before(detector: ZScoreDetector, tmp_path: Path) -> None:
    detector.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved")
    rows = usual(800, 12) * [1.0, 1.2, 1.0]
    first, second = DriftMonitor(detector).update(rows), DriftMonitor(again).update(rows)
    assert np.array_equal(first.distance, second.distance)
    assert first.advisory == second.advisory


def test_constant_columns_and_short_trainings() -> None:
    training = usual(400)
    training[:, 1] = 7.0
    monitor = DriftMonitor(ZScoreDetector().fit(training))
    assert monitor.window == 50
    rows = usual(200, 13)
    rows[:, 1] = 7.0
    assert "1" not in monitor.update(rows).advisory.columns
    rows[:, 1] = 7.5
    assert "1" in monitor.update(rows).advisory.columns
    few = ZScoreDetector().fit(usual(LEAST_TRAINING - 1))
    with pytest.raises(ValueError, match=r"detector: .* fitted on fewer than 160 rows"):
        DriftMonitor(few)


def test_what_cannot_be_compared_is_refused_and_changes_nothing(detector: ZScoreDetector) -> None:
    monitor = DriftMonitor(detector)
    for rows, entities, text in (
        (np.zeros((2, 2)), None, r"rows: expected \[n, 3\] or \[3\] .*, got \[2, 2\]"),
        (np.zeros((1, 2, 3)), None, r"rows: expected \[n, 3\] or \[3\] .*, got \[1, 2, 3\]"),
        (np.zeros((2, 3)), ["a"], "entities: expected 2, one per row, got 1"),
    ):
        with pytest.raises(ValueError, match=text):
            monitor.update(rows, entities=entities)
    with pytest.raises(TypeError, match="rows: expected real numbers"):
        monitor.update(np.zeros((2, 3), complex))
    with pytest.raises(ValueError, match="every: expected at least 1, got 0"):
        DriftMonitor(detector, every=0)
    assert monitor.rows == 0
    old = ZScoreDetector().fit(usual(400))
    old.training_statistics_ = None
    with pytest.raises(ValueError, match=r"a model file or from a folder of version 0\.1"):
        DriftMonitor(old)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: a.pop("stretch_limits"), "missing array 'stretch_limits'"),
        (
            lambda a: a.update(stretch_quantiles=a["stretch_quantiles"][:2]),
            r"'stretch_quantiles': expected float64 \[3, \d+, 20\], got float64 \[2, ",
        ),
        (
            lambda a: a["stretch_limits"].__setitem__((0, 1), 0.0),
            "'stretch_limits': expected a number of rows and positive units",
        ),
    ],
)
def test_damaged_stretches_are_refused_with_their_place(
    detector: ZScoreDetector, change: Any, text: str, tmp_path: Path
) -> None:
    detector.save(tmp_path / "damaged")
    file = tmp_path / "damaged" / "arrays.safetensors"
    arrays = load_file(file)
    change(arrays)
    save_file(arrays, file)
    with pytest.raises(ValueError, match=rf"damaged/arrays\.safetensors: {text}"):
        load_detector(tmp_path / "damaged")

"""Which windows train and which validate."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
from slidecell.tables.window_split import WindowSplit, split_windows, usable_windows

WINDOW, HORIZON = 4, 1
LENGTH = WINDOW + HORIZON


def split(
    offsets: list[int],
    *,
    fraction: float = 0.2,
    finite: np.ndarray | None = None,
    keys: list[str] | None = None,
    seed: int = 0,
    stride: int = 1,
) -> WindowSplit:
    rows = offsets[-1]
    good = np.ones(rows, bool) if finite is None else finite
    windows = usable_windows(good, offsets, window=WINDOW, horizon=HORIZON, stride=stride)
    return split_windows(
        windows, offsets, rows=rows, length=LENGTH, fraction=fraction, keys=keys, seed=seed
    )


def covered(starts: np.ndarray, rows: int) -> np.ndarray:
    """Rows that some window touches, bool [S]."""
    touched = np.zeros(rows, bool)
    for start in starts:
        touched[start : start + LENGTH] = True
    return touched


def test_windows_touching_bad_rows_are_left_out() -> None:
    finite = np.ones(30, bool)
    finite[[0, 12, 29]] = False
    windows = usable_windows(finite, [0, 15, 30], window=4, horizon=1, stride=1)
    expected = [
        start
        for first, last in ((0, 15), (15, 30))
        for start in range(first, last - LENGTH + 1)
        if finite[start : start + LENGTH].all()
    ]
    assert windows.starts.tolist() == expected
    assert windows.entities.tolist() == [int(start >= 15) for start in expected]
    assert windows.skipped == 22 - len(expected)


def test_empty_and_short_entities_have_no_windows() -> None:
    windows = usable_windows(np.ones(12, bool), [0, 0, 4, 4, 12], window=4, horizon=1, stride=1)
    assert windows.starts.tolist() == [4, 5, 6, 7]
    assert windows.entities.tolist() == [3] * 4


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_one_entity_is_cut_by_time_and_purged(fraction: float, stride: int) -> None:
    result = split([0, 200], fraction=fraction, stride=stride)
    total = (200 - LENGTH) // stride + 1
    assert len(result.validation) == round(fraction * total)
    assert result.training.max() + LENGTH <= result.validation.min()
    assert not (covered(result.training, 200) & covered(result.validation, 200)).any()
    assert result.purged == total - len(result.training) - len(result.validation)
    if stride == 1:
        assert result.purged == LENGTH - 1
    cut = result.validation.min()
    assert np.array_equal(result.validation_rows, np.arange(200) >= cut)


def test_segments_of_one_key_are_cut_by_time() -> None:
    result = split([0, 50, 100], keys=["a", "a"])
    assert result.training.max() + LENGTH <= result.validation.min()


def test_entities_stay_whole() -> None:
    offsets = list(range(0, 1001, 100))
    result = split(offsets)
    trains, validates = set(result.training // 100), set(result.validation // 100)
    assert len(validates) == 2
    assert trains | validates == set(range(10))
    assert not trains & validates
    assert result.purged == 0
    assert set(np.flatnonzero(result.validation_rows) // 100) == validates
    assert result.validation_rows.sum() == 200


def test_segments_of_a_key_stay_on_one_side() -> None:
    offsets = list(range(0, 1001, 50))  # 20 segments of 10 users
    keys = [f"user {segment // 2}" for segment in range(20)]
    result = split(offsets, keys=keys)
    assert not set(result.training // 100) & set(result.validation // 100)
    assert len(set(result.validation // 100)) == 2


def test_seed_decides_the_entities() -> None:
    offsets = list(range(0, 5001, 100))
    first, again, other = (split(offsets, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.validation, again.validation)
    assert not np.array_equal(first.validation, other.validation)


@pytest.mark.parametrize("seed", range(5))
def test_a_long_entity_is_not_held_out_beside_short_ones(seed: int) -> None:
    offsets = [0, 10_000, *range(10_100, 20_001, 100)]
    result = split(offsets, seed=seed)
    share = len(result.validation) / (len(result.validation) + len(result.training))
    assert 0.19 < share < 0.21
    assert result.training.min() == 0


@pytest.mark.parametrize(
    ("offsets", "fraction"),
    [([0, 10, 10, 300], 0.2), ([0, 100, 200], 0.2), ([0, 30, 2030], 0.5), ([0, 30, 230], 0.99)],
)
def test_end_of_the_longest_validates_where_whole_entities_miss_the_share(
    offsets: list[int], fraction: float
) -> None:
    result = split(offsets, fraction=fraction)
    sizes = np.diff(offsets)
    first = offsets[int(np.argmax(sizes))]
    last = first + int(sizes.max())
    total = int(np.maximum(sizes - LENGTH + 1, 0).sum())
    assert len(result.validation) == min(round(fraction * total), sizes.max() - LENGTH + 1)
    cut = int(result.validation.min())
    assert np.flatnonzero(result.validation_rows).tolist() == list(range(cut, last))
    assert cut >= first
    assert not (covered(result.training, offsets[-1]) & result.validation_rows).any()
    assert len(result.training) + len(result.validation) + result.purged == total


def test_last_segments_of_the_longest_entity_validate() -> None:
    """Its windows are cut by time across segments, among those of another entity."""
    result = split([0, 100, 110, 150], keys=["a", "b", "a"])
    total = 96 + 6 + 36
    assert np.array_equal(result.validation, np.arange(146 - round(0.2 * total), 146))
    assert np.array_equal(result.validation_rows, np.arange(150) >= result.validation[0])
    assert set(range(100, 106)) <= set(result.training)


def test_whole_entities_stay_where_purging_would_cost_more() -> None:
    result = split([0, 9, 18])  # a cut would leave 5 windows of one and none of the other
    assert (len(result.training), len(result.validation), result.purged) == (5, 5, 0)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_both_sides_get_an_entity(fraction: float) -> None:
    result = split([0, 50, 100, 150], fraction=fraction)
    assert len(result.training)
    assert len(result.validation)


def test_no_validation() -> None:
    result = split([0, 50, 100], fraction=0.0)
    assert len(result.training) == 2 * (50 - LENGTH + 1)
    assert len(result.validation) == 0
    assert not result.validation_rows.any()


def test_entities_without_windows_do_not_count() -> None:
    """The only entity that has windows is cut by time."""
    result = split([0, 100, 103], keys=["a", "b"])
    assert result.purged == LENGTH - 1
    finite = np.ones(300, bool)
    finite[100:200] = False
    result = split([0, 100, 200, 300], finite=finite)
    assert set(result.training // 100) | set(result.validation // 100) == {0, 2}


def test_series_without_usable_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="series: expected at least one window of 5 finite rows"):
        split([0, 4])
    with pytest.raises(ValueError, match=r"offsets: expected to end at 30 .*, got 20"):
        usable_windows(np.ones(30, bool), [0, 20], window=4, horizon=1, stride=1)
    with pytest.raises(ValueError, match=r"keys: expected \[2\], one per entity.*, got \[3\]"):
        split([0, 50, 100], keys=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"series: 4 windows of 5 rows are too few to hold out"):
        split([0, 8], fraction=0.5)

"""Rows in any order, and back: what needs the order of time agrees with sorted rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from slidecell.detect import ZScoreDetector, time_order  # noqa: E402
from slidecell.evaluate import evaluate  # noqa: E402


def panel() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "user": np.repeat(["b", "c", "a"], [40, 25, 35]),
            "day": np.concatenate([pd.date_range("2024-01-01", periods=n) for n in (40, 25, 35)]),
            "x": rng.normal(size=100),
            "label": 0,
        }
    )
    frame.loc[[10, 11, 12, 50, 70, 71], ["x", "label"]] = [4.0, 1]
    return frame


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_time_order_of_shuffled_rows_evaluates_as_sorted_ones(library: str) -> None:
    ordered = panel()
    shuffled = ordered.sample(frac=1.0, random_state=0).reset_index(drop=True)
    detector = ZScoreDetector(entity="user", time="day").fit(ordered[["user", "day", "x"]])
    given = shuffled
    if library == "polars":
        given = pytest.importorskip("polars").from_pandas(shuffled)
    order, offsets = time_order(given, entity="user", time="day")
    assert (order.dtype, offsets.tolist()) == (np.int64, [0, 35, 75, 100])  # a, b, c
    assert sorted(order) == list(range(100))
    for begin, end in itertools.pairwise(offsets):
        part = shuffled.iloc[order[begin:end]]
        assert part["user"].nunique() == 1
        assert part["day"].is_monotonic_increasing
    scores = detector.score_samples(given[["user", "day", "x"]])
    found = evaluate(shuffled["label"].to_numpy()[order], scores[order], offsets=offsets)
    want = ordered.sort_values(["user", "day"])
    sorted_scores = detector.score_samples(want[["user", "day", "x"]])
    assert found == evaluate(want["label"].to_numpy(), sorted_scores, offsets=offsets)
    assert found.events == 3


def test_keys_that_are_numbers_have_one_order_as_text_and_as_numbers() -> None:
    keys = [10, 2, 33, 2, 10, -1]
    expected = time_order(pd.DataFrame({"k": keys}), entity="k")
    found = time_order(pd.DataFrame({"k": list(map(str, keys))}), entity="k")
    assert found[0].tolist() == expected[0].tolist() == [5, 1, 3, 0, 4, 2]
    assert found[1].tolist() == expected[1].tolist()
    # Different texts of one number are different keys; one text that is no number is enough.
    order, offsets = time_order(pd.DataFrame({"k": ["7", "07", "7", "1"]}), entity="k")
    assert (order.tolist(), offsets.tolist()) == ([3, 1, 0, 2], [0, 1, 2, 4])
    order, _ = time_order(pd.DataFrame({"k": ["10", "2", "x", "nan"]}), entity="k")
    assert order.tolist() == [0, 1, 3, 2]


def test_time_order_of_one_column_or_none() -> None:
    frame = pd.DataFrame({"t": [3, 1, 2, 1], "k": ["b", "a", "b", "a"]})
    order, offsets = time_order(frame, time="t")
    assert (order.tolist(), offsets.tolist()) == ([1, 3, 2, 0], [0, 4])  # equal times stay
    order, offsets = time_order(frame, entity="k")
    assert (order.tolist(), offsets.tolist()) == ([1, 3, 0, 2], [0, 2, 4])
    assert time_order(frame)[0].tolist() == [0, 1, 2, 3]


def test_time_order_refuses_bad_input() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["t", "k", "k"])
    with pytest.raises(TypeError, match="frame: expected a DataFrame, got list"):
        time_order([[1, 2]])
    with pytest.raises(ValueError, match="time: no column 'day' in frame"):
        time_order(frame, time="day")
    with pytest.raises(ValueError, match="entity: column 'k' occurs 2 times in frame"):
        time_order(frame, entity="k")

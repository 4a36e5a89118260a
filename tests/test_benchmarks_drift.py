"""The benchmark of the drift advisory: which series it takes, what it injects and how it counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from benchmarks import drift
from benchmarks.detection.series import Listed
from slidecell.datasets import LabelledSeries
from slidecell.detect.stretches import StretchSettings

RNG = np.random.default_rng(0)


def listed(name: str, training: np.ndarray, live: np.ndarray, group: str = "ASD") -> Listed:
    label = np.zeros(len(live), np.int64)
    columns = tuple(map(str, range(training.shape[1])))
    return Listed(group, (name,), LabelledSeries(name, training, live, label, columns=columns))


def case(**changes: Any) -> drift.Case:
    training, live = RNG.normal(size=(2000, 2)), RNG.normal(size=(2400, 2))
    return drift.Case(**{"name": "x", "training": training, "live": live, "column": 1, **changes})


def test_series_that_can_be_judged() -> None:
    usual, live = RNG.normal(size=(2000, 2)), RNG.normal(size=(2400, 2))
    slow = usual.copy()
    slow[:, 0] = np.repeat(usual[::4, 0], 4)
    found = drift.cases(
        [
            listed("asd/one", slow, live),
            listed("smap_msl/A-1", usual, live, group="SMAP"),
            listed("nab/artificial/x", usual, live, group="NAB"),
            listed("asd/short", usual[:1000], live),
            listed("asd/coarse", usual.round(), live),
        ]
    )
    assert [(one.name, one.column, one.live.shape[1]) for one in found] == [
        ("asd/one", 1, 2),
        ("smap_msl/A-1", 0, 1),
    ]
    assert [one.drifts for one in found] == [(), ()]
    assert case(live=np.add(RNG.normal(size=(2400, 2)), [0.0, 0.6])).drifts == (1,)
    assert case(live=RNG.normal(size=(2400, 2)) * [2.5, 1.0]).drifts == (0,)


@pytest.mark.parametrize("fault", drift.FAULTS)
def test_faults_change_one_column(fault: tuple[str, float]) -> None:
    one = case()
    rows, before = drift.faulty(one, 700, fault), one.live[700:1200]
    assert np.array_equal(rows[:, 0], before[:, 0])
    kind, size = fault
    expected = {
        "none": before[:, 1],
        "shift": before[:, 1] + size * one.training[:, 1].std(),
        "gain": before[:, 1] * size,
        "dead": np.full(500, one.live[699, 1]),
    }[kind]
    assert np.array_equal(rows[:, 1], expected)
    assert one.live[700, 1] == before[0, 1]  # the series itself stays


def test_right_answers_are_counted() -> None:
    found = drift.judge(case(), StretchSettings())
    assert found["false"] == 0.0
    assert {name: drift.share(answers) for name, answers in found["right"].items()} == {
        "none": "5/5",
        "shift 1": "5/5",
        "shift 2": "5/5",
        "shift 4": "5/5",
        "gain 1.5": "0/5",
        "gain 3": "5/5",
        "dead": "5/5",
    }
    right, false = drift.total([found])
    assert (right, false) == (30 / 35, 0.0)
    assert drift.table([found]).splitlines()[-1].count("100 %") == 6
    moved = drift.judge(case(live=RNG.normal(size=(2400, 2)) + 3.0), StretchSettings())
    assert moved["false"] > 0.9
    # Where it is not fine before the fault, there is nothing to be right about.
    assert not any(moved["right"].values())
    still = drift.judge(case(live=np.zeros((2400, 2))), StretchSettings())
    assert still["right"]["gain 3"] == []

"""The insider-threat generator: columns, rhythm, incidents, determinism."""

from __future__ import annotations

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from slidecell.datasets import INSIDER_FEATURES, insider_threat  # noqa: E402


@pytest.fixture(scope="module")
def frame():
    return insider_threat(users=40, days=140, seed=3)


def test_datasets_columns_and_types(frame):
    assert list(frame.columns) == ["user", "day", *INSIDER_FEATURES, "label"]
    assert pd.api.types.is_datetime64_any_dtype(frame["day"])
    counts = frame[list(INSIDER_FEATURES)]
    assert (counts.dtypes == np.int64).all()
    assert (counts >= 0).all().all()
    assert set(frame["label"]) == {0, 1}
    assert frame["user"].nunique() == 40


def test_datasets_rows_are_ordered_unique_and_some_are_missing(frame):
    assert not frame.duplicated(["user", "day"]).any()
    assert frame.equals(frame.sort_values(["user", "day"], kind="stable"))
    assert 0.80 < len(frame) / (40 * 140) < 0.99


def test_datasets_same_seed_same_rows(frame):
    assert frame.equals(insider_threat(users=40, days=140, seed=3))
    assert not frame.equals(insider_threat(users=40, days=140, seed=4))


def test_datasets_user_does_not_depend_on_number_of_users(frame):
    more = insider_threat(users=41, days=140, seed=3, anomalous_users=0)
    fewer = insider_threat(users=40, days=140, seed=3, anomalous_users=0)
    assert more[more["user"] != "U0041"].equals(fewer)


def test_datasets_anomalous_users_are_as_many_as_asked(frame):
    assert frame.loc[frame["label"] == 1, "user"].nunique() == 4  # one in ten
    none = insider_threat(users=5, days=40, anomalous_users=0)
    assert none["label"].sum() == 0
    every = insider_threat(users=5, days=40, anomalous_users=5)
    assert every.loc[every["label"] == 1, "user"].nunique() == 5


def test_datasets_incidents_lie_in_the_last_three_fifths(frame):
    days = (frame["day"] - frame["day"].min()).dt.days
    assert days[frame["label"] == 1].min() >= 2 * 140 // 5


def test_datasets_weekends_are_quieter(frame):
    normal = frame[frame["label"] == 0]
    weekend = normal["day"].dt.day_of_week >= 5
    assert (
        normal.loc[weekend, "emails_sent"].mean() < 0.5 * normal.loc[~weekend, "emails_sent"].mean()
    )


def test_datasets_incidents_stand_out():
    frame = insider_threat(users=60, days=200, seed=0, anomalous_users=30)
    values = frame[list(INSIDER_FEATURES)].to_numpy(np.float64)
    normal = frame["label"].to_numpy() == 0
    scale = values[normal].std(axis=0)
    largest = ((values - values[normal].mean(axis=0)) / scale).max(axis=1)
    assert np.median(largest[~normal]) > 4 * np.median(largest[normal])


def test_datasets_variance_exceeds_poisson(frame):
    one = frame[(frame["label"] == 0) & (frame["day"].dt.day_of_week < 5)]
    spread = one.groupby("user")["emails_sent"].agg(["mean", "var"])
    assert (spread["var"] > spread["mean"]).mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"users": 0}, "users: expected a whole number of at least 1, got 0"),
        ({"days": 1.5}, "days: expected a whole number of at least 1, got 1.5"),
        ({"users": 3, "anomalous_users": 4}, "anomalous_users: expected 0 to 3"),
        ({"users": 3, "anomalous_users": -1}, "anomalous_users: expected 0 to 3"),
    ],
)
def test_datasets_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        insider_threat(**arguments)


def test_datasets_smallest():
    frame = insider_threat(users=1, days=1, seed=0)
    assert len(frame) == 1

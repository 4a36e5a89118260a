"""What every detector promises: rows in, scores out in input order, causal, bit for bit."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError

from slidecell.detect import Detector
from tests.detectors import (
    ALL,
    LEAVES_ITSELF_OUT,
    NETWORKS,
    PER_FEATURE,
    WINDOWED,
    make,
    rows_needed,
    series,
)

LENGTHS = (25, 3, 40)  # the second is shorter than a window
OFFSETS = np.concatenate(([0], np.cumsum(LENGTHS)))


@pytest.fixture(scope="module", params=ALL)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(kind: str) -> Detector:
    return make(kind).fit(series())


def frame(seed: int | None = None) -> pd.DataFrame:
    """Return three entities with their times, shuffled by the seed."""
    rows = series(int(OFFSETS[-1]))
    made = pd.DataFrame(rows, columns=["a", "b", "c"])
    made.insert(1, "user", np.repeat(["x", "y", "z"], LENGTHS))
    made["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        np.concatenate([np.arange(n) for n in LENGTHS]), unit="D"
    )
    return made if seed is None else made.sample(frac=1.0, random_state=seed)


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def test_scores_flags_and_threshold_belong_together(kind: str) -> None:
    X = series()
    detector = make(kind, contamination=0.1)
    assert detector.fit(X, y=None) is detector
    scores = detector.score_samples(X)
    assert scores.dtype == np.float64
    assert scores.shape == (60,)
    assert np.isnan(scores).sum() == rows_needed(kind) - 1
    assert same(scores, detector.decision_function(X))
    if kind in LEAVES_ITSELF_OUT:
        assert same(np.isnan(scores), np.isnan(detector.decision_scores_))
        assert np.nanmin(detector.decision_scores_ - scores) >= 0
        scores = detector.decision_scores_
    assert same(scores, detector.decision_scores_)
    assert isinstance(detector.threshold_, np.float64)
    assert detector.threshold_ == np.nanpercentile(scores, 90.0)
    flags = detector.predict(X)
    assert flags.dtype == np.int64
    if kind not in LEAVES_ITSELF_OUT:
        assert np.array_equal(flags, detector.labels_)
    above = np.nan_to_num(detector.score_samples(X), nan=-np.inf) > detector.threshold_
    assert np.array_equal(flags, above)
    assert detector.scored_share_ == np.isfinite(scores).mean()
    assert detector.n_features_in_ == 3
    assert detector.constant_features_ == []


def test_entities_are_kept_apart(kind: str) -> None:
    X = series(int(OFFSETS[-1]))
    detector = make(kind).fit(X, offsets=OFFSETS)
    scores = detector.score_samples(X, offsets=OFFSETS)
    for first, end in pairwise(OFFSETS.tolist()):
        if end - first >= rows_needed(kind):
            assert same(scores[first:end], detector.score_samples(X[first:end]))
        else:
            assert np.isnan(scores[first:end]).all()
    with pytest.raises(ValueError, match=r"offsets: expected to end at 68 \(rows of X\), got 60"):
        detector.score_samples(X, offsets=[0, 60])
    with pytest.raises(ValueError, match="offsets"):
        detector.fit(X, offsets=[0, 40, 20, 68])


def test_a_score_depends_on_its_window_alone(kind: str, fitted: Detector) -> None:
    X = series(5000, seed=3)
    scores = fitted.score_samples(X)
    needed = rows_needed(kind)
    for end in (needed, needed + 1, 17, 64, 1000, 4099):
        assert same(scores[:end], fitted.score_samples(X[:end]))  # not on what follows
        window = fitted.score_samples(X[end - needed : end])  # nor on what precedes
        assert same(window[-1], scores[end - 1])
    assert same(scores, fitted.score_samples(np.asfortranarray(X)))


def test_frames_come_in_any_order(kind: str) -> None:
    rows, columns = frame(), {"entity": "user", "time": "day"}
    values = rows[["a", "b", "c"]].to_numpy()
    first = make(kind).fit(values, offsets=OFFSETS)
    expected = first.score_samples(values, offsets=OFFSETS)
    detector = make(kind, **columns).fit(rows)
    assert detector.feature_names_in_.tolist() == ["a", "b", "c"]
    assert same(detector.decision_scores_, first.decision_scores_)
    assert same(detector.score_samples(rows), expected)
    shuffled = frame(seed=1)
    order = shuffled.index.to_numpy()
    other = make(kind, **columns).fit(shuffled)
    assert same(other.decision_scores_, first.decision_scores_[order])
    other = shuffled[["day", "c", "b", "user", "a"]].assign(more="text")
    assert same(detector.score_samples(other), expected[order])
    assert same(detector.score_samples(pl.from_pandas(other)), expected[order])
    assert np.array_equal(detector.predict(other), detector.predict(rows)[order])
    assert same(detector.score_samples(values, offsets=OFFSETS), expected)


def test_frames_without_entity_are_arrays_with_names(kind: str, fitted: Detector) -> None:
    X = series()
    named = pd.DataFrame(X, columns=["a", "b", "c"])
    detector = make(kind).fit(named)
    assert same(detector.decision_scores_, fitted.decision_scores_)
    assert same(detector.score_samples(named[["c", "a", "b"]]), fitted.score_samples(X))
    with pytest.raises(ValueError, match=r"X: expected the columns .* but 'b' is missing"):
        detector.score_samples(named[["a", "c"]])
    # A refit on an array forgets the names.
    assert not hasattr(detector.fit(X), "feature_names_in_")


def test_missing_values_have_no_score_and_leave_the_others(kind: str, fitted: Detector) -> None:
    X = series()
    before = fitted.score_samples(X)
    for value in (np.nan, np.inf, -np.inf):
        holes = X.copy()
        holes[30, 1] = value
        scores = fitted.score_samples(holes)
        touched = np.zeros(60, np.bool_)
        touched[30 : 30 + rows_needed(kind)] = True
        assert np.isnan(scores[touched]).all()
        assert same(scores[~touched], before[~touched])
        assert not fitted.predict(holes)[touched].any()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            share = make(kind).fit(holes).scored_share_
        assert share == (60 - (rows_needed(kind) - 1) - touched.sum()) / 60


def test_ffill_takes_the_past_of_the_entity(kind: str) -> None:
    X = series()
    X[[7, 8, 30, 31], 1] = np.nan
    X[31, 2] = np.inf
    filled = X.copy()
    filled[7:9, 1] = X[6, 1]
    filled[30, 1] = np.nan  # the first row of an entity has no past
    filled[31, 1] = np.nan
    filled[31, 2] = X[30, 2]
    offsets = [0, 30, 60]
    expected = make(kind).fit(filled, offsets=offsets)
    detector = make(kind, missing="ffill").fit(X, offsets=offsets)
    assert same(detector.decision_scores_, expected.decision_scores_)
    assert same(
        detector.score_samples(X, offsets=offsets), expected.score_samples(filled, offsets=offsets)
    )
    assert detector.scored_share_ > make(kind).fit(X, offsets=offsets).scored_share_
    assert np.isnan(X[7, 1])  # the caller's array is as it was


def test_constant_columns_are_kept_and_named(kind: str) -> None:
    X = series()
    X[:, 1] = 7.5
    detector = make(kind).fit(X)
    assert detector.constant_features_ == [1]
    assert np.isfinite(detector.score_samples(X)[rows_needed(kind) :]).all()
    named = make(kind).fit(pd.DataFrame(X, columns=["a", "b", "c"]))
    assert named.constant_features_ == ["b"]
    assert same(named.decision_scores_, detector.decision_scores_)
    with pytest.raises(ValueError, match="X: all columns are constant"):
        make(kind).fit(np.full((60, 2), 3.0))


def test_unusable_columns_are_named(kind: str) -> None:
    X = series()
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="X: column 2 has no values"):
        make(kind).fit(X)
    named = pd.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="X: column 'c' has no values"):
        make(kind).fit(named)
    for odd in (["text"] * 60, [1j] * 60, [object()] * 60, pd.date_range("2024", periods=60)):
        with pytest.raises(TypeError, match="X: column 'c': expected real numbers, got dtype"):
            make(kind).fit(named.assign(c=odd))
    with pytest.raises(TypeError, match="X: expected real numbers, got dtype <U"):
        make(kind).fit(np.full((60, 2), "text"))


def test_arguments_that_do_not_fit_are_refused(kind: str, fitted: Detector) -> None:
    X = series()
    with pytest.raises(ValueError, match=r"X: expected \[S, F\], got \[60\].*reshape\(-1, 1\)"):
        make(kind).fit(X[:, 0])
    with pytest.raises(ValueError, match=r"X: expected \[S, F\], got \[1, 60, 3\]"):
        make(kind).fit(X[None])
    with pytest.raises(ValueError, match=r"X: expected \[S, 3\] .*, got \[60, 2\]"):
        fitted.score_samples(X[:, :2])
    with pytest.raises(ValueError, match="X: expected at least 1 row, got 0"):
        fitted.score_samples(X[:0])
    for share in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="contamination: expected a share between 0 and 1"):
            make(kind, contamination=share).fit(X)
    with pytest.raises(ValueError, match="missing: expected 'skip' or 'ffill', got 'drop'"):
        make(kind, missing="drop").fit(X)
    for call in ("predict", "score_samples", "decision_function", "feature_scores"):
        with pytest.raises(NotFittedError):
            getattr(make(kind), call)(X)


def test_entity_and_time_columns_are_checked(kind: str) -> None:
    rows = frame()
    with pytest.raises(ValueError, match="entity: no column 'machine' in X"):
        make(kind, entity="machine").fit(rows)
    with pytest.raises(ValueError, match="entity: 'user' is a column of a DataFrame, got an array"):
        make(kind, entity="user").fit(series())
    with pytest.raises(ValueError, match="offsets: expected none beside the entity column 'user'"):
        make(kind, entity="user", time="day").fit(rows, offsets=OFFSETS)
    rows.loc[5, "user"] = None
    with pytest.raises(
        ValueError, match=r"X: entity column 'user': 1 empty, the first in data row 6"
    ):
        make(kind, entity="user", time="day").fit(rows)


@pytest.mark.parametrize("kind", WINDOWED)
def test_fewer_rows_than_a_window_are_refused(kind: str) -> None:
    needed = rows_needed(kind)
    what = rf"X: no window: one takes {needed} rows \(window 4.*the longest entity has {needed - 1}"
    short = series(3 * (needed - 1))
    offsets = np.arange(4) * (needed - 1)
    with pytest.raises(ValueError, match=what):
        make(kind).fit(short, offsets=offsets)
    fitted = make(kind).fit(series())
    with pytest.raises(ValueError, match=what):
        fitted.score_samples(short, offsets=offsets)
    assert np.isfinite(fitted.score_samples(series(needed))).sum() == 1  # one window is enough


def test_feature_scores_reduce_to_scores(kind: str, fitted: Detector) -> None:
    X = series(80, seed=5)
    X[20, 0] = np.nan
    if kind not in PER_FEATURE:
        assert fitted.feature_reduction is None
        with pytest.raises(ValueError, match=f"a {type(fitted).__name__} has no score per feature"):
            fitted.feature_scores(X)
        return
    errors, scores = fitted.feature_scores(X), fitted.score_samples(X)
    assert errors.shape == (80, 3)
    assert errors.dtype == np.float64
    reduced = errors.mean(axis=1) if fitted.feature_reduction == "mean" else errors.max(axis=1)
    if fitted.feature_reduction == "max":
        assert same(reduced, scores)
    else:  # networks: sums of float32
        tolerance = 1e-6 if kind in (*NETWORKS, "window_pca") else 1e-14
        np.testing.assert_allclose(reduced, scores, rtol=tolerance)
    assert same(np.isnan(errors), np.repeat(np.isnan(scores)[:, None], 3, axis=1))


def test_shuffled_frame_features_follow_their_rows() -> None:
    rows = frame(seed=2)
    detector = make("zscore", entity="user", time="day").fit(rows)
    errors = detector.feature_scores(rows)
    assert same(errors.max(axis=1), detector.decision_scores_)
    values = rows[["a", "b", "c"]].to_numpy()
    expected = np.abs((values - values.mean(axis=0)) / values.std(axis=0))
    np.testing.assert_allclose(errors, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.bool_])
def test_dtypes_are_taken_as_they_are(kind: str, dtype: type) -> None:
    X = (series() * 40 + 100).astype(dtype) if dtype != np.bool_ else series() > 0
    assert same(
        make(kind).fit(X).decision_scores_, make(kind).fit(X.astype(np.float64)).decision_scores_
    )

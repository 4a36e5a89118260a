"""Masks of numpy, nulls of pandas, polars and Arrow: NaN where NaN has a meaning, else refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import slidecell as sc
from slidecell.detect import ZScoreDetector
from slidecell.detect.attribution import feature_attribution
from slidecell.detect.fusion import fuse
from slidecell.evaluate import (
    alarms_per,
    evaluate,
    label_entities,
    pr_auc,
    rank_entities,
    roc_auc,
)
from slidecell.scaling import fit_scaler
from slidecell.thresholds import (
    CusumThreshold,
    DynamicThreshold,
    FixedThreshold,
    PercentileThreshold,
    RollingQuantileThreshold,
    SpotThreshold,
)
from slidecell.thresholds.smoothing import EWMA, MovingAverage
from tests.models import MODELS, random_model

S, MASKED = 40, 17


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """Numpy warns where it makes NaN of a masked number by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def masked(values: np.ndarray, place: Any = MASKED) -> np.ma.MaskedArray:
    """What is masked holds a number that would be seen."""
    array = np.ma.masked_array(values.copy(), mask=np.zeros(values.shape, bool))
    array[place] = np.ma.masked
    array.data[place] = -9999 if values.dtype.kind in "if" else 1
    return array


def with_nan(values: np.ndarray, place: Any = MASKED) -> np.ndarray:
    copy = values.astype(np.float64)
    copy[place] = np.nan
    return copy


def model(name: str = "lstm") -> sc.SequenceModel:
    return sc.SequenceModel(*random_model(np.random.default_rng(1), **MODELS[name]))


def same(got: Any, want: Any) -> None:
    np.testing.assert_array_equal(np.asarray(got, np.float64), np.asarray(want, np.float64))


# Series [S, 3] in which row 17 lacks its first number, by how it is missing.
SERIES: dict[str, Callable[[np.ndarray], Any]] = {
    "masked": lambda x: masked(x, (MASKED, 0)),
    "float32": lambda x: masked(x.astype(np.float32), (MASKED, 0)),
    "rows": lambda x: list(masked(x, (MASKED, 0))),
    "pandas": lambda x: pd.DataFrame(with_nan(x, (MASKED, 0))).convert_dtypes(),
    "arrow": lambda x: pd.DataFrame(with_nan(x, (MASKED, 0))).astype("float64[pyarrow]"),
    "polars": lambda x: pl.DataFrame(with_nan(x, (MASKED, 0))).fill_nan(None),
}


@pytest.fixture(params=SERIES)
def given(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray]:
    """A series with something missing, and the same with NaN there."""
    values = numbers(S, 3).astype(np.float32).astype(np.float64)
    return SERIES[request.param](values), with_nan(values, (MASKED, 0))


def test_models_take_what_is_missing_as_nan(given: tuple[Any, np.ndarray]) -> None:
    series, plain = given
    net = model()
    same(net.score(series), net.score(plain))
    same(net.predict(series), net.predict(plain))
    same(net.encode(series), net.encode(plain))
    assert np.isnan(net.score(series)[MASKED])
    same(net.stream().push_many([0] * S, series), net.score(plain, kernel="fma"))
    for attribution in (False, True):
        monitor = sc.Monitor(net.stream(), attribution=attribution)
        events = monitor.push_many([0] * S, series)
        same([event.score for event in events], net.score(plain, kernel="fma"))


def test_windows_take_what_is_missing_as_nan(given: tuple[Any, np.ndarray]) -> None:
    series, plain = given
    for got, want in zip(
        sc.sliding_windows(series, window=4), sc.sliding_windows(plain, window=4), strict=True
    ):
        same(got, want)
    plan = sc.WindowPlan([0, S], window=4, horizon=0)
    same(plan.gather(series, [MASKED]), plan.gather(plain, [MASKED]))
    assert np.isnan(plan.gather(series, [MASKED])[0, 0, 0])
    assert fit_scaler(series, "minmax") == fit_scaler(plain, "minmax")


def test_streams_take_masked_and_null_rows_as_missing() -> None:
    values = numbers(S, 3)
    net = model()
    want = net.score(with_nan(values, (MASKED, 0)), kernel="fma")
    kinds: list[Callable[[np.ma.MaskedArray], Any]] = [
        lambda row: row,
        lambda row: row.astype(np.float32),
        list,
        lambda row: pd.Series(row.filled(np.nan)).convert_dtypes(),
        lambda row: pl.Series(row.tolist()),
        lambda row: pa.array(row.tolist()),
    ]
    for kind in kinds:
        for stream in (net.stream(), sc.Monitor(net.stream())):
            rows = [kind(row) for row in masked(values, (MASKED, 0))]
            scores = [stream.push(row) for row in rows]
            got = [s.score if isinstance(s, sc.Event) else s for s in scores]
            np.testing.assert_allclose(got, want, rtol=1e-5)  # rows of float32 differ in rounding
            assert np.isnan(got[MASKED])


@pytest.mark.parametrize("kind", [sc.LSTM, sc.GRU, sc.RNN])
def test_recurrent_layers_take_masked_input_as_nan(kind: Any) -> None:
    net = kind(2, 3)
    rng = np.random.default_rng(1)
    net.load_state_dict({name: rng.random(shape) for name, shape in net._shapes().items()})
    for dtype in (np.float32, np.float64):
        x = rng.random((2, 4, 2)).astype(dtype)
        same(net.forward(masked(x, (1, 2, 0)))[0], net.forward(with_nan(x, (1, 2, 0)))[0])
        assert np.isnan(net.forward(masked(x, (1, 2, 0)))[0][1, 2]).any()
        step = net.step(masked(x[:, 0], (1, 0)))
        assert np.isnan((step[0] if isinstance(step, tuple) else step)[1]).any()
        state = masked(np.zeros((1, 2, 3), dtype), (0, 1, 0))
        pair = (state, np.zeros((1, 2, 3))) if kind is sc.LSTM else state
        with pytest.raises(TypeError, match=r"^h0: expected a number in every place, got none in"):
            net.forward(x, pair)
        pair = (state[0], np.zeros((2, 3))) if kind is sc.LSTM else state[0]
        with pytest.raises(TypeError, match=r"^h: expected a number in every place, got none in"):
            net.step(x[:, 0], pair)
    with pytest.raises(TypeError, match=r"^lengths: expected an integer in every place"):
        net.forward(x, lengths=masked(np.array([4, 4]), 1))
    weights = net.state_dict() | {"bias_hh_l0": masked(net.state_dict()["bias_hh_l0"], 0)}
    with pytest.raises(ValueError, match=r"bias_hh_l0: expected finite float32 numbers, got NaN"):
        net.load_state_dict(weights)


SCORES: dict[str, Callable[[np.ndarray], Any]] = {
    "masked": masked,
    "masked list": lambda x: list(masked(x)),
    "pandas": lambda x: pd.Series(with_nan(x)).convert_dtypes(),
    "arrow": lambda x: pd.Series(with_nan(x), dtype="float64[pyarrow]"),
    "polars": lambda x: pl.Series(with_nan(x)).fill_nan(None),
    "pyarrow": lambda x: pa.array(with_nan(x), from_pandas=True),
}


@pytest.fixture(params=SCORES)
def scores(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray]:
    values = numbers(S)
    return SCORES[request.param](values), with_nan(values)


@pytest.mark.parametrize(
    "rule",
    [
        FixedThreshold(0.5),
        PercentileThreshold(90.0),
        RollingQuantileThreshold(0.8, 12, min_scores=4),
        CusumThreshold(),
        DynamicThreshold(window=20, batch=5),
        SpotThreshold(level=0.5, q=1e-2),
    ],
    ids=lambda rule: rule.kind,
)
def test_thresholds_take_what_is_missing_as_nan(rule: Any, scores: tuple[Any, np.ndarray]) -> None:
    given, plain = scores
    given_rule, plain_rule = rule.fresh().fit(given), rule.fresh().fit(plain)
    assert given_rule.state() == plain_rule.state()
    same(given_rule.apply(given), plain_rule.apply(plain))
    assert not given_rule.apply(given)[MASKED]
    before = given_rule.state()
    for missing in (np.ma.masked, pd.NA):
        assert given_rule.update(missing) is False
    assert given_rule.state() == before


@pytest.mark.parametrize("smoothing", [MovingAverage(3), EWMA(0.5)])
def test_smoothing_takes_what_is_missing_as_nan(
    smoothing: Any, scores: tuple[Any, np.ndarray]
) -> None:
    given, plain = scores
    same(smoothing.apply(given), smoothing.apply(plain))
    assert np.isnan(smoothing.apply(given)[MASKED])
    assert np.isnan(smoothing.update(np.ma.masked))
    with pytest.raises(TypeError, match=r"^score: expected a number, got '1'"):
        smoothing.update("1")


def test_metrics_leave_out_rows_whose_score_is_missing(scores: tuple[Any, np.ndarray]) -> None:
    given, plain = scores
    labels = np.arange(S) % 4 == 0
    assert evaluate(labels, given) == evaluate(labels, plain)
    assert evaluate(labels, given).unscored_rows == 1
    assert roc_auc(labels, given) == roc_auc(labels, plain)
    assert pr_auc(labels, given) == pr_auc(labels, plain)
    same(rank_entities(given, [0, S]), rank_entities(plain, [0, S]))


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float64])
def test_labels_and_flags_may_not_be_missing(dtype: Any) -> None:
    truth = masked((np.arange(S) % 4 == 0).astype(dtype))
    nulls = pd.Series(truth.filled(0)).astype("boolean")
    nulls[MASKED] = pd.NA
    for labels in (truth, nulls, pl.from_pandas(nulls)):
        with pytest.raises(ValueError, match=r"^labels: expected 0 or 1 .* got nan in row 17"):
            evaluate(labels, numbers(S))
        with pytest.raises(ValueError, match=r"^labels: expected 0 or 1 .* got nan in row 17"):
            label_entities(labels, [0, S])
        with pytest.raises(ValueError, match=r"^flags: expected 0 or 1 .* got nan in row 17"):
            alarms_per(labels, 5)


def places() -> list[Any]:
    """[0, 40, 0], of which the second is missing."""
    return [
        masked(np.array([0, S, S]), 1),
        [0, np.ma.masked, S],
        pd.Series([0, pd.NA, S], dtype="Int64"),
        pl.Series([0, None, S]),
        pa.array([0, None, S]),
    ]


@pytest.mark.parametrize("offsets", places(), ids=lambda given: type(given).__name__)
def test_whole_numbers_may_not_be_missing(offsets: Any) -> None:
    series, net = numbers(S, 3), model()
    detector = ZScoreDetector().fit(series)

    def said(name: str, call: Callable[[], Any]) -> None:
        text = rf"^{name}: expected an integer in every place, got none in place 1$"
        with pytest.raises(TypeError, match=text):
            call()

    said("offsets", lambda: net.score(series, offsets))
    said("offsets", lambda: net.fit_error(series, offsets))
    said("offsets", lambda: sc.WindowPlan(offsets, window=2))
    said("offsets", lambda: sc.sliding_windows(series, window=2, offsets=offsets))
    said("offsets", lambda: MovingAverage(2).apply(numbers(S), offsets))
    said("offsets", lambda: FixedThreshold(0.5).apply(numbers(S), offsets))
    said("offsets", lambda: rank_entities(numbers(S), offsets))
    said("offsets", lambda: detector.score_samples(series, offsets=offsets))
    said("lengths", lambda: sc.WindowPlan.from_lengths(offsets, window=2))
    said("indices", lambda: sc.WindowPlan([0, S], window=2).gather(series, offsets))
    said("rows", lambda: feature_attribution(detector, series, offsets))
    for stream in (
        net.stream(9),
        sc.Monitor(net.stream(9)),
        sc.Monitor(net.stream(9), attribution=False),
    ):
        said("entity_ids", lambda s=stream: s.push_many(offsets, series[:3]))


def test_whole_numbers_of_pandas_are_taken_where_none_is_missing() -> None:
    series, net = numbers(S, 3), model()
    for dtype in ("Int64", "int64[pyarrow]", "UInt8"):
        offsets = pd.Series([0, 15, S], dtype=dtype)
        same(net.score(series, offsets), net.score(series, [0, 15, S]))
        assert sc.WindowPlan(offsets, window=2).offsets.tolist() == [0, 15, S]


def test_keys_and_times_may_not_be_missing() -> None:
    for keys in (
        masked(np.array([1, 1, 1]), 1),
        masked(np.array([True, True, True]), 1),
        np.ma.masked_array(["a", "a", "a"], mask=[0, 1, 0]),
        np.ma.masked_array(["a", "a", "a"], mask=[0, 1, 0], dtype=object),
        ["a", np.ma.masked, "a"],
        pd.Series([1, pd.NA, 1], dtype="Int64"),
        pl.Series([1, None, 1]),
        pl.Series(["a", None, "a"]),
        pa.array(["a", None, "a"]),
    ):
        with pytest.raises(
            ValueError, match=r"^keys: expected a key in every row, got none in row 1"
        ):
            sc.entity_offsets(keys)
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[D]")
    for time in (masked(np.array([0, 1, 2]), 1), np.ma.masked_array(days, mask=[0, 1, 0])):
        with pytest.raises(
            ValueError, match=r"^time: expected a time in every row, got (nan|NaT) in row 1"
        ):
            sc.entity_offsets([1, 1, 1], time)


def test_fused_scores_take_what_is_masked_as_nan() -> None:
    columns = numbers(S, 2)
    same(fuse(masked(columns, (MASKED, 1)), [1, 2]), fuse(with_nan(columns, (MASKED, 1)), [1, 2]))


def test_detectors_take_what_is_missing_as_nan(given: tuple[Any, np.ndarray]) -> None:
    series, plain = given
    detector = ZScoreDetector().fit(plain)
    again = ZScoreDetector().fit(series)
    same(again.decision_scores_, detector.decision_scores_)
    same(again.score_samples(series), detector.score_samples(plain))
    assert np.isnan(again.decision_scores_[MASKED])

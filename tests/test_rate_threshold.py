"""Thresholds by a rate: what is asked, what is expected, what is seen."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from slidecell.thresholds import RateThreshold, find_events, threshold_from_state
from slidecell.thresholds.event_counts import count_events
from slidecell.thresholds.rate import chance_interval
from slidecell.thresholds.rate_text import read_rate

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2024-01-01", "ns")


def waves(rows: int, seed: int = 0) -> np.ndarray:
    """Autocorrelated scores: flags come in clusters."""
    noise = np.random.default_rng(seed).exponential(size=rows + 9)
    return np.convolve(noise, np.ones(10) / 10, mode="valid")


@pytest.mark.parametrize(
    ("text", "of", "per_one", "by_entity"),
    [
        ("0.1%", "share", 0.001, False),
        (" 2.5 % ", "share", 0.025, False),
        ("3/day", "time", 3 / (24 * 3600e9), False),
        ("3 / Day", "time", 3 / (24 * 3600e9), False),
        (".5/hour", "time", 0.5 / 3600e9, False),
        ("2/entity/week", "time", 2 / (7 * 24 * 3600e9), True),
        ("1/month", "time", 1 / (30 * 24 * 3600e9), False),
        ("1/year", "time", 1 / (365 * 24 * 3600e9), False),
        ("5/1000rows", "rows", 0.005, False),
        ("1/250 rows", "rows", 0.004, False),
    ],
)
def test_rates_are_read(text: str, of: str, per_one: float, by_entity: bool) -> None:
    rate = read_rate(text)
    assert (rate.of, rate.by_entity) == (of, by_entity)
    assert rate.per_one == pytest.approx(per_one, rel=1e-15)
    assert read_rate(rate.with_number(rate.number)) == rate


@pytest.mark.parametrize(
    "text",
    [
        *("", "3", "0%", "100%", "-1%", "0/day", "3/fortnight", "3/entity", "2/entity/1000rows"),
        *("5/0rows", "5/rows", "1e3%", "nan%", "3/day/entity", "3/day 2", f"1/{'9' * 5000}rows"),
    ],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    expected = "rate: expected a share of rows as 0.1%, or events as 3/day, 2/entity/week or"
    with pytest.raises(ValueError, match=expected):
        RateThreshold(text)


@pytest.mark.parametrize("rate", [0.001, 3, True, b"3/day"])
def test_a_rate_is_a_text(rate: Any) -> None:
    with pytest.raises(TypeError, match=f"rate: expected .*, got {rate!r}"):
        RateThreshold(rate)


@pytest.mark.parametrize("gap", [0, 1, 2, 3, 7, 50, 1000])
@pytest.mark.parametrize("levels", [5, 1000])
def test_events_are_counted_as_they_are_found(gap: int, levels: int) -> None:
    rng = np.random.default_rng(gap + levels)
    scores = np.floor(rng.random(300) * levels)
    scores[rng.random(300) < 0.1] = np.nan
    scores[rng.random(300) < 0.02] = np.inf
    offsets = np.array([0, 1, 1, 120, 300])
    counts = count_events(scores, offsets, gap)
    for threshold in np.unique(scores[np.isfinite(scores)]):
        found = find_events(scores > threshold, scores, offsets, gap=gap)
        # Between two of the thresholds the number of events does not change.
        place = (counts.thresholds <= threshold).argmax()
        assert counts.events[place] == len(found)
    assert counts.most == max(counts.events)
    reached = counts.thresholds[counts.events >= counts.most]
    assert counts.highest(counts.most) == reached.max()


def test_a_share_is_a_conformal_quantile() -> None:
    scores = np.random.default_rng(0).permutation(1000.0 + np.arange(999))
    for share, above in (("10%", 99), ("1%", 9), ("0.1%", 0)):
        # Of 999 scores and a new one in any order, the new one is among the highest of 1000.
        rule = RateThreshold(share).fit(scores)
        assert (scores > rule.threshold).sum() == above
    with pytest.raises(ValueError, match=r"999 scores .* too few for '0.09%' .* least '0.1%'"):
        RateThreshold("0.09%").fit(scores)


def test_a_share_holds_for_new_scores() -> None:
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(300):
        rule = RateThreshold("5%").fit(rng.normal(size=60))
        shares.append((rng.normal(size=200) > rule.threshold).mean())
    # Of 60 scores rank 58 is taken: a new one exceeds it with probability 3 / 61.
    assert np.mean(shares) == pytest.approx(3 / 61, abs=0.004)


def test_events_of_the_calibration_rows_reach_the_rate_at_no_higher_threshold() -> None:
    scores, offsets = waves(20_000), [0, 7_000, 20_000]
    rule = RateThreshold("4/1000rows", gap=20).fit(scores, offsets)
    found = find_events(scores > rule.threshold, scores, offsets, gap=20)
    assert len(found) == 80
    higher = np.sort(scores[scores > rule.threshold])[0]
    assert len(find_events(scores > higher, scores, offsets, gap=20)) < 80
    seen = rule.seen(waves(20_000, seed=1))
    assert (seen.asked, seen.unit, seen.expected) == ("4/1000rows", "events", 80.0)
    assert 80 / 1.5 < seen.seen < 80 * 1.5
    assert seen.rate == f"{seen.seen / 20:.3g}/1000rows"


@pytest.mark.parametrize("unit", ["rows", "day", "entity"])
def test_a_rate_counts_rows_or_time_or_entities(unit: str) -> None:
    """Three entities at once, a row an hour: the same threshold in three units."""
    scores = waves(30_000)
    offsets = np.array([0, 10_000, 20_000, 30_000])
    times = np.tile(START + np.arange(10_000) * HOUR, 3)
    days = 10_000 / 24
    asked = {
        "rows": "5/1000rows",
        "day": f"{150 / days:.12f}/day",
        "entity": f"{50 / days * 7:.12f}/entity/week",
    }[unit]
    rule = RateThreshold(asked, gap=10).fit(scores, offsets, times=times)
    plain = RateThreshold("5/1000rows", gap=10).fit(scores, offsets)
    assert rule.threshold == plain.threshold
    seen = rule.seen(scores, offsets, times=times)
    assert seen.expected == pytest.approx(150)
    assert seen.seen == 150
    assert read_rate(seen.rate).number == pytest.approx(read_rate(asked).number, rel=5e-3)


def test_rows_held_out_calibrate_and_the_others_tell_how_many_entities_there_are() -> None:
    scores = np.concatenate([waves(4_000) / 2, waves(4_000, 1) / 2, waves(4_000, 2)])
    offsets = np.array([0, 4_000, 8_000, 12_000])
    times = np.tile(START + np.arange(4_000) * HOUR, 3)
    held_out = np.arange(12_000) >= 8_000
    days = 4_000 / 24
    rule = RateThreshold(f"{60 / days:.9f}/day", gap=5).fit(
        scores, offsets, times=times, held_out=held_out
    )
    alone = scores[8_000:]
    # A third of the entities has a third of the events.
    assert len(find_events(alone > rule.threshold, alone, gap=5)) == 20


def test_a_rate_beyond_the_calibration_rows_takes_the_tail_of_the_peaks() -> None:
    pytest.importorskip("libspot")
    rng = np.random.default_rng(3)
    scores = rng.exponential(size=20_000)
    held_out = np.arange(20_000) >= 16_000
    rule = RateThreshold("0.75/1000rows").fit(scores, held_out=held_out)
    # 3 events are expected of 4,000 rows; the true quantile is that of the exponential.
    assert rule.threshold == pytest.approx(-np.log(0.75 / 1000), rel=0.15)
    new = rng.exponential(size=200_000)
    seen = rule.seen(new)
    assert 150 / 1.5 < seen.seen < 150 * 1.5


def test_a_rate_that_the_rows_cannot_support_is_refused() -> None:
    scores = waves(2_000)
    message = r"let expect 2 events at '1/1000rows', fewer than 10: .* at least '5/1000rows'"
    with pytest.raises(ValueError, match=message):
        RateThreshold("1/1000rows").fit(scores)
    assert RateThreshold("5/1000rows").fit(scores).seen(scores).seen == 10
    times = START + np.arange(2_000) * HOUR
    with pytest.raises(ValueError, match=r"at '1/month', fewer than 10: .* at least '3.6/month'"):
        RateThreshold("1/month").fit(scores, times=times)
    RateThreshold("3.6/month").fit(scores, times=times)
    with pytest.raises(ValueError, match=r"at most 10 that are more than 198 rows apart: .*'5/1"):
        RateThreshold("7/1000rows", gap=198).fit(np.tile([9.0] + [1.0] * 199, 10))


@pytest.mark.parametrize(
    ("times", "why"),
    [(None, "there are no times"), (np.arange(500), "the times are numbers without a unit")],
)
def test_a_rate_in_time_needs_dates(times: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"'3/day' needs times that are dates, but {why}"):
        RateThreshold("3/day").fit(np.arange(500.0), times=times)


def test_bad_times_are_named() -> None:
    times = START + np.arange(100) * HOUR
    with pytest.raises(ValueError, match="times: expected 99, one per score, got 100"):
        RateThreshold("3/day").fit(np.arange(99.0), times=times)
    with pytest.raises(ValueError, match=r"times: expected them in order .*, row 1 goes back"):
        RateThreshold("3/day").fit(np.arange(100.0), times=times[::-1])


def test_where_nothing_is_asked_few_rows_get_a_share_and_many_a_rate() -> None:
    few = RateThreshold().fit(waves(5_000))
    assert few.met == "1%"
    share = RateThreshold("1%").fit(waves(5_000)).threshold
    assert few.threshold == max(share, np.percentile(waves(5_000), 99.0))
    many = RateThreshold(gap=10).fit(waves(50_000))
    rate = RateThreshold("1/1000rows", gap=10).fit(waves(50_000))
    assert (many.met, many.threshold) == ("1/1000rows", rate.threshold)
    # A quiet end calibrates, but what was usual before is not flagged.
    quiet = np.concatenate([waves(4_000), waves(1_000) / 5])
    of_all = RateThreshold().fit(quiet, held_out=np.arange(5_000) >= 4_000)
    assert of_all.threshold == np.percentile(quiet, 99.0)
    tiny = RateThreshold().fit([1.0, 3.0, 2.0, np.nan])
    assert tiny.threshold == 3.0
    # Long events: one in 1,000 rows would flag half of them.
    blocks = np.repeat(np.random.default_rng(0).random(100), 500)
    long = RateThreshold().fit(blocks + np.arange(50_000) * 1e-9)
    assert long.met == "1%"
    assert (blocks > long.threshold).mean() <= 0.01


def test_a_rate_is_a_fixed_number_that_is_saved_and_loaded() -> None:
    scores = waves(20_000)
    rule = RateThreshold("2/1000rows", gap=3).fit(scores, [0, 9_000, 20_000])
    state = json.loads(json.dumps(rule.state()))
    again = threshold_from_state(state)
    assert isinstance(again, RateThreshold)
    assert again.threshold == rule.threshold
    assert again.seen(scores) == rule.seen(scores)
    assert rule.is_constant
    one_by_one = rule.fresh()
    flags = [one_by_one.update(score) for score in scores[:500]]
    assert flags == rule.apply(scores)[:500].tolist()
    with pytest.raises(ValueError, match="'rate': expected '2/1000rows' as in this threshold"):
        rule.load_state({**state, "rate": "3/1000rows"})
    for damaged in ({"fitted": 3}, {"fitted": {**state["fitted"], "met": "x"}}):
        with pytest.raises(ValueError, match=r"'fitted': expected|'met': rate: expected"):
            threshold_from_state({**state, **damaged})
    with pytest.raises(ValueError, match="call fit before"):
        RateThreshold("1%").update(1.0)


@pytest.mark.parametrize(
    ("expected", "calibrated_by"), [(0.2, 10), (3, 5), (10, 1e9), (100, 80), (290, 60), (5000, 1e3)]
)
def test_the_interval_is_that_of_the_negative_binomial(
    expected: float, calibrated_by: float
) -> None:
    stats = pytest.importorskip("scipy.stats")
    share = calibrated_by / (expected + calibrated_by)
    low, high = stats.nbinom(calibrated_by, share).ppf([0.05, 0.95])
    # Above 300 the normal distribution takes its place.
    few = 0 if expected < 300 else 0.005 * expected
    assert chance_interval(expected, calibrated_by) == pytest.approx((low, high), abs=few)


def test_infinite_scores_are_events_at_any_threshold() -> None:
    scores = waves(20_000)
    scores[[100, 5_000, 9_000]] = np.inf
    rule = RateThreshold("1/1000rows", gap=5).fit(scores)
    assert np.isfinite(rule.threshold)
    assert len(find_events(scores > rule.threshold, scores, gap=5)) == 20
    with pytest.raises(ValueError, match="training_scores: expected at least 1 finite, got 0"):
        RateThreshold("1%").fit([np.inf, np.nan])

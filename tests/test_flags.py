"""Flags: raised alarms are proved by exact scores, missed ones are bounded by a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.thresholds import FixedThreshold, RollingQuantileThreshold
from slidecell.thresholds.smoothing import EWMA, MovingAverage, TrailingMean
from tests.models import layer, random_model

F = 3


def forecaster(seed: int = 0, cell: str = "lstm", **options: Any) -> sc.SequenceModel:
    rng = np.random.default_rng(seed)
    return sc.SequenceModel(
        *random_model(rng, [layer(cell, 8)], features=F, **{"window": 12, **options})
    )


def unforgetting() -> sc.SequenceModel:
    """A net whose state matters to its predictions, and never fades."""
    model = forecaster()
    tensors = {name: array.copy() for name, array in model._tensors.items()}
    tensors["encoder.0.bias_ih_l0"][8:16] += 10.0  # ifgo
    tensors["head.weight"] *= 4.0
    return sc.SequenceModel(model.metadata, tensors)


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, F)).astype(np.float32)


def check(
    model: sc.SequenceModel,
    series: np.ndarray,
    threshold: Any,
    offsets: Any = None,
    smoothing: Any = None,
    **options: Any,
) -> tuple[sc.Flags, np.ndarray]:
    """Return flags, for which all that is promised was seen to hold, and the exact ones."""
    stride, reduction = options.get("stride", 1), options.get("reduction", "mse")
    exact = model.score(series, offsets, stride=stride, reduction=reduction)
    flags = model.flag(series, threshold, offsets, smoothing=smoothing, **options)
    bounds = [0, len(series)] if offsets is None else offsets
    limits = np.asarray(threshold, float)
    if limits.ndim and len(limits) != len(series):
        limits = np.repeat(limits, np.diff(bounds))
    judged = exact.astype(float) if smoothing is None else smoothing.apply(exact, bounds)
    truth = judged > limits
    np.testing.assert_array_equal(np.isnan(flags.score), np.isnan(exact))
    np.testing.assert_array_equal(flags.score[flags.exact], exact[flags.exact])
    assert not flags.exact[np.isnan(exact)].any()
    assert not (flags.flagged & ~truth).any()  # no alarm is false
    assert flags.exact[flags.flagged].all()
    audit = flags.audit
    missed = int((truth & ~flags.flagged).sum())
    assert missed <= audit.wrong_at_most
    assert audit.windows == np.count_nonzero(~np.isnan(exact))
    assert audit.recomputed == np.count_nonzero(flags.exact)
    if audit.method == "exact":
        assert audit.cheap == audit.wrong_at_most == 0
        np.testing.assert_array_equal(flags.flagged, truth)
    elif audit.verified < audit.cheap:
        assert audit.wrong == 0
        assert audit.verified == options.get("audit", 1024)
        assert audit.wrong_at_most == 3 * audit.cheap / audit.verified
    else:
        assert audit.wrong_at_most == 0
    return flags, truth


@pytest.mark.parametrize("mode", ["carried", "carried_low", "medium", "low", "none"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("percentile", [50, 95, 99.9])
def test_flags_are_those_of_exact_scores(mode: Any, cell: str, percentile: float) -> None:
    model, series = forecaster(cell=cell), rows(6000)
    series[685] = np.nan
    threshold = float(np.nanpercentile(model.score(series), percentile))
    flags, truth = check(model, series, threshold, speculate=mode, audit=64)
    np.testing.assert_array_equal(flags.flagged, truth)
    assert flags.audit.method == ("exact" if mode == "none" else mode)
    assert flags.audit.reasons == ()
    if mode == "carried":
        # The least prime >= 48 is 53; the seam whose window holds the missing row has no distance.
        assert flags.audit.seams == 5999 // 53 - 1
        # What is flagged is exact, what was verified, and the seams, but hardly anything else.
        assert truth.sum() <= flags.audit.recomputed <= truth.sum() + 64 + 112 + 60


@pytest.mark.parametrize("mode", ["carried", "carried_low", "medium", "low"])
def test_scores_that_meet_the_threshold_exactly(mode: Any) -> None:
    model, series = forecaster(), rows(5000)
    exact = np.sort(model.score(series))[:4988].astype(float)
    for rank in (4000, 4900):
        on, above = exact[rank], exact[rank + 1]
        between = (on + above) / 2
        for threshold in (on, np.nextafter(on, -1), between, above):
            flags, truth = check(model, series, threshold, speculate=mode, audit=32)
            np.testing.assert_array_equal(flags.flagged, truth)


def test_the_same_for_all_threads_and_every_time() -> None:
    model, series = forecaster(), rows(5000)
    offsets = [0, 1300, 1301, 1400, 5000]
    for mode in ("carried", "carried_low", "medium", "auto"):
        first = model.flag(series, 1.5, offsets, speculate=mode, audit=50, num_threads=1)
        for threads in (1, 2, 3):
            again = model.flag(series, 1.5, offsets, speculate=mode, audit=50, num_threads=threads)
            for name in ("flagged", "score", "exact"):
                np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
            np.testing.assert_array_equal(again.audit.margin, first.audit.margin)
            assert str(again.audit) == str(first.audit)


def test_thresholds_by_entity_and_by_row() -> None:
    model, series = forecaster(), rows(3000)
    offsets = [0, 1000, 1000, 3000]
    by_entity = [1.2, 5.0, 2.0]
    flags, truth = check(model, series, by_entity, offsets, speculate="carried", audit=16)
    assert 0 < flags.flagged[:1000].sum() < 1000
    by_row = np.repeat(by_entity, np.diff(offsets))
    same = model.flag(series, by_row, offsets, speculate="carried", audit=16)
    np.testing.assert_array_equal(same.flagged, flags.flagged)
    np.testing.assert_array_equal(same.score, flags.score)
    varied = 1.5 + np.sin(np.arange(3000) / 50)
    varied[10:200] = np.inf  # never flagged
    varied[1500:1510] = -np.inf  # flagged where there is a score
    flags, truth = check(model, series, varied, offsets, speculate="carried", audit=16)
    assert flags.audit.distance == "log"
    np.testing.assert_array_equal(flags.flagged, truth)
    assert not flags.flagged[10:200].any()
    assert flags.flagged[1500:1510].all()
    varied[2000:2010] = -3.0  # all scores lie above
    varied[2010:2012] = 0.0
    flags, truth = check(model, series, varied, offsets, speculate="carried", audit=16)
    np.testing.assert_array_equal(flags.flagged, truth)
    assert flags.flagged[2000:2012].all()
    assert flags.audit.distance == "log"


def test_one_threshold_for_each_of_as_many_entities_as_rows() -> None:
    model = forecaster(window=2)
    offsets = [0, 0, 0, 0, 4]  # four entities, four rows
    flags = model.flag(rows(4), [9.0, 9.0, 9.0, 1e-9], offsets, speculate="carried")
    assert flags.flagged.tolist() == [False, False, True, True]


@pytest.mark.parametrize("mode", ["carried", "carried_low", "medium", "auto"])
def test_thresholds_that_are_not_positive_take_differences(mode: Any) -> None:
    model, series = forecaster(), rows(4000)
    for threshold in (0.0, -1.0):
        flags, truth = check(model, series, threshold, speculate=mode, audit=32)
        np.testing.assert_array_equal(flags.flagged, truth)
        assert flags.audit.distance == "absolute"
        assert flags.flagged.sum() == 4000 - 12
    gaussian = forecaster(gaussian=True)
    scores = gaussian.score(series, reduction="nll")
    threshold = float(np.nanpercentile(scores, 97))
    flags, truth = check(gaussian, series, threshold, reduction="nll", speculate=mode, audit=32)
    np.testing.assert_array_equal(flags.flagged, truth)
    assert flags.audit.distance == "absolute"


@pytest.mark.parametrize("smoothing", [MovingAverage(4), TrailingMean(7), TrailingMean(1)])
def test_moving_averages(smoothing: Any) -> None:
    model, series = forecaster(), rows(6000)
    series[[1000, 1001, 3000]] = np.nan
    offsets = [0, 2000, 2005, 6000]
    judged = smoothing.apply(model.score(series, offsets), offsets)
    for percentile in (90, 99):
        threshold = float(np.nanpercentile(judged, percentile))
        flags, truth = check(
            model, series, threshold, offsets, smoothing, speculate="carried", audit=20
        )
        np.testing.assert_array_equal(flags.flagged, truth)
        assert flags.flagged.sum() > 0
        # All scores that a raised flag rests on are exact: so is their average.
        np.testing.assert_array_equal(
            smoothing.apply(flags.score, offsets)[flags.flagged], judged[flags.flagged]
        )
        assert flags.audit.verified == 20
    by_state = model.flag(
        series, threshold, offsets, smoothing=smoothing.state(), speculate="carried", audit=20
    )
    np.testing.assert_array_equal(by_state.flagged, flags.flagged)


def test_a_net_that_does_not_forget_is_scored_exactly() -> None:
    model, series = unforgetting(), rows(6000)
    for percentile in (80, 90):
        threshold = float(np.nanpercentile(model.score(series), percentile))
        flags, truth = check(model, series, threshold, speculate="auto", audit=100)
        np.testing.assert_array_equal(flags.flagged, truth)
        carried = model.score(series, windows="carried")
        assert ((carried > threshold) != truth).sum() > 200
        reasons = [r for r in flags.audit.reasons if r.startswith("carried: would not pay")]
        assert len(reasons) == 1
        named, truth = check(model, series, threshold, speculate="carried", audit=100)
        np.testing.assert_array_equal(named.flagged, truth)
        assert named.audit.share_recomputed > 0.7


@pytest.mark.parametrize("percentile", [90, 97, 99.5])
def test_a_net_that_remembers_only_while_an_anomaly_lasts(percentile: float) -> None:
    """Cheap scores are wrong where alarms are, and right at most seams."""
    rng = np.random.default_rng(5)
    metadata, tensors = random_model(rng, [layer("lstm", 8)], features=F, window=12)
    tensors["encoder.0.bias_ih_l0"][8:16] -= 2.0
    tensors["encoder.0.weight_ih_l0"][8:16, 0] = 4.0  # the first column holds the gates open
    tensors["head.weight"] *= 4.0
    model = sc.SequenceModel(metadata, tensors)
    series = rows(20000, 7) * 0.3
    for start in range(900, 20000, 1900):
        series[start : start + 150, 0] = 3.0
    exact, carried = model.score(series), model.score(series, windows="carried")
    threshold = float(np.nanpercentile(exact, percentile))
    wrong = (exact > threshold) != (carried > threshold)
    assert wrong.sum() > 5
    for mode in ("auto", "carried", "carried_low"):
        flags, truth = check(model, series, threshold, speculate=mode, audit=200)
        assert (flags.flagged != truth).sum() <= wrong.sum() / 10


def test_a_younger_chain_sees_where_the_net_remembers() -> None:
    """A missing row before each seam starts its chain anew: the seams see no distance at all."""
    model, series = unforgetting(), rows(53 * 60)
    series[53 - 12 - 1 :: 53] = np.nan
    exact = model.score(series)
    threshold = float(np.nanpercentile(exact, 98))
    plain, truth = check(model, series, threshold, speculate="carried", audit=1)
    assert (plain.flagged != truth).sum() > 5  # one verified decision, which was right
    assert plain.audit.margin[0] < 1e-4
    assert not plain.audit.certified
    flags, truth = check(model, series, threshold, speculate="carried", audit=1, certify=True)
    np.testing.assert_array_equal(flags.flagged, truth)
    assert flags.audit.certified
    assert "certified: a younger chain" in str(flags.audit)
    for threads in (1, 2):
        again = model.flag(
            series, threshold, speculate="carried", audit=1, certify=True, num_threads=threads
        )
        np.testing.assert_array_equal(again.score, flags.score)
        np.testing.assert_array_equal(again.exact, flags.exact)


def test_chains_of_codes_are_certified_too() -> None:
    model, series = unforgetting(), rows(53 * 60)
    series[53 - 12 - 1 :: 53] = np.nan
    threshold = float(np.nanpercentile(model.score(series), 98))
    flags, truth = check(model, series, threshold, speculate="carried_low", audit=100, certify=True)
    np.testing.assert_array_equal(flags.flagged, truth)
    assert (flags.audit.method, flags.audit.certified) == ("carried_low", True)


def test_codes_are_measured_against_exact_scores() -> None:
    """A seam's cheap score is that of a chain of codes, its exact score that of `score`."""
    model, series = forecaster(), rows(3000)
    exact = model.score(series).astype(float)
    carried = model.score(series, windows="carried", precision="low").astype(float)
    # The least prime >= 48 is 53: the chain of a block scores the first window of the next one,
    # whose own score there is of age 12.
    threshold = float(np.nanpercentile(exact, 99))
    flags = model.flag(series, threshold, speculate="carried_low", audit=16)
    cheap = ~flags.exact & ~np.isnan(exact)
    assert cheap.sum() > 2500
    np.testing.assert_array_equal(flags.score[cheap], carried.astype(np.float32)[cheap])
    starts = np.arange(53, 3000, 53)
    np.testing.assert_array_equal(flags.score[starts], exact[starts].astype(np.float32))
    distance = np.abs(np.log((exact + threshold / 10) / (carried + threshold / 10)))[cheap]
    assert 1e-3 < np.quantile(distance, 0.99) < 4 * flags.audit.seam_p99
    assert flags.audit.margin[0] >= 2 * flags.audit.seam_p99


def test_auto_takes_codes_where_their_products_are_cheap() -> None:
    model = sc.SequenceModel(
        *random_model(np.random.default_rng(0), [layer("lstm", 64)], features=F, window=50)
    )
    series = rows(12_000)
    threshold = float(np.nanpercentile(model.score(series), 99.95))
    usual = sc.active_isa()
    try:
        for isa in sc.available_isas():
            if "amx" in isa:
                continue  # exact scores are cheaper there, by counts that no machine confirmed yet
            sc.set_isa(isa)
            kernel = str(model.plan("low")["kernel"])
            slow = any(name in kernel for name in ("plain", "vpmaddwd", "smull"))
            flags, truth = check(model, series, threshold, audit=200)
            np.testing.assert_array_equal(flags.flagged, truth)
            assert flags.audit.method == ("carried" if slow else "carried_low")
    finally:
        sc.set_isa(usual)


def test_certified_flags_of_a_net_that_forgets() -> None:
    model, series = forecaster(), rows(6000)
    series[[1000, 3000]] = np.nan
    offsets = [0, 2000, 2005, 6000]
    threshold = float(np.nanpercentile(model.score(series, offsets), 98))
    plain = model.flag(series, threshold, offsets, audit=50)
    for smoothing in (None, TrailingMean(3)):
        flags, truth = check(
            model, series, threshold, offsets, smoothing, speculate="auto", audit=50, certify=True
        )
        np.testing.assert_array_equal(flags.flagged, truth)
        assert (flags.audit.method, flags.audit.certified) == ("carried", True)
    flags = model.flag(series, threshold, offsets, audit=50, certify=True)
    assert plain.audit.recomputed <= flags.audit.recomputed < 1500
    everything = model.flag(series, threshold, offsets, speculate="none", certify=True)
    assert not everything.audit.certified
    short = forecaster(window=3)  # two chains do not pay
    assert short.flag(series, threshold, audit=50, certify=True).audit.method == "exact"


def test_one_wrong_decision_of_the_sample_has_everything_computed_exactly() -> None:
    """No seam sees the distance: a missing row before each of them starts its chain anew."""
    model, series = unforgetting(), rows(53 * 60)
    series[53 - 12 - 1 :: 53] = np.nan
    exact = model.score(series)
    carried = model.score(series, windows="carried")
    threshold = float(np.nanpercentile(exact, 98))
    assert ((exact > threshold) & (carried <= threshold)).sum() > 10
    flags, truth = check(model, series, threshold, speculate="carried", audit=10_000)
    np.testing.assert_array_equal(flags.flagged, truth)
    assert flags.audit.method == "exact"
    assert flags.audit.wrong > 0
    assert flags.audit.seam_p99 == 0
    assert flags.audit.reasons == (
        f"{flags.audit.wrong} of {flags.audit.verified} verified decisions were wrong",
    )


@pytest.mark.parametrize("percentile", [98, 99, 99.8])
def test_a_sample_beyond_the_margin_widens_it(percentile: float) -> None:
    """Seams see no distance, and few decisions are wrong; but many scores are far from exact."""
    model, series = unforgetting(), rows(53 * 200)
    series[53 - 12 - 1 :: 53] = np.nan
    exact = model.score(series)
    carried = model.score(series, windows="carried")
    threshold = float(np.nanpercentile(exact, percentile))
    assert ((exact > threshold) & (carried <= threshold)).sum() > 5
    flags, truth = check(model, series, threshold, speculate="carried", audit=50)
    np.testing.assert_array_equal(flags.flagged, truth)
    assert flags.audit.method == "carried"
    assert flags.audit.seam_p99 == 0
    assert flags.audit.verified == 50  # of another sample, which the margin never saw
    beyond = np.abs(np.log((exact + threshold / 10) / (carried + threshold / 10)))
    assert np.nanquantile(beyond[~flags.exact], 0.8) < flags.audit.margin[0]


def test_auto_steps_aside_for_short_series() -> None:
    model, series = forecaster(), rows(40 * 50 + 11)
    flags, _ = check(model, series, 1.5, audit=50)
    assert flags.audit.method == "exact"
    assert flags.audit.reasons == ("1999 windows, fewer than 40 times audit=50",)
    flags, _ = check(model, rows(40 * 50 + 12), 1.5, audit=50)
    assert flags.audit.method == "carried"
    # A mode that is named runs, and all of its few decisions are verified.
    flags, truth = check(model, series, 1.5, audit=5000, speculate="carried")
    assert flags.audit.method == "carried"
    assert flags.audit.verified == flags.audit.cheap > 0
    assert flags.exact.sum() == 1999
    np.testing.assert_array_equal(flags.flagged, truth)


@pytest.mark.parametrize("mode", ["auto", "carried", "carried_low", "medium", "none"])
def test_edges(mode: Any) -> None:
    model = forecaster()
    for n in (0, 1, 12, 13, 14, 60):
        flags, truth = check(model, rows(n), 0.5, speculate=mode, audit=2)
        np.testing.assert_array_equal(flags.flagged, truth)
    many = rows(13 * 200)
    offsets = np.arange(201) * 13  # each has one window
    flags, truth = check(model, many, 1.0, offsets, speculate=mode, audit=2)
    if mode.startswith("carried"):
        assert flags.audit.method == "exact"
        assert flags.audit.reasons == (f"{mode}: no seam gives a distance",)
    missing = np.full((500, F), np.nan, np.float32)
    flags, _ = check(model, missing, 0.5, speculate=mode, audit=2)
    assert flags.audit.windows == 0
    assert np.isnan(flags.audit.share_recomputed)


@pytest.mark.parametrize("mode", ["carried", "carried_low", "medium", "none"])
def test_rows_that_are_too_large_are_flagged(mode: Any) -> None:
    model = forecaster()
    series = rows(3000).astype(np.float64)
    series[[5, 800, 2999]] = 1e300
    flags, truth = check_too_large(model, series, mode)
    assert flags.flagged[[5, 800, 2999]].all()
    assert np.isposinf(flags.score[[5, 800, 2999]]).all()
    np.testing.assert_array_equal(flags.flagged, truth)


def check_too_large(
    model: sc.SequenceModel, series: np.ndarray, mode: Any
) -> tuple[sc.Flags, np.ndarray]:
    """Row 5 has no window: it is flagged, yet no window of the audit."""
    exact = model.score(series)
    flags = model.flag(series, 2.0, speculate=mode, audit=16)
    np.testing.assert_array_equal(flags.score[flags.exact], exact[flags.exact])
    assert flags.exact[flags.flagged].all()
    return flags, exact.astype(float) > 2.0


@pytest.mark.parametrize("stride", [2, 5])
def test_strides(stride: int) -> None:
    model, series = forecaster(), rows(9000)
    offsets = [0, 100, 5000, 9000]
    threshold = float(np.nanpercentile(model.score(series, offsets), 90))
    for mode in ("carried", "carried_low", "medium"):
        flags, truth = check(
            model, series, threshold, offsets, speculate=mode, stride=stride, audit=30
        )
        np.testing.assert_array_equal(flags.flagged, truth)
        assert flags.audit.method == mode
    for mode in ("carried", "carried_low"):
        with pytest.raises(sc.UnsupportedError, match="stride"):
            model.flag(series, threshold, speculate=mode, stride=9)
    assert model.flag(series, threshold, stride=9, audit=10).audit.method in {
        "exact",
        "low",
        "medium",
    }


def test_other_models() -> None:
    rng = np.random.default_rng(0)
    autoencoder = sc.SequenceModel(
        *random_model(rng, [layer("gru", 6)], [layer("gru", 6)], features=F, window=9)
    )
    series = rows(4000)
    threshold = float(np.nanpercentile(autoencoder.score(series), 98))
    flags, truth = check(autoencoder, series, threshold, speculate="medium", audit=20)
    np.testing.assert_array_equal(flags.flagged, truth)
    with pytest.raises(sc.UnsupportedError, match="autoencoder"):
        autoencoder.flag(series, threshold, speculate="carried")
    auto, _ = check(autoencoder, series, threshold, audit=20)
    assert any("got 'carried': its decoder" in reason for reason in auto.audit.reasons)
    for options in (
        {"encoder": [layer("rnn", 8)]},
        {"encoder": [layer("gru", 7), layer("lstm", 5)], "horizon": 3},
        {"encoder": [layer("lstm", 8, proj_size=3)], "targets": [2]},
        {"encoder": [layer("lstm", 8)], "scaler": {"center": [1, 2, 3], "scale": [2, 2, 2]}},
    ):
        model = sc.SequenceModel(*random_model(rng, features=F, window=12, **options))
        threshold = float(np.nanpercentile(model.score(series), 98))
        flags, truth = check(model, series, threshold, speculate="carried", audit=20)
        np.testing.assert_array_equal(flags.flagged, truth)


def test_what_is_refused() -> None:
    model, series = forecaster(), rows(100)
    for error, text, options in (
        (ValueError, "threshold: expected one number, \\[1\\] .* \\[100\\]", {"threshold": [1, 2]}),
        (ValueError, "threshold: expected one number, \\[G\\] or", {"threshold": [[1.0]]}),
        (ValueError, "threshold: expected no NaN, got one at 0", {"threshold": np.nan}),
        (ValueError, "threshold: expected one number", {"threshold": []}),
        (TypeError, "threshold", {"threshold": "high"}),
        (TypeError, "threshold", {"threshold": None}),
        (TypeError, "threshold", {"threshold": 1j}),
        (
            sc.UnsupportedError,
            "threshold: .* follows",
            {"threshold": RollingQuantileThreshold(0.9)},
        ),
        (ValueError, "series: expected \\[S, 3\\]", {"series": series[:, :2]}),
        (ValueError, "offsets", {"offsets": [0, 50]}),
        (ValueError, "reduction", {"reduction": "sum"}),
        (ValueError, "reduction: 'mahalanobis' needs", {"reduction": "mahalanobis"}),
        (ValueError, "stride", {"stride": 0}),
        (TypeError, "stride", {"stride": 1.5}),
        (ValueError, "audit: expected an integer >= 1, got 0", {"audit": 0}),
        (TypeError, "audit", {"audit": 2.0}),
        (ValueError, "speculate: expected one of 'auto'", {"speculate": "fast"}),
        (TypeError, "certify", {"certify": "yes"}),
        (ValueError, "certify: expected False", {"certify": True, "speculate": "medium"}),
        (ValueError, "num_threads", {"num_threads": 0}),
        (sc.UnsupportedError, "smoothing: .* all scores before", {"smoothing": EWMA(0.5)}),
        (ValueError, "smoothing: expected a Moving", {"smoothing": {"kind": "median"}}),
        (ValueError, "smoothing: expected a Moving", {"smoothing": 5}),
        (
            ValueError,
            "smoothing: expected a whole number",
            {"smoothing": {"kind": "moving_average", "n": 0}},
        ),
    ):
        given: dict[str, Any] = {"series": series, "threshold": 1.0, **options}
        with pytest.raises(error, match=text):
            model.flag(**given)
    fixed = model.flag(series, FixedThreshold(1.0))
    np.testing.assert_array_equal(fixed.flagged, model.flag(series, 1.0).flagged)


def test_what_is_printed() -> None:
    model, series = forecaster(), rows(6000)
    flags = model.flag(series, 3.0, speculate="carried", audit=100)
    assert repr(flags).startswith(f"Flags({flags.flagged.sum()} of 6,000 rows; audited: carried, ")
    assert repr(flags).endswith("alarms missed (95 % confidence))")
    text = str(flags.audit)
    assert "method: carried" in text
    assert "verified: 100 decisions" in text
    assert "missed alarms: at most" in text
    assert repr(model.flag(series, 3.0, speculate="none")).endswith("rows; all exact)")
    short = model.flag(series[:50], 3.0)
    assert "note: 38 windows, fewer than 40 times audit=1024" in str(short.audit)

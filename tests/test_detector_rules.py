"""Detectors by the rules that their parameter ``threshold`` takes: fitted, saved, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone

from slidecell.detect import Ensemble, PCADetector, ZScoreDetector, load_detector
from slidecell.thresholds import (
    BestFThreshold,
    CusumThreshold,
    DynamicThreshold,
    FixedThreshold,
    PercentileThreshold,
    RateThreshold,
    RollingQuantileThreshold,
    SpotThreshold,
    Threshold,
    find_events,
)
from tests.detectors import make, series

RULES: tuple[Any, ...] = (
    "5%",
    "20/1000rows",
    2.5,
    FixedThreshold(2.5),
    PercentileThreshold(90.0),
    CusumThreshold(0.5, 4.0),
    RollingQuantileThreshold(0.9, 50),
    DynamicThreshold(20, 200, smoothing=0.1, buffer=5),
    SpotThreshold(1e-3),
)


def rows(seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).normal(size=(900, 2))
    X[700:705] += 6.0
    return X


@pytest.mark.parametrize("threshold", RULES, ids=lambda rule: getattr(rule, "kind", str(rule)))
def test_a_detector_flags_by_its_rule_and_keeps_it(threshold: Any, tmp_path: Path) -> None:
    if getattr(threshold, "kind", "") == "spot":
        pytest.importorskip("libspot")
    X, new = rows(), rows(1)
    detector = ZScoreDetector(threshold=threshold).fit(X, offsets=[0, 400, 900])
    rule, scores = detector.rule_, detector.decision_scores_
    np.testing.assert_array_equal(detector.labels_, rule.apply(scores, [0, 400, 900]))
    np.testing.assert_array_equal(detector.predict(new), rule.apply(detector.score_samples(new)))
    assert np.array_equal(detector.threshold_, rule.fresh().threshold, equal_nan=True)
    assert detector.threshold_state() == rule.state()
    detector.save(tmp_path / "d")
    loaded = load_detector(tmp_path / "d")
    np.testing.assert_array_equal(loaded.predict(new), detector.predict(new))
    np.testing.assert_array_equal(loaded.labels_, detector.labels_)
    assert loaded.threshold_state() == detector.threshold_state()
    again = clone(loaded).fit(X, offsets=[0, 400, 900])
    np.testing.assert_array_equal(again.predict(new), detector.predict(new))


def test_a_rule_that_is_given_is_copied_and_stays_unfitted() -> None:
    given = PercentileThreshold(90.0)
    detector = ZScoreDetector(threshold=given).fit(rows())
    assert detector.get_params()["threshold"] is given
    assert detector.rule_ is not given
    with pytest.raises(ValueError, match="call fit before"):
        _ = given.threshold


def test_only_a_rate_holds_rows_out() -> None:
    X = rows()
    asked = ZScoreDetector(threshold="5%").fit(X)
    assert np.flatnonzero(asked.calibration_rows_).tolist() == list(range(720, 900))
    held = np.sort(asked.decision_scores_[720:])
    # Rank ceil(181 * 0.95) = 172 of 180.
    assert asked.threshold_ == held[171]
    for threshold in (2.5, PercentileThreshold(95.0), CusumThreshold()):
        plain = ZScoreDetector(threshold=threshold).fit(X)
        assert plain.calibration_rows_.all()
        whole = ZScoreDetector(0.05).fit(X)
        np.testing.assert_array_equal(plain.decision_scores_, whole.decision_scores_)


def test_contamination_is_the_percentile_of_all_scores() -> None:
    X = rows()
    share = ZScoreDetector(0.1).fit(X)
    same = ZScoreDetector(threshold=PercentileThreshold(90.0)).fit(X)
    assert share.threshold_ == same.threshold_ == np.percentile(share.decision_scores_, 90.0)
    assert share.threshold_state() == {
        "kind": "percentile",
        "percentile": 90.0,
        "value": share.threshold_,
    }


def test_the_events_of_a_rate_are_those_of_the_detector_windows() -> None:
    X = rows()
    detector = make("rolling_variance", window=3, threshold=RateThreshold("60/1000rows")).fit(X)
    assert detector.event_gap() == 2
    assert detector.threshold_state()["fitted"]["merged"] == 2
    own = make("rolling_variance", window=3, threshold=RateThreshold("60/1000rows", gap=0)).fit(X)
    assert own.threshold_state()["fitted"]["merged"] == 0
    for fitted, gap in ((detector, 2), (own, 0)):
        held = fitted.decision_scores_[fitted.calibration_rows_]
        # 10.8 events are allowed on 180 rows, so that the eleventh comes.
        assert len(find_events(held > fitted.threshold_, held, gap=gap)) == 11


def test_a_frame_has_the_times_of_a_rate_and_an_array_has_none() -> None:
    pd = pytest.importorskip("pandas")
    X = rows()
    frame = pd.DataFrame(X, columns=["a", "b"])
    frame["when"] = pd.date_range("2024-01-01", periods=900, freq="h")
    by_time = ZScoreDetector(threshold="0.48/day", time="when").fit(frame)
    by_rows = ZScoreDetector(threshold="20/1000rows").fit(X)
    assert by_time.threshold_ == by_rows.threshold_
    with pytest.raises(
        ValueError, match=r"'0.48/day' needs times that are dates, but there are no"
    ):
        ZScoreDetector(threshold="0.48/day").fit(X)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"contamination": 0.1, "threshold": "1%"},
            ValueError,
            "contamination, threshold: expected one of them, got 0.1 and '1%'",
        ),
        ({"threshold": "often"}, ValueError, "threshold: rate: expected a share of rows as 0.1%"),
        ({"threshold": float("nan")}, ValueError, "threshold: value: expected a finite number"),
        ({"threshold": True}, TypeError, "threshold: expected a Threshold, a rate as '3/day', or"),
        ({"threshold": [1.0]}, TypeError, r"threshold: expected a Threshold, .*, got \[1.0\]"),
        ({"threshold": BestFThreshold()}, ValueError, "threshold: a BestFThreshold is chosen on"),
    ],
)
def test_other_thresholds_are_refused(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ZScoreDetector(**options).fit(rows())


def test_an_ensemble_takes_a_rule_until_it_is_tuned(tmp_path: Path) -> None:
    X = rows()
    members = [("z", ZScoreDetector()), ("pca", PCADetector())]
    ensemble = Ensemble(members, threshold=CusumThreshold(1.0, 5.0)).fit(X)
    np.testing.assert_array_equal(ensemble.labels_, ensemble.rule_.apply(ensemble.decision_scores_))
    y = np.zeros(900, int)
    y[700:705] = 1
    ensemble.tune(X, y)
    assert ensemble.tuned_ is not None
    assert ensemble.threshold_state() == {"kind": "fixed", "value": ensemble.tuned_.threshold}
    np.testing.assert_array_equal(
        ensemble.labels_, ensemble.decision_scores_ > ensemble.tuned_.threshold
    )
    ensemble.save(tmp_path / "e")
    loaded = load_detector(tmp_path / "e")
    assert isinstance(loaded.get_params(deep=False)["threshold"], CusumThreshold)
    np.testing.assert_array_equal(loaded.predict(X), ensemble.predict(X))


@pytest.mark.parametrize("threshold", ["10%", CusumThreshold(0.5, 6.0)], ids=["rate", "cusum"])
def test_a_network_hands_its_rule_to_streams(threshold: Any) -> None:
    pytest.importorskip("torch")
    import slidecell as sc

    X = series(200)
    detector = make("forecast", threshold=threshold).fit(X)
    assert detector.live_model().threshold == detector.threshold_state()
    monitor = sc.Monitor.from_model(detector.live_model())
    alarms = [monitor.push(row).alarm for row in X]
    np.testing.assert_array_equal(alarms, detector.predict(X) == 1)


def test_a_damaged_rule_is_named(tmp_path: Path) -> None:
    ZScoreDetector().fit(rows()).save(tmp_path / "d")
    file = tmp_path / "d" / "detector.json"
    text = file.read_text()
    file.write_text(text.replace('"met": "1%"', '"met": "x"'))
    with pytest.raises(ValueError, match=r"detector.json: state: 'met': rate: expected a share"):
        load_detector(tmp_path / "d")


def test_rules_are_thresholds() -> None:
    assert isinstance(ZScoreDetector().fit(rows()).rule_, Threshold)
    assert ZScoreDetector().fit(rows()).rule_.kind == "rate"

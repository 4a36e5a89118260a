"""Audited flags of detectors, and of the command line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("typer", "torch", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

from typer.testing import CliRunner  # noqa: E402

import slidecell as sc  # noqa: E402
from slidecell.cli.main import app  # noqa: E402
from slidecell.detect import (  # noqa: E402
    AutoencoderDetector,
    Ensemble,
    ForecastDetector,
    WindowPCADetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.thresholds import (  # noqa: E402
    PercentileThreshold,
    PerEntityThreshold,
    RollingQuantileThreshold,
)

OFFSETS = [0, 1500, 4000]
SMALL: dict[str, Any] = {"window": 10, "epochs": 1, "random_state": 0}


def rows(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.sin(np.arange(4000) / 7)[:, None] * [1.0, -0.5] + rng.normal(0, 0.1, (4000, 2))
    made[1000:1010] += 2.0
    made[3000:3003] -= 1.5
    return made


@pytest.fixture(scope="module")
def forecaster() -> ForecastDetector:
    return ForecastDetector(hidden_size=8, threshold="1%", **SMALL).fit(rows(0), offsets=OFFSETS)


@pytest.mark.parametrize("speculate", ["carried", "carried_low", "medium", "auto"])
def test_predictions_are_the_same(forecaster: ForecastDetector, speculate: Any) -> None:
    X = rows(1)
    X[50] = np.nan
    exact = forecaster.predict(X, offsets=OFFSETS)
    assert 10 < exact.sum() < 1000
    other = load_copy(forecaster, speculate)
    np.testing.assert_array_equal(other.predict(X, offsets=OFFSETS), exact)
    np.testing.assert_array_equal(
        other.score_samples(X, offsets=OFFSETS), forecaster.score_samples(X, offsets=OFFSETS)
    )
    flags = other.flag(X, offsets=OFFSETS, audit=50)
    np.testing.assert_array_equal(flags.flagged, exact.astype(bool))
    raw = forecaster.score_samples(X, offsets=OFFSETS, smoothed=False)
    np.testing.assert_array_equal(flags.score[flags.exact], raw[flags.exact])
    assert flags.audit.method in ({"carried", "medium"} if speculate == "auto" else {speculate})
    assert flags.audit.verified == 50


@pytest.mark.parametrize("reduction", ["mae", "mahalanobis", "calibrated"])
def test_other_errors_are_flagged_too(reduction: Any) -> None:
    detector = ForecastDetector(hidden_size=8, threshold="1%", reduction=reduction, **SMALL)
    X = rows(1)
    exact = detector.fit(rows(0), offsets=OFFSETS).predict(X, offsets=OFFSETS)
    assert 10 < exact.sum() < 1000
    raw = detector.score_samples(X, offsets=OFFSETS, smoothed=False)
    for speculate in ("carried", "carried_low"):
        flags = load_copy(detector, speculate).flag(X, offsets=OFFSETS, audit=50)
        np.testing.assert_array_equal(flags.flagged, exact.astype(bool))
        np.testing.assert_array_equal(flags.score[flags.exact], raw[flags.exact])
        assert flags.audit.method == speculate


def load_copy(detector: ForecastDetector, speculate: Any) -> ForecastDetector:
    """Return the fitted detector with another parameter that training does not read."""
    return copy.deepcopy(detector).set_params(speculate=speculate)


def test_rows_of_a_frame_come_in_any_order() -> None:
    frame = pd.DataFrame(rows(2), columns=["a", "b"])
    frame["t"] = np.arange(4000)
    detector = ForecastDetector(
        hidden_size=8, threshold="1%", time="t", speculate="carried", **SMALL
    ).fit(frame)
    shuffled = frame.sample(frac=1, random_state=0)
    flags = detector.flag(shuffled, audit=50)
    straight = detector.flag(frame, audit=50)
    for name in ("flagged", "score", "exact"):
        np.testing.assert_array_equal(getattr(flags, name), getattr(straight, name)[shuffled.index])
    np.testing.assert_array_equal(detector.predict(shuffled), flags.flagged.astype(int))


def test_a_threshold_of_each_entity() -> None:
    rule = PerEntityThreshold(PercentileThreshold(97.0))
    detector = ForecastDetector(hidden_size=8, threshold=rule, speculate="carried", **SMALL)
    detector.fit(rows(0), offsets=OFFSETS)
    X = rows(1)
    scores = detector.score_samples(X, offsets=OFFSETS)
    flags = detector.predict(X, offsets=OFFSETS).astype(bool)
    limits = [detector.rule_.for_entity(name).threshold for name in "01"]
    assert limits[0] != limits[1]
    np.testing.assert_array_equal(flags, scores > np.repeat(limits, np.diff(OFFSETS)))


def test_autoencoders() -> None:
    X = rows(0)
    detector = AutoencoderDetector(
        encoder_sizes=(4,), decoder_sizes=(4,), threshold="1%", speculate="medium", **SMALL
    ).fit(X)
    exact = (detector.score_samples(X) > detector.threshold_).astype(int)
    np.testing.assert_array_equal(detector.predict(X), exact)
    with pytest.raises(sc.UnsupportedError, match="autoencoder"):
        detector.set_params(speculate="carried").predict(X)


def test_what_is_refused(forecaster: ForecastDetector) -> None:
    X = rows(0)
    with pytest.raises(ValueError, match="speculate: expected one of"):
        ForecastDetector(speculate="fast").fit(X)
    with pytest.raises(sc.UnsupportedError, match=r"threshold: .* follows"):
        ForecastDetector(
            hidden_size=4, threshold=RollingQuantileThreshold(), speculate="auto", **SMALL
        ).fit(X).predict(X)
    for options, text in (
        ({"align": "cover"}, "align='end'"),
        ({"precision": "medium"}, "precision='highest', got 'medium'"),
    ):
        detector = ForecastDetector(hidden_size=4, speculate="auto", **SMALL, **options).fit(X)
        with pytest.raises(sc.UnsupportedError, match=text):
            detector.predict(X)
    mean = AutoencoderDetector(
        encoder_sizes=(4,), decoder_sizes=(4,), aggregate="mean", speculate="auto", **SMALL
    ).fit(X)
    with pytest.raises(sc.UnsupportedError, match="aggregate='window'"):
        mean.predict(X)
    with pytest.raises(ValueError, match="audit"):
        forecaster.flag(X, audit=0)


@pytest.mark.parametrize("normaliser", ["z", "minmax", "robust"])
def test_ensembles_ask_their_network_with_a_threshold_per_row(normaliser: Any) -> None:
    X = rows(0)
    X[100] = np.nan
    members = [
        ("levels", ZScoreDetector()),
        ("forecast", ForecastDetector(hidden_size=8, **SMALL)),
        ("windows", WindowPCADetector(window=10)),
    ]
    ensemble = Ensemble(members, normaliser=normaliser, weights=[1, 3, 2], threshold="1%")
    ensemble.fit(X, offsets=OFFSETS)
    Y = rows(1)
    Y[[70, 2000]] = np.nan
    Y[500] = 1e300
    exact = ensemble.predict(Y, offsets=OFFSETS)
    assert 10 < exact.sum() < 1000
    known = ensemble._known_rows(Y, OFFSETS)
    fused = ensemble.score_samples(Y, offsets=OFFSETS)
    for mode in ("carried", "medium"):
        scores, audit = ensemble.audited_scores(known, speculate=mode, audit=50)
        assert audit.method == mode
        assert audit.distance == "log"
        assert audit.recomputed < audit.windows / 2
        np.testing.assert_array_equal(ensemble.flag_rows(known, scores), exact.astype(bool))
        np.testing.assert_array_equal(scores[exact == 1], fused[exact == 1])
        np.testing.assert_array_equal(np.isnan(scores), np.isnan(fused))
    ensemble.members_["forecast"].set_params(speculate="carried")
    np.testing.assert_array_equal(ensemble.predict(Y, offsets=OFFSETS), exact)


def test_ensembles_that_are_refused() -> None:
    X = rows(0)
    network = ForecastDetector(hidden_size=4, **SMALL)
    for members, normaliser, text in (
        ([("a", network), ("b", ZScoreDetector())], "rank", "a rank is flat"),
        ([("a", network), ("b", network)], "z", "got 'a', 'b'"),
        ([("a", ZScoreDetector()), ("b", ZScoreDetector())], "z", "one weighted network, got none"),
    ):
        ensemble = Ensemble(members, normaliser=normaliser).fit(X)
        with pytest.raises(sc.UnsupportedError, match=text):
            ensemble.check_audited()
        with pytest.raises(sc.UnsupportedError, match=text):
            ensemble.audited_scores(ensemble._known_rows(X, None), speculate="carried")


def test_it_is_saved(forecaster: ForecastDetector, tmp_path: Path) -> None:
    load_copy(forecaster, "carried").save(tmp_path / "saved")
    assert load_detector(tmp_path / "saved").speculate == "carried"


def test_score_audited(forecaster: ForecastDetector, tmp_path: Path) -> None:
    forecaster.save(tmp_path / "detector")
    many = np.concatenate([rows(seed) for seed in range(11)])  # more than 40 * 1024
    pd.DataFrame(many, columns=["a", "b"]).to_parquet(tmp_path / "in.parquet")
    saved, file, out = (str(tmp_path / name) for name in ("detector", "in.parquet", "out"))
    run = CliRunner().invoke(app, ["score", saved, file, "--out", out, "--audited"])
    assert run.exit_code == 0, run.output
    found = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    exact = forecaster.score_samples(many)
    flagged = exact > forecaster.threshold_
    assert flagged.sum() > 100
    np.testing.assert_array_equal(found.flagged.to_numpy(bool), flagged)
    np.testing.assert_array_equal(found.score.to_numpy()[flagged], exact[flagged])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["options"]["audited"] is True
    assert report["audit"]["method"] == "carried"
    assert report["audit"]["verified"] == 1024
    start = "flags are audited: first scored by method 'carried'; "
    (note,) = (note for note in report["notes"] if note.startswith(start))
    assert note.endswith("alarms are missing, at 95 % confidence")


def test_score_audited_needs_a_network(tmp_path: Path) -> None:
    ZScoreDetector().fit(rows(0)).save(tmp_path / "detector")
    pd.DataFrame(rows(1), columns=["a", "b"]).to_csv(tmp_path / "in.csv", index=False)
    saved, file, out = (str(tmp_path / name) for name in ("detector", "in.csv", "out"))
    run = CliRunner().invoke(app, ["score", saved, file, "--out", out, "--audited"])
    assert run.exit_code != 0
    assert not (tmp_path / "out").exists()
    assert "expected a detector with a network, got a ZScoreDetector" in run.output

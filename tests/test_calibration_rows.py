"""What a threshold is calibrated on: rows that trained nothing, chosen once for all members."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from slidecell.detect import (
    Detector,
    Ensemble,
    KMeansDetector,
    RidgeDetector,
    WindowPCADetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.detect.fusion import ZNormaliser
from tests.detectors import ALL, LEAVES_ITSELF_OUT, NETWORKS, make, series

CUT = 80  # of 100 rows
ALONE = tuple(kind for kind in ALL if kind not in NETWORKS)


def without_torch(kind: str) -> Any:
    """Mark networks, which need torch to be fitted."""
    if kind in NETWORKS:
        pytest.importorskip("torch")
    return kind


def default_threshold(detector: Detector, held: Any) -> float:
    """Return the threshold of few rows: the highest score of those held out, 99 % of all."""
    scores = detector.decision_scores_
    return max(np.nanmax(scores[held]), np.nanpercentile(scores, 99.0))


@pytest.mark.parametrize("kind", ALONE)
def test_a_detector_without_a_share_learns_from_all_but_the_last_fifth(kind: str) -> None:
    X = series(100)
    detector = make(kind, contamination=None).fit(X)
    first = make(kind).fit(X[:CUT])
    want = first.score_samples(X)
    if kind in LEAVES_ITSELF_OUT:
        want[:CUT] = first.decision_scores_
        # A window that reaches over the cut overlaps training windows, too.
        want[CUT : CUT + 3] = detector.decision_scores_[CUT : CUT + 3]
    np.testing.assert_array_equal(detector.decision_scores_, want)
    np.testing.assert_array_equal(detector.calibration_rows_, np.arange(100) >= CUT)
    # Of 20 scores a new one, exchangeable with them, exceeds the highest with 1 in 21.
    assert detector.threshold_ == default_threshold(detector, np.arange(100) >= CUT)
    assert detector.rule_.met == "1%"
    np.testing.assert_array_equal(detector.labels_, detector.decision_scores_ > detector.threshold_)


@pytest.mark.parametrize("kind", ALL)
def test_a_share_is_of_all_fitted_rows(kind: str) -> None:
    without_torch(kind)
    detector = make(kind, contamination=0.1).fit(series(100))
    assert detector.calibration_rows_.all()
    assert detector.threshold_ == np.nanpercentile(detector.decision_scores_, 90.0)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_calibrates_on_its_validation_rows(kind: str) -> None:
    pytest.importorskip("torch")
    X = series(100)
    detector = make(kind, contamination=None).fit(X)
    held = detector.history_.validation_rows
    assert 10 < held.sum() < 40
    np.testing.assert_array_equal(detector.calibration_rows_, held)
    assert detector.threshold_ == default_threshold(detector, held)
    # It trains as with a share, which says nothing of what trains.
    np.testing.assert_array_equal(detector.decision_scores_, make(kind).fit(X).decision_scores_)


def test_a_network_that_never_stops_early_calibrates_on_the_last_fifth() -> None:
    pytest.importorskip("torch")
    X = series(100)
    detector = make("forecast", validation=0.0, contamination=None).fit(X)
    np.testing.assert_array_equal(detector.calibration_rows_, np.arange(100) >= CUT)
    assert detector.history_.validation_windows == 0
    changed = X.copy()
    changed[CUT:] += 3.0
    again = make("forecast", validation=0.0, contamination=None).fit(changed)
    np.testing.assert_array_equal(again.decision_scores_[:CUT], detector.decision_scores_[:CUT])


def test_the_last_fifth_is_of_each_entity() -> None:
    X = series(60)
    detector = make("kmeans", contamination=None).fit(X, offsets=[0, 20, 60])
    want = np.r_[np.arange(16, 20), np.arange(52, 60)]
    np.testing.assert_array_equal(np.flatnonzero(detector.calibration_rows_), want)


def test_columns_are_constant_where_they_are_in_the_rows_that_train() -> None:
    X = series(100)
    X[:CUT, 1] = 2.0
    assert make("zscore", contamination=None).fit(X).constant_features_ == [1]
    X[:CUT] = 2.0
    with pytest.raises(ValueError, match="X: all columns are constant"):
        make("zscore", contamination=None).fit(X)
    X[:CUT, 0] = np.nan
    with pytest.raises(ValueError, match="X: column 0 has no values"):
        make("zscore", contamination=None).fit(X)


def test_too_few_rows_beside_those_held_out_are_told() -> None:
    with pytest.raises(ValueError, match=r"X without the rows held out: no window: .* has 16"):
        make("kmeans", window=18, contamination=None).fit(series(20))
    # Of two rows none can be spared.
    assert make("zscore", contamination=None).fit(series(2)).calibration_rows_.all()


def test_calibration_rows_are_in_input_order() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(series(10), columns=["a", "b", "c"])
    frame["when"] = np.arange(10)
    turned = frame[::-1]
    detector = ZScoreDetector(contamination=None, time="when").fit(turned)
    np.testing.assert_array_equal(np.flatnonzero(detector.calibration_rows_), [0, 1])
    assert detector.threshold_ == default_threshold(detector, np.arange(10) < 2)


@pytest.mark.parametrize("share", [None, 0.1])
def test_calibration_rows_are_saved(share: float | None, tmp_path: Path) -> None:
    detector = make("kmeans", contamination=share).fit(series(100))
    detector.save(tmp_path / "d")
    loaded = load_detector(tmp_path / "d")
    np.testing.assert_array_equal(loaded.calibration_rows_, detector.calibration_rows_)
    assert loaded.threshold_ == detector.threshold_
    assert loaded.contamination == share


@pytest.mark.parametrize("share", [0.0, 1.0, "x"])
def test_other_shares_are_refused(share: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="contamination: expected a share"):
        make("zscore", contamination=share).fit(series())


def members(**options: Any) -> list[tuple[str, Detector]]:
    return [
        ("kmeans", make("kmeans", **options)),
        ("pca", make("window_pca", **options)),
        ("z", ZScoreDetector(0.05)),
    ]


def check_one_split(ensemble: Ensemble, X: Any, held: Any) -> None:
    """Members, normalisers and threshold: of the rows that they should be."""
    np.testing.assert_array_equal(ensemble.calibration_rows_, held)
    columns = []
    for name, member in members():
        scores = member.fit(X[~held]).score_samples(X)
        columns.append(ZNormaliser().fit(scores[~held]).apply(scores))
        np.testing.assert_array_equal(
            ensemble.member_decision_scores_[:, list(ensemble.members_).index(name)], columns[-1]
        )
    assert ensemble.threshold_ == default_threshold(ensemble, held)


def test_an_ensemble_without_a_network_holds_out_the_last_fifth_for_all() -> None:
    X = series(100)
    ensemble = Ensemble(members(), "z", contamination=None).fit(X)
    check_one_split(ensemble, X, np.arange(100) >= CUT)


def test_an_ensemble_holds_out_the_rows_of_its_network() -> None:
    pytest.importorskip("torch")
    X = series(100)
    network = make("forecast", validation=0.3)
    short = make("forecast", window=2)
    pairs = [("short", short), *members(), ("long", network)]
    ensemble = Ensemble(pairs, "z", contamination=None).fit(X)
    held = network.fit(X).history_.validation_rows
    assert held.sum() > 20
    check_one_split(ensemble, X, held)
    for name in ("short", "long"):
        fitted = ensemble.members_[name]
        np.testing.assert_array_equal(fitted.history_.validation_rows, held)
    np.testing.assert_array_equal(
        ensemble.members_["long"].decision_scores_, network.decision_scores_
    )
    # One split for a share, too: its percentile alone is of all rows.
    share = Ensemble(pairs, "z", contamination=0.1).fit(X)
    np.testing.assert_array_equal(share.decision_scores_, ensemble.decision_scores_)
    assert share.threshold_ == np.nanpercentile(share.decision_scores_, 90.0)


def test_members_of_an_inner_ensemble_share_the_split() -> None:
    X = series(100)
    inner = Ensemble(members(), "z")
    outer = Ensemble([("inner", inner), ("z", ZScoreDetector())], contamination=None).fit(X)
    want = ZScoreDetector(0.05).fit(X[:CUT]).scaler_
    assert outer.members_["inner"].members_["z"].scaler_ == want


def test_what_is_held_out_of_an_ensemble_changes_no_member() -> None:
    X = series(100)
    changed = X.copy()
    changed[CUT:] *= 5.0
    one, other = (Ensemble(members(), contamination=None).fit(rows) for rows in (X, changed))
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    assert other.threshold_ > one.threshold_


def test_a_mix_of_alignments_is_refused() -> None:
    X = series(100)
    cover = [("k", KMeansDetector(4, 5, align="cover")), ("z", ZScoreDetector())]
    assert Ensemble(cover).alignment == "cover"
    assert Ensemble(cover).fit(X).alignment == "cover"
    assert Ensemble([("z", ZScoreDetector())]).alignment is None
    mixed = [*cover, ("p", WindowPCADetector(4))]
    text = "members: expected one alignment, got 'cover' of 'k' and 'end' of 'p'"
    with pytest.raises(ValueError, match=text):
        Ensemble(mixed).fit(X)
    assert make("autoencoder", aggregate="mean").alignment == "cover"
    with pytest.raises(ValueError, match="'cover' of 'in' and 'end' of 'v'"):
        Ensemble([("in", Ensemble(cover)), ("v", make("rolling_variance"))]).fit(X)


def test_normalisers_and_threshold_stay_with_their_alignment(tmp_path: Path) -> None:
    X = series(100)
    pairs = [("k", KMeansDetector(4, 5, align="cover", random_state=0))]
    ensemble = Ensemble(pairs).fit(X)
    ensemble.save(tmp_path / "e")
    loaded = load_detector(tmp_path / "e")
    assert loaded.alignment == "cover"
    np.testing.assert_array_equal(loaded.score_samples(X), ensemble.score_samples(X))
    # Set later, it changes nothing that was fitted.
    ensemble.members_["k"].set_params(align="end")
    assert ensemble.members_["k"].alignment == "cover"
    # Another member in its folder has scores of another kind.
    other = tmp_path / "e" / "member-0"
    KMeansDetector(4, 5, random_state=0).fit(X).save(other)
    with pytest.raises(ValueError, match=r"members with the alignment 'cover' .*, got 'end'"):
        load_detector(tmp_path / "e")


def short_and_long() -> list[tuple[str, Detector]]:
    return [("long", RidgeDetector(90)), ("k", KMeansDetector(4, 5)), ("z", ZScoreDetector())]


def test_a_member_of_too_long_windows_is_an_error_by_default() -> None:
    with pytest.raises(ValueError, match=r"member 'long': X without .*: no window: .* takes 91"):
        Ensemble(short_and_long(), contamination=None).fit(series(100))


def test_a_member_of_too_long_windows_steps_aside_if_asked(tmp_path: Path) -> None:
    X = series(100)
    options: dict[str, Any] = {"contamination": None, "skip_short": True}
    ensemble = Ensemble(short_and_long(), weights=[1.0, 1.0, 3.0], **options).fit(X)
    assert list(ensemble.members_) == ["k", "z"]
    assert ensemble.weights_.tolist() == pytest.approx([0.25, 0.75], rel=1e-15)
    (note,) = ensemble.score_notes()
    assert note.startswith("member 'long': X without the rows held out: no window: one takes 91")
    assert note.endswith(": left out of the ensemble")
    ensemble.save(tmp_path / "e")
    loaded = load_detector(tmp_path / "e")
    assert loaded.score_notes() == [note]
    assert loaded.get_params(deep=False)["skip_short"] is True
    np.testing.assert_array_equal(loaded.score_samples(X), ensemble.score_samples(X))
    assert loaded.fit(X).weights_.tolist() == pytest.approx([0.25, 0.75], rel=1e-15)
    # What is enough brings it back.
    assert list(ensemble.fit(series(300)).members_) == ["long", "k", "z"]
    assert ensemble.score_notes() == []


def test_where_no_member_is_left_is_an_error() -> None:
    alone = [("r", RidgeDetector(90)), ("k", KMeansDetector(95))]
    with pytest.raises(ValueError, match=r"member 'r': .*left out.*; member 'k': .*left out"):
        Ensemble(alone, contamination=None, skip_short=True).fit(series(100))
    weighted = Ensemble(
        short_and_long(), weights={"long": 1.0}, skip_short=True, contamination=None
    )
    with pytest.raises(ValueError, match=r"member 'long': .*: no member with a weight is left"):
        weighted.fit(series(100))


def test_other_errors_of_a_member_are_errors_whatever_is_asked() -> None:
    pairs = [("p", WindowPCADetector(4, n_components=-1)), ("z", ZScoreDetector())]
    with pytest.raises(ValueError, match="member 'p': n_components"):
        Ensemble(pairs, skip_short=True).fit(series(100))


def test_a_network_of_too_long_windows_steps_aside_and_the_next_chooses() -> None:
    pytest.importorskip("torch")
    X = series(100)
    pairs = [("long", make("forecast", window=95)), ("short", make("forecast")), *members()]
    ensemble = Ensemble(pairs, "z", contamination=None, skip_short=True).fit(X)
    held = make("forecast").fit(X).history_.validation_rows
    check_one_split(ensemble, X, held)
    assert "long" not in ensemble.members_


@pytest.mark.parametrize("made", [True, False])
def test_progress_of_networks_in_an_ensemble_is_handed_on(made: bool) -> None:
    pytest.importorskip("torch")
    seen: list[tuple[int, int]] = []
    pairs = [("f", make("forecast", epochs=2, patience=None)), ("z", ZScoreDetector())]
    progress = (lambda epoch, epochs, *_: seen.append((epoch, epochs))) if made else False
    Ensemble(pairs, progress=progress).fit(series(100))
    assert seen == ([(1, 2), (2, 2)] if made else [])
    with pytest.raises(TypeError, match="progress: expected a bool or a callable, got 'bar'"):
        Ensemble(pairs, progress="bar").fit(series(100))


@pytest.mark.parametrize("rows", [27, 30, 31, 42, 60])
def test_a_ridge_of_few_rows_counts_in_errors_of_the_mean(rows: int) -> None:
    X = np.random.default_rng(0).normal(size=(rows, 3)).cumsum(axis=0)
    detector = RidgeDetector(contamination=0.05).fit(X)
    # All windows share rows with each other: none is left to forecast any fifth of them.
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    errors = np.abs(scaled[20:])
    if len(errors) <= 21:
        np.testing.assert_allclose(detector.error_mean_, errors.mean(axis=0), rtol=1e-6)
        spread = errors.std(axis=0)
        want = spread + 0.01 * spread.mean() + 1e-4
        np.testing.assert_allclose(detector.error_scale_, want, rtol=1e-5)
    assert np.abs(detector.coef_).max() < 2.0
    assert np.isfinite(detector.decision_scores_[20:]).all()

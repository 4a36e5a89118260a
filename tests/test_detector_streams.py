"""Streams of detectors: the bits of `score_samples`, for every detector and whatever comes."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for _module in ("torch", "sklearn", "skops"):
    pytest.importorskip(_module)

from sklearn.base import BaseEstimator  # noqa: E402

from slidecell.detect import (  # noqa: E402
    Detector,
    DetectorStream,
    Ensemble,
    PCADetector,
    RidgeDetector,
    SklearnDetector,
    load_detector,
)
from slidecell.detect.model_detector import ModelDetector  # noqa: E402
from slidecell.detect.principal import mean_squared_residual, squared_residuals  # noqa: E402
from slidecell.detect.streams.base import load_stream  # noqa: E402
from slidecell.thresholds.smoothing import EWMA  # noqa: E402
from tests.detectors import ALL, make, series  # noqa: E402

KINDS = (*ALL, "ridge_smoothed", "ensemble", "model")
OFFSETS = np.array([0, 70, 110])


def fit(kind: str, **options: Any) -> Detector:
    X = series(80, seed=1)
    if kind == "ridge_smoothed":
        return RidgeDetector(4, smoothing=6, **options).fit(X)
    if kind == "ensemble":
        # Members fill as they are told to, each for itself.
        members = [(name, make(name, **options)) for name in ALL if name != "forecast"]
        return Ensemble([*members, ("forecast", make("forecast"))], "z").fit(X)
    if kind == "model":
        model = make("forecast").fit(X).model_
        return ModelDetector.of(model.with_metadata(smoothing=EWMA(0.3).state()))
    return make(kind, **options).fit(X)


def rows() -> np.ndarray:
    """Rows of two entities: some missing, some cells missing, one too large for float32."""
    X = series(110, seed=2)
    X[40] = np.nan
    X[55, 1] = np.nan
    X[75, 2] = -np.inf
    X[95, 0] = 1e300
    return X


def same(first: Any, second: Any) -> bool:
    return np.array_equal(
        np.asarray(first, np.float64), np.asarray(second, np.float64), equal_nan=True
    )


def push_all(stream: DetectorStream, X: np.ndarray) -> list[float]:
    """Push the first entity's rows to entity 0 and the second one's to entity 2, in turns."""
    scores = np.full(len(X), np.nan)
    order = np.argsort(np.concatenate([np.arange(70) / 70, np.arange(40) / 40]), kind="stable")
    for row in order:
        scores[row] = stream.push(X[row], 0 if row < OFFSETS[1] else 2)
    return scores.tolist()


@pytest.mark.parametrize("missing", ["skip", "ffill"])
@pytest.mark.parametrize("kind", KINDS)
def test_push_gives_the_bits_of_score_samples(isa: str, kind: str, missing: str) -> None:
    if kind == "model" and missing == "ffill":
        pytest.skip("a model file alone fills nothing")
    detector = fit(kind) if kind == "model" else fit(kind, missing=missing)
    X = rows()
    want = detector.score_samples(X, offsets=OFFSETS)
    stream = detector.stream(3)
    assert same(push_all(stream, X), want)
    assert (stream.rows_seen(0), stream.rows_seen(1), stream.rows_seen(2)) == (70, 0, 40)
    assert np.isinf(want[95])
    assert 30 < np.isfinite(want).sum() < 110


@pytest.mark.parametrize("kind", KINDS)
def test_push_many_gives_the_bits_of_score_samples(kind: str) -> None:
    """Random subsets, entities that are named twice, more at once than small batches have."""
    detector = fit(kind)
    rng = np.random.default_rng(3)
    given: list[list[np.ndarray]] = [[] for _ in range(40)]
    scored: list[list[float]] = [[] for _ in range(40)]
    stream = detector.stream(40)
    for turn in range(14):
        ids = (rng.permutation(40), rng.integers(0, 40, 30), rng.permutation(40)[:5])[turn % 3]
        batch = rng.normal(size=(len(ids), 3))
        batch[rng.random(len(ids)) < 0.03, 1] = np.nan
        for e, row, score in zip(
            ids, batch, stream.push_many(ids, batch, num_threads=1 + turn % 2), strict=True
        ):
            given[e].append(row)
            scored[e].append(score)
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in given])])
    want = detector.score_samples(np.concatenate(given), offsets=offsets)
    got = np.concatenate(scored)
    if kind in {"sklearn", "ensemble"}:  # as the estimator gives: trees sum alike
        assert np.isfinite(want).sum() > 100
    assert same(got, want)
    assert stream.push_many([], np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("missing", ["skip", "ffill"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_stream_goes_on_bit_for_bit(kind: str, missing: str, tmp_path: Path) -> None:
    detector = fit(kind) if kind == "model" else fit(kind, missing=missing)
    X = rows()
    want = detector.score_samples(X[:70])
    stream = detector.stream(2)
    first = [stream.push(row, 1) for row in X[:57]]
    stream.save(tmp_path / "state")
    if kind == "model":
        detector.model_.save(tmp_path / "model.safetensors")
        loaded: Detector = ModelDetector.of(
            type(detector.model_).load(tmp_path / "model.safetensors")
        )
    else:
        detector.save(tmp_path / "detector")
        loaded = load_detector(tmp_path / "detector")
    others = [
        loaded.stream(state=tmp_path / "state"),
        detector.stream(7).load(tmp_path / "state"),
        pickle.loads(pickle.dumps(stream)),
        copy.deepcopy(stream),
    ]
    for other in (*others, stream):
        assert other.num_entities == 2
        assert same([*first, *(other.push(row, 1) for row in X[57:70])], want)
        assert other.rows_seen(1) == 70


@pytest.mark.parametrize("kind", KINDS)
def test_reset_and_resize(kind: str) -> None:
    detector = fit(kind)
    X = rows()[:30]
    want = detector.score_samples(X)
    stream = detector.stream(2)
    for row in X[::-1]:
        stream.push_many([0, 1], [row, row])
    stream.reset(1)
    assert stream.rows_seen(1) == 0
    assert same([stream.push(row, 1) for row in X[:20]], want[:20])
    stream.resize(5)
    assert same([stream.push(row, 1) for row in X[20:]], want[20:])
    assert same([stream.push(row, 4) for row in X], want)
    stream.resize(1)
    with pytest.raises(ValueError, match="entity: expected 0 to 0, got 1"):
        stream.push(X[0], 1)
    stream.reset()
    assert same([stream.push(row) for row in X], want)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_keeps_its_detector_as_it_was(kind: str) -> None:
    detector = fit(kind)
    X = rows()[:60]
    want = detector.score_samples(X)
    stream = detector.stream()
    if kind != "model":
        detector.fit(series(60, seed=9) * 3)
        # Without a scaler a variance has learnt nothing but the threshold.
        assert same(detector.score_samples(X), want) == (kind == "rolling_variance")
    assert same([stream.push(row) for row in X], want)


def test_columns_are_matched_by_name() -> None:
    pd = pytest.importorskip("pandas")
    X = rows()[:20]
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    detector = make("kmeans").fit(pd.DataFrame(series(80, seed=1), columns=["a", "b", "c"]))
    want = detector.score_samples(frame)
    other = frame[["c", "a", "b"]].assign(more=1.0)
    stream = detector.stream(2)
    assert same([stream.push(row) for _, row in other.iterrows()], want)
    batches = [stream.push_many([1], other[n : n + 1]) for n in range(20)]
    assert same(np.concatenate(batches), want)
    with pytest.raises(
        ValueError, match="row: expected the columns 'a', 'b', 'c', but 'b' is miss"
    ):
        stream.push(other.iloc[0].drop("b"))


def test_what_is_refused_changes_nothing() -> None:
    detector = fit("window_pca")
    X = rows()[:30]
    want = detector.score_samples(X)
    stream = detector.stream(2)
    got = []
    for row in X:
        for bad, entity, text in (
            (row[:2], 0, r"row: expected \[3\] \(n_features_in_\), got \[2\]"),
            (row, 2, "entity: expected 0 to 1, got 2"),
            (row, -1, "entity: expected 0 to 1, got -1"),
        ):
            with pytest.raises(ValueError, match=text):
                stream.push(bad, entity)
        with pytest.raises(TypeError, match="row: expected real numbers"):
            stream.push(["a", "b", "c"])
        with pytest.raises(TypeError, match=r"entity: expected an integer, got 0\.5"):
            stream.push(row, 0.5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"rows: expected \[2, 3\] .*, got \[1, 3\]"):
            stream.push_many([0, 1], [row])
        with pytest.raises(ValueError, match="entity_ids: expected 0 to 1, got 2"):
            stream.push_many([0, 2], [row, row])
        with pytest.raises(
            TypeError, match=r"entity_ids: expected \[n\] integers, got dtype float"
        ):
            stream.push_many([0.0], [row])
        with pytest.raises(ValueError, match="num_threads: expected an integer >= 1, got 0"):
            stream.push_many([0], [row], num_threads=0)
        got.append(stream.push(np.ma.masked_invalid(row)))
    assert same(got, want)


@pytest.mark.parametrize("kind", ["kmeans", "window_pca", "ridge", "neighbors"])
def test_a_cover_has_no_stream(kind: str) -> None:
    detector = fit(kind, align="cover")
    with pytest.raises(ValueError, match=r"align='cover': a .*fit one with align='end'"):
        detector.stream()
    both = Ensemble([("level", make("zscore")), ("shape", detector)], prefit=False)
    both.fit(series(80, seed=1))
    with pytest.raises(ValueError, match="member 'shape': align='cover'"):
        both.stream()
    # A member without weight is not asked.
    both = Ensemble([("level", make("zscore")), ("shape", detector)], weights=[1.0, 0.0])
    X = rows()[:30]
    both.fit(series(80, seed=1))
    stream = both.stream()
    assert same([stream.push(row) for row in X], both.score_samples(X))


def test_a_mean_over_windows_has_no_stream() -> None:
    detector = fit("autoencoder", aggregate="mean")
    with pytest.raises(ValueError, match="aggregate='mean': an AutoencoderDetector"):
        detector.stream()


@pytest.mark.parametrize("options", [{"reduction": "mae"}, {"aggregate": "last"}])
def test_networks_stream_by_their_own_reduction(isa: str, options: dict[str, Any]) -> None:
    detector = fit("autoencoder", **options)
    X = rows()[:60]
    stream = detector.stream()
    assert same([stream.push(row) for row in X], detector.score_samples(X))


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_networks_stream_at_their_precision(isa: str, precision: str) -> None:
    detector = fit("forecast", precision=precision)
    X = rows()[:60]
    stream = detector.stream()
    assert same([stream.push(row) for row in X], detector.score_samples(X))


def test_a_detector_that_scores_in_its_own_way_has_no_stream() -> None:
    class Own(type(fit("zscore"))):  # type: ignore[misc]
        def _score(self, rows: Any) -> Any:
            return np.cumsum(super()._score(rows))

    with pytest.raises(ValueError, match="Own has no stream: a score of it depends on rows that"):
        Own().fit(series(30)).stream()


def test_an_unfitted_detector_has_no_stream() -> None:
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        make("kmeans").stream()


def test_memory_has_a_bound(tmp_path: Path) -> None:
    detector = fit("kmeans")
    needed = detector.stream(5).bytes_per_entity * 5
    assert needed >= 5 * 4 * 3 * 8  # a window of doubles
    detector.stream(5, max_bytes=needed)
    text = f"max_bytes: expected at least {needed}, which 5 entities take, got {needed - 1}"
    with pytest.raises(ValueError, match=text):
        detector.stream(5, max_bytes=needed - 1)
    with pytest.raises(ValueError, match="num_entities: expected an integer >= 1, got 0"):
        detector.stream(0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "model"])
def test_the_state_of_another_detector_is_refused(kind: str, tmp_path: Path) -> None:
    detector = fit(kind)
    stream = detector.stream()
    X = rows()
    stream.push(X[0])
    stream.save(tmp_path / "state")
    other = copy.deepcopy(detector).fit(series(80, seed=1) * 2.0)
    want = f"the state of another {type(detector).__name__}: it was fitted otherwise"
    with pytest.raises(ValueError, match=want):
        other.stream(state=tmp_path / "state")
    with pytest.raises(ValueError, match=r"the state of a .*, expected one of a"):
        fit("pca" if kind == "zscore" else "zscore").stream().load(tmp_path / "state")
    fresh = other.stream()
    with pytest.raises(ValueError, match=want):
        fresh.load(tmp_path / "state")
    assert same([fresh.push(row) for row in X[:30]], other.score_samples(X[:30]))


@pytest.mark.parametrize("kind", ["ridge_smoothed", "ensemble", "forecast"])
def test_a_damaged_state_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    detector = fit(kind, missing="ffill")
    stream = detector.stream(2)
    for row in rows()[:20]:
        stream.push(row)
    good, bad = tmp_path / "good", tmp_path / "bad"
    stream.save(good)
    with zipfile.ZipFile(good) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    text = json.loads(parts["stream.json"])

    def refused(changed: dict[str, bytes], match: str) -> None:
        with zipfile.ZipFile(bad, "w") as archive:
            for name, data in changed.items():
                archive.writestr(name, data)
        with pytest.raises(ValueError, match=match) as error:
            detector.stream(state=bad)
        assert str(bad) in str(error.value)

    for name in parts:
        refused({k: v for k, v in parts.items() if k != name}, ".")
        if name != "stream.json":
            refused({**parts, name: parts[name][:-8]}, "expected|state")
    for change in (
        {"format": 2},
        {"entities": 10**12},
        {"entities": 0},
        {"entities": "2"},
        {"fill": 1},
        {"smoothings": {"9": []}},
        {"smoothings": []},
    ):
        refused({**parts, "stream.json": json.dumps({**text, **change}).encode()}, "expected")
    refused({**parts, "stream.json": b"[]"}, "expected an object, got list")
    (tmp_path / "cut").write_bytes(good.read_bytes()[:-30])
    with pytest.raises(ValueError, match="not a stream's state, or damaged"):
        load_stream(tmp_path / "cut", detector)


def test_a_state_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    stream = fit("kmeans").stream()
    stream.save(tmp_path / "state")
    before = (tmp_path / "state").read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    with pytest.raises(OSError, match="cannot be written"):
        stream.save(tmp_path / "none" / "state")
    assert (tmp_path / "state").read_bytes() == before


@pytest.mark.parametrize("rank", [2, 3])
def test_residuals_of_few_rows_have_the_bits_of_many(rank: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, rank)) @ rng.normal(size=(rank, 7)) + 5.0
    X[:, 4] = 3.0
    detector = PCADetector(1).fit(X)
    assert detector._fixed is not None
    values = rng.normal(size=(100, 7)) * 1e3
    values[3, 2] = np.nan
    given = (detector.mean_, detector.components_, detector._fixed)
    for fixed in (given, (*given[:2], None)):
        many, sums = squared_residuals(values, *fixed), mean_squared_residual(values, *fixed)
        for n in (1, 2, 5):
            few = [squared_residuals(values[i : i + n], *fixed) for i in range(0, 100, n)]
            assert same(np.concatenate(few), many)
            ones = [mean_squared_residual(values[i : i + n], *fixed) for i in range(0, 100, n)]
            assert same(np.concatenate(ones), sums)


def test_rows_needed_of_window_pca_are_its_window() -> None:
    assert fit("window_pca").rows_needed() == 4
    assert fit("window_pca", align="cover").rows_needed() is None


def test_only_networks_have_a_model_for_streams_of_cpp() -> None:
    network = fit("forecast")
    assert network.live_model() is network.model_
    with pytest.raises(ValueError, match="KMeansDetector is no network that streams can run"):
        fit("kmeans").live_model()


class _Waiting(BaseEstimator):
    """Takes its time on one row."""

    entered, go_on = threading.Event(), threading.Event()

    def fit(self, X: Any, y: object = None) -> _Waiting:
        self.n_features_in_ = X.shape[1]
        return self

    def score_samples(self, X: Any) -> Any:
        if (X[:, 0] == 5.0).any():
            self.entered.set()
            assert self.go_on.wait(60)
        return -X[:, 0]


def test_a_call_during_another_threads_call_is_refused() -> None:
    stream = SklearnDetector(_Waiting()).fit([[0.0], [1.0], [2.0]]).stream(2)
    found: list[float] = []
    other = threading.Thread(target=lambda: found.append(stream.push([5.0])))
    other.start()
    assert _Waiting.entered.wait(60)
    calls = (
        lambda: stream.push([1.0]),
        lambda: stream.push_many([1], [[1.0]]),
        stream.miss,
        stream.reset,
        lambda: stream.resize(3),
    )
    try:
        for call in calls:
            with pytest.raises(RuntimeError, match="one thread at a time, got a call"):
                call()
    finally:
        _Waiting.go_on.set()
        other.join()
    assert found == [5.0]
    assert (stream.rows_seen(0), stream.rows_seen(1)) == (1, 0)
    assert stream.push([1.0]) == 1.0

"""Rows and columns that have names are matched by name, whatever kind of name it is."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import slidecell as sc
from slidecell.detect import Ensemble, ForecastDetector, RandomGRUDetector, ZScoreDetector
from slidecell.detect.loading import load_saved
from slidecell.jobs.score import ScoreOptions, run_score
from tests.models import MODELS, random_model

S = 40
NAMES = ["a", "b", "c"]
SHUFFLED = ["c", "a", "b"]


def values() -> np.ndarray:
    return np.random.default_rng(0).random((S, 3)) * [1, 10, 100]


def model() -> sc.SequenceModel:
    metadata, tensors = random_model(np.random.default_rng(1), **MODELS["lstm"])
    return sc.SequenceModel(metadata, tensors).with_metadata(features=NAMES)


def frame() -> pd.DataFrame:
    """A, b, c in another order, beside a column that is no feature."""
    return pd.DataFrame(values(), columns=NAMES)[SHUFFLED].assign(extra="text")


def same(got: Any, want: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(got, np.float64), np.asarray(want, np.float64))


ROWS: dict[str, Callable[[], list[Any]]] = {
    "of floats": lambda: [row for _, row in frame()[SHUFFLED].iterrows()],
    "of objects": lambda: [row for _, row in frame().iterrows()],
    "nullable": lambda: [row for _, row in frame()[SHUFFLED].convert_dtypes().iterrows()],
}


@pytest.mark.parametrize("kind", ROWS)
def test_pushed_series_are_matched_by_name(kind: str) -> None:
    net = model()
    want = net.score(values(), kernel="fma")
    rows = ROWS[kind]()
    stream, monitor, plain = net.stream(), sc.Monitor(net.stream()), sc.Monitor(net.stream())
    same([stream.push(row) for row in rows], want)
    events = [monitor.push(row) for row in rows]
    same([event.score for event in events], want)
    expected = [plain.push(row) for row in values()]
    same(events[-1].attribution, expected[-1].attribution)
    same(net.stream().push_many([0] * S, rows), want)
    same(net.score(rows), net.score(values()))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_pushed_frames_are_matched_by_name(library: str) -> None:
    net = model()
    want = net.score(values(), kernel="fma")
    rows = frame() if library == "pandas" else pl.from_pandas(frame())
    same(net.stream().push_many([0] * S, rows), want)
    for attribution in (True, False):
        monitor = sc.Monitor(net.stream(), attribution=attribution)
        events = monitor.push_many([0] * S, rows)
        same([event.score for event in events], want)
    same(net.score(rows), net.score(values()))


def test_a_missing_or_doubled_name_is_refused_and_nothing_is_taken() -> None:
    net = model()
    stream = net.stream()
    monitor = sc.Monitor(net.stream())
    one = frame().iloc[0]
    for odd, message in (
        (one.drop("b"), "expected the columns 'a', 'b', 'c', but 'b' is missing"),
        (one.rename({"b": "B"}), "expected the columns 'a', 'b', 'c', but 'b' is missing"),
        (pd.concat([one, one[["b"]]]), "column 'b' occurs 2 times"),
        (
            pd.Series(values()[0]),
            "expected the columns 'a', 'b', 'c', but 'a', 'b', 'c' is missing",
        ),
    ):
        for push in (stream.push, monitor.push):
            with pytest.raises(ValueError, match=f"^row: {message}"):
                push(odd)
    text = "^rows: expected the columns 'a', 'b', 'c', but 'b' is missing"
    for many in (stream.push_many, monitor.push_many):
        with pytest.raises(ValueError, match=text):
            many([0] * S, frame().drop(columns="b"))
    with pytest.raises(TypeError, match=r"^row: expected real numbers, got dtype"):
        stream.push(pd.Series({"a": 1.0, "b": "text", "c": 2.0}))
    assert stream.rows_seen() == monitor.stream.rows_seen() == 0


def test_without_names_a_row_is_taken_in_its_order() -> None:
    net = model().with_metadata(features=None)
    rows = frame()[SHUFFLED]
    want = net.score(values()[:, [2, 0, 1]], kernel="fma")
    stream = net.stream()
    same([stream.push(row) for _, row in rows.iterrows()], want)
    same(net.stream().push_many([0] * S, rows), want)


KINDS: dict[str, list[Any]] = {
    "text": ["a", "b", "c"],
    "numbers": [101, 102, 103],
    "by pandas": [0, 1, 2],
    "mixed": ["a", 7, 2.5],
    "tuples": [("cpu", "max"), ("cpu", 1), ("disk", "max")],
    "dates": [datetime.date(2020, 1, day) for day in (1, 2, 3)],
}


def named(names: list[Any]) -> pd.DataFrame:
    columns = pd.MultiIndex.from_tuples(names) if isinstance(names[0], tuple) else names
    return pd.DataFrame(values(), columns=columns)


@pytest.mark.parametrize("kind", KINDS)
def test_detectors_match_names_of_any_kind(kind: str) -> None:
    names, X = KINDS[kind], named(KINDS[kind])
    detector = ZScoreDetector().fit(X)
    assert detector.feature_names_in_.tolist() == names
    want = detector.decision_scores_
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        same(detector.score_samples(X.iloc[:, order]), want)
        same(detector.predict(X.iloc[:, order]), detector.labels_)
        same(detector.feature_scores(X.iloc[:, order]), detector.feature_scores(X))
    same(
        detector.score_samples(pd.concat([X, X.iloc[:, :1].set_axis(["new"], axis=1)], axis=1)),
        want,
    )
    same(detector.score_samples(X.to_numpy()), want)
    with pytest.raises(ValueError, match=r"^X: expected the columns .* is missing$"):
        detector.score_samples(X.iloc[:, :2])
    with pytest.raises(ValueError, match=r"^X: expected the columns .* is missing$"):
        detector.score_samples(X.set_axis(["x", "y", "z"], axis=1))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dates"])
@pytest.mark.parametrize("made", [ZScoreDetector(), RandomGRUDetector(window=3, hidden_size=8)])
def test_saved_detectors_keep_names_of_any_kind(kind: str, made: Any, tmp_path: Path) -> None:
    X = named(KINDS[kind])
    X.iloc[:, 1] = 3.0  # constant
    detector = made.fit(X)
    detector.save(tmp_path / "saved")
    again = type(made).load(tmp_path / "saved")
    assert again.feature_names_in_.tolist() == KINDS[kind]
    assert again.feature_names_in_.shape == (3,)
    assert list(map(type, again.feature_names_in_)) == list(map(type, KINDS[kind]))
    assert again.constant_features_ == [KINDS[kind][1]]
    same(again.score_samples(X.iloc[:, [2, 0, 1]]), detector.decision_scores_)


def test_names_that_json_has_not_are_refused_when_saved(tmp_path: Path) -> None:
    detector = ZScoreDetector().fit(named(KINDS["dates"]))
    text = r"^column datetime.date\(2020, 1, 1\): a name of type date cannot be saved"
    with pytest.raises(ValueError, match=text):
        detector.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_folders_without_names_take_columns_in_their_order(tmp_path: Path) -> None:
    """As those that were saved before names of all kinds were kept."""
    detector = ZScoreDetector().fit(named([101, 102, 103]))
    detector.save(tmp_path)
    file = tmp_path / "detector.json"
    text = json.loads(file.read_text())
    assert text["fitted"]["feature_names_in"] == [101, 102, 103]
    text["fitted"]["feature_names_in"] = None
    file.write_text(json.dumps(text))
    again = ZScoreDetector.load(tmp_path)
    same(again.score_samples(named(["x", "y", "z"])), detector.decision_scores_)


@pytest.mark.parametrize("odd", [{"a": 1}, [["a"]], [[{}]]])
def test_damaged_names_are_refused(odd: Any, tmp_path: Path) -> None:
    ZScoreDetector().fit(named([101, 102, 103])).save(tmp_path)
    file = tmp_path / "detector.json"
    text = json.loads(file.read_text())
    text["fitted"]["feature_names_in"] = [odd, "b", "c"]
    file.write_text(json.dumps(text))
    with pytest.raises(ValueError, match="expected a column's name"):
        ZScoreDetector.load(tmp_path)


@pytest.mark.parametrize("kind", ["numbers", "mixed", "tuples"])
def test_networks_match_names_of_any_kind(kind: str) -> None:
    pytest.importorskip("torch")
    X = named(KINDS[kind])
    detector = ForecastDetector(window=3, hidden_size=4, epochs=1, random_state=0).fit(X)
    net, shuffled = detector.model_, X.iloc[:, [1, 2, 0]]
    assert net.features == list(map(str, KINDS[kind]))
    same(detector.score_samples(shuffled), detector.decision_scores_)
    same(net.score(shuffled), net.score(X))
    same(net.stream().push_many([0] * S, shuffled), net.stream().push_many([0] * S, values()))
    stream = net.stream()
    same([stream.push(row) for _, row in shuffled.iterrows()], net.score(values(), kernel="fma"))
    again = detector.fit(shuffled, warm_start=True)
    same(again.score_samples(X), again.score_samples(shuffled))


def test_an_ensemble_matches_names_of_any_kind(tmp_path: Path) -> None:
    X = named(KINDS["tuples"])
    ensemble = Ensemble(
        [("z", ZScoreDetector()), ("gru", RandomGRUDetector(window=3, hidden_size=8))]
    )
    ensemble.fit(X)
    same(ensemble.score_samples(X.iloc[:, [1, 2, 0]]), ensemble.decision_scores_)
    ensemble.save(tmp_path / "saved")
    again = Ensemble.load(tmp_path / "saved")
    same(again.score_samples(X.iloc[:, [1, 2, 0]]), ensemble.decision_scores_)


def test_files_are_matched_by_the_text_of_names(tmp_path: Path) -> None:
    X = named(KINDS["numbers"])
    detector = ZScoreDetector().fit(X)
    detector.save(tmp_path / "saved")
    X[[103, 101, 102]].to_csv(tmp_path / "rows.csv", index=False)
    report = run_score(
        ScoreOptions(tmp_path / "saved", tmp_path / "rows.csv", out=tmp_path / "out")
    )
    assert report is not None
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")["score"]
    np.testing.assert_allclose(scores, detector.decision_scores_, rtol=1e-6)
    assert load_saved(tmp_path / "saved").feature_names_in_.tolist() == [101, 102, 103]
    # A first row of other numbers is a row still, and so is one of some names twice.
    for first in ("101,102,104", "101,101,102", "101,102,103,105"):
        (tmp_path / "rows.csv").write_text(first + "\n" + "1,2,3\n" * 5)
        with pytest.raises(ValueError, match="line 1: expected the names of the columns"):
            run_score(ScoreOptions(tmp_path / "saved", tmp_path / "rows.csv", out=tmp_path / "out"))

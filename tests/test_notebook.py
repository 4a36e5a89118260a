"""What notebooks and editors show: tables in HTML, signatures, docs, words to choose among."""

from __future__ import annotations

import inspect
import typing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import _choices, _core
from slidecell.bench.cases import random_model
from slidecell.evaluate import evaluate
from slidecell.thresholds.events import find_events


class Table(HTMLParser):
    """The cells of a table, row by row, and its tags, all of which must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        assert not attributes
        self.tags.add(tag)
        self._open.append(tag)
        if tag in {"tr", "caption"}:
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.rows[-1].append(data)


def shown(value: Any) -> Table:
    table = Table(value._repr_html_())
    assert table.tags <= {"table", "caption", "tr", "th", "td"}
    return table


def test_a_model_shows_its_sizes_and_escapes_names() -> None:
    plain = random_model("lstm", (8, 4), features=2, window=5)
    model = sc.SequenceModel({**plain.metadata, "features": ["<b>", "a&b"]}, plain.tensors)
    assert "&lt;b&gt;, a&amp;b" in model._repr_html_()
    rows = dict(row for row in shown(model).rows if len(row) == 2)
    assert rows["features"] == "<b>, a&b"
    assert (rows["window"], rows["horizon"]) == ("5 rows", "1 rows")
    assert (rows["encoder 0"], rows["encoder 1"]) == ("lstm 8", "lstm 4")
    assert rows["scaler"] == "none"
    assert rows["weights"] == str(sum(array.size for array in model.tensors.values()))
    assert rows["kernel"].endswith(f"({model.plan()['isa']})")


def test_events_show_their_numbers() -> None:
    model = random_model("gru", (4,), features=2, window=3)
    monitor = sc.Monitor(model.stream(), threshold=sc.thresholds.FixedThreshold(0.25))
    events = [monitor.push(row) for row in np.linspace(0, 4, 20).reshape(10, 2)]
    rows = [dict(row for row in shown(event).rows if len(row) == 2) for event in events]
    assert rows[0] == {"score": "-", "smoothed": "-", "threshold": "0.25", "alarm": "no"}
    assert rows[-1]["score"] == f"{events[-1].score:.6g}"
    assert rows[-1]["alarm"] == ("yes" if events[-1].alarm else "no")
    (found,) = find_events([0, 1, 1, 0], [0.5, 1.5, 2.5, 0.5], threshold=1.0)
    assert ["peak", "2.5"] in shown(found).rows
    assert ["area", "2"] in shown(found).rows


def test_an_evaluation_shows_each_metric_beside_a_random_scores() -> None:
    found = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], threshold=0.7)
    table = shown(found)
    assert ["ROC-AUC", "0.7500", "0.5000"] in table.rows
    assert ["precision", "1.0000", "0.5000"] in table.rows
    assert table.rows[0][0].startswith("4 rows, 2 anomalous")


def test_a_result_shows_its_worst_events(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from slidecell.datasets import insider_threat
    from slidecell.detect import DetectOptions, TableOptions, run_detect

    file = tmp_path / "a <i> b.csv"
    frame = insider_threat(users=3, days=60)
    frame["user"] = "<u>" + frame["user"].astype(str)
    frame.to_csv(file, index=False)
    table = TableOptions(time="day", entity="user", label="label")
    options = DetectOptions(file, tmp_path / "out", table, window=7, epochs=1)
    result = run_detect(options, progress=False)
    html = result._repr_html_()
    assert "<i>" not in html
    assert "<u>" not in html
    rows = shown(result).rows
    assert ["rows", str(len(result.scores))] in rows
    assert ["flagged", str(int(result.flagged.sum()))] in rows
    assert ["events", str(len(result.events))] in rows
    if result.events:
        assert any(row[-1] == f"{result.events[0].peak:.6g}" for row in rows)


def compiled() -> list[tuple[str, Any]]:
    """Return each compiled function and method with its name."""
    found = []
    for name, value in vars(_core).items():
        if isinstance(value, type) and value.__module__ == _core.__name__:
            if not issubclass(value, Exception):
                members = {k for k in vars(value) if not k.startswith("_")}
                found += [(f"{name}.{k}", getattr(value, k)) for k in sorted(members)]
        elif callable(value) and not isinstance(value, type):
            found.append((name, value))
    return found


def test_compiled_functions_have_signatures_and_docs() -> None:
    functions = [(name, value) for name, value in compiled() if callable(value)]
    assert len(functions) > 40
    for name, function in functions:
        if name.startswith("_"):
            continue
        signature = inspect.signature(function)
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}, name
        doc = inspect.getdoc(function)
        assert doc, name
        assert "overload" not in doc.lower(), name
        assert doc[0].isupper(), name
        assert doc.endswith("."), name
    for name, value in compiled():
        if isinstance(value, property):
            assert value.__doc__, name
            assert "arg0" not in value.__doc__, name
    score = inspect.signature(_core.SequenceModel.score)
    assert str(score).startswith("(self, series, offsets, *, precision, kernel,")
    assert str(inspect.signature(_core.gather_rows)).startswith("(series, starts, window,")
    assert str(inspect.signature(_core.Stream.load)) == "(model, path)"


def test_push_has_its_signature_on_the_class_and_on_a_stream() -> None:
    model = random_model("gru", (4,), features=2, window=3)
    stream = model.stream()
    assert isinstance(stream, sc.Stream)
    for push in (sc.Stream.push, stream.push):
        parameters = dict(inspect.signature(push).parameters)
        parameters.pop("self", None)
        assert list(parameters) == ["row", "entity"]
        assert parameters["entity"].default == 0
        assert "next row" in (inspect.getdoc(push) or "")
    row = np.ones(2, np.float32)
    scores = [sc.Stream.push(stream, row) for _ in range(5)]
    other = model.stream()
    assert np.array_equal(scores, [other.push(row) for _ in range(5)], equal_nan=True)


def test_stream_is_exported() -> None:
    from slidecell.stream import Stream

    assert sc.Stream is Stream
    assert "Stream" in sc.__all__


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("precision", _choices.Precision),
        ("kernel", _choices.Kernel),
        ("reduction", _choices.Reduction),
        ("aggregate", _choices.Aggregate),
    ],
)
def test_words_for_type_checkers_are_those_of_the_core(argument: str, words: Any) -> None:
    model = random_model("gru", (4,), features=2, window=3)
    with pytest.raises(ValueError, match=argument) as error:
        model.score(np.zeros((5, 2)), **{argument: "nonsense"})
    listed = str(error.value).partition("got")[0].replace('"', "'")
    found = {word.strip("',. ") for word in listed.partition("of")[2].split()}
    assert set(typing.get_args(words)) == found - {"or", "and"}
    hints = typing.get_type_hints(sc.SequenceModel.score)
    assert hints[argument] == words


def test_words_of_activations_are_those_of_the_core() -> None:
    assert set(typing.get_args(_choices.Activation)) == set(_core.activations())
    recurrent = set(typing.get_args(_choices.RecurrentActivation))
    assert recurrent == set(_core.recurrent_activations())

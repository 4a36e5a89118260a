"""Copies and pickles of streams and monitors go on by themselves, bit for bit."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import _core
from slidecell.stream import Stream
from slidecell.thresholds import CusumThreshold, SpotThreshold, Threshold
from slidecell.thresholds.smoothing import EWMA
from tests.models import MODELS, random_model

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


@pytest.fixture(params=COPIES)
def copied(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return COPIES[request.param]


def model(name: str) -> sc.SequenceModel:
    options = MODELS[name] | {"error": True}
    return sc.SequenceModel(*random_model(np.random.default_rng(1), **options))


def rows_for(net: sc.SequenceModel, n: int = 60) -> tuple[list[int], np.ndarray]:
    rng = np.random.default_rng(2)
    rows = rng.random((n, net.input_size))
    rows[n // 3, 0] = np.nan
    return rng.integers(0, 3, n).tolist(), rows


def told(events: list[sc.Event]) -> np.ndarray:
    return np.array([[e.score, e.smoothed, e.threshold, e.alarm] for e in events], np.float64)


@pytest.mark.parametrize("name", MODELS)
def test_copied_streams_go_on_bit_for_bit(name: str, copied: Callable[[Any], Any]) -> None:
    net = model(name)
    ids, rows = rows_for(net)
    for entities in (3, 20):
        stream = net.stream(entities)
        for e, row in zip(ids[:30], rows[:30], strict=True):
            stream.push(row, e)
        twin = copied(stream)
        want = [stream.push(row, e) for e, row in zip(ids[30:], rows[30:], strict=True)]
        got = [twin.push(row, e) for e, row in zip(ids[30:], rows[30:], strict=True)]
        np.testing.assert_array_equal(got, want)
        assert np.isfinite(want).sum() > 5
        assert twin.plan() == stream.plan()
        assert [twin.rows_seen(e) for e in range(3)] == [stream.rows_seen(e) for e in range(3)]


def test_a_copy_is_apart_from_its_origin(copied: Callable[[Any], Any]) -> None:
    net = model("lstm")
    _, rows = rows_for(net)
    for made in (net.stream(), sc.Monitor(net.stream())):
        stream = made if isinstance(made, Stream) else made.stream
        for row in rows[:10]:
            made.push(row)
        twin = copied(made)
        its = twin if isinstance(twin, Stream) else twin.stream
        twin.reset()
        assert (its.rows_seen(), stream.rows_seen()) == (0, 10)


def test_options_of_a_stream_are_copied(copied: Callable[[Any], Any]) -> None:
    net = model("ae_lstm")
    _, rows = rows_for(net)
    stream = net.stream(reduction="mae", aggregate="last")
    for row in rows[:20]:
        stream.push(row)
    twin = copied(stream)
    assert [twin.push(row) for row in rows[25:]] == [stream.push(row) for row in rows[25:]]


@pytest.mark.parametrize("name", ["lstm", "lstm_horizon3", "ae_lstm"])
@pytest.mark.parametrize("rule", [CusumThreshold(), SpotThreshold(q=1e-2, level=0.5), None])
def test_copied_monitors_go_on_bit_for_bit(
    name: str, rule: Threshold | None, copied: Callable[[Any], Any]
) -> None:
    net = model(name)
    ids, rows = rows_for(net, 120)
    if rule is not None:
        rule = rule.fresh().fit(net.score(rows))
    monitor = sc.Monitor(net.stream(3), threshold=rule, smoothing=EWMA(0.4))
    monitor.extra["note"] = [1]
    monitor.push_many(ids[:50], rows[:50])
    twin = copied(monitor)
    assert twin.extra == {"note": [1]}
    twin.extra["note"].append(2)
    assert monitor.extra == {"note": [1]}
    want = [monitor.push(row, e) for e, row in zip(ids[50:], rows[50:], strict=True)]
    got = [twin.push(row, e) for e, row in zip(ids[50:], rows[50:], strict=True)]
    np.testing.assert_array_equal(told(got), told(want))
    for a, b in zip(got, want, strict=True):
        if b.attribution is None:
            assert a.attribution is None
        else:
            np.testing.assert_array_equal(a.attribution, b.attribution)


class AboveMean(Threshold):
    """A rule that is not of this package, and that no saved state knows."""

    kind = "above_mean"

    def __init__(self) -> None:
        self.seen: list[float] = []

    @property
    def threshold(self) -> float:
        return float(np.mean(self.seen)) if self.seen else np.nan

    def reset(self) -> None:
        self.seen = []

    def _settings(self) -> dict[str, Any]:
        return {}

    def _judge(self, score: float) -> bool:
        alarm = score > self.threshold
        self.seen.append(score)
        return alarm


def test_monitors_with_a_rule_of_ones_own_are_copied(copied: Callable[[Any], Any]) -> None:
    net = model("lstm")
    _, rows = rows_for(net)
    monitor = sc.Monitor(net.stream(), threshold=AboveMean())
    for row in rows[:30]:
        monitor.push(row)
    twin = copied(monitor)
    want = told([monitor.push(row) for row in rows[30:]])
    np.testing.assert_array_equal(told([twin.push(row) for row in rows[30:]]), want)
    assert 0 < want[:, 3].sum() < 30


def test_a_shallow_copy_shares_the_model() -> None:
    net = model("lstm")
    stream, monitor = net.stream(), sc.Monitor(net.stream())
    assert copy.copy(stream)._model is net
    assert copy.copy(monitor).stream._model is net
    deep = copy.deepcopy([stream, monitor])
    assert deep[0]._model is deep[1].stream._model is not net


def test_saved_bytes_are_the_file(tmp_path: Any) -> None:
    net = model("lstm")
    stream = net.stream(2)
    stream.push(np.ones(net.input_size), 1)
    stream.save(tmp_path / "state")
    saved = (tmp_path / "state").read_bytes()
    assert stream._core.saved_bytes() == saved
    for damaged, text in (
        (b"", "truncated"),
        (saved[:-9], "truncated"),
        (saved + b"x", "more data than expected"),
        (saved[:200] + bytes([saved[200] ^ 1]) + saved[201:], "checksum|damaged"),
        (b"x" * len(saved), "not a stream's state"),
    ):
        with pytest.raises(ValueError, match=f"^saved: .*({text})"):
            _core.Stream.from_saved_bytes(net._core, damaged)
    with pytest.raises(ValueError, match=r"^saved: the state of another model"):
        _core.Stream.from_saved_bytes(model("gru_before")._core, saved)

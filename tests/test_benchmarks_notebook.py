"""The notebook comparison on tiny data: every way's answer, the command; no time is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import slidecell as sc
from benchmarks import sampled_truth
from benchmarks.notebook import __main__ as notebook
from benchmarks.notebook import loaders, score, train, ways
from slidecell.bench.progress import Progress

SMALL = {
    "baseline LSTM": {"cell": "lstm", "hidden_size": 5},
    "GRU": {"cell": "gru", "hidden_size": 4},
    "deep LSTM": {"cell": "lstm", "hidden_size": 4, "num_layers": 2, "dropout": 0.2},
}
THREADS = ["--threads", "1"]


@pytest.fixture(autouse=True)
def small(monkeypatch) -> Iterator[None]:
    effort = notebook.Effort(
        "tiny",
        10,
        score.ScoreEffort(1, 10, 3, 4),
        4,
        batches=4,
        users_timed=2,
        load_windows=5_000,
        load_repeats=1,
    )
    monkeypatch.setattr(notebook, "QUICK", effort)
    monkeypatch.setattr(notebook, "ARCHITECTURES", SMALL)
    monkeypatch.setattr(notebook, "SCORED", SMALL)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data() -> score.Users:
    return notebook.study(10)


def test_windows_of_the_notebook_are_those_of_a_naive_loop(data) -> None:
    x, y = ways.windows_by_offsets(data.rows, data.offsets)
    spans = zip(data.offsets[:-1], data.offsets[1:], strict=True)
    starts = [at for first, end in spans for at in range(first, end - 7)]
    np.testing.assert_array_equal(x, np.stack([data.rows[at : at + 7] for at in starts]))
    np.testing.assert_array_equal(y, np.stack([data.rows[at + 7] for at in starts]))
    for mine, right in zip(
        ways.windows_by_user(data.frame, data.rows, data.names), (x, y), strict=True
    ):
        np.testing.assert_array_equal(mine, right)


def test_users_with_few_rows_have_no_windows() -> None:
    rows = np.random.default_rng(0).random((20, 2), dtype=np.float32)
    x, y = ways.windows_by_offsets(rows, np.array([0, 7, 20]))
    assert len(x) == len(y) == 6
    np.testing.assert_array_equal(x[0], rows[7:14])


@pytest.mark.parametrize("name", SMALL)
def test_every_way_to_score_has_the_answer_of_float64(name, data) -> None:
    module = ways.network(SMALL[name], 7).eval()
    starts = sampled_truth.sample(data.offsets, 8, 10**9)
    truth = sampled_truth.true_scores(module, data.rows, starts, 7)
    x, y = ways.windows_by_offsets(data.rows, data.offsets)
    answers = [ways.loader_scores(module, ways.loader(x, y))]
    answers.append(sc.SequenceModel.from_torch(module, window=7).score(data.rows, data.offsets))
    answers[1] = answers[1][starts + 7]
    if name == "baseline LSTM":
        answers.append(ways.NumpyCell(module).scores(x[:50], y[:50]))
    for answer in answers:
        np.testing.assert_allclose(answer, truth[: len(answer)], rtol=2e-6, atol=5e-7)
        assert sampled_truth.largest_error(answer, truth[: len(answer)])[1]


def test_wrong_answers_are_called_wrong() -> None:
    truth = np.array([0.1, 0.2])
    assert sampled_truth.largest_error(truth, truth) == (0.0, True)
    error, right = sampled_truth.largest_error(truth + np.array([0, 1e-5]), truth)
    assert error == pytest.approx(1e-5)
    assert not right
    assert sampled_truth.largest_error([0.1, np.nan], truth) == (None, False)
    assert sampled_truth.largest_error([0.1], truth) == (None, False)


def test_sample_has_the_last_window_and_no_window_twice() -> None:
    starts = sampled_truth.sample(np.array([0, 50, 53, 120]), 8, 20)
    assert len(np.unique(starts)) == 20
    assert starts[-1] == 112
    assert not ((starts > 42) & (starts < 53)).any()


def test_both_sides_of_the_cut_have_the_windows_of_the_list(data) -> None:
    x, y = ways.windows_by_offsets(data.rows, data.offsets)
    at = int(0.8 * len(x))
    parts = train.cut(data.rows, data.offsets)
    right = ((x[:at], y[:at]), (x[at:], y[at:]))
    for (rows, offsets), (windows, targets) in zip(parts, right, strict=True):
        mine = ways.windows_by_offsets(rows, offsets)
        np.testing.assert_array_equal(mine[0], windows)
        np.testing.assert_array_equal(mine[1], targets)


def test_training_from_equal_weights_ends_with_equal_losses(data) -> None:
    # The windows fit into one batch, whose order does not matter.
    configs = {name: SMALL[name] for name in ("baseline LSTM", "GRU")}
    found = train.train_complete(configs, data.first(4), 1, steps=Progress(2))
    assert found.users == found.users_timed == 4
    for case in found.cases:
        assert case.right
        assert case.our_loss == pytest.approx(case.their_loss, rel=1e-5)
        assert case.scaled_from == 0


def test_losses_that_differ_are_called_wrong(data, monkeypatch) -> None:
    monkeypatch.setattr(train, "LOSS_TOLERANCE", 1e-12)
    configs = {"deep LSTM": SMALL["deep LSTM"]}  # whose dropout is other for both
    found = train.train_complete(configs, data.first(4), 1, steps=Progress(2))
    assert not found.cases[0].right


def test_batch_times_are_scaled_to_an_epoch(monkeypatch) -> None:
    x, y = np.zeros((5 * 2048, 7, 7), np.float32), np.zeros((5 * 2048, 7), np.float32)
    parts = ways.loader(x, y), ways.loader(x[:4096], y[:4096])
    monkeypatch.setattr(train._Clock, "_steps", lambda _, count: ([9.0, 2, 3, 2], [1, 1]))
    clock = train._Clock(ways.network(SMALL["GRU"], 7), *parts)
    clock.run(4)
    # Five batches of 2, and 7 more for the first; two batches of 1 that validate.
    assert clock.timed == 4
    assert clock.epoch_seconds() == 5 * 2 + 7 + 2


def test_steps_stop_at_the_end_of_an_epoch() -> None:
    assert len(ways.seconds_of_steps(iter([0.1, 0.2]), 5)) == 2
    assert len(ways.seconds_of_steps(iter([0.1, 0.2, 0.3]), 2)) == 2


def test_notebook_command_writes_tables_and_json(tmp_path: Path, capsys) -> None:
    file = tmp_path / "found.json"
    assert notebook.main(["--quick", *THREADS, "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "SCALED from a sample" in out
    assert "nothing scaled" in out
    assert "WRONG" not in out
    found = json.loads(file.read_text())
    assert found["conditions"]["pandas"]
    contestants = [way["contestant"] for way in found["scores"] if way["case"] == "baseline LSTM"]
    assert contestants == [
        score.OURS, score.BY_USER, score.BY_OFFSETS, score.CELL
    ]  # fmt: skip
    assert [case["case"] for case in found["training"]["complete"]["cases"]] == list(SMALL)
    assert found["training"]["scaled"]["cases"][0]["their_loss"] is None
    assert set(loaders.LOADERS) < set(found["loaders"]["seconds"])


def test_loaders_are_timed_alone(tmp_path: Path, capsys) -> None:
    file = tmp_path / "found.json"
    options = ["--windows", "6000", "--repeats", "2", "--json", str(file)]
    assert notebook.main(["--quick", "--part", "load", *options]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {name} " in printed for name in loaders.LOADERS)
    found = json.loads(file.read_text())
    assert found["loaders"]["windows"] == 6_000
    assert found["scores"] == []
    assert set(loaders.LOADERS) < set(found["loaders"]["seconds"])
    assert all(len(seconds) == 2 for seconds in found["loaders"]["seconds"].values())


def test_a_loader_with_other_windows_is_refused(monkeypatch) -> None:
    data = loaders.Data.of(1_000)
    loaders.check(data)
    right = loaders.slidecell_loader(data)

    def wrong(data):
        return lambda: ((x, y + 1) for x, y in right())

    monkeypatch.setattr(loaders, "slidecell_loader", wrong)
    with pytest.raises(AssertionError, match="are not those of the series"):
        loaders.check(data)


def test_notebook_command_exits_with_1_if_a_score_is_wrong(monkeypatch, capsys) -> None:
    right = sc.SequenceModel.score
    monkeypatch.setattr(sc.SequenceModel, "score", lambda *a, **k: right(*a, **k) + 1e-4)
    assert notebook.main(["--quick", "--part", "score", *THREADS]) == 1
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--threads", "0"], "--threads: expected 1 to"),
        (["--threads", "x"], "the cores here, got 'x'"),
        (["--only", "LSTM 65"], "--only: expected a part of one of baseline LSTM;"),
        (["--quick", "--full"], "not allowed with"),
        (["--part", "load", "--windows", "0"], "--windows: invalid positive value"),
        (["--json", "/nowhere/x.json"], "expected a file in a folder that is there"),
    ],
)
def test_notebook_command_refuses_bad_arguments(arguments, text, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        notebook.main(arguments)
    assert text in capsys.readouterr().err

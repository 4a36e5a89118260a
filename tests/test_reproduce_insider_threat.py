"""System A on a few users: counts, table, figures, its cell, and a file of one's own."""

from __future__ import annotations

import json

import numpy as np
import pytest

for _module in ("torch", "sklearn", "pandas", "matplotlib", "jinja2"):
    pytest.importorskip(_module)

import slidecell.detect  # noqa: E402
from slidecell.datasets import (  # noqa: E402
    INSIDER_FEATURES,
    INSIDER_KINDS,
    InsiderStudy,
    insider_threat_study,
)
from slidecell.reproduce import SystemOptions, insider_threat, write_outcome  # noqa: E402
from slidecell.reproduce.insider_cell import check_lstm_cell, lstm_cell  # noqa: E402
from slidecell.reproduce.insider_users import kinds_table, rank_users, rankings_table  # noqa: E402
from tests.reference import lstm_forward  # noqa: E402

SMALL = {"light LSTM": {"hidden_size": 4}}


def lines(outcome):
    """Return slidecell's column of the comparison by the name of the figure."""
    return {comparison.name: comparison.ours for comparison in outcome.comparisons}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    out = tmp_path_factory.mktemp("insider")
    options = SystemOptions(out=out, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(insider_threat, "_QUICK_USERS", 10)
        found = insider_threat.run(options)
    return found, options


def test_reproduce_insider_counts(outcome):
    ours = lines(outcome[0])
    assert ours["rows"] == "3,485"
    assert ours["users, training + test users"] == "8 + 2"
    train, test = (int(n.replace(",", "")) for n in ours["rows, training + test users"].split("+"))
    assert train + test == 3_485
    expected = f"{train - 7 * 8:,} + {test - 7 * 2:,}"
    assert ours["windows, training + test users"] == expected
    assert ours["batches: training, validation, test"] == "1 + 1 + 1"
    counts = outcome[0].report["data"]
    for part in ("train", "validation", "test"):
        assert counts[part]["windows"] == counts[part]["rows"] - 7 * counts[part]["users"]


def test_reproduce_insider_table_stands_beside_the_source(outcome):
    found = outcome[0]
    sources = {comparison.name: comparison.source for comparison in found.comparisons}
    assert sources["windows, training + test users"] == "1,091,721 + 274,289"
    assert sources["windows, training + validation"] == "873,376 + 218,345"
    assert sources["test days flagged, no incidents injected"] == "4.42 % (12,129 of 274,289)"
    assert float(lines(found)["NumPy cell against nn.LSTMCell"]) < 1e-6
    assert float(lines(found)["compiled LSTM against nn.LSTMCell"]) < 1e-6
    losses = {
        name: float(value) for name, value in lines(found).items() if name.startswith("validation")
    }
    assert len(losses) == 5
    best = min(losses, key=losses.__getitem__).removeprefix("validation loss, ")
    assert lines(found)["lowest validation loss"] == best == found.report["best"]


def test_reproduce_insider_architectures_are_the_five_of_the_source(outcome):
    rows = {row["name"]: row for row in outcome[0].report["architectures"]}
    # W x and U h per gate, two biases per gate, and the head.
    one_layer = {"baseline LSTM": (4, 64), "GRU": (3, 64), "light LSTM": (4, 16),
                 "large LSTM": (4, 128)}  # fmt: skip
    for name, (gates, hidden) in one_layer.items():
        expected = gates * hidden * (7 + hidden + 2) + 7 * hidden + 7
        assert rows[name]["parameters"] == expected
    assert rows["deep LSTM"]["config"] == {
        "cell": "lstm", "hidden_size": 64, "num_layers": 2, "dropout": 0.2
    }  # fmt: skip
    assert all(row["epochs"] == 3 for row in rows.values())


def test_reproduce_insider_threshold_and_share(outcome):
    report = outcome[0].report
    text = lines(outcome[0])["test days flagged, no incidents injected"]
    assert float(text.split(" %")[0]) == pytest.approx(100 * report["flagged_share"], abs=0.006)
    assert report["threshold"] > 0
    assert report["scaler"]["kind"] == "minmax"
    (used,) = outcome[0].thresholds
    assert used.value == report["threshold"]
    windows = report["data"]["train"]["windows"]
    assert used.fitted_on == f"{windows:,} days of the training users"


def test_reproduce_insider_highest_days(outcome):
    study = insider_threat_study(users=10, seed=0)
    for row in outcome[0].highest.rows:
        place = int(row[1].replace(",", ""))
        user = study.users[np.searchsorted(study.offsets, place, side="right") - 1]
        assert row[2:4] == [user, str(study.day[place])[:10]]
        assert study.part[study.users == user] == "test"
        parts = [part.rsplit(" ", 1) for part in row[6].split(", ")]
        assert {name for name, _ in parts} <= set(INSIDER_FEATURES)
        assert sum(float(value) for _, value in parts) <= 1.01 * float(row[5])
    scores = [float(row[5]) for row in outcome[0].highest.rows]
    assert scores == sorted(scores, reverse=True)


def test_reproduce_insider_writes_its_files(outcome):
    found, options = outcome
    files = write_outcome(found, options)
    names = {file.name for file in files}
    pictures = {"training.png", "errors.png", "users.png", "incident.png"}
    assert names == pictures | {"report.json", "report.html"}
    assert all((options.out / name).stat().st_size > 10_000 for name in pictures)
    report = json.loads((options.out / "report.json").read_text())
    assert report["system"] == "insider-threat"
    assert len(report["rankings"]) == 3


def test_reproduce_insider_same_seed_same_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(slidecell.detect, "INSIDER_THREAT_ARCHITECTURES", SMALL)
    monkeypatch.setattr(insider_threat, "_QUICK_USERS", 5)
    first, again = (
        lines(insider_threat.run(SystemOptions(out=tmp_path, seed=seed, progress=False)))
        for seed in (3, 3)
    )
    assert first == again
    other = insider_threat.run(SystemOptions(out=tmp_path, seed=4, progress=False))
    assert lines(other) != first


def test_reproduce_insider_own_file_with_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(slidecell.detect, "INSIDER_THREAT_ARCHITECTURES", SMALL)
    frame = insider_threat_study(users=10, seed=1).frame()[["user", "day", *INSIDER_FEATURES]]
    frame["label"] = (np.arange(len(frame)) % 300 > 295).astype(int)
    frame["usb_events"] = frame["usb_events"].astype(float)
    frame.loc[5, "usb_events"] = np.nan
    frame.to_csv(tmp_path / "behavioral_features.csv", index=False)
    options = SystemOptions(
        out=tmp_path, data=tmp_path / "behavioral_features.csv", progress=False, num_threads=2
    )
    found = insider_threat.run(options)
    assert "test days flagged" in lines(found)
    assert "injected" not in found.summary.lower()
    assert "behavioral_features.csv" in found.summary
    kinds = next(table for table in found.tables if table.columns[0] == "incident")
    assert [row[0] for row in kinds.rows] == ["other"]
    json.dumps(found.report, allow_nan=False)


def test_reproduce_insider_cell_equals_the_reference():
    rng = np.random.default_rng(0)
    weights = {
        "weight_ih": rng.normal(size=(12, 2)), "weight_hh": rng.normal(size=(12, 3)),
        "bias_ih": rng.normal(size=12), "bias_hh": rng.normal(size=12),
    }  # fmt: skip
    x, h, c = rng.normal(size=2), rng.normal(size=3), rng.normal(size=3)
    found_h, found_c = lstm_cell(x, (h, c), weights)
    tensors = {f"{name}_l0": value for name, value in weights.items()}
    _, (true_h, true_c) = lstm_forward(x[None, None], tensors, h0=h[None, None], c0=c[None, None])
    np.testing.assert_allclose(found_h, true_h[0, 0], rtol=1e-12)
    np.testing.assert_allclose(found_c, true_c[0, 0], rtol=1e-12)


@pytest.mark.parametrize("hidden_size", [1, 4, 17])
def test_reproduce_insider_cell_is_torchs(hidden_size):
    rows = np.random.default_rng(hidden_size).random((9, 7))
    check = check_lstm_cell(rows, hidden_size=hidden_size)
    assert (check.steps, check.input_size, check.hidden_size) == (9, 7, hidden_size)
    assert check.by_hand < 1e-6
    assert check.compiled < 1e-6


def small_study() -> InsiderStudy:
    """Four users of three days, the second with an incident of two."""
    kind = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    return InsiderStudy(
        counts=np.zeros((12, 7), np.int32),
        offsets=np.array([0, 3, 6, 9, 12]),
        users=np.array(["a", "b", "c", "d"]),
        part=np.array(["test"] * 4),
        day=np.tile(np.arange(3).astype("datetime64[D]"), 4),
        label=(kind > 0).astype(np.int64),
        kind=kind,
    )


def test_reproduce_insider_ranks_users():
    study = small_study()
    scores = np.array([9, 9, 9, 1, 1, 8, 1, 1, 1, np.nan, np.nan, np.nan], np.float32)
    by_highest, by_mean, relative = rank_users(study, scores)
    # User a has large scores always, b for once only; d has none.
    assert (by_highest.precision, by_highest.roc_auc) == (0.0, 0.5)
    assert by_mean.scores[:3].tolist() == pytest.approx([9, 10 / 3, 1])
    assert (relative.k, relative.precision, relative.recall, relative.roc_auc) == (1, 1.0, 1.0, 1.0)
    assert rankings_table([relative], 4).rows[-1][1] == "0.25"
    flags = scores > 5
    table = kinds_table(study, flags, relative)
    assert table.rows == [[INSIDER_KINDS[1], "1", "2", "50 %", "1", "1", "1"]]


def test_reproduce_insider_without_incidents_has_no_precision():
    study = small_study()
    quiet = InsiderStudy(**{**vars(study), "label": study.label * 0, "kind": study.kind * 0})
    (first, *_) = rank_users(quiet, np.ones(12, np.float32))
    assert (first.k, first.precision, first.recall, first.roc_auc) == (0, None, None, None)
    assert kinds_table(quiet, np.zeros(12, bool), first).rows == []

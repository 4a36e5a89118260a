"""The table of errors at precision "low", on a tiny network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slidecell as sc
from benchmarks import low_errors
from tests.models import layer, random_model


def test_errors_are_those_of_the_scores() -> None:
    model = sc.SequenceModel(
        *random_model(np.random.default_rng(0), [layer("gru", 6)], features=3, window=4)
    )
    rng = np.random.default_rng(1)
    rows, labels = rng.random((200, 3), dtype=np.float32), np.arange(200) % 7 == 0
    found = low_errors.errors_of(model, rows, labels)
    exact, low = model.score(rows)[4:], model.score(rows, precision="low")[4:]
    difference = np.abs(low - exact) / np.percentile(exact, 95)
    assert found.largest == difference.max() > found.p99 == np.percentile(difference, 99) > 0
    assert found.top_auc is not None
    assert found.top_auc > 0.99
    assert low_errors.line("x", found)[0] == "x"
    assert low_errors.line("x", low_errors.errors_of(model, rows, labels * 0))[3:5] == ["-", "-"]


def test_series_lie_within_the_training_range(tmp_path: Path) -> None:
    (tmp_path / "asd").mkdir()
    rng = np.random.default_rng(2)
    train, test = rng.normal(3, 5, (40, 19)), rng.normal(3, 5, (30, 19))
    train[:, 4] = 2.5  # a constant column
    labels = np.arange(30) > 20
    np.savez(tmp_path / "asd" / "omi-1.npz", train=train, test=test, test_label=labels)
    rows, others, truth = low_errors.scaled_parts(tmp_path, "omi-1")
    assert rows.min() == 0.0
    assert rows.max() == 1.0
    assert others.shape == (30, 19)
    np.testing.assert_array_equal(truth, labels)


def test_the_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    small = ["--series", "ensemble", "--units", "4", "--epochs", "1", "--windows", "3"]
    low_errors.main([str(tmp_path), *small])
    printed = capsys.readouterr().out
    assert "ensemble, lstm 4, W=3" in printed
    assert "| p99 / p95" in printed

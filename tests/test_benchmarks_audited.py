"""The table of audited flags, on tiny data; nothing here looks at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.audited import main, series_of, thresholds


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "smd").mkdir()
    rows = np.sin(np.arange(900) / 9)[:, None] * [1.0, 2.0, 0.0] + rng.normal(0, 0.1, (900, 3))
    rows[:, 2] = 4.0  # a column that does not vary
    np.savez(tmp_path / "smd" / "machine.npz", train=rows[:500], test=rows[500:])
    return tmp_path


def test_rows_are_scaled_and_repeated_with_noise(data: Path) -> None:
    train, rows = series_of(data, "machine", 1000)
    assert train.min() == 0.0
    assert train.max() == 1.0
    assert rows.shape == (1000, 3)
    assert (rows[:400, 2] == 0).all()
    assert 0.002 < np.std(rows[400:800] - rows[:400]) < 0.02
    assert len(series_of(data, "machine", 10)[1]) == 400


def test_hard_thresholds_lie_on_a_score_and_between_two() -> None:
    scores = np.random.default_rng(0).random(2000).astype(np.float32)
    scores[5] = np.nan
    found = dict(thresholds(scores))
    assert found["on a score"] in scores.astype(float)
    assert found["between"] not in scores.astype(float)
    assert found["p99"] == np.nanpercentile(scores.astype(float), 99)


def test_one_line_for_each_threshold_and_method(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--series", "machine", "--cells", "gru", "--windows", "6", "--rows", "1500"]
    main([str(data), *given, "--hidden-size", "4", "--epochs", "1", "--audit", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("series")
    assert len(lines) == 1 + 5 * 3
    for line in lines[1:]:
        false = int(line[48:].split()[1])
        assert line.startswith("machine       gru   6 ")
        assert false == 0

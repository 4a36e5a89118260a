"""score_csv: the bytes that the command writes of the same file read at once."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from slidecell.detect import RidgeDetector, WindowPCADetector, ZScoreDetector  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.scale import score_csv  # noqa: E402
from tests.scale_cases import DETECTORS, OPTIONS, fleet, network  # noqa: E402


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slidecell.scale.csv_files._PIECE_BYTES", 900)
    monkeypatch.setattr("slidecell.scale.runs._PART_BATCHES", 2)


def write_files(folder: Path, frame: Any, *, files: int = 3, suffix: str = ".csv") -> Path:
    folder.mkdir(exist_ok=True)
    for n, part in enumerate(np.array_split(np.arange(len(frame)), files)):
        frame.iloc[part].to_csv(folder / f"{n}{suffix}", index=False)
    return folder


def at_once(detector: Any, text: str, tmp_path: Path, **options: Any) -> tuple[str, Any]:
    """Return what the command writes of a file that is read at once: scores and events."""
    saved, file, out = tmp_path / "saved", tmp_path / "whole.csv", tmp_path / "at_once"
    file.write_text(text, encoding="utf-8", newline="")
    if detector.network is None:
        detector.save(saved)
    else:
        saved = tmp_path / "model.safetensors"
        detector.network.save(saved)
    run_score(ScoreOptions(saved, file, out, **options))
    return (out / "scores.csv").read_text(encoding="utf-8"), pd.read_csv(out / "events.csv")


def in_parts(detector: Any, source: Any, tmp_path: Path, **options: Any) -> tuple[str, Any]:
    out, events = tmp_path / "scores.csv", tmp_path / "events.csv"
    score_csv(detector, source, out, events=events, **options)
    assert not list(tmp_path.glob(".*"))
    return out.read_text(encoding="utf-8"), pd.read_csv(events)


def same(got: tuple[str, Any], want: tuple[str, Any]) -> None:
    assert got[0] == want[0]
    pd.testing.assert_frame_equal(got[1], want[1][list(got[1].columns)], check_exact=True)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("batch_rows", [7, 1000])
def test_same_bytes_as_read_at_once(name: str, batch_rows: int, tmp_path: Path) -> None:
    frame = fleet()
    detector = DETECTORS[name](frame)
    source = write_files(tmp_path / "in", frame)
    got = in_parts(detector, source, tmp_path, batch_rows=batch_rows, **OPTIONS)
    want = at_once(detector, frame.to_csv(index=False), tmp_path, **OPTIONS)
    same(got, want)
    assert len(got[1]) > 0

"""What a job refuses, and what it leaves behind when it ends early."""

from __future__ import annotations

import os

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "pyarrow", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

from slidecell.jobs.detect import run_detect  # noqa: E402
from slidecell.jobs.outputs import OutputFolder  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from tests.detect_cases import options, panel, run  # noqa: E402


def contents(folder):
    """Every file below a folder, and what is in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_detect_job_interrupt_leaves_what_was_there(tmp_path):
    out = tmp_path / "out"
    run(tmp_path)
    before = contents(out)

    def interrupt(epoch, epochs, loss, validation):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_detect(options(tmp_path / "in.csv", out, epochs=3, seed=5), progress=interrupt)
    assert contents(out) == before
    with pytest.raises(KeyboardInterrupt):
        run_detect(options(tmp_path / "in.csv", tmp_path / "a" / "b"), progress=interrupt)
    assert not (tmp_path / "a").exists()


def test_detect_job_failure_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("slidecell.jobs.results.evaluate", fail)
    with pytest.raises(OSError, match="disk full"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_detect_job_output_folder_is_checked_before_the_file_is_read(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    for out in (blocked, blocked / "below"):
        with pytest.raises(OSError, match=r"output folder .*blocked.* cannot be written"):
            run_detect(options(tmp_path / "missing.csv", out), progress=False)
    assert blocked.read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_detect_job_read_only_output_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(OSError, match=r"output folder .*locked cannot be written: Permission"):
        run_detect(options(tmp_path / "missing.csv", folder), progress=False)


def test_detect_job_output_folder_files_get_usual_rights(tmp_path):
    umask = os.umask(0o022)
    try:
        with OutputFolder(tmp_path / "new") as folder:
            folder.add("a.txt", lambda path: path.write_text("a"))
    finally:
        os.umask(umask)
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "--window: expected a whole number >= 1, got 0"),
        ({"horizon": -1}, "--horizon: expected a whole number >= 0, got -1"),
        ({"epochs": 0}, "--epochs: expected a whole number >= 1, got 0"),
        ({"num_threads": 0}, "--threads: expected a whole number >= 1, got 0"),
        ({"batch_size": 0}, "--batch-size: expected a whole number >= 1, got 0"),
        ({"epochs": float("inf")}, "--epochs: expected a whole number >= 1, got inf"),
        ({"hidden_size": (8, float("inf"))}, "--hidden-size: expected sizes >= 1"),
        ({"hidden_size": (8, 0)}, "--hidden-size: expected sizes >= 1"),
        ({"hidden_size": (8, 4), "layers": 3}, "--layers: expected 2, the number of hidden sizes"),
        ({"percentile": 100.0}, "--percentile: expected between 0 and 100, got 100"),
        ({"lr": 0.0}, "--lr: expected a number above 0, got 0"),
        ({"validation": 1.0}, "--validation: expected 0 up to below 1, got 1"),
        ({"cell": "cnn"}, "--cell: expected lstm, gru, rnn, got 'cnn'"),
        ({"scaler": "log"}, "--scaler: expected minmax, standard, robust, got 'log'"),
        ({"train_on": "good"}, "--train-on: expected all, normal, got 'good'"),
        ({"train_on": "normal", "table": TableOptions()}, "--train-on normal: needs --label"),
        ({"test": "t.csv", "train_until": "0.5"}, "--test: .* leave --train-until out"),
    ],
)
def test_detect_job_bad_options(changes, message):
    with pytest.raises(ValueError, match=message):
        options("f.csv", "out", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 60}, "no window: one takes 61 rows .* has 42; give more rows"),
        ({"train_until": "2031-01-01"}, "no row at or after 2031-01-01; times run from 2024-01-01"),
        ({"train_until": "2001-01-01"}, "no row before 2001-01-01"),
        ({"train_until": "soon"}, "--train-until: expected a date like 2024-01-31, got 'soon'"),
        (
            {"train_until": "0.5", "table": TableOptions(time="score")},
            "column 'score' has the name",
        ),
    ],
)
def test_detect_job_bad_input_leaves_no_folder(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **changes)
    assert not (tmp_path / "out").exists()


def test_detect_job_never_replaces_its_input(tmp_path):
    (tmp_path / "out").mkdir()
    panel().to_csv(tmp_path / "out" / "scores.csv", index=False)
    before = (tmp_path / "out" / "scores.csv").read_bytes()
    with pytest.raises(ValueError, match=r"--out: its scores\.csv would replace the input"):
        run_detect(options(tmp_path / "out" / "scores.csv", tmp_path / "out"), progress=False)
    assert (tmp_path / "out" / "scores.csv").read_bytes() == before


def test_detect_job_one_row_and_time_without_a_column(tmp_path):
    with pytest.raises(ValueError, match=r"in\.csv: no window: one takes 6 rows"):
        run(tmp_path, pd.DataFrame({"x": [1.0]}), table=TableOptions())
    with pytest.raises(ValueError, match=r"--train-until: .*a time needs --time.*got '2024-02-01'"):
        run(tmp_path, pd.DataFrame({"x": [1.0]}), table=TableOptions(), train_until="2024-02-01")


def test_detect_job_missing_cells_everywhere(tmp_path):
    frame = panel()
    frame.loc[::4, "load"] = np.nan
    with pytest.raises(
        ValueError,
        match=r"in\.csv: all 148 windows of 6 rows have a missing value; .*--missing ffill",
    ):
        run(tmp_path, frame)

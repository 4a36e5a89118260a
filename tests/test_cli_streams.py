"""Standard input as the file, standard output as the results, and a reader that goes away."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("typer", "torch", "pyarrow", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

from typer.testing import CliRunner  # noqa: E402

from slidecell.cli.main import app  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.table import read_table  # noqa: E402

KEYS = ["--time", "t", "--entity", "host"]


def invoke(*arguments: object, given: bytes = b""):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def slidecell(*arguments: object, **settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "slidecell", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, **settings
    )


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "t": np.tile(np.arange(40), 2),
            "host": np.repeat(["a", "Zürich"], 40),
            "load": rng.random(80),
            "heat": rng.random(80),
        }
    )


@pytest.fixture
def file(frame, tmp_path) -> Path:
    frame.to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


@pytest.fixture
def fitted(file, tmp_path) -> Path:
    out = tmp_path / "fitted"
    assert invoke("detect", file, *KEYS, "--detector", "zscore", "--out", out).exit_code == 0
    return out


def test_cli_scores_on_stdout_are_those_of_the_file(file, fitted, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    detect = ["detect", "-", *KEYS, "--detector", "zscore", "--out", "-"]
    done = invoke(*detect, given=file.read_bytes())
    assert done.exit_code == 0
    assert done.stdout_bytes == (fitted / "scores.csv").read_bytes()
    assert "Zürich".encode() in done.stdout_bytes
    for text in ("Data", "Anomalies in standard input", "Threshold", "Events"):
        assert text in done.stderr
    assert "note: the detector was not kept; --out FOLDER keeps it\n" in done.stderr
    invoke("score", fitted, file, "--out", tmp_path / "scored")
    done = invoke("score", fitted, "-", "--out", "-", given=file.read_bytes())
    assert done.exit_code == 0
    assert done.stdout_bytes == (tmp_path / "scored" / "scores.csv").read_bytes()
    assert "Anomalies in standard input" in done.stderr
    assert "not kept" not in done.stderr
    assert list(empty.iterdir()) == []


def test_cli_parquet_on_stdin(frame, file, fitted, tmp_path):
    parquet = io.BytesIO()
    frame.to_parquet(parquet, index=False)
    done = invoke("score", fitted, "-", "--out", "-", given=parquet.getvalue())
    assert done.exit_code == 0
    csv = invoke("score", fitted, "-", "--out", "-", given=file.read_bytes())
    assert done.stdout_bytes == csv.stdout_bytes
    out = tmp_path / "parquet"
    detect = ["detect", "-", *KEYS, "--detector", "pca", "--out", out]
    assert invoke(*detect, given=parquet.getvalue()).exit_code == 0
    assert (out / "scores.parquet").exists()


def test_cli_retrain_and_test_file_read_stdin(file, fitted, tmp_path):
    given = file.read_bytes()
    done = invoke("retrain", fitted, "-", "--out", tmp_path / "new", given=given)
    assert done.exit_code == 0
    assert (tmp_path / "new" / "detector").is_dir()
    out = tmp_path / "tested"
    detect = ["detect", file, "--test", "-", *KEYS, "--detector", "zscore", "--out", out]
    assert invoke(*detect, given=given).exit_code == 0
    parts = pd.read_csv(out / "scores.csv")["part"]
    assert (parts == "test").tolist() == [False] * 80 + [True] * 80


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b"", "standard input: expected a CSV or Parquet table, got nothing"),
        (b"a,b\n", "standard input: no rows below the header"),
        (b"a,b\n1,2\n3\n", "standard input: line 3: expected 2 cells, got 1"),
        (b"a,b\n1,2\n\0,3\n", "standard input: line 3: expected CSV text in UTF-8"),
        (b"a,b\n1,2\n\xff,3\n", "standard input: line 3: byte 0xff is not UTF-8 text"),
        (b"a,b\n1,x\n3,y\n", "standard input: column 'b' holds text ('x')"),
        (b"PAR1 and no more", "standard input: damaged Parquet file"),
    ],
)
def test_cli_errors_name_standard_input(given, text):
    done = invoke("detect", "-", "--out", "-", given=given)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {text}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["score", "-", "in.csv", "--out", "-"],
            "got '-': a model is not read from standard input",
        ),
        (["stream", "-"], "got '-': a model is not read from standard input"),
        (["retrain", "m", "in.csv", "--out", "-"], "retrain writes a detector"),
        (["demo", "--out", "-"], "--out: expected a folder, got '-': demo writes"),
        (["reproduce", "ensemble", "-o", "-"], "--out: expected a folder, got '-': reproduce"),
        (["detect", "in.csv", "--out", "-", "--html"], "--html: report.html needs a folder"),
        (["detect", "-", "--test", "-", "--out", "x"], "--test: expected another file than FILE"),
    ],
)
def test_cli_refuses_a_dash_where_it_means_nothing(arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_cli_stdout_is_utf8_in_every_locale(file, fitted):
    settings = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with slidecell("score", fitted, file, "--out", "-", env=settings) as process:
        stdout, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Zürich".encode() in stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_cli_ends_quietly_when_the_reader_has_gone(file, fitted, tmp_path):
    rows = pd.concat([pd.read_csv(file)] * 100)  # more than a pipe holds
    rows["t"] = np.arange(len(rows))
    rows.to_csv(tmp_path / "long.csv", index=False)
    process = slidecell("score", fitted, tmp_path / "long.csv", "--out", "-")
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"t,host,score,flagged,part\n"
        process.stdout.close()
        said = process.stderr.read().decode()
        process.wait(timeout=120)
    assert process.returncode == 1
    assert "Events" in said
    for word in ("error", "Broken", "Exception", "Traceback"):
        assert f"{word}:" not in said
        assert f"{word} ignored" not in said


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["score", "--help"]])
def test_cli_texts_to_a_reader_that_has_gone(arguments):
    process = slidecell(*arguments)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(timeout=120)
    assert process.returncode == 1


def test_read_table_reads_standard_input_once(monkeypatch):
    given = io.TextIOWrapper(io.BytesIO(b"x\n1\n2\n"))
    monkeypatch.setattr(sys, "stdin", given)
    table = read_table("-", TableOptions())
    assert table.features[:, 0].tolist() == [1.0, 2.0]
    assert table.source == "standard input"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="standard input: it is closed"):
        read_table("-", TableOptions())

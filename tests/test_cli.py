"""The command line: what it prints, its exit status, errors in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import demo_picture

pd = pytest.importorskip("pandas")
for _module in ("typer", "torch", "pyarrow", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

from typer.testing import CliRunner  # noqa: E402

import slidecell as sc  # noqa: E402
from slidecell.cli.main import app  # noqa: E402

FORECAST = ["--detector", "forecast"]
SMALL = [*FORECAST, *("--window", "4", "--hidden-size", "8", "--epochs", "1", "--threads", "1")]


def invoke(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def file(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "t": np.tile(np.arange(40), 2),
            "host": np.repeat(["a", "b"], 40),
            "load": rng.random(80),
            "heat": rng.random(80),
            "bad": (np.arange(80) % 40 == 35).astype(int),
        }
    )
    frame.loc[frame["bad"] == 1, "load"] = 9.0
    path = tmp_path / "in.csv"
    frame.to_csv(path, index=False)
    return path


def test_cli_detect_and_score(file, tmp_path):
    keys = ["--time", "t", "--entity", "host", "--label", "bad"]
    done = invoke("detect", file, "--out", tmp_path / "out", *keys, *SMALL)
    assert done.exit_code == 0
    for text in ("features (2)", "load, heat", "entities", "ROC-AUC", "random", "threshold"):
        assert text in done.stdout
    assert "gaps" not in done.stdout  # none was looked for
    assert str(tmp_path / "out" / "scores.csv") in done.stdout.replace("\n", "")
    model = tmp_path / "out" / "model.safetensors"
    again = invoke("score", model, file, "--out", tmp_path / "again", "--label", "bad")
    assert again.exit_code == 0
    assert "ROC-AUC" in again.stdout
    first, second = (pd.read_csv(tmp_path / name / "scores.csv") for name in ("out", "again"))
    assert first["score"].equals(second["score"])
    assert first["flagged"].equals(second["flagged"])


def test_cli_score_of_too_few_rows_says_why_there_is_no_score(file, tmp_path):
    keys = ["--time", "t", "--entity", "host", "--max-gap", "5"]
    done = invoke("detect", file, "--out", tmp_path / "out", *keys, *SMALL)
    assert done.exit_code == 0
    assert "0 longer than 5" in done.stdout
    pd.read_csv(file).head(3).to_csv(tmp_path / "short.csv", index=False)
    model = tmp_path / "out" / "model.safetensors"
    done = invoke("score", model, tmp_path / "short.csv", "--out", tmp_path / "again")
    assert done.exit_code == 0
    assert "note: no row has a score: a window takes " in done.stdout


def test_cli_detect_flags_reach_the_job(file, tmp_path):
    arguments = [
        *[
            "--time",
            "t",
            "--entity",
            "host",
            "--features",
            "load,heat",
            "--exclude",
            "heat",
            "--per-entity",
        ],
        *["--label", "bad", "--window", "3", "--horizon", "0", "--cell", "gru"],
        *["--hidden-size", "6,3", "--epochs", "2", "--batch-size", "16", "--lr", "0.01"],
        *["--patience", "1", "--validation", "0", "--scaler", "robust", "--percentile", "90"],
        *["--train-until", "0.5", "--train-on", "normal", "--max-gap", "5", "--missing", "ffill"],
        *["--duplicates", "last", "--seed", "7", "--threads", "1", "--max-memory", "2MiB"],
        *["--event-gap", "2", "--detector", "forecast"],
    ]
    done = invoke("detect", file, "-o", tmp_path / "out", *arguments)
    assert done.exit_code == 0
    options = json.loads((tmp_path / "out" / "report.json").read_text())["options"]
    assert options == {
        "file": str(file),
        "out": str(tmp_path / "out"),
        "test": None,
        "members": None,
        "align": None,
        "time": "t",
        "max_bytes": 2**21,
        "entity": "host",
        "label": "bad",
        "features": ["load,heat"],
        "exclude": ["heat"],
        "max_gap": "5",
        "missing": "ffill",
        "duplicates": "last",
        "train_until": "0.5",
        "train_on": "normal",
        "window": 3,
        "horizon": 0,
        "cell": "gru",
        "hidden_size": [6, 3],
        "detector": "forecast",
        "layers": None,
        "epochs": 2,
        "patience": 1,
        "batch_size": 16,
        "lr": 0.01,
        "validation": 0.0,
        "scaler": "robust",
        "threshold": None,
        "rate": None,
        "percentile": 90.0,
        "value": None,
        "per_entity": True,
        **dict.fromkeys(("spot_q", "spot_level", "spot_depth", "cusum_k", "cusum_h")),
        **dict.fromkeys(("dynamic_batch", "dynamic_window")),
        "seed": 7,
        "num_threads": 1,
        "event_gap": 2,
        "html": False,
    }


def test_cli_test_file(file, tmp_path):
    keys = ["--time", "t", "--entity", "host", "--label", "bad"]
    done = invoke("detect", file, "--test", file, "--out", tmp_path / "out", *keys, *SMALL)
    assert done.exit_code == 0
    parts = pd.read_csv(tmp_path / "out" / "scores.csv")["part"]
    assert (parts == "test").tolist() == [False] * 80 + [True] * 80


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "column 'host' holds text ('a') and is no feature: leave it out with --exclude host"),
        (["--entity", "hots"], "did you mean 'host'?"),
        (["--exclude", "host", "--time", "t"], "choose --duplicates keep or --duplicates last"),
        (["--entity", "host", "--window", "99"], "no window: one takes 100 rows"),
        (["--exclude", "host,t", "--window", "40"], "to hold out validation=0.2: none is left"),
        (["--hidden-size", "many"], "--hidden-size: expected a number, or one per layer"),
        (["--entity", "host", "--window", "0"], "--window: expected a whole number >= 1, got 0"),
    ],
)
def test_cli_errors_are_one_line(file, tmp_path, arguments, text):
    done = invoke("detect", file, "--out", tmp_path / "out", *FORECAST, *arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_cli_files_that_are_not_there_or_damaged(file, tmp_path):
    done = invoke("detect", tmp_path / "none.csv", "--out", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (
        1,
        f"error: {tmp_path / 'none.csv'}: No such file or directory\n",
    )
    done = invoke("detect", file, "--out", file)
    assert done.exit_code == 1
    assert f"error: output folder {file} cannot be written" in done.stderr
    (tmp_path / "m.safetensors").write_bytes(b"nonsense")
    done = invoke("score", tmp_path / "m.safetensors", file, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "m.safetensors" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["detect"], ["detect", "x.csv"], ["detect", "x.csv", "--out", "o", "--cell", "cnn"], ["fly"]],
)
def test_cli_usage_errors_have_status_2(arguments):
    assert invoke(*arguments).exit_code == 2


def test_cli_interrupt_has_status_130(file, tmp_path, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("slidecell.training.fit", interrupt)
    done = invoke("detect", file, "--out", tmp_path / "out", "--entity", "host", *SMALL)
    assert done.exit_code == 130
    assert done.stderr == "interrupted: nothing was written\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a single process")
def test_cli_interrupt_signal_leaves_no_files(file, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "slidecell", "detect", str(file), "--entity", "host"]
    command += ["--out", str(out), *SMALL, "--epochs", "1000000", "--patience", "1000000"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            # The table of the data is printed just before training begins.
            assert process.stdout is not None
            assert next(line for line in process.stdout if "parts" in line)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, stderr) == (130, "interrupted: nothing was written\n")
    assert not out.exists()


def test_cli_version_info_and_help():
    assert invoke("--version").stdout == f"slidecell {sc.__version__}\n"
    info = invoke("info").stdout
    for name in ("isa", "available isas", "threads", "processor", "numpy", "torch"):
        assert name in info
    assert sc.active_isa() in info
    assert "--train-until" in invoke("detect", "--help").stdout


def test_cli_demo_small(tmp_path):
    arguments = ["--users", "12", "--days", "70", "--threads", "1", "--seed", "3"]
    done = invoke("demo", "--out", tmp_path / "demo", *arguments)
    assert done.exit_code == 0
    assert set(os.listdir(tmp_path / "demo")) == {
        "detector",
        "events.csv",
        "insider_threat.csv",
        "scores.csv",
        "scores.png",
        "report.json",
        "model.safetensors",
    }
    assert "torch.nn.LSTM, windows ready" in done.stdout
    assert "the same, windows built too" in done.stdout
    text = " ".join(done.stdout.split())
    difference = float(text.split("largest difference of a score is ")[1].split(",")[0])
    largest = float(text.split("scores reach ")[1].split(". ")[0].rstrip("."))
    assert difference <= 1e-6 * largest + 1e-7
    picture = tmp_path / "demo.png"
    assert demo_picture.main([str(tmp_path / "demo"), "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_cli_missing_extra_names_the_command_to_install_it():
    hide = "import sys\nfor m in sys.argv[1:]: sys.modules[m] = None\n"
    run = (
        hide + "sys.argv = ['slidecell', '--version']\nfrom slidecell.__main__ import main\nmain()"
    )
    for missing in ("pandas", "typer"):
        done = python(run.replace("\nmain()", "\nsys.exit(main())"), missing)
        assert done.returncode == 1
        assert done.stderr == (
            f"error: the command line needs {missing}: pip install 'slidecell[detect]'\n"
        )


def test_cli_missing_torch_is_one_line(file, tmp_path):
    code = (
        "import importlib.abc, sys\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.split('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError('No module named torch', name='torch')\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from slidecell.__main__ import main\nsys.argv[0] = 'slidecell'\nmain()"
    )
    done = python(code, "detect", str(file), "--entity", "host", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "pip install 'slidecell[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_cli_module_runs_without_heavy_imports():
    code = (
        "import sys\nimport slidecell.cli.main\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")

"""Every detector from the command line: its run, its options, its page, its completion."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("typer", "torch", "pyarrow", "sklearn", "matplotlib", "jinja2"):
    pytest.importorskip(_module)

from typer.testing import CliRunner  # noqa: E402

import slidecell as sc  # noqa: E402
from slidecell.cli.main import app  # noqa: E402
from slidecell.detect.registry import (  # noqa: E402
    DETECTORS,
    detector_names,
    detectors_with,
    find_detector,
)
from slidecell.live import LiveOptions, run_live  # noqa: E402

KEYS = ["--time", "t", "--entity", "host", "--threads", "1"]
NETWORKS = ["forecast", "autoencoder", "ensemble"]
WINDOWS = [
    *NETWORKS,
    "random-gru",
    "kmeans",
    "window-pca",
    "ridge",
    "neighbors",
    "variance",
    "sklearn",
]


def invoke(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "t": np.tile(np.arange(60), 4),
            "host": np.repeat(list("abcd"), 60),
            "load": rng.random(240),
            "heat": rng.random(240),
            "bad": (np.arange(240) % 60 == 50).astype(int),
        }
    )
    frame.loc[frame["bad"] == 1, "load"] = 9.0
    path = tmp_path_factory.mktemp("data") / "in.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", detector_names())
def test_cli_every_detector_detects_and_scores(file, tmp_path, name):
    few = ["--epochs", "1"] if name in NETWORKS else []
    short = ["--window", "4"] if name in WINDOWS else []
    out = tmp_path / "out"
    options = ["--detector", name, *few, *short, "--label", "bad", "--html"]
    done = invoke("detect", file, *KEYS, *options, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "ROC-AUC" in done.stdout
    again = invoke("score", out, file, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    first, second = (pd.read_csv(folder / "scores.csv") for folder in (out, tmp_path / "again"))
    assert first["score"].equals(second["score"])
    assert first["flagged"].equals(second["flagged"])
    assert first["score"].notna().any()
    # A detector that cannot tell the features' parts does not speak of them.
    page = (out / "report.html").read_text()
    assert ("share of the score" in page) == ("and the features that most of it" in page)


@pytest.mark.parametrize(
    ("setting", "arguments", "names"),
    [
        ("window", ["--window", "5"], WINDOWS),
        ("epochs", ["--epochs", "5"], NETWORKS),
        ("lr", ["--lr", "0.1"], NETWORKS),
        ("cell", ["--cell", "gru"], NETWORKS),
        ("num_layers", ["--layers", "2"], NETWORKS),
        ("hidden_size", ["--hidden-size", "8"], [*NETWORKS, "random-gru"]),
        ("scaler", ["--scaler", "minmax"], sorted({*detector_names()} - {"zscore", "ridge"})),
    ],
)
def test_cli_a_setting_that_a_detector_lacks_is_refused(file, tmp_path, setting, arguments, names):
    assert detectors_with(setting) == [name for name in detector_names() if name in names]
    for name in detector_names():
        if name in names:
            continue
        done = invoke(
            "detect", file, *KEYS, "--detector", name, *arguments, "--out", tmp_path / "o"
        )
        assert done.exit_code == 1
        assert done.stderr.startswith(
            f"error: {arguments[0]}: the detector {name!r} has no such setting, got "
        )
        assert "leave it out, or choose --detector forecast, autoencoder" in done.stderr
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("lstm", [], "--detector: expected one of forecast, autoencoder, ensemble, random-gru"),
        ("autoencoder", ["--horizon", "2"], "--horizon: expected 0, because an autoencoder"),
        ("random-gru", ["--hidden-size", "8,4"], "--hidden-size: expected one size, because"),
        ("zscore", ["--train-until", "x"], "--train-until: expected a number like the time"),
    ],
)
def test_cli_bad_values_of_a_detector(file, tmp_path, name, arguments, text):
    done = invoke("detect", file, *KEYS, "--detector", name, *arguments, "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {text}")
    assert done.stderr.count("\n") == 1


def test_cli_a_percentile_that_is_a_fraction_has_a_note(file, tmp_path):
    zscore = ["detect", file, *KEYS, "--detector", "zscore", "--out", tmp_path / "out"]
    done = invoke(*zscore, "--percentile", "0.95")
    assert done.exit_code == 0
    assert "note: --percentile 0.95 flags nearly every row; to flag the highest 5 %, give 95" in (
        done.stdout
    )
    assert "note: --percentile" not in invoke(*zscore, "--percentile", "95").stdout


def test_cli_score_tells_where_a_column_was_asked_for(file, tmp_path):
    out = tmp_path / "out"
    invoke("detect", file, *KEYS, "--detector", "zscore", "--out", out)
    pd.read_csv(file).drop(columns="host").iloc[:60].to_csv(tmp_path / "one.csv", index=False)
    for command in ("score", "retrain"):
        new = [command, out, tmp_path / "one.csv", "--out", tmp_path / "new"]
        done = invoke(*new)
        assert done.exit_code == 1
        assert "error: --entity: no column 'host' in" in done.stderr
        assert f"{out} was fitted with it: give --entity the column's name" in done.stderr
        assert "was fitted with it" not in invoke(*new, "--entity", "hots").stderr
        assert invoke(*new, "--entity", "").exit_code == 0


def test_cli_a_table_as_the_model(file, tmp_path):
    out = ["--out", tmp_path / "out"]
    for arguments in (["score", file, file, *out], ["retrain", file, file, *out], ["stream", file]):
        done = invoke(*arguments)
        assert done.exit_code == 1
        assert done.stderr == (
            "error: MODEL: expected a folder that detect or retrain wrote, or a model.safetensors, "
            f"got the table {file}\n"
        )


def test_cli_swapped_model_and_table_are_recognised(file, tmp_path):
    for command in ("score", "retrain"):
        done = invoke(command, file, tmp_path, "--out", tmp_path / "out")
        assert done.exit_code == 1
        assert done.stderr == (
            "error: MODEL and FILE: expected a saved detector and then a table, got "
            f"{file} and {tmp_path}: they look swapped\n"
        )


def test_cli_help_names_every_detector():
    text = " ".join(invoke("detect", "--help").stdout.replace("│", " ").split())
    for entry in DETECTORS:
        assert f"{entry.name} ({entry.about})" in text
    defaults = {"forecast": 32, "autoencoder": 32, "random-gru": 50, "variance": 30}
    for name, window in defaults.items():
        assert find_detector(name).from_settings({}).get_params()["window"] == window
    assert "32 of forecast and autoencoder, 50 of random-gru, 30 of variance" in text


def complete(shell: str, words: str, **more: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "slidecell"],
        env={
            **os.environ,
            "_SLIDECELL_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            "_TYPER_COMPLETE_ARGS": words,
            **more,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


def test_cli_completion_of_detectors_commands_and_options():
    assert complete("bash", "slidecell detect --detector ") == detector_names()
    assert complete("bash", "slidecell detect --detector z") == ["zscore"]
    assert complete("bash", "slidecell detect --missing f") == ["ffill"]
    assert complete("bash", "slidecell ret") == ["retrain"]
    assert complete("bash", "slidecell reproduce card") == ["card-fraud"]
    assert "--train-until" in complete("bash", "slidecell detect --train")
    zsh = "\n".join(complete("zsh", "slidecell detect --detector r"))
    assert '"random-gru":"unusual states of a GRU with random weights"' in zsh


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_cli_completion_scripts(shell):
    # The shell is not looked for among the parents of the process, which may be none.
    done = subprocess.run(
        [sys.executable, "-m", "slidecell", "--show-completion", shell],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert f"_SLIDECELL_COMPLETE=complete_{shell}" in done.stdout
    assert "--install-completion" in invoke("--help").stdout


@pytest.mark.parametrize("name", ["forecast", "autoencoder"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_cli_every_cell_detects_scores_streams_and_retrains(file, tmp_path, name, cell):
    out = tmp_path / "out"
    options = ["--detector", name, "--cell", cell, "--window", "4", "--epochs", "1"]
    done = invoke("detect", file, *KEYS, "--exclude", "bad", *options, "--out", out)
    assert done.exit_code == 0, done.stderr
    plan = sc.SequenceModel.load(out / "model.safetensors")
    assert {layer["cell"] for layer in plan.metadata["encoder"]} == {cell}
    scores = pd.read_csv(out / "scores.csv", dtype={"score": np.float32})
    with file.open("rb") as lines, (tmp_path / "live.csv").open("wb") as live:
        run_live(LiveOptions(out), stdin=lines.fileno(), stdout=live, stderr=io.StringIO())
    streamed = pd.read_csv(tmp_path / "live.csv", dtype={"score": np.float32})
    assert streamed["score"].equals(scores["score"])
    again = invoke("retrain", out, file, "--epochs", "1", "--out", tmp_path / "new")
    assert again.exit_code == 0, again.stderr
    kept = sc.SequenceModel.load(tmp_path / "new" / "model.safetensors")
    assert {layer["cell"] for layer in kept.metadata["encoder"]} == {cell}

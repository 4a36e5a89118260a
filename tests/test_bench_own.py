"""slidecell bench --model --data: the user's own model and rows beside the peers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.bench import limits, peers
from slidecell.bench.cases import random_model
from slidecell.bench.contestants import OURS
from slidecell.bench.own_case import OwnCase
from slidecell.bench.run import settings_restored
from slidecell.jobs.own_bench import bench

pd = pytest.importorskip("pandas")
ROWS = 90
NAMES = ["load", "heat", "flow"]


@pytest.fixture(autouse=True)
def limits_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in this process, which would otherwise become another one."""
    for name, value in limits.limits_of(None).items():
        monkeypatch.setenv(name, value)
    with settings_restored():
        yield


def own_model(**metadata: Any) -> sc.SequenceModel:
    plain = random_model("gru", (4,), features=3, window=4)
    scaler = {"kind": "standard", "center": [5.0, -1.0, 0.0], "scale": [2.0, 0.5, 1.0]}
    scaler["constant"] = []
    return sc.SequenceModel(
        {**plain.metadata, "features": NAMES, "scaler": scaler, **metadata}, plain.tensors
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, sc.SequenceModel, Any]:
    """A model, and rows of two users out of order, of which one row lacks a value."""
    model = own_model()
    model.save(tmp_path / "model.safetensors")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 3)) * [2, 0.5, 1] + [5, -1, 0], columns=NAMES)
    frame.loc[20, "heat"] = None
    frame["user"] = ["a", "b"] * (ROWS // 2)
    frame["day"] = np.arange(ROWS)[::-1]
    frame[["day", "flow", "user", "heat", "load"]].to_csv(tmp_path / "rows.csv", index=False)
    return str(tmp_path / "model.safetensors"), str(tmp_path / "rows.csv"), model, frame


def run(files: tuple[Any, ...], *more: str) -> int:
    own = ["--model", files[0], "--data", files[1], "--time", "day", "--entity", "user"]
    return bench([*own, "--seconds", "1", *more])


def test_own_rows_are_scored_beside_the_peers(files, tmp_path: Path, capsys) -> None:
    file = tmp_path / "found.json"
    assert run(files, "--json", str(file)) == 0
    out = capsys.readouterr().out
    assert f"data: {files[1]}: 90 rows of 2 series, 1 of them with a missing value; all are " in out
    assert "what counts: slidecell: from the rows as they are read to scores, scaling" in out
    assert "| rows.csv (W=4 F=3 S=90 entities=2)" in out
    found = json.loads(file.read_text())
    results = {result["contestant"]: result for result in found["results"]}
    expected = {OURS, "numpy"} | {"torch", "onnxruntime"} - set(peers.absent())
    assert expected <= set(results)
    ours = results[OURS]
    assert ours["work"] == 2 * (45 - 4) - 5  # five windows need the row without a value
    for name in expected:
        result = results[name]
        assert result["right"], name
        assert result["max_difference"] < 1e-5, name
        assert result["work"] == ours["work"], name
        rounds = zip(result["seconds"], ours["seconds"], strict=True)
        assert result["ratio"] == pytest.approx(np.median([a / b for a, b in rounds]), rel=1e-12)
    assert found["means"][0]["ratios"].keys() == {"rows.csv"}


def test_the_truth_is_what_the_model_scores_in_order_of_user_and_day(files) -> None:
    from slidecell.jobs.own_bench import read_own

    model, frame = files[2:]
    case = read_own(Path(files[0]), Path(files[1]), "day", "user")
    ordered = frame.sort_values(["user", "day"])
    scores = model.score(ordered[NAMES].to_numpy(), [0, 45, 90])
    expected = scores[np.isfinite(scores)]
    truth = case.workload(1_000).truth
    assert len(expected) == 82 - 5
    np.testing.assert_allclose(truth, expected, rtol=1e-5, atol=1e-6)


def test_only_the_first_rows_are_taken_of_many() -> None:
    rows = np.random.default_rng(1).random((700, 3))
    rows[3, 1] = 1e300  # beyond float32
    case = OwnCase("mine", own_model(), rows, np.array([0, 2, 350, 700]))
    workload = case.workload(400)
    assert workload.shape == "W=4 F=3 S=400 entities=3"
    assert len(workload.rows) == 400
    assert case.missing == 1
    assert np.isnan(workload.rows[3]).all()
    assert case.workload(1).shape == "W=4 F=3 S=9 entities=2"  # rows 4 to 8 are its window


def test_models_of_some_columns_are_compared(capsys) -> None:
    plain = random_model("rnn", (4,), features=3, window=4)
    tensors = {name: a[[2, 0]] if "head" in name else a for name, a in plain.tensors.items()}
    model = sc.SequenceModel({**plain.metadata, "targets": [2, 0]}, tensors)
    rows = np.random.default_rng(2).random((60, 3)).astype(np.float32)
    workload = OwnCase("mine", model, rows, np.array([0, 60])).workload(100)
    scores = model.score(rows)
    np.testing.assert_allclose(workload.truth, scores[4:], rtol=1e-5)
    for name, peer in peers.score_peers(plain=True).items():
        if peer.takes(workload) and peer.precision == "highest":
            for setting, way in list(peer.ways(workload, 1).items())[:2]:
                answer = np.asarray(way())
                answer = answer[~np.isnan(answer)]
                np.testing.assert_allclose(
                    answer, workload.truth, rtol=1e-4, err_msg=f"{name} {setting}"
                )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "m.safetensors"], "--model and --data: expected both or neither"),
        (["--data", "rows.csv"], "got --data alone"),
        (["--time", "day"], "--time and --entity: expected beside --model and --data only"),
    ],
)
def test_half_a_question_is_refused(arguments: list[str], text: str, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench(arguments)
    assert text in capsys.readouterr().err


def test_what_cannot_be_compared_is_named(files, tmp_path: Path, capsys) -> None:
    assert run((str(tmp_path / "none.safetensors"), files[1])) == 1
    assert "none.safetensors" in capsys.readouterr().err
    assert run((files[1], files[0])) == 1
    assert "they look swapped" in capsys.readouterr().err
    from slidecell.detect import ZScoreDetector

    ZScoreDetector().fit(files[3][["load", "flow"]].to_numpy()).save(tmp_path / "detector")
    assert run((str(tmp_path / "detector"), files[1])) == 1
    text = "--model: expected one network, got"
    assert text in capsys.readouterr().err
    with pytest.raises(ValueError, match="data: expected 5 rows of one entity for a window, got"):
        OwnCase("mine", own_model(), np.zeros((8, 3)), np.array([0, 4, 8]))
    plain = random_model("gru", (4,), features=3, window=4)
    relu = plain.metadata
    relu["encoder"][0]["activation"] = "relu"
    with pytest.raises(ValueError, match="expected plain layers, got activation=relu"):
        OwnCase("mine", sc.SequenceModel(relu, plain.tensors), np.zeros((8, 3)), np.array([0, 8]))

"""What version 0.1 saved loads, and answers with the bits that version 0.1 answered with.

The files and the answers lie in `golden/v01`, with the program that made them.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import slidecell as sc

OLD = Path(__file__).parent / "golden" / "v01"
EXPECTED = np.load(OLD / "expected.npz")
FEATURES = ["load", "heat", "flow"]
CUT = 75  # rows that a saved state has seen
SOME = 8  # of so many windows one is stored

# Kernels of other ISAs round in other ways: their answers are not stored.
ISAS = [isa for isa in ("scalar", "avx2", "avx512") if isa in sc.available_isas()]

DETECTORS = {
    "autoencoder": "AutoencoderDetector",
    "ensemble": "Ensemble",
    "ensemble_ranks": "Ensemble",
    "forecast": "ForecastDetector",
    "pca": "PCADetector",
    "random_gru": "RandomGRUDetector",
    "rolling_variance": "RollingVarianceDetector",
    "sklearn": "SklearnDetector",
    "sklearn_forest": "SklearnDetector",
    "zscore": "ZScoreDetector",
}
# All other detectors score with our kernels and with sums and products of NumPy whose order is
# fixed. These use the BLAS of scikit-learn, and NumPy's logarithm, which differ between CPUs.
TOLERANCES = {"sklearn": 1e-9, "sklearn_forest": 1e-9, "ensemble_ranks": 1e-12}

MONITORS = {
    "gru_own": "gru",
    "lstm_rolling": "lstm",
    "lstm_cusum": "lstm",
    "lstm_spot": "lstm",
    "lstm_dynamic": "lstm",
}


@pytest.fixture(params=ISAS)
def stored_isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once with each ISA whose answers are stored."""
    before = sc.active_isa()
    sc.set_isa(request.param)
    yield request.param
    sc.set_isa(before)


@cache
def exact(isa: str) -> bool:
    """Tell whether this CPU has the roundings of the one that the answers come from.

    The avx512 kernels divide by way of an approximate reciprocal, which every vendor approximates
    in its own way. The other kernels have only operations that IEEE 754 defines.
    """
    if isa != "avx512":
        return True
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "GenuineIntel" in cpu.read_text(encoding="utf-8", errors="replace")


def same(isa: str, got: Any, key: str, rtol: float = 0.0) -> None:
    """Compare with a stored answer: bit for bit, or within a relative tolerance."""
    want = EXPECTED[key]
    assert np.shape(got) == want.shape, key
    if not exact(isa):
        assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=key)
    elif rtol:
        assert_allclose(got, want, rtol=rtol, atol=0, err_msg=key)
    else:
        assert_array_equal(got, want, err_msg=key)


def new_rows(name: str = "") -> Any:
    """Return the rows that 0.1 scored, in the form in which this detector got them."""
    rows = EXPECTED["new"]
    if name in {"ensemble", "forecast", "rolling_variance"}:
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(EXPECTED["frame/values"], columns=FEATURES)
        columns = {part: EXPECTED[f"frame/{part}"] for part in ("machine", "minute")}
        return frame.assign(**columns)
    if name in {"pca", "sklearn"}:
        pd = pytest.importorskip("pandas")
        return pd.DataFrame(rows, columns=FEATURES)[FEATURES[::-1]]
    return np.where([False, True, False], 20.0, rows) if name == "zscore" else rows


def load_model(name: str) -> sc.SequenceModel:
    return sc.SequenceModel.load(OLD / "models" / f"{name}.safetensors")


def live_rows() -> list[tuple[np.ndarray, int]]:
    """Return the rows that come after a saved state, each with its entity."""
    rows = EXPECTED["new"]
    return [(rows[i], int(i % 3 == 2)) for i in range(CUT, len(rows))]


def test_nothing_is_left_out() -> None:
    assert {path.name for path in (OLD / "detectors").iterdir()} == set(DETECTORS)
    states = {"stream_lstm", "stream_gru", *(f"monitor_{name}" for name in MONITORS)}
    for isa in ("scalar", "avx2", "avx512"):
        assert {path.name for path in (OLD / "states" / isa).iterdir()} == states
    assert {path.stem for path in (OLD / "models").iterdir()} == {"lstm", "gru", "autoencoder"}


@pytest.mark.parametrize("name", ["lstm", "gru", "autoencoder"])
def test_old_model(stored_isa: str, name: str) -> None:
    model, rows = load_model(name), new_rows()
    answers = {
        "score": model.score(rows),
        "mae": model.score(rows, reduction="mae"),
        "per_feature": model.score(rows, per_feature=True),
        "predict": model.predict(rows)[::SOME],
        "encode": model.encode(rows)[::SOME],
    }
    if name == "gru":
        answers["mahalanobis"] = model.score(rows, reduction="mahalanobis")
    if name == "autoencoder":
        answers["mean"] = model.score(rows, aggregate="mean")
        answers["last"] = model.score(rows, aggregate="last")
    prefix = f"{stored_isa}/models/{name}/"
    stored = [key.removeprefix(prefix) for key in EXPECTED.files if key.startswith(prefix)]
    assert sorted(answers) == sorted(stored)
    for key, answer in answers.items():
        assert answer.dtype == np.float32
        same(stored_isa, answer, prefix + key)


def test_old_model_keeps_what_it_carries(tmp_path: Path) -> None:
    lstm, gru, autoencoder = (load_model(name) for name in ("lstm", "gru", "autoencoder"))
    assert (lstm.window, lstm.horizon, lstm.input_size, lstm.num_targets) == (8, 1, 3, 3)
    assert (gru.window, gru.horizon, len(gru.metadata["encoder"])) == (8, 3, 2)
    assert (autoencoder.window, autoencoder.horizon, autoencoder.code_size) == (6, 0, 8)
    assert lstm.features == FEATURES
    assert gru.features is None
    for model in (lstm, gru, autoencoder):
        assert model.scaler is not None
        assert model.scaler["kind"] == "standard"
    for model, percentile in ((lstm, 95.0), (gru, 97.0)):
        assert model.threshold is not None
        assert model.threshold["kind"] == "percentile"
        assert model.threshold["percentile"] == percentile
    assert autoencoder.threshold is None
    assert gru.metadata["smoothing"]["kind"] == "ewma"
    assert gru.metadata["error"] is not None
    assert gru.metadata["extra"] == {"note": ["kept", 1]}
    for model in (lstm, gru, autoencoder):
        model.save(tmp_path / "again.safetensors")
        again = sc.SequenceModel.load(tmp_path / "again.safetensors")
        assert_array_equal(again.score(new_rows()), model.score(new_rows()))


@pytest.mark.parametrize("name", DETECTORS)
# skops lets scikit-learn warn of files of another version: ours are plain arrays and trees.
@pytest.mark.filterwarnings("ignore:Trying to unpickle estimator")
def test_old_detector(stored_isa: str, name: str) -> None:
    pytest.importorskip("sklearn")
    from slidecell.detect import load_detector

    if name == "sklearn_forest":
        skip_other_trees()
    if name.startswith("sklearn"):
        pytest.importorskip("skops")
    detector = load_detector(OLD / "detectors" / name)
    assert type(detector).__name__ == DETECTORS[name]
    for attribute in ("decision_scores_", "labels_", "threshold_"):
        found = getattr(detector, attribute)
        assert_array_equal(found, EXPECTED[f"detectors/{name}/{attribute}"], err_msg=attribute)
    rows = new_rows(name)
    scores, flags = detector.score_samples(rows), detector.predict(rows)
    rtol = TOLERANCES.get(name, 0.0)
    same(stored_isa, scores, f"{stored_isa}/detectors/{name}/score_samples", rtol)
    want = EXPECTED[f"{stored_isa}/detectors/{name}/predict"]
    assert 0 < want.sum() < len(want) / 3
    if rtol or not exact(stored_isa):  # a score may then be on the other side of its like
        clear = ~np.isclose(scores, detector.threshold_, rtol=1e-5, atol=1e-6)
        flags, want = flags[clear], want[clear]
    assert_array_equal(flags, want)


def skip_other_trees() -> None:
    """Skip where scikit-learn is another: it promises nothing of the trees of other versions."""
    import sklearn

    report = json.loads((OLD / "detect" / "report.json").read_text())
    made = report["machine"]["versions"]["scikit-learn"].split(".")[:2]
    if sklearn.__version__.split(".")[:2] != made:
        pytest.skip(f"the forest is one of scikit-learn {'.'.join(made)}")


def test_old_detectors_keep_what_they_know() -> None:
    for module in ("sklearn", "torch"):
        pytest.importorskip(module)
    from slidecell.detect import load_detector

    forecast, zscore, ensemble, ranks = (
        load_detector(OLD / "detectors" / name)
        for name in ("forecast", "zscore", "ensemble", "ensemble_ranks")
    )
    assert (forecast.entity, forecast.time) == ("machine", "minute")
    assert forecast.feature_names_in_.tolist() == FEATURES
    assert forecast.history_.epochs == 2
    assert zscore.constant_features_ == [1]
    assert list(ensemble.members_) == ["forecast", "zscore", "pca"]
    assert ensemble.weights_.tolist() == [0.5, 0.25, 0.25]
    assert ensemble.tuned_ is None
    assert ranks.tuned_.objective == "pr_auc"
    assert ranks.tuned_.threshold == ranks.threshold_
    assert list(ranks.tuned_.weights) == ranks.weights_.tolist()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_old_stream_goes_on(stored_isa: str, name: str) -> None:
    key = f"{stored_isa}/stream_{name}"
    model = load_model(name)
    stream = model.stream(state=OLD / "states" / stored_isa / f"stream_{name}")
    assert stream.num_entities == 2
    assert stream.rows_seen(0) + stream.rows_seen(1) == CUT
    scores = np.array([stream.push(row, entity) for row, entity in live_rows()], np.float32)
    same(stored_isa, scores, f"{key}/scores")
    forecasts = np.array([stream.predict_next(entity) for entity in (0, 1)])
    same(stored_isa, forecasts, f"{key}/predict_next")
    if exact(stored_isa):  # and the state is what the rows before it leave behind
        rows = EXPECTED["new"]
        ids = np.arange(len(rows)) % 3 == 2
        reduction = "mahalanobis" if name == "gru" else "mse"
        whole = np.empty(len(rows), np.float32)
        for mine in (ids, ~ids):
            whole[mine] = model.score(rows[mine], reduction=reduction)
        assert_array_equal(scores, whole[CUT:])


@pytest.mark.parametrize("name", MONITORS)
def test_old_monitor_goes_on(stored_isa: str, name: str) -> None:
    if name == "lstm_spot":
        pytest.importorskip("libspot")
    key = f"{stored_isa}/monitor_{name}"
    path = OLD / "states" / stored_isa / f"monitor_{name}"
    monitor = sc.Monitor.load(load_model(MONITORS[name]), path)
    assert monitor.extra == {"note": name}
    events = [monitor.push(row, entity) for row, entity in live_rows()]
    want = EXPECTED[f"{key}/events"]
    # Logarithms of SPOT and means of the dynamic rule depend on the libraries that compute them.
    rtol = 1e-9 if name in {"lstm_spot", "lstm_dynamic"} else 0.0
    for column, attribute in enumerate(("score", "smoothed", "threshold", "alarm")):
        got = np.array([getattr(event, attribute) for event in events], np.float64)
        if not exact(stored_isa):
            assert_allclose(got, want[:, column], rtol=1e-5, atol=1e-6, err_msg=attribute)
        elif attribute == "threshold" and rtol:
            assert_allclose(got, want[:, column], rtol=rtol, atol=0, err_msg=attribute)
        else:
            assert_array_equal(got, want[:, column], err_msg=attribute)
    assert 0 < want[:, 3].sum() < len(want) / 3
    nothing = np.full(3, np.nan)
    shares = [nothing if e.attribution is None else e.attribution for e in events]
    same(stored_isa, np.array(shares), f"{key}/attribution", rtol=1e-12)


def read_scores(path: Path) -> dict[str, Any]:
    """Return the columns of a `scores.csv`, numbers as they are written."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    columns: dict[str, Any] = {name: [line[name] for line in lines] for name in lines[0]}
    columns["score"] = np.array([float(text or "nan") for text in columns["score"]])
    columns["flagged"] = np.array([int(text) for text in columns["flagged"]])
    return columns


@pytest.mark.parametrize("name", ISAS)
def test_old_job_is_scored_by_the_command(name: str, tmp_path: Path) -> None:
    for module in ("pandas", "matplotlib", "typer", "rich"):
        pytest.importorskip(module)
    job = OLD / "detect"
    files = [job / "model.safetensors", job / "in.csv", "--out", tmp_path]
    subprocess.run(
        [sys.executable, "-m", "slidecell", "score", *files],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"SLIDECELL_ISA": name},
    )
    scored, before = read_scores(tmp_path / "scores.csv"), read_scores(job / "scores.csv")
    same(name, scored["score"], f"{name}/detect/score")
    assert_array_equal(scored["flagged"], EXPECTED[f"{name}/detect/flagged"])
    assert list(scored) == list(before)
    for column in ("machine", "minute"):
        assert scored[column] == before[column]
    if name == "avx2":  # which `slidecell detect` ran with
        assert_array_equal(scored["score"], before["score"])
        assert_array_equal(scored["flagged"], before["flagged"])
    threshold = json.loads((job / "report.json").read_text())["threshold"]
    assert sc.SequenceModel.load(job / "model.safetensors").threshold == threshold
    assert json.loads((tmp_path / "report.json").read_text())["threshold"] == threshold

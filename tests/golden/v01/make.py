"""Make the files of this folder: what version 0.1 saved, and what it answered.

It was run once, with version 0.1 of this package, and uses only that version's public names. Its
files are kept as they are: `tests/test_old_files.py` loads them with the version of today. Whoever
runs it with a later version replaces the files of 0.1 by others, and the test proves nothing.

Everything is fitted and saved with the kernels of ISA avx2. Scores are stored for each of the ISAs,
because their roundings differ; a stream's state belongs to the ISA that it was made with.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest

import slidecell as sc
from slidecell.detect import (
    AutoencoderDetector,
    Detector,
    Ensemble,
    ForecastDetector,
    PCADetector,
    RandomGRUDetector,
    RollingVarianceDetector,
    SklearnDetector,
    ZScoreDetector,
)
from slidecell.detect.smoothing import EWMA, MovingAverage
from slidecell.detect.thresholds import (
    CusumThreshold,
    DynamicThreshold,
    PercentileThreshold,
    RollingQuantileThreshold,
    SpotThreshold,
)
from slidecell.training import Autoencoder, Forecaster, fit, seeded

HERE = Path(__file__).parent
ISAS = ("scalar", "avx2", "avx512")
HOME = "avx2"
FEATURES = ["load", "heat", "flow"]
TRAIN, NEW = 200, 140  # rows
CUT = 75  # rows before a state is saved
SOME = 8  # of so many windows one is stored


def waves(rows: int, seed: int) -> np.ndarray:
    """Three waves with noise, of different sizes: float64 [S, 3]."""
    time = np.arange(rows)[:, None] / np.array([3.0, 4.0, 5.0])
    noise = np.random.default_rng(seed).normal(0.0, 0.1, (rows, 3))
    return np.round((np.sin(time) + noise) * [1.0, 5.0, 0.2] + [0.0, 20.0, -1.0], 6)


def series() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows to train on, other rows with anomalies and holes, and the labels of those."""
    train, new = waves(TRAIN, 0), waves(NEW, 1)
    label = np.zeros(NEW, np.int64)
    for first, last in ((40, 44), (120, 126)):
        new[first:last] += [1.0, 6.0, -0.3]
        label[first:last] = 1
    new[70, 1] = np.nan
    new[134, 2] = np.inf
    return train, new, label


def mixed(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(rows)


def flat(rows: np.ndarray) -> np.ndarray:
    """Return the rows with a column that does not vary."""
    return np.where([False, True, False], 20.0, rows)


def frame(rows: np.ndarray, seed: int) -> pd.DataFrame:
    """Two machines whose rows are mixed, with a time for each row."""
    half = len(rows) // 2
    table = pd.DataFrame(rows, columns=FEATURES)
    table.insert(0, "machine", np.repeat(["m2", "m1"], half))
    table["minute"] = np.tile(np.arange(half) * 5, 2)
    return table.iloc[mixed(len(rows), seed)].reset_index(drop=True)


def scaler_of(rows: np.ndarray) -> dict[str, Any]:
    return {
        "kind": "standard",
        "center": rows.mean(axis=0).tolist(),
        "scale": rows.std(axis=0).tolist(),
        "constant": [],
    }


def trained(module: Any, train: np.ndarray) -> sc.SequenceModel:
    scaler = scaler_of(train)
    scaled = (train - scaler["center"]) / scaler["scale"]
    fit(module, scaled.astype(np.float32), epochs=3, lr=0.01, seed=0, progress=False)
    return sc.SequenceModel.from_torch(module).with_metadata(scaler=scaler)


def models(train: np.ndarray) -> dict[str, sc.SequenceModel]:
    with seeded(0):
        lstm = trained(Forecaster(3, 16, window=8), train)
        gru = trained(Forecaster(3, 8, 2, cell="gru", window=8, horizon=3), train)
        autoencoder = trained(Autoencoder(3, (16, 8), (8, 16), window=6), train)
    rule = PercentileThreshold(95.0).fit(lstm.score(train))
    lstm = lstm.with_metadata(features=FEATURES, threshold=rule.state())
    smoothing = EWMA(0.5)
    rule = PercentileThreshold(97.0).fit(smoothing.apply(gru.score(train)))
    gru = gru.fit_error(train).with_metadata(
        threshold=rule.state(), smoothing=smoothing.state(), extra={"note": ["kept", 1]}
    )
    return {"lstm": lstm, "gru": gru, "autoencoder": autoencoder}


def model_answers(name: str, model: sc.SequenceModel, new: np.ndarray) -> dict[str, np.ndarray]:
    found = {
        "score": model.score(new),
        "mae": model.score(new, reduction="mae"),
        "per_feature": model.score(new, per_feature=True),
        "predict": model.predict(new)[::SOME],
        "encode": model.encode(new)[::SOME],
    }
    if name == "gru":
        found["mahalanobis"] = model.score(new, reduction="mahalanobis")
    if name == "autoencoder":
        found["mean"] = model.score(new, aggregate="mean")
        found["last"] = model.score(new, aggregate="last")
    return found


def detectors(train: np.ndarray, new: np.ndarray, label: np.ndarray) -> dict[str, Detector]:
    """Fitted ones; `tests/test_old_files.py` knows which of them take which rows."""
    quick: dict[str, Any] = {"epochs": 2, "random_state": 0, "num_threads": 1}
    table, named = frame(train, 2), pd.DataFrame(train, columns=FEATURES)
    columns: dict[str, Any] = {"entity": "machine", "time": "minute"}
    half = [0, TRAIN // 2, TRAIN]
    members = [
        ("forecast", ForecastDetector(6, 8, scaler="standard", **quick)),
        ("zscore", ZScoreDetector()),
        ("pca", PCADetector(1)),
    ]
    weights = {"forecast": 2.0, "zscore": 1.0, "pca": 1.0}
    ensemble = Ensemble(members, "robust", weights, **columns)
    ranks = [
        ("random", RandomGRUDetector(6, 8, 3, random_state=1, num_threads=1)),
        ("variance", RollingVarianceDetector(5, scaler="minmax")),
    ]
    tuned = Ensemble(ranks, "rank", contamination=0.1).fit(train)
    tuned.tune(new, label, objective="pr_auc", method="refine")
    assert tuned.weights_.min() > 0.0, tuned.weights_
    network = AutoencoderDetector(
        6, (8, 4), (4, 8), cell="gru", aggregate="mean", missing="ffill", **quick
    )
    return {
        "autoencoder": network.fit(train, offsets=half),
        "ensemble": ensemble.fit(table),
        "ensemble_ranks": tuned,
        "forecast": ForecastDetector(
            8, (8, 6), horizon=2, scaler="robust", reduction="mae", **columns, **quick
        ).fit(table),
        "pca": PCADetector(2, scaler="robust").fit(named),
        "random_gru": RandomGRUDetector(8, 12, random_state=0, num_threads=1).fit(train),
        "rolling_variance": RollingVarianceDetector(
            6, 0.1, scaler="standard", missing="ffill", **columns
        ).fit(table),
        "sklearn": SklearnDetector(EllipticEnvelope(random_state=0), scaler="standard").fit(named),
        "sklearn_forest": SklearnDetector(
            IsolationForest(n_estimators=2, max_samples=12, random_state=0), contamination=0.2
        ).fit(train),
        "zscore": ZScoreDetector(0.02).fit(flat(train)),
    }


def rows_of(name: str, new: np.ndarray) -> Any:
    if name in {"ensemble", "forecast", "rolling_variance"}:
        return frame(new, 3)
    if name in {"pca", "sklearn"}:
        return pd.DataFrame(new, columns=FEATURES)[FEATURES[::-1]]
    return flat(new) if name == "zscore" else new


def monitors(
    made: dict[str, sc.SequenceModel], train: np.ndarray
) -> Iterator[tuple[str, str, sc.Monitor]]:
    """Name, name of the model, and a monitor of two entities that has seen nothing."""
    lstm, gru = made["lstm"], made["gru"]
    scores = lstm.score(train)
    yield "gru_own", "gru", sc.Monitor.from_model(gru, 2)
    rules = {
        "lstm_rolling": RollingQuantileThreshold(0.9, 30, min_scores=10),
        "lstm_cusum": CusumThreshold(0.5, 4.0, restart=True).fit(scores),
        "lstm_spot": SpotThreshold(0.01, level=0.9, max_excess=50).fit(scores),
        "lstm_dynamic": DynamicThreshold(10, 60, buffer=5, smoothing=0.2),
    }
    for name, rule in rules.items():
        yield name, "lstm", sc.Monitor(lstm.stream(2), threshold=rule, smoothing=MovingAverage(3))


def told(events: list[sc.Event], features: int) -> dict[str, np.ndarray]:
    nothing = np.full(features, np.nan)
    shares = [nothing if e.attribution is None else e.attribution for e in events]
    return {
        "events": np.array([[e.score, e.smoothed, e.threshold, e.alarm] for e in events]),
        "attribution": np.array(shares),
    }


def live_answers(
    made: dict[str, sc.SequenceModel], train: np.ndarray, new: np.ndarray, folder: Path
) -> dict[str, np.ndarray]:
    """Save states after some rows, load them, and go on; entity 1 gets every third row."""
    found: dict[str, np.ndarray] = {}
    ids = [int(row % 3 == 2) for row in range(len(new))]
    pushed = list(zip(new, ids, strict=True))
    for name in ("lstm", "gru"):
        stream = made[name].stream(2, reduction="mahalanobis" if name == "gru" else "mse")
        for row, entity in pushed[:CUT]:
            stream.push(row, entity)
        stream.save(folder / f"stream_{name}")
        stream = made[name].stream(state=folder / f"stream_{name}")
        scores = [stream.push(row, entity) for row, entity in pushed[CUT:]]
        found[f"stream_{name}/scores"] = np.array(scores, np.float32)
        found[f"stream_{name}/predict_next"] = np.array([stream.predict_next(e) for e in (0, 1)])
    for name, model, monitor in monitors(made, train):
        for row, entity in pushed[:CUT]:
            monitor.push(row, entity)
        monitor.extra["note"] = name
        monitor.save(folder / f"monitor_{name}")
        loaded = sc.Monitor.load(made[model], folder / f"monitor_{name}")
        events = [loaded.push(row, entity) for row, entity in pushed[CUT:]]
        for key, value in told(events, new.shape[1]).items():
            found[f"monitor_{name}/{key}"] = value
    return found


def command(folder: Path, isa: str, *arguments: str) -> None:
    """Run `slidecell` in a folder, so that no other path gets into its files."""
    subprocess.run(
        [sys.executable, "-m", "slidecell", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        env=os.environ | {"SLIDECELL_ISA": isa},
    )


def detect_job(train: np.ndarray) -> dict[str, np.ndarray]:
    """Run `slidecell detect`, and `slidecell score` with each ISA: the scores of the latter."""
    home = HERE / "detect"
    home.mkdir()
    table = frame(train, 4)
    table["fault"] = 0
    table.loc[table["minute"] > 465, ["heat", "fault"]] = [29.0, 1]
    table.loc[7, "flow"] = np.nan
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table.to_csv(folder / "in.csv", index=False)
        columns = ["--time", "minute", "--entity", "machine", "--label", "fault"]
        sizes = ["--window", "6", "--hidden-size", "8", "--epochs", "2", "--threads", "1"]
        command(folder, HOME, "detect", "in.csv", *columns, *sizes, "--out", "out")
        for isa in ISAS:
            command(folder, isa, "score", "out/model.safetensors", "in.csv", "--out", isa)
            with (folder / isa / "scores.csv").open(newline="") as file:
                lines = list(csv.DictReader(file))
            scores = [float(line["score"] or "nan") for line in lines]
            found[f"{isa}/detect/score"] = np.array(scores)
            found[f"{isa}/detect/flagged"] = np.array([int(line["flagged"]) for line in lines])
        for kept in ("in.csv", "out/model.safetensors", "out/scores.csv"):
            shutil.copy(folder / kept, home)
        report = json.loads((folder / "out" / "report.json").read_text())
    # Which machine made the files does not matter to them.
    report["machine"] = {"versions": report["machine"]["versions"]}
    (home / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return found


def main() -> None:
    assert sc.__version__.startswith("0.1"), "see the docstring"
    for part in ("models", "detectors", "states", "detect"):
        shutil.rmtree(HERE / part, ignore_errors=True)
    sc.set_isa(HOME)
    train, new, label = series()
    table = frame(new, 3)
    found: dict[str, np.ndarray] = {
        "new": new,
        "frame/values": table[FEATURES].to_numpy(),
        "frame/machine": table["machine"].to_numpy().astype("U2"),
        "frame/minute": table["minute"].to_numpy(),
    }
    found |= detect_job(train)
    made = models(train)
    (HERE / "models").mkdir()
    for name, model in made.items():
        model.save(HERE / "models" / f"{name}.safetensors")
    fitted = detectors(train, new, label)
    (HERE / "detectors").mkdir()
    for name, detector in fitted.items():
        detector.save(HERE / "detectors" / name)
        for key in ("decision_scores_", "labels_", "threshold_"):
            found[f"detectors/{name}/{key}"] = np.asarray(getattr(detector, key))
    for isa in ISAS:
        sc.set_isa(isa)
        for name, model in made.items():
            for key, value in model_answers(name, model, new).items():
                found[f"{isa}/models/{name}/{key}"] = value
        for name, detector in fitted.items():
            X = rows_of(name, new)
            found[f"{isa}/detectors/{name}/score_samples"] = detector.score_samples(X)
            found[f"{isa}/detectors/{name}/predict"] = detector.predict(X)
        folder = HERE / "states" / isa
        folder.mkdir(parents=True)
        for key, value in live_answers(made, train, new, folder).items():
            found[f"{isa}/{key}"] = value
    np.savez_compressed(HERE / "expected.npz", **found)


if __name__ == "__main__":
    main()

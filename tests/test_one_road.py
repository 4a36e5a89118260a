"""The command line and the estimators walk one road: the same rows give the same bits."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "sklearn", "matplotlib", "typer", "skops"):
    pytest.importorskip(_module)

from sklearn.ensemble import IsolationForest  # noqa: E402

from slidecell.detect import (  # noqa: E402
    AutoencoderDetector,
    Detector,
    Ensemble,
    ForecastDetector,
    KMeansDetector,
    NeighborDetector,
    PCADetector,
    RandomGRUDetector,
    RidgeDetector,
    RollingVarianceDetector,
    SklearnDetector,
    WindowPCADetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.detect.registry import DETECTORS, detector_class, find_detector  # noqa: E402
from slidecell.jobs.detect import DetectOptions, run_detect  # noqa: E402
from slidecell.jobs.results import Result  # noqa: E402
from slidecell.jobs.retrain import RetrainOptions, run_retrain  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.live import LiveOptions, run_live  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from tests.detect_cases import PANEL, panel  # noqa: E402

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("SLIDECELL_DATA", _BESIDE))

DAYS = 40
COLUMNS = {"entity": "user", "time": "day"}
NETWORK: dict[str, Any] = {"window": 5, "epochs": 2, "random_state": 0, "num_threads": 1}


def members() -> list[tuple[str, Detector]]:
    return [
        ("forecast", ForecastDetector(hidden_size=8, **NETWORK)),
        ("random-gru", RandomGRUDetector(5, 8, random_state=0, num_threads=1)),
        ("pca", PCADetector()),
        ("zscore", ZScoreDetector()),
    ]


# The settings of the command line, and the same detector in Python.
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "forecast": (
        {"window": 5, "hidden_size": (8,), "epochs": 2},
        lambda: ForecastDetector(hidden_size=8, **NETWORK, **COLUMNS),
    ),
    "autoencoder": (
        {"window": 5, "hidden_size": (8, 4), "epochs": 2},
        lambda: AutoencoderDetector(
            encoder_sizes=(8, 4), decoder_sizes=(4, 8), **NETWORK, **COLUMNS
        ),
    ),
    "zscore": ({}, lambda: ZScoreDetector(**COLUMNS)),
    "pca": ({}, lambda: PCADetector(**COLUMNS)),
    "random-gru": (
        {"window": 5, "hidden_size": (8,)},
        lambda: RandomGRUDetector(5, 8, random_state=0, num_threads=1, **COLUMNS),
    ),
    "kmeans": (
        {"window": 5},
        lambda: KMeansDetector(5, random_state=0, num_threads=1, **COLUMNS),
    ),
    "window-pca": ({"window": 5}, lambda: WindowPCADetector(5, num_threads=1, **COLUMNS)),
    "ridge": ({"window": 5}, lambda: RidgeDetector(5, num_threads=1, **COLUMNS)),
    "neighbors": ({"window": 5}, lambda: NeighborDetector(5, num_threads=1, **COLUMNS)),
    "variance": ({"window": 5}, lambda: RollingVarianceDetector(5, **COLUMNS)),
    "sklearn": (
        {},
        lambda: SklearnDetector(IsolationForest(n_estimators=300, random_state=0), **COLUMNS),
    ),
    "ensemble": (
        {
            "window": 5,
            "hidden_size": (8,),
            "epochs": 2,
            "members": "forecast,random-gru,pca,zscore",
        },
        lambda: Ensemble(members(), "z", **COLUMNS),
    ),
}
STREAMED = ("forecast", "autoencoder")


class Saved:
    """What `slidecell detect` has written of a file."""

    def __init__(self, folder: Path, file: Path, name: str, table: TableOptions, **more: Any):
        self.file, self.out, self.name = file, folder / "out", name
        options = DetectOptions(file, self.out, table, detector=name, num_threads=1, **more)
        self.result: Result = run_detect(options, progress=False)

    @cached_property
    def loaded(self) -> Detector:
        """The detector that was saved, and read again."""
        return load_detector(self.out / "detector")

    @cached_property
    def frame(self) -> Any:
        """The file as a user of Python reads it."""
        return pd.read_csv(self.file)

    @cached_property
    def expected(self) -> np.ndarray:
        """What the saved detector says of it."""
        return self.loaded.score_samples(self.frame)

    @property
    def dtype(self) -> Any:
        """Of the scores: a network's are float32, and so are their texts, smoothed ones float64."""
        return np.float32 if self.name == "autoencoder" else np.float64

    def scores(self) -> np.ndarray:
        """Scores of detect in the order of the file."""
        return self.result.table.restore(self.result.scores, np.nan)

    def fitted(self) -> np.ndarray:
        """Rows of the file that the detector was fitted on."""
        return self.result.table.restore(self.result.part, "") != "test"


def panel_of_numbers() -> Any:
    """Users 0 to 11: as text 10 comes before 2, as a number it does not. Days are in disorder."""
    frame = panel(users=12, days=DAYS)
    frame["user"] = frame["user"].str[1:].astype(int)
    return frame.sample(frac=1.0, random_state=0).sort_values("day", kind="stable")


@pytest.fixture(scope="module", params=sorted(CASES))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp(request.param)
    panel_of_numbers().to_csv(folder / "in.csv", index=False)
    return Saved(folder, folder / "in.csv", request.param, PANEL, **CASES[request.param][0])


def same(first: Any, second: Any) -> bool:
    return np.array_equal(
        np.asarray(first, np.float64), np.asarray(second, np.float64), equal_nan=True
    )


def stream(model: Path, file: Path, **options: Any) -> Any:
    """Run `slidecell stream` on a file: its lines as a frame."""
    out = io.BytesIO()
    with file.open("rb") as lines:
        live = LiveOptions(model, **options)
        run_live(live, stdin=lines.fileno(), stdout=out, stderr=io.StringIO())
    return pd.read_csv(io.BytesIO(out.getvalue()))


def check_stream(saved: Saved, model: Path) -> None:
    lines = stream(model, saved.file)
    assert same(lines["score"].to_numpy(saved.dtype), saved.expected)
    assert np.array_equal(lines["alarm"].to_numpy(), saved.loaded.predict(saved.frame))
    assert lines["alarm"].sum() > 0


def test_every_detector_of_the_registry_is_tried() -> None:
    assert set(CASES) == {entry.name for entry in DETECTORS}


def test_score_gives_what_the_saved_detector_gives_in_python(saved: Saved, tmp_path: Path) -> None:
    detector, expected = saved.loaded, saved.expected
    flags = detector.predict(saved.frame)
    assert same(saved.scores(), expected)  # test rows have the training rows as their history
    files = [saved.out, saved.out / "detector"]
    if (saved.out / "model.safetensors").exists():
        files.append(saved.out / "model.safetensors")
    assert len(files) == 2 + (saved.name in STREAMED)
    for number, source in enumerate(files):
        result = run_score(ScoreOptions(source, saved.file, tmp_path / str(number)))
        assert same(result.table.restore(result.scores, np.nan), expected)
        written = pd.read_csv(tmp_path / str(number) / "scores.csv")
        assert same(written["score"].to_numpy(saved.dtype), expected)
        assert np.array_equal(written["flagged"], flags)
        assert result.threshold == saved.result.threshold == detector.threshold_
    assert flags.sum() > 0
    of_detect = pd.read_csv(saved.out / "scores.csv")
    assert same(of_detect["score"], written["score"])
    assert np.array_equal(of_detect["flagged"], flags)


def test_an_estimator_of_the_same_parameters_fits_to_the_same_bits(saved: Saved) -> None:
    frame = saved.frame.drop(columns="label")
    estimator = CASES[saved.name][1]().fit(frame[saved.fitted()])
    assert estimator.threshold_ == saved.result.threshold
    assert same(estimator.score_samples(frame), saved.scores())
    # Of all fitted rows, those held out included.
    assert len(estimator.decision_scores_) == saved.fitted().sum()
    # The command line's default is the estimator's: 1 % of the rows held out, and of all.
    held = saved.result.table.restore(saved.result.part, "")[saved.fitted()] == "validation"
    calibrating = estimator.decision_scores_[held if held.any() else slice(None)]
    ordered = np.sort(calibrating[np.isfinite(calibrating)])
    rank = min(math.ceil((len(ordered) + 1) * 0.99), len(ordered))
    of_all = np.nanpercentile(estimator.decision_scores_, 99.0)
    assert estimator.threshold_ == max(ordered[rank - 1], of_all)
    assert estimator.rule_.met == "1%"


def test_stream_gives_the_same_bits(saved: Saved) -> None:
    check_stream(saved, saved.out / "detector")
    if saved.name in STREAMED:
        for model in (saved.out, saved.out / "model.safetensors"):
            check_stream(saved, model)


def test_stream_opens_and_closes_the_events_of_score(saved: Saved, tmp_path: Path) -> None:
    run_score(ScoreOptions(saved.out, saved.file, tmp_path))
    batch = pd.read_csv(tmp_path / "events.csv").sort_values(["entity", "start"])
    lines = stream(saved.out, saved.file, output="events")
    closed = lines[lines["event"] == "closed"].sort_values(["entity", "start"])
    columns = ["entity", "start", "end", "rows", "flagged", "peak", "area"]
    assert len(batch) > 0
    assert closed[columns].to_numpy().tolist() == batch[columns].to_numpy().tolist()
    opened = lines[lines["event"] == "opened"].sort_values(["entity", "start"])
    assert opened[["entity", "start"]].to_numpy().tolist() == (
        batch[["entity", "start"]].to_numpy().tolist()
    )
    assert (opened["start"] == opened["end"]).all()


def test_retrain_fits_again_and_what_it_writes_loads(saved: Saved, tmp_path: Path) -> None:
    options = RetrainOptions(
        saved.out, saved.file, tmp_path / "new", epochs=1, num_threads=1, label="label"
    )
    kept = run_retrain(options, progress=False)
    detector = load_detector(tmp_path / "new" / "detector")
    frame = saved.frame
    assert type(detector) is type(saved.result.detector)
    expected = detector.score_samples(frame)
    assert same(kept.detector.score_samples(frame), expected)
    scored = run_score(ScoreOptions(tmp_path / "new", saved.file, tmp_path / "scored"))
    assert same(scored.table.restore(scored.scores, np.nan), expected)
    if saved.name in STREAMED:  # it goes on from its weights
        assert kept.report["training"]["epochs"] == 1
        assert kept.report["new"]["loss"] != kept.report["old"]["loss"]
        assert (tmp_path / "new" / "model.safetensors").exists()
    else:
        assert kept.report["new"]["loss"] is None
        assert kept.kept == "new"  # of the same rows: it is no worse
        assert not (tmp_path / "new" / "model.safetensors").exists()


def test_the_report_tells_the_parameters_that_were_used(saved: Saved) -> None:
    report = json.loads((saved.out / "report.json").read_text())
    used = report["parameters"]
    assert used["contamination"] is None
    assert used["threshold"] is None
    assert report["threshold"]["kind"] == "rate"
    if saved.name == "forecast":
        assert (used["window"], used["hidden_size"], used["batch_size"]) == (5, 8, None)
        assert used["scaler"] == "minmax"  # its own default
    if saved.name == "ensemble":
        assert used["forecast__hidden_size"] == 8


def test_gaps_that_cut_a_file_cut_a_frame_too(tmp_path: Path) -> None:
    frame = panel(users=2, days=60)
    frame = frame[~frame["day"].dt.day.between(10, 15)]
    frame.to_csv(tmp_path / "in.csv", index=False)
    table = TableOptions(time="day", entity="user", label="label", max_gap="2d")
    saved = Saved(tmp_path, tmp_path / "in.csv", "forecast", table, **CASES["forecast"][0])
    assert saved.result.report["data"]["gaps"] == 4
    for detector in (saved.result.detector, load_detector(saved.out / "detector")):
        assert same(detector.score_samples(saved.frame), saved.scores())
    check_stream(saved, saved.out)
    again = run_score(ScoreOptions(saved.out, saved.file, tmp_path / "again"))
    assert same(again.scores, saved.result.scores)


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.5, 99.9, 99.99])
def test_a_percentile_is_the_contamination_that_a_user_would_write(percentile: float) -> None:
    options = DetectOptions(Path("in.csv"), Path("out"), detector="zscore", percentile=percentile)
    written = {90.0: 0.1, 99.0: 0.01, 99.5: 0.005, 99.9: 0.001, 99.99: 0.0001}
    assert options.make_detector().contamination == written[percentile]


# The registry.


def test_registry_names_are_unique_and_every_class_is_found_by_both() -> None:
    names = [entry.name for entry in DETECTORS] + [entry.kind for entry in DETECTORS]
    assert len(set(names)) == len(names)
    for entry in DETECTORS:
        found = detector_class(entry.kind)
        assert issubclass(found, Detector)
        assert (found.__name__, found.__module__) == (entry.kind, entry.module)
        assert find_detector(entry.name) is find_detector(entry.kind) is found
        assert entry.about


def test_a_class_that_is_not_in_the_registry_is_not_saved(tmp_path: Path) -> None:
    class Unknown(ZScoreDetector):
        pass

    detector = Unknown().fit([[0.0], [1.0], [3.0]])
    with pytest.raises(ValueError, match="Unknown: only this package's own detectors can be saved"):
        detector.save(tmp_path / "detector")
    assert list(tmp_path.iterdir()) == []


_NEW_DETECTOR = '''
import numpy as np
from slidecell.detect.base import Detector


class MedianDetector(Detector):
    """Distance from the median of the fitted rows."""

    def __init__(self, contamination=0.05, *, missing="skip", entity=None, time=None):
        self.contamination = contamination
        self.missing = missing
        self.entity = entity
        self.time = time

    def _window_rows(self):
        return 1

    def _fit(self, rows):
        self.median_ = np.nanmedian(rows.floats(), axis=0)

    def _score(self, rows):
        return np.abs(rows.floats() - self.median_).max(axis=1)

    def _parts(self):
        parts = super()._parts()
        parts.arrays["median"] = self.median_
        return parts

    def _restore(self, parts):
        super()._restore(parts)
        self.median_ = parts.array("median", self.n_features_in_)
'''
_WITH_THE_LINE = """
import sys
from slidecell.detect import registry
registry.DETECTORS += (registry.Entry("median", "MedianDetector", "median_detector", "robust"),)
from slidecell.cli.main import app
for command in sys.argv[1:]:
    app(command.split("|"), standalone_mode=False)
"""


def test_a_new_detector_is_one_file_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "median_detector.py").write_text(_NEW_DETECTOR)
    panel().to_csv(tmp_path / "in.csv", index=False)
    columns = "--time|day|--entity|user|--label|label"
    commands = [
        f"detect|in.csv|--out|out|--detector|median|{columns}",
        "score|out|in.csv|--out|again",
        "retrain|out|in.csv|--out|new",
    ]
    done = subprocess.run(
        [sys.executable, "-c", _WITH_THE_LINE, *commands],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, again = (pd.read_csv(tmp_path / out / "scores.csv") for out in ("out", "again"))
    assert same(first["score"], again["score"])
    assert first["score"].notna().all()
    assert first["flagged"].sum() > 0
    assert (tmp_path / "new" / "detector" / "detector.json").exists()


# Real series, where they are at hand.


def server_file(folder: Path) -> tuple[Path, TableOptions]:
    """Write 2,000 rows of an application server, a row a minute."""
    data = np.load(DATA / "asd" / "omi-4.npz")
    rows = np.concatenate([data["train"][-1400:], data["test"][500:1100]])
    frame = pd.DataFrame(rows, columns=[f"metric_{index}" for index in range(rows.shape[1])])
    frame.insert(0, "minute", np.arange(len(frame)))
    frame["label"] = np.concatenate([np.zeros(1400, int), data["test_label"][500:1100].astype(int)])
    frame.to_csv(folder / "server.csv", index=False)
    return folder / "server.csv", TableOptions(time="minute", label="label")


def daily_file(folder: Path) -> tuple[Path, TableOptions]:
    """Write 1,600 rows of a series with one value every five minutes."""
    key = "artificialWithAnomaly/art_daily_jumpsup.csv"
    spans = json.loads((DATA / "nab" / "labels" / "combined_windows.json").read_text())[key]
    frame = pd.read_csv(DATA / "nab" / "data" / key).iloc[1600:3200]
    times = pd.to_datetime(frame["timestamp"])
    inside = [(times >= first) & (times <= last) for first, last in np.array(spans, "M8[ns]")]
    frame["label"] = np.any(inside, axis=0).astype(int)
    frame.to_csv(folder / "daily.csv", index=False)
    return folder / "daily.csv", TableOptions(time="timestamp", label="label")


@pytest.mark.skipif(
    not (DATA / "asd").is_dir() or not (DATA / "nab").is_dir(),
    reason=f"no labelled series in {DATA}: set SLIDECELL_DATA to a folder with asd and nab",
)
@pytest.mark.parametrize("write", [server_file, daily_file])
@pytest.mark.parametrize("name", ["forecast", "autoencoder", "zscore", "ensemble"])
def test_real_series_give_the_same_bits_on_every_road(
    write: Any, name: str, tmp_path: Path
) -> None:
    file, table = write(tmp_path)
    saved = Saved(tmp_path, file, name, table, train_until="0.7", **CASES[name][0])
    detector, frame, expected = saved.loaded, saved.frame, saved.expected
    assert same(saved.scores(), expected)
    result = run_score(ScoreOptions(saved.out, file, tmp_path / "again", label="label"))
    assert same(result.scores, expected)
    assert np.array_equal(result.flagged, detector.predict(frame))
    estimator = CASES[name][1]().set_params(entity=None, time=table.time)
    features = frame.drop(columns="label")
    assert same(estimator.fit(features[saved.fitted()]).score_samples(features), expected)
    assert estimator.threshold_ == saved.result.threshold
    if name in STREAMED:
        check_stream(saved, saved.out)
    assert saved.result.report["metrics"]["pr_auc"] > 0.0

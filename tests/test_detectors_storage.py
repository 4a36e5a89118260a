"""Detectors in folders: the same after loading, whole or not there, refused where damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from safetensors.numpy import load_file, save_file
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDOneClassSVM
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from slidecell.detect import (
    Detector,
    ForecastDetector,
    SklearnDetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.model import SequenceModel
from tests.detectors import ALL, NETWORKS, WITHOUT_TORCH, make, series

FILES = {
    kind: {"detector.json", "arrays.safetensors"}
    | ({"model.safetensors"} if kind in (*NETWORKS, "random_gru") else set())
    | ({"estimator.skops"} if kind.startswith("sklearn") else set())
    for kind in ALL
}


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON text of a detector."""
    text = json.loads((folder / "detector.json").read_text())
    change(text)
    (folder / "detector.json").write_text(json.dumps(text))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder for each kind; not to be changed."""
    root = tmp_path_factory.mktemp("saved")
    for kind in ALL:
        make(kind).fit(series()).save(root / kind)
    return {kind: root / kind for kind in ALL}


@pytest.fixture
def folder(saved: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Make a copy of a kind's folder."""
    return lambda kind: Path(shutil.copytree(saved[kind], tmp_path / kind))


@pytest.mark.parametrize("kind", ALL)
def test_loaded_detector_scores_the_same(kind: str, tmp_path: Path) -> None:
    X = series()
    X[:, 1] = 3.0
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    detector = make(kind, contamination=0.1, missing="ffill").fit(frame)
    detector.save(tmp_path / "detector")
    assert listed(tmp_path / "detector") == FILES[kind]
    loaded = load_detector(tmp_path / "detector")
    assert type(loaded) is type(detector)
    assert repr(loaded) == repr(detector)
    for name in ("decision_scores_", "labels_", "threshold_", "feature_names_in_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(detector, name), strict=True)
    assert loaded.scored_share_ == detector.scored_share_
    assert loaded.n_features_in_ == 3
    assert loaded.constant_features_ == ["b"]
    new = pd.DataFrame(series(seed=1), columns=["a", "b", "c"])[["c", "b", "a"]]
    new.iloc[30, 1] = np.nan
    assert same(loaded.score_samples(new), detector.score_samples(new))
    assert same(loaded.predict(new), detector.predict(new))
    loaded.save(tmp_path / "again")
    again = type(detector).load(tmp_path / "again")
    assert same(again.score_samples(new), detector.score_samples(new))


@pytest.mark.parametrize("kind", NETWORKS)
def test_loaded_network_continues_its_training(kind: str, folder: Callable[[str], Path]) -> None:
    detector = load_detector(folder(kind))
    assert isinstance(detector.model_, SequenceModel)
    assert detector.history_.epochs == 1
    assert detector.history_.validation_rows is None
    X = series(seed=2)
    expected = make(kind).fit(series()).fit(X, warm_start=True)
    assert same(detector.fit(X, warm_start=True).decision_scores_, expected.decision_scores_)


def test_without_torch_all_load_and_score_and_most_fit(saved: dict[str, Path]) -> None:
    code = WITHOUT_TORCH + (
        "import numpy as np\n"
        "from slidecell.detect import load_detector\n"
        "from tests.detectors import ALL, LEAVES_ITSELF_OUT, NETWORKS, make, series\n"
        "for kind in ALL:\n"
        f"    detector = load_detector(f'{saved['zscore'].parent}/{{kind}}')\n"
        "    scores = detector.score_samples(series())\n"
        "    if kind not in LEAVES_ITSELF_OUT:\n"
        "        assert np.array_equal(scores, detector.decision_scores_, equal_nan=True), kind\n"
        "    if kind not in NETWORKS: make(kind).fit(series())\n"
        "try: make('forecast').fit(series())\n"
        "except ImportError as error: print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch is not installed: pip install 'slidecell[train]'"


@pytest.mark.parametrize(
    "estimator",
    [
        IsolationForest(n_estimators=5, max_features=2, random_state=0),
        OneClassSVM(),
        LocalOutlierFactor(novelty=True, algorithm="brute"),
        EllipticEnvelope(random_state=0),
        SGDOneClassSVM(random_state=0),
        GaussianMixture(2, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_on_the_list_are_saved(estimator: Any, tmp_path: Path) -> None:
    X = series()
    detector = SklearnDetector(estimator, scaler="robust").fit(X)
    detector.save(tmp_path / "d")
    loaded = SklearnDetector.load(tmp_path / "d")
    assert same(loaded.score_samples(X), detector.decision_scores_)
    assert repr(loaded.estimator) == repr(estimator)
    assert same(loaded.fit(X).decision_scores_, detector.decision_scores_)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LocalOutlierFactor(novelty=True), "_kd_tree.KDTree; algorithm='brute' does without"),
        (
            make_pipeline(StandardScaler(), IsolationForest()),
            "estimator: expected one of .*Pipelin",
        ),
    ],
)
def test_other_estimators_are_refused(estimator: Any, message: str, tmp_path: Path) -> None:
    detector = SklearnDetector(estimator).fit(series())
    with pytest.raises(ValueError, match=message):
        detector.save(tmp_path / "d")
    assert listed(tmp_path) == set()


def test_save_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = series()
    first, second = make("forecast").fit(X), make("zscore").fit(X)
    with pytest.raises(NotFittedError):
        make("zscore").save(tmp_path / "d")
    first.save(tmp_path / "d")
    with monkeypatch.context() as broken:
        broken.setattr("safetensors.numpy.save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            second.save(tmp_path / "d")
    assert listed(tmp_path) == {"d"}
    assert same(load_detector(tmp_path / "d").decision_scores_, first.decision_scores_)
    second.save(tmp_path / "d")  # a detector takes the place of another
    assert listed(tmp_path) == {"d"}
    assert listed(tmp_path / "d") == FILES["zscore"]
    (tmp_path / "empty").mkdir()
    second.save(tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    for taken in ("file", "other"):
        with pytest.raises(FileExistsError, match="expected a new folder or one of a detector"):
            second.save(tmp_path / taken)
    assert (tmp_path / "other" / "mine").read_text() == "mine"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        second.save(tmp_path / "none" / "d")


def test_parameters_that_json_lacks_are_named(tmp_path: Path) -> None:
    X = series()
    detector = make("forecast", random_state=np.random.RandomState(0)).fit(X)
    with pytest.raises(ValueError, match=r"random_state: .* cannot be saved; set_params"):
        detector.save(tmp_path / "d")
    detector.set_params(random_state=None, progress=lambda *_: None, hidden_size=np.int64(3))
    detector.save(tmp_path / "d")
    loaded = ForecastDetector.load(tmp_path / "d")
    assert (loaded.progress, loaded.hidden_size, type(loaded.hidden_size)) == (False, 3, int)
    stacked = make("forecast", hidden_size=[3, 2], entity=("a", 1)).fit(X, offsets=[0, 60])
    stacked.save(tmp_path / "d")
    loaded = ForecastDetector.load(tmp_path / "d")
    assert (loaded.hidden_size, loaded.entity) == ((3, 2), ("a", 1))


def test_load_names_what_is_missing(tmp_path: Path, saved: dict[str, Path]) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_detector(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="file: expected a folder"):
        load_detector(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"detector\.json"):
        load_detector(tmp_path)
    with pytest.raises(ValueError, match="zscore: expected a ForecastDetector, got a ZScoreDet"):
        ForecastDetector.load(saved["zscore"])
    assert type(Detector.load(saved["zscore"])).__name__ == "ZScoreDetector"


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("zscore", lambda t: t.update(format=2), "expected an object of format 1"),
        ("zscore", lambda t: t.update({"class": "os.system"}), "'class': expected one of"),
        ("zscore", lambda t: t.update({"class": ["x"]}), "'class': expected one of"),
        ("zscore", lambda t: t.update({"class": "PCADetector"}), "'params': expected"),
        ("zscore", lambda t: t.pop("params"), "'params': expected an object"),
        ("zscore", lambda t: t["params"].pop("missing"), "'params': expected .*; see missing"),
        ("zscore", lambda t: t["params"].update(x=1), "'params': expected .*; see x"),
        ("zscore", lambda t: t["params"].update(time={}), "'time': expected no object"),
        ("zscore", lambda t: t["params"].update(missing=3), "missing: expected 'skip' or"),
        ("zscore", lambda t: t["params"].update(contamination="a"), "expected a share"),
        ("zscore", lambda t: t["fitted"].pop("n_features_in"), "missing key 'n_features_in'"),
        ("zscore", lambda t: t["fitted"].update(n_features_in=4), "'scaler': expected 4 centers"),
        ("zscore", lambda t: t["fitted"].update(feature_names_in=["a"]), "expected 3 texts"),
        ("zscore", lambda t: t["fitted"].update(constant_features=[7]), "expected a list of feat"),
        ("zscore", lambda t: t["fitted"].update(scaler=None), "'scaler': missing"),
        ("zscore", lambda t: t["fitted"]["scaler"].update(scale=[1, 0, 1]), "other than 0"),
        ("zscore", lambda t: t["fitted"]["scaler"].update(center=[1, "2", 3]), "finite number"),
        ("zscore", lambda t: t["fitted"]["scaler"].update(constant=[9]), "expected columns"),
        (
            "rolling_variance",
            lambda t: t["params"].update(window=-3),
            "window: expected an integer",
        ),
        ("pca", lambda t: t["fitted"].update(n_features_in=2, scaler=None), "'components': expec"),
        ("forecast", lambda t: t["fitted"].pop("history"), "'history': expected an object"),
        ("forecast", lambda t: t["params"].update(reduction="mahalanobis"), "no error statistics"),
        ("forecast", lambda t: t["params"].update(horizon=0), "horizon: expected an integer >= 1"),
        ("forecast", lambda t: t["fitted"].update(n_features_in=2), "expected a forecaster of 2"),
        ("sklearn", lambda t: t["fitted"].update(n_features_in=2), "expected one of 2 features"),
        ("sklearn", lambda t: t["fitted"].update(window=2), r"one of 6 features \(3 in each of 2"),
        ("sklearn", lambda t: t["fitted"].update(window=0), "window: expected an integer >= 1"),
        ("sklearn_windows", lambda t: t["fitted"].pop("window"), "expected one of 3 features"),
    ],
)
def test_damaged_text_is_refused_with_its_place(
    kind: str, change: Any, message: str, folder: Callable[[str], Path]
) -> None:
    place = folder(kind)
    rewrite(place, change)
    with pytest.raises(ValueError, match=message) as error:
        load_detector(place)
    assert str(place) in str(error.value)


# What JSON leaves to its readers and no saved text has, in the place of a parameter.
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[" * 900 + "1" + "]" * 900, "nested more than 64 levels deep"),
        ("[" * 100_000, "nested more than 64 levels deep"),
        ('{"a": ' * 65 + "1" + "}" * 65, "nested more than 64 levels deep"),
        ("1" + "0" * 400, "expected whole numbers of 64 bits, got 1000"),
        (str(2**64), f"expected whole numbers of 64 bits, got {2**64}"),
        ("1e999", "expected finite numbers, got 1e999"),
        ("NaN", "expected finite numbers, got NaN"),
        (r'"\ud800"', "expected Unicode text, got half a surrogate pair"),
        ('1, "missing": "skip"', "the key 'missing' stands twice in an object"),
    ],
)
def test_hostile_values_are_refused_with_their_file(
    value: str, message: str, folder: Callable[[str], Path]
) -> None:
    place = folder("random_gru")
    text = (place / "detector.json").read_text()
    assert text.count('"window": 4') == 1
    (place / "detector.json").write_text(text.replace('"window": 4', f'"window": {value}'))
    with pytest.raises(ValueError, match=r"detector\.json: ") as caught:
        load_detector(place)
    file = place / "detector.json"
    assert str(caught.value).startswith(f"{file}: not JSON, or damaged: {message}")


@pytest.mark.parametrize("kind", ["forecast", "random_gru"])
@pytest.mark.parametrize("threads", [0, 2.5, "4", 2**31])
def test_threads_that_no_call_takes_are_refused_on_loading(
    kind: str, threads: object, folder: Callable[[str], Path]
) -> None:
    place = folder(kind)
    rewrite(place, lambda text: text["params"].update(num_threads=threads))
    with pytest.raises(
        ValueError, match=r"detector\.json: num_threads: expected .* got "
    ) as caught:
        load_detector(place)
    assert str(place) in str(caught.value)


def test_faults_name_the_file_that_has_them(folder: Callable[[str], Path]) -> None:
    place = folder("forecast")
    rewrite(place, lambda text: text["fitted"].update(constant_features=[7]))
    with pytest.raises(ValueError, match="constant_features") as caught:
        load_detector(place)
    file = place / "detector.json"
    assert str(caught.value).startswith(f"{file}: 'constant_features': expected a list of features")
    shutil.copy(folder("autoencoder") / "model.safetensors", folder("pca"))
    shutil.copy(place.parent / "pca" / "model.safetensors", place)
    rewrite(place, lambda text: text["fitted"].update(constant_features=[]))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load_detector(place)
    assert str(caught.value).startswith(
        f"{place / 'model.safetensors'}: expected a forecaster of 3"
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"format": NaN}', "\xff"])
def test_files_that_are_no_json_are_refused(text: str, folder: Callable[[str], Path]) -> None:
    place = folder("zscore")
    (place / "detector.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=r"detector\.json: "):
        load_detector(place)


@pytest.mark.parametrize("kind", ALL)
def test_missing_and_cut_files_are_refused(kind: str, folder: Callable[[str], Path]) -> None:
    place = folder(kind)
    for name in sorted(FILES[kind] - {"detector.json"}):
        data = (place / name).read_bytes()
        for cut in (0, 7, len(data) // 2, len(data) - 1):
            (place / name).write_bytes(data[:cut])
            with pytest.raises(ValueError, match=name):
                load_detector(place)
        (place / name).unlink()
        with pytest.raises((ValueError, FileNotFoundError), match=name):
            load_detector(place)
        (place / name).write_bytes(data)
    load_detector(place)


def test_arrays_of_another_shape_or_type_are_refused(folder: Callable[[str], Path]) -> None:
    place = folder("random_gru")
    arrays = load_file(place / "arrays.safetensors")
    for name, other in (
        ("components", arrays["components"][:, 1:]),
        ("components", arrays["components"].astype(np.float32)),
        ("mean", arrays["mean"][None]),
        ("threshold", np.zeros(2)),
    ):
        save_file({**arrays, name: np.ascontiguousarray(other)}, place / "arrays.safetensors")
        with pytest.raises(ValueError, match=rf"arrays\.safetensors: '{name}': expected float64"):
            load_detector(place)
    del arrays["mean"]
    save_file(arrays, place / "arrays.safetensors")
    with pytest.raises(ValueError, match="missing array 'mean'"):
        load_detector(place)


def test_a_model_of_another_kind_is_refused(folder: Callable[[str], Path]) -> None:
    place, other = folder("forecast"), folder("autoencoder")
    shutil.copy(other / "model.safetensors", place)
    with pytest.raises(ValueError, match="expected a forecaster of 3 features"):
        load_detector(place)


class Hostile:
    """A type that no file of ours may hold."""


@pytest.mark.parametrize("damage", ["type", "class", "cycle", "outside", "feature", "few"])
def test_hostile_estimators_are_refused(damage: str, folder: Callable[[str], Path]) -> None:
    place = folder("sklearn")
    estimator = load_detector(place).estimator_
    nodes = estimator.estimators_[2].tree_
    if damage == "type":
        estimator.more = Hostile()
    elif damage == "class":
        estimator = StandardScaler().fit(series())
    elif damage == "cycle":
        nodes.children_left[0] = 0
    elif damage == "outside":
        nodes.children_right[0] = 10**6
    elif damage == "feature":
        nodes.feature[0] = 50
    else:
        del estimator.estimators_features_[0]
    skops.io.dump(estimator, place / "estimator.skops")
    with pytest.raises(ValueError, match=r"estimator\.skops: (holds|expected one|a tree|not an)"):
        load_detector(place)


def test_compressed_estimators_are_refused(folder: Callable[[str], Path]) -> None:
    place = folder("sklearn")
    estimator = load_detector(place).estimator_
    skops.io.dump(estimator, place / "estimator.skops", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"estimator\.skops: expected stored parts"):
        load_detector(place)


def test_detectors_of_other_packages_are_not_saved(tmp_path: Path) -> None:
    class Own(ZScoreDetector):
        """Not in this package."""

    with pytest.raises(ValueError, match="Own: only this package's own detectors can be saved"):
        Own().fit(series()).save(tmp_path / "d")

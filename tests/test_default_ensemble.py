"""The ensemble that `slidecell detect` runs unless told otherwise, and the same in Python."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("sklearn", "matplotlib", "typer"):
    pytest.importorskip(_module)

from typer.testing import CliRunner  # noqa: E402

from slidecell.cli.main import app  # noqa: E402
from slidecell.detect import Ensemble, load_detector  # noqa: E402
from slidecell.detect.fusion import ZNormaliser  # noqa: E402
from slidecell.detect.member_progress import member_progress  # noqa: E402
from slidecell.detect.registry import DEFAULT_MEMBERS, QUICK_MEMBERS  # noqa: E402
from tests.detectors import series  # noqa: E402

KEYS = ["--time", "t", "--entity", "host"]
QUICK = ["--members", ",".join(QUICK_MEMBERS), "--threads", "1"]


def quick(**options: Any) -> Ensemble:
    return Ensemble.default(network=False, random_state=0, num_threads=1, **options)


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = pd.DataFrame(series(800), columns=["a", "b", "c"])
    frame.insert(0, "t", np.tile(np.arange(400), 2))
    frame.insert(1, "host", np.repeat(["x", "y"], 400))
    frame.loc[frame["t"] == 350, "a"] += 9.0
    path = tmp_path_factory.mktemp("data") / "in.csv"
    frame.to_csv(path, index=False)
    return path


def test_the_default_is_a_forecaster_with_kmeans_and_principal_components() -> None:
    pytest.importorskip("torch")
    X = series(400)
    ensemble = Ensemble.default(random_state=0, num_threads=1)
    assert [name for name, _ in ensemble.members] == ["forecast", "kmeans", "window-pca"]
    assert ensemble.contamination is None
    ensemble.set_params(forecast__epochs=1).fit(X)
    assert list(ensemble.members_) == list(DEFAULT_MEMBERS)
    held = ensemble.members_["forecast"].history_.validation_rows
    np.testing.assert_array_equal(ensemble.calibration_rows_, held)
    # Neither clipped nor ranked: sums of z-scores, with equal weights.
    spike = X.copy()
    spike[390] += 1e4
    scores = ensemble.score_samples(spike)
    columns = []
    for name, member in ensemble.members_.items():
        trained = member.decision_scores_[~held]
        normaliser = ZNormaliser().fit(trained)
        assert ensemble.normalisers_[name].state() == normaliser.state()
        columns.append(normaliser.apply(member.score_samples(spike)))
    np.testing.assert_allclose(scores, np.mean(columns, axis=0), rtol=1e-12)
    assert scores[390] > 1e3


@pytest.mark.parametrize("align", ["end", "cover"])
def test_without_a_network_ridge_forecasts(align: Any) -> None:
    X = series(400)
    ensemble = quick(align=align).fit(X)
    assert list(ensemble.members_) == list(QUICK_MEMBERS)
    assert ensemble.alignment == align
    np.testing.assert_array_equal(ensemble.calibration_rows_, np.arange(400) >= 320)
    scores = ensemble.score_samples(X)
    changed = X.copy()
    changed[300:] = 0.0
    same = ensemble.score_samples(changed)[:300] == scores[:300]
    # The longest window has 50 rows.
    assert same[50:250].all()
    assert same[250:].all() == (align == "end")
    # The same seed, the same scores.
    np.testing.assert_array_equal(quick(align=align).fit(X).score_samples(X), scores)


def test_members_take_what_is_asked_of_all() -> None:
    ensemble = quick(missing="ffill", contamination=0.1, entity="e", time="t")
    for _, member in ensemble.members:
        assert (member.missing, member.contamination, member.entity) == ("ffill", 0.1, None)
        assert member.num_threads == 1
    assert (ensemble.entity, ensemble.time, ensemble.contamination) == ("e", "t", 0.1)


def test_entities_shorter_than_every_window() -> None:
    X = series(400)
    ensemble = quick().fit(X, offsets=[0, 390, 400])
    scores = ensemble.score_samples(X, offsets=[0, 390, 400])
    assert np.isnan(scores[390:]).all()
    assert np.isfinite(scores[49:390]).all()
    text = "member 'ridge': .*no window.*; member 'kmeans': .*no window.*; member 'window-pca': .*"
    with pytest.raises(ValueError, match=text):
        quick().fit(X, offsets=np.arange(0, 401, 10))
    with pytest.raises(ValueError, match="expected at least 2 rows to fit, got n_samples=1"):
        quick().fit(X[:1])


def test_few_rows_leave_the_members_that_they_are_enough_for() -> None:
    ensemble = quick().fit(series(50))  # 40 train
    assert list(ensemble.members_) == ["ridge"]
    kmeans, components = ensemble.score_notes()
    assert kmeans.startswith("member 'kmeans': X without the rows held out: expected at least 50 w")
    assert components.startswith("member 'window-pca': X without the rows held out: no window")


def test_constant_empty_and_equal_columns() -> None:
    X = series(400)
    flat = X.copy()
    flat[:, 1] = 3.0
    ensemble = quick().fit(flat)
    assert ensemble.constant_features_ == [1]
    periodic = np.tile(X[:40], (10, 1))  # fewer distinct windows than centroids
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(quick().fit(periodic).score_samples(periodic)[49:]).all()
    moved = flat.copy()
    moved[350, 1] = 4.0
    assert ensemble.score_samples(moved)[350] > ensemble.score_samples(flat)[350] + 10.0
    twice = np.column_stack([X, X[:, 0]])
    assert np.isfinite(quick().fit(twice).score_samples(twice)[49:]).all()
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="X: column 2 has no values"):
        quick().fit(X)
    with pytest.raises(ValueError, match="X: all columns are constant"):
        quick().fit(np.ones((400, 2)))


def test_detect_runs_the_default_ensemble(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    few = ["--epochs", "1", "--threads", "1"]
    done = invoke("detect", file, *KEYS, *few, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["detector"] == "Ensemble"
    assert report["parameters"]["normaliser"] == "z"
    loaded = load_detector(tmp_path / "out" / "detector")
    assert list(loaded.members_) == list(DEFAULT_MEMBERS)
    assert (loaded.alignment, loaded.notes_) == ("end", [])
    parts = pd.read_csv(tmp_path / "out" / "scores.csv")["part"]
    assert set(parts) == {"train", "validation", "test"}
    same = pd.read_csv(tmp_path / "out" / "scores.csv")["score"].to_numpy()
    # As in Python, where the rows are those of the train and the validation part.
    frame = pd.read_csv(file)
    ensemble = Ensemble.default(
        random_state=0, contamination=0.05, entity="host", time="t", num_threads=1
    ).set_params(forecast__epochs=1)
    ensemble.fit(frame[(parts != "test").to_numpy()])
    np.testing.assert_array_equal(ensemble.score_samples(frame), same)
    again = invoke("retrain", tmp_path / "out", file, "--epochs", "1", "--out", tmp_path / "new")
    assert again.exit_code == 0, again.stderr
    assert list(load_detector(tmp_path / "new" / "detector").members_) == list(DEFAULT_MEMBERS)


def test_detect_takes_other_members_and_the_alignment(file: Path, tmp_path: Path) -> None:
    cover = ["--align", "cover"]
    done = invoke("detect", file, *KEYS, *QUICK, *cover, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    loaded = load_detector(tmp_path / "out" / "detector")
    assert list(loaded.members_) == list(QUICK_MEMBERS)
    assert loaded.alignment == "cover"
    options = json.loads((tmp_path / "out" / "report.json").read_text())["options"]
    assert (options["members"], options["align"]) == (",".join(QUICK_MEMBERS), "cover")
    scored = invoke("score", tmp_path / "out", file, "--out", tmp_path / "again")
    assert scored.exit_code == 0, scored.stderr
    first, second = (pd.read_csv(tmp_path / name / "scores.csv") for name in ("out", "again"))
    assert first["score"].equals(second["score"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--members", "kmeans,random-gru", "--align", "cover"], "expected one alignment, got 'c"),
        (["--members", "pca,zscore", "--align", "cover"], "--align: none of the members pca, zsc"),
        (["--members", "pca,pca"], "--members: 'pca' comes twice"),
        (["--members", "pca,ensemble"], "--members: expected single detectors, got 'ensemble'"),
        (["--members", "pca,lstm"], "--detector: expected one of forecast, "),
        (["--members", "pca", "--window", "3"], "--window: none of the members pca has such"),
        (["--detector", "pca", "--align", "end"], "--align: the detector 'pca' has no such"),
        (["--detector", "pca", "--members", "pca"], "--members: the detector 'pca' has no such"),
    ],
)
def test_members_that_are_none_are_refused(
    file: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    done = invoke("detect", file, *KEYS, *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert not (tmp_path / "out").exists()


def test_detect_tells_which_member_stepped_aside(tmp_path: Path) -> None:
    frame = pd.DataFrame(series(60), columns=["a", "b", "c"])  # 42 of them train
    frame.to_csv(tmp_path / "in.csv", index=False)
    done = invoke("detect", tmp_path / "in.csv", *QUICK, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    notes = [note for note in report["notes"] if note.endswith("left out of the ensemble")]
    assert [note.split(":")[0] for note in notes] == ["member 'kmeans'", "member 'window-pca'"]
    assert "member 'window-pca'" in done.stdout
    again = invoke("score", tmp_path / "out", tmp_path / "in.csv", "--out", tmp_path / "again")
    assert "member 'window-pca'" in again.stdout


def test_detect_with_no_member_left_names_all_of_them(tmp_path: Path) -> None:
    frame = pd.DataFrame(series(30), columns=["a", "b", "c"])  # 17 of them train
    frame.to_csv(tmp_path / "in.csv", index=False)
    done = invoke("detect", tmp_path / "in.csv", *QUICK, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    given = f"{tmp_path / 'in.csv'} without the rows held out"
    for reason in (
        f"member 'ridge': {given}: no window: one takes 21 rows",
        f"member 'kmeans': {given}: no window: one takes 20 rows",
        f"member 'window-pca': {given}: no window: one takes 50 rows",
    ):
        assert reason in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        (lambda X: X[:1], [], "in.csv: expected at least 2 rows to fit, got n_samples=1"),
        (lambda X: X * 0.0, [], "in.csv: all columns are constant; nothing can be learnt"),
        (lambda X: X.assign(b=np.nan), [], "in.csv: column 'b' has no values: leave it out with"),
        (
            lambda X: X.assign(b=np.where(np.arange(len(X)) < 0.8 * len(X), np.nan, 1.0)),
            [],
            "in.csv: column 'b' has no values",
        ),
        (
            lambda X: X.assign(host=np.arange(len(X)) // 10),
            ["--entity", "host"],
            "member 'window-pca': in.csv without the rows held out: no window: one takes 50 rows "
            "(window 50) and the longest entity has 6",
        ),
        (lambda X: X, ["--rate", "1/1000rows"], "or a rate of at least '43.3/1000rows'"),
        (lambda X: X, ["--rate", "0.1%"], "56 scores calibrate the threshold, too few for '0.1%'"),
        (lambda X: X, ["--rate", "0.1%"], "or a share of at least '1.76%'"),
    ],
    ids=["row", "constant", "empty", "empty training", "short entities", "rate", "few", "share"],
)
def test_detect_names_what_is_wrong_with_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, options: list[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    change(pd.DataFrame(series(400), columns=["a", "b", "c"])).to_csv("in.csv", index=False)
    done = invoke("detect", "in.csv", *QUICK, *options, "--out", "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert not Path("out").exists()


def test_detect_takes_constant_and_duplicate_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(series(400), columns=["a", "b", "c"]).assign(d=lambda X: X["a"], e=1.0)
    frame.to_csv(tmp_path / "in.csv", index=False)
    done = invoke("detect", tmp_path / "in.csv", *QUICK, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["data"]["constant_features"] == ["e"]
    assert np.isfinite(pd.read_csv(tmp_path / "out" / "scores.csv")["score"][49:]).all()
    assert report["events"]["worst"]
    for event in report["events"]["worst"]:
        shares = {found["column"]: found["share"] for found in event["columns"]}
        assert 0.0 < sum(shares.values()) <= 1.0 + 1e-9
        assert shares.get("e", 0.0) == 0.0


def test_what_covers_has_no_stream_on_the_command_line(file: Path, tmp_path: Path) -> None:
    done = invoke("detect", file, *KEYS, *QUICK, "--align", "cover", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    done = CliRunner().invoke(app, ["stream", str(tmp_path / "out")], input=file.read_text())
    assert done.exit_code == 1
    assert "align='cover'" in done.stderr


def test_a_bar_over_members_says_how_long_a_network_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ensemble = Ensemble.default(random_state=0, num_threads=1, progress=True)
    ensemble.set_params(forecast__epochs=2, forecast__patience=None).fit(series(200))
    shown = capsys.readouterr().err
    text = r"forecast: an epoch takes [0-9.]+ s; training takes [0-9.]+ s at most \(2 epochs\)"
    assert re.search(text, shown)
    assert "3/3" in shown
    assert ensemble.members_["forecast"].progress is False
    # Nothing where nobody looks.
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    with member_progress(True, dict(ensemble.members)) as bar:
        assert type(bar).__name__ == "MemberProgress"

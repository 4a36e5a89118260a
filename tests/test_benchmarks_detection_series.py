"""Which series the comparison of detectors reads: folders, TSB-AD's files, lists; PyOD's peers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.detection import __main__ as detection
from benchmarks.detection import pyod_peers
from benchmarks.detection.contestants import alignment, parse_contestant
from benchmarks.detection.judging import Job, judge
from benchmarks.detection.pyod_peers import PyodWindows
from benchmarks.detection.series import TsbFile, chosen, slidecell_series, tsb_series

WHOLE = "001_Made_id_1_Facility_tr_60_1st_150.csv"


@pytest.fixture
def data(tmp_path):
    """Return a folder of one machine, two channels and two files of NAB."""
    rng = np.random.default_rng(0)
    for path, columns in (("asd/omi-1", 19), ("smap_msl/channels/A-1", 25)):
        file = tmp_path / f"{path}.npz"
        file.parent.mkdir(parents=True)
        label = np.arange(200) // 20 % 5 == 4
        train, test = rng.normal(size=(2, 200, columns))
        np.savez(file, train=train, test=test, test_label=label.astype(int))
    lines = [f"2024-01-01 {i // 60:02d}:{i % 60:02d}:00,{i % 7}" for i in range(400)]
    names = ("one/x", "two/x", "two/y")
    for name in names:
        file = tmp_path / f"nab/data/{name}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(["timestamp,value", *lines]))
    windows = {f"{name}.csv": [["2024-01-01 04:00:00", "2024-01-01 04:09:00"]] for name in names}
    (tmp_path / "nab/labels").mkdir()
    (tmp_path / "nab/labels/combined_windows.json").write_text(json.dumps(windows))
    return tmp_path


def write_tsb(folder, name=WHOLE, *, header="a,b,Label", rows=200, label="0", value="1.5"):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    lines = [header]
    for row, (a, b) in enumerate(rng.normal(size=(rows, 2)).tolist()):
        inside = 150 <= row < 165
        lines.append(f"{a + 4 * inside},{b if row else value},{int(inside) if row else label}")
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def test_folders_hold_series_by_set_and_name(data):
    found = list(slidecell_series(data))
    assert [(one.set, one.names[0]) for one in found] == [
        ("SMAP", "smap_msl/A-1"),
        ("ASD", "asd/omi-1"),
        ("NAB", "nab/one/x"),
        ("NAB", "nab/two/x"),
        ("NAB", "nab/two/y"),
    ]
    assert len(found[-1].series.train) == 60  # 15 %
    assert len(list(slidecell_series(data, 0.3))[-1].series.train) == 120


def test_a_list_chooses_series_in_its_order(data):
    names = data / "names.txt"
    names.write_text("# two of them\nnab/y\n\nasd/omi-1  # a machine\n")
    found = chosen(list(slidecell_series(data)), names)
    assert [one.series.name for one in found] == ["two/y.csv", "omi-1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("asd/omi-9\nnab/z\n", "not there: asd/omi-9, nab/z; the folder holds smap_msl/A-1, asd/"),
        ("omi-1", "not there: omi-1"),
        ("# none\n", "expected names of series, one a line, got none"),
        ("nab/x", "nab/x may be each of nab/one/x, nab/two/x"),
        ("nab/y\nnab/two/y", "nab/two/y comes twice"),
        ("\udcff", "expected a text file of names"),
    ],
)
def test_a_list_with_other_names_is_refused(text, message, data, capsys):
    names = data / "names.txt"
    names.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert detection.main(["--data", str(data), "--series", str(names)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["slidecell", "tsb"])
def test_folders_that_are_not_there_or_hold_nothing(kind, tmp_path, capsys):
    arguments = ["--format", kind, "--data"]
    assert detection.main([*arguments, str(tmp_path / "none")]) == 2
    assert "expected a folder with" in capsys.readouterr().err
    assert detection.main([*arguments, str(tmp_path)]) == 2
    assert "found" in capsys.readouterr().err
    assert detection.main([*arguments, str(tmp_path), "--series", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


def test_tsb_files_are_fitted_on_their_beginning_and_judged_whole(tmp_path):
    path = write_tsb(tmp_path)
    (one,) = tsb_series(tmp_path)
    assert (one.set, one.names) == ("Made", (path.stem, path.name))
    series = one.series.read()
    assert (series.train.shape, series.test.shape) == ((60, 2), (200, 2))
    assert np.array_equal(series.train, series.test[:60])
    assert series.test[0, 1] == 1.5
    assert np.flatnonzero(series.test_label).tolist() == list(range(150, 165))
    scorers = (parse_contestant("zscore"),)
    result = judge(Job(one.set, one.series, 20, scorers, one.names[0], submit=tmp_path / "scores"))
    assert [(f.set, f.rows) for f in result.found] == [("Made", 200)] * 2
    assert result.found[0].pr_auc > 0.9
    assert (tmp_path / "scores/zscore" / path.name).read_text().count("\n") == 201


def test_tsb_names_tell_set_and_training_length(tmp_path):
    file = TsbFile(tmp_path / "017_SMD_id_2_tr_5_Facility_tr_4529_1st_4629.csv")
    assert (file.set, file.training_rows()) == ("SMD", 4529)
    assert TsbFile(tmp_path / "own_tr_50.csv").training_rows() == 50
    assert TsbFile(tmp_path / "own_tr_50.csv").set == "TSB"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (WHOLE, {"header": "a,b,c"}, "expected the columns of values, and Label, but Label is mi"),
        ("001_Made.csv", {}, "expected the training length in the name, as in _tr_1007_, got none"),
        ("1_M_tr_ten_1st_1.csv", {}, "got ten"),
        ("1_M_tr_0_1st_1.csv", {}, "got 0"),
        ("1_M_tr_-5_1st_1.csv", {}, "got -5"),
        (WHOLE, {"rows": 60}, "expected a training length below its 60 rows, got 60 in the name"),
        (WHOLE, {"label": "2"}, "labels: expected 0 and 1, got other values"),
        (WHOLE, {"label": ""}, "labels: expected 0 and 1, got other values"),
        (WHOLE, {"value": "high"}, "expected numbers"),
        (WHOLE, {"rows": 0}, "no rows below the header"),
    ],
)
def test_tsb_files_that_are_damaged_are_left_out_by_name(
    name, options, message, tmp_path, monkeypatch, capsys
):
    write_tsb(tmp_path, name, **options)
    write_tsb(tmp_path, "002_Good_id_2_Web_tr_60_1st_150.csv")
    monkeypatch.setattr(detection, "run", lambda jobs, _: [judge(job) for job in jobs])
    arguments = ["--data", str(tmp_path), "--format", "tsb", "--detector", "zscore"]
    assert detection.main(arguments) == 1
    out = capsys.readouterr().out
    assert "| Good (1) |" in out
    (line,) = (line for line in out.splitlines() if line.startswith("failed: "))
    assert f" {name.removesuffix('.csv')}: left out, " in line
    assert message in line


def test_tsb_files_without_an_anomaly_are_left_out_but_submitted(tmp_path, monkeypatch, capsys):
    path = write_tsb(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line[:-1] + "0" for line in lines[1:])]))
    monkeypatch.setattr(detection, "run", lambda jobs, _: [judge(job) for job in jobs])
    arguments = ["--data", str(tmp_path), "--format", "tsb", "--detector", "zscore"]
    assert detection.main([*arguments, "--submit", str(tmp_path / "scores")]) == 1
    assert f"{path.stem}: left out, all rows that are judged have one label (0)" in (
        capsys.readouterr().out
    )
    assert (tmp_path / "scores/zscore" / path.name).is_file()


class Distance:
    """A detector with PyOD's face: a vector's distance from the origin."""

    contamination = 0.1

    def fit(self, X):
        self.decision_scores_ = self.decision_function(X)

    def decision_function(self, X):
        return np.linalg.norm(X, axis=1)


def test_pyod_windows_stand_at_their_end_or_cover_rows():
    train = np.array([[0.0], [1.0], [0.5], [0.0]])
    test = np.array([[0.0], [1.0], [np.nan], [1.0], [1.0], [0.0]])
    end = PyodWindows(Distance(), window=2, align="end").fit(train)
    # The windows' distances are 1, -, -, sqrt(2), 1; the scale of the training part is 0 .. 1.
    root = np.sqrt(2.0)
    nan = np.nan
    assert end.score_samples(test) == pytest.approx([nan, 1, nan, nan, root, 1], nan_ok=True)
    fitted = [1.0, np.sqrt(1.25), 0.5]
    assert end.threshold_ == pytest.approx(np.percentile(fitted, 90))
    cover = PyodWindows(Distance(), window=2, align="cover").fit(train)
    half = (root + 1) / 2
    assert cover.score_samples(test) == pytest.approx([1, 1, nan, root, half, 1], nan_ok=True)
    assert (alignment(end), alignment(cover)) == ("end", "cover")
    with pytest.raises(ValueError, match="window=2: the series has 1 rows"):
        cover.score_samples(test[:1])


def test_pyod_is_named_where_it_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(pyod_peers, "installed", lambda: False)
    with pytest.raises(SystemExit):
        detection.parse(["--data", ".", "--detector", "pyod-pca"])
    assert "pyod-pca: PyOD is not installed: pip install pyod" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # PyOD's own
def test_pyod_scores_beside_ours(tmp_path):
    pytest.importorskip("pyod", reason="PyOD is not installed")
    write_tsb(tmp_path)
    (one,) = tsb_series(tmp_path)
    texts = (
        "pyod-iforest:n_estimators=20",
        "pyod-pca:window=5,align=cover",
        "pyod-lstmad:window_size=8,hidden_size=4,epochs=1",
    )
    scorers = tuple(parse_contestant(text) for text in texts)
    result = judge(Job(one.set, one.series, 20, scorers))
    assert result.faults == []
    assert [f.alignment for f in result.found] == ["end", "cover", "end", "-"]
    assert {f.rows for f in result.found} == {191}  # the first window of ten ends at row 9
    assert result.found[0].pr_auc > result.found[-1].pr_auc
    with pytest.raises(ValueError, match=r"pyod-pca: .*nonsense"):
        parse_contestant("pyod-pca:nonsense=1")

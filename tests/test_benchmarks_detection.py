"""The comparison of detectors: which buffer judges them, and that `evaluate` gives the same."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.detection import __main__ as detection
from benchmarks.detection import contestants, judging
from benchmarks.detection.alarms import Alarms, Counted, drifted_columns
from benchmarks.detection.contestants import Contestant, alignment, parse_contestant
from benchmarks.detection.judging import Found, Job, judge, lines_of
from benchmarks.detection.report import alarms_table, compare, long_table, losses, rates_off, table
from benchmarks.detection.series import Listed
from slidecell.datasets import LabelledSeries
from slidecell.detect import AutoencoderDetector, Ensemble, PCADetector, ZScoreDetector
from slidecell.evaluate import default_vus_window, evaluate, event_f1

# Z-scores and PCA stand for the networks, which would train for minutes.
CHEAP = (
    Contestant("forecaster", "zscore"),
    Contestant("autoencoder", "pca"),
    *contestants.DEFAULTS[2:],
)


@pytest.fixture(autouse=True)
def _cheap_detectors(monkeypatch):
    monkeypatch.setattr(contestants, "DEFAULTS", CHEAP)


@pytest.fixture
def here(monkeypatch):
    """Judge in this process, and return no series but the one that is made up."""
    monkeypatch.setattr(
        detection, "slidecell_series", lambda *_: iter([Listed("ASD", ("asd/A-1",), made_series())])
    )
    monkeypatch.setattr(detection, "run", lambda jobs, _: [judge(job) for job in jobs])


def made_series(name: str = "A-1") -> LabelledSeries:
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(300, 3)), rng.normal(size=(400, 3))
    label = np.zeros(400, np.int64)
    label[150:172] = label[300:330] = 1
    test[155:160] += 3
    test[335:340] += 3  # late: a buffer forgives it
    return LabelledSeries(name, train, test, label)


def figures(detector: str, vus_pr: float, *, series: str = "A-1", title: str = "ASD") -> Found:
    return Found(title, series, detector, "end", vus_pr, 0.5, 0.25, 0.75, 100, 400, 1.0, 0.5)


def test_detection_judges_with_the_given_buffer():
    series = made_series()
    own = default_vus_window(series.test_label)
    found = {
        window: {f.detector: f for f in judge(Job("ASD", series, window, CHEAP)).found}
        for window in (100, 10, None)
    }
    assert own == 26
    assert [found[window]["PCA"].vus_window for window in found] == [100, 10, own]
    values = {found[window]["z-score"].vus_pr for window in found}
    assert len(values) == 3
    detector = ZScoreDetector().fit(series.train)
    scores = detector.score_samples(series.test)
    for window, row in ((w, found[w]["z-score"]) for w in found):
        same = evaluate(series.test_label, scores, vus_window=window)
        assert (row.vus_window, row.vus_pr) == (same.vus_window, same.vus_pr)
        assert row.pr_auc == same.pr_auc
        assert (row.event_f1_oracle, row.rows) == (same.event_f1, 400)
        assert row.event_f1 == event_f1(series.test_label, detector.predict(series.test))


def test_detection_leaves_out_what_cannot_be_judged():
    series = made_series()
    normal = LabelledSeries("A-2", series.train, series.test, np.zeros(400, np.int64))
    result = judge(Job("ASD", normal, contestants=CHEAP))
    assert "one label" in result.left_out
    assert "ASD A-2" in result.left_out
    assert (result.found, result.faults) == ([], [])
    still = LabelledSeries("A-3", np.ones((300, 3)), series.test, series.test_label)
    left_out = judge(Job("ASD", still, contestants=CHEAP)).left_out
    assert "no column of its training part varies" in left_out


def test_detection_names_a_detector_that_fails_and_goes_on():
    short = Contestant("variance:window=999", "variance", (("window", 999),))
    result = judge(Job("ASD", made_series(), contestants=(CHEAP[0], short)))
    assert [f.detector for f in result.found] == ["forecaster", "random"]
    assert result.left_out == ""
    assert result.faults[0].startswith("ASD A-1: variance:window=999: TooFewWindowsError: ")
    assert next(lines_of(result, "1/1")) == f"1/1 failed: {result.faults[0]}"
    alone = judge(Job("ASD", made_series(), contestants=(short,)))
    assert alone.left_out == "ASD A-1: left out, no detector scores it"


def test_detection_judges_only_rows_that_all_detectors_score():
    variance = Contestant("variance", "variance", (("window", 40),))
    by_name = {
        f.detector: f
        for f in judge(Job("ASD", made_series(), contestants=(CHEAP[2], variance))).found
    }
    series = made_series()
    scores = ZScoreDetector().fit(series.train).score_samples(series.test)
    assert {f.rows for f in by_name.values()} == {361}  # the first window ends at row 39
    same = evaluate(series.test_label[39:], scores[39:], vus_window=100)
    assert by_name["z-score"].vus_pr == same.vus_pr


@pytest.mark.parametrize(
    ("arguments", "buffers", "saved"),
    [
        ([], "buffers up to 100 rows", 100),
        (["--vus-window", "20"], "buffers up to 20 rows", 20),
        (["--vus-window", "auto"], "each series' own buffer", "auto"),
    ],
)
@pytest.mark.usefixtures("here")
def test_detection_command_says_its_buffer(arguments, buffers, saved, tmp_path, capsys):
    file = tmp_path / "found.json"
    assert detection.main(["--data", str(tmp_path), "--json", str(file), *arguments]) == 0
    out = capsys.readouterr().out
    assert f"VUS-PR ({buffers}) / PR-AUC" in out
    assert "| set (series) | forecaster | autoencoder | z-score | PCA | random | below" in out
    report = json.loads(file.read_text())
    assert report["vus_window"] == saved
    assert {f["vus_window"] for f in report["found"]} == {26 if saved == "auto" else saved}
    assert report["left_out"] == report["faults"] == []


@pytest.mark.usefixtures("here")
def test_detection_command_runs_named_detectors_and_compares_two(tmp_path, capsys):
    file, folder = tmp_path / "found.json", tmp_path / "scores"
    names = ["zscore", "pca:n_components=1", "variance:window=8"]
    status = detection.main([
        "--data", str(tmp_path), "--detector", *names, "--compare", names[0], names[1],
        "--json", str(file), "--submit", str(folder),
    ])  # fmt: skip
    assert status == 0
    out = capsys.readouterr().out
    assert "| set (series) | zscore | pca:n_components=1 | variance:window=8 | random |" in out
    assert "| ASD | zscore | end | 1 |" in out
    assert "Paired bootstrap over the series, 10,000 resamples, seed 0" in out
    assert "VUS-PR: zscore - pca:n_components=1 = " in out
    report = json.loads(file.read_text())
    assert [f["detector"] for f in report["found"]] == [*names, "random"]
    assert [c["measure"] for c in report["compared"]] == ["VUS-PR", "PR-AUC", "event F1"]
    written = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.csv"))
    assert written == [
        "pca_n_components=1/asd/A-1.csv",
        "variance_window=8/asd/A-1.csv",
        "zscore/asd/A-1.csv",
    ]
    lines = (folder / "variance_window=8/asd/A-1.csv").read_text().splitlines()
    assert lines[:2] == ["row,score", "0,"]  # no window ends there
    assert len(lines) == 401
    series = made_series()
    scores = PCADetector(1).fit(series.train).score_samples(series.test)
    lines = (folder / "pca_n_components=1/asd/A-1.csv").read_text().splitlines()
    assert [float(line.split(",")[1]) for line in lines[1:]] == scores.tolist()


@pytest.mark.parametrize("text", ["-1", "ten", "1.5", ""])
def test_detection_refuses_other_buffers(text, capsys):
    with pytest.raises(SystemExit):
        detection.parse(["--data", ".", f"--vus-window={text}"])
    assert f"expected a number of rows or auto, got {text!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detector", "zscores"], "expected one of forecast, autoencoder, "),
        (["--detector", "zscore:window=3"], "the detector 'zscore' has no such setting"),
        (["--detector", "pca:n_components"], "each option once, got 'n_components'"),
        (["--detector", "pca:scaler=minmax,scaler=robust"], "each option once, got 'scaler=rob"),
        (["--detector", "pca:"], "expected NAME:OPTION=VALUE"),
        (["--detector", "pca", "pca"], "--detector: pca comes twice"),
        (["--compare", "PCA", "pca"], "expected two of forecaster, autoencoder, z-score, PCA, ran"),
        (["--nab-train", "1"], "expected a share between 0 and 1, got '1'"),
        (["--nab-train", "nan"], "expected a share between 0 and 1, got 'nan'"),
        (["--seed", "-1"], "expected a whole number from 0 on, got '-1'"),
        (["--processes", "0"], "expected a whole number from 1 on, got '0'"),
        (["--submit", __file__], "--submit: expected a folder"),
        (["--format", "csv"], "invalid choice: 'csv'"),
    ],
)
def test_detection_refuses_what_it_cannot_run(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        detection.parse(["--data", ".", *arguments])
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_contestants_take_options_as_python_writes_them():
    text = "autoencoder:encoder_sizes=(8, 4),decoder_sizes=(4, 8),scaler=minmax,lr=1e-2"
    made = parse_contestant(text).make(7)
    assert (made.encoder_sizes, made.decoder_sizes) == ((8, 4), (4, 8))
    assert (made.scaler, made.lr, made.random_state, made.num_threads) == ("minmax", 0.01, 7, 1)
    assert parse_contestant("autoencoder:random_state=3").make(7).random_state == 3


def test_alignment_says_who_looks_ahead():
    members = [("level", ZScoreDetector()), ("shape", AutoencoderDetector(aggregate="mean"))]
    assert alignment(ZScoreDetector()) == "end"
    assert alignment(members[1][1]) == "cover"
    assert alignment(Ensemble(members)) == "mixed"
    assert alignment(Ensemble(members[:1])) == "end"


def test_tables_hold_means_by_set_and_over_all():
    found = [
        *(figures(name, value) for name, value in (("zscore", 0.25), ("pca", 0.75))),
        *(figures(name, value, series="A-2") for name, value in (("zscore", 0.5), ("pca", 0.5))),
        figures("zscore", 1.0, series="m", title="SMD"),
        *(figures("random", 0.0, series=name) for name in ("A-1", "A-2")),
        figures("random", 0.0, series="m", title="SMD"),
    ]
    assert table(found).splitlines()[2:] == [
        "| ASD (2) | 0.375 / 0.500 | 0.625 / 0.500 | 0.000 / 0.500 |",
        "| SMD (1) | 1.000 / 0.500 | - | 0.000 / 0.500 |",
        "| all (3) | 0.583 / 0.500 | 0.625 / 0.500 (2) | 0.000 / 0.500 |",
    ]
    rows = long_table(found).splitlines()
    assert rows[2] == "| ASD | zscore | end | 2 | 0.375 | 0.500 | 0.250 | 0.750 | 1.00 | 0.50 |"
    assert rows[-2].startswith("| all | pca | end | 2 | 0.625 |")


def test_the_columns_that_drift_are_those_of_the_notes():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(2, 2000, 3))
    detector = ZScoreDetector().fit(train)
    assert drifted_columns(detector, test) == ()
    test[:, 2] += 2.0  # standard deviations
    test[:, 0] *= 8.0
    assert drifted_columns(detector, test) == (0, 2)
    assert drifted_columns(object(), test) is None


def test_rates_are_told_apart_by_drift():
    def counted(series: str, seen: int, drifted: tuple[int, ...] | None) -> Counted:
        alarms = Alarms(1, 1, 0.5, 2, 3, 10, 1000, 0, "1%", "rows", 10.0, None, None, seen, drifted)
        return Counted("ASD", series, "zscore", alarms)

    found = [
        counted("A", 12, ()),
        counted("B", 16, ()),  # more than one and a half times
        counted("C", 14, (1,)),
        counted("D", 90, (4, 3, 2, 1)),
        counted("E", 0, None),
    ]
    assert alarms_table(found).splitlines()[2] == (
        "| ASD | zscore | 5 | 5 of 5 | 2.5 | 10 | 1.00 % | 2 of 5 | 1 of 2 | 1.40 |"
    )
    assert rates_off(found) == [
        "ASD E: zscore: 0 rows for 10 at 1%",
        "ASD D: zscore: 90 rows for 10 at 1%; drift in 4: 4, 3, 2, ...",
        "ASD B: zscore: 16 rows for 10 at 1%; no column has drifted",
    ]


def test_losses_count_series_of_one_name_in_two_sets_apart():
    found = [
        figures(name, value, title=title)
        for title, own in (("ASD", 0.4), ("SMD", 0.8))
        for name, value in (("forecaster", own), ("z-score", 0.5), ("PCA", 0.1))
    ]
    assert losses(found, "forecaster") == 1


def test_compare_resamples_series_in_pairs():
    rng = np.random.default_rng(1)
    base, gain = rng.random(40), rng.normal(0.1, 0.2, 40)
    found = [
        f
        for place, (value, more) in enumerate(zip(base, gain, strict=True))
        for f in (
            figures("a", value + more, series=str(place)),
            figures("b", value, series=str(place)),
        )
    ]
    alone = figures("a", 9.0, series="alone")  # without a partner
    result = compare([*found, alone], "a", "b")
    assert (result.series, result.resamples) == (40, 10_000)
    assert result.difference == pytest.approx(gain.mean())
    assert (result.higher, result.lower) == (int((gain > 0).sum()), int((gain < 0).sum()))
    # The interval of a mean of 40 is about 1.96 standard errors wide on each side.
    error = 1.96 * gain.std() / np.sqrt(40)
    assert result.low == pytest.approx(gain.mean() - error, abs=0.006)
    assert result.high == pytest.approx(gain.mean() + error, abs=0.006)
    assert compare(found, "a", "b", seed=0) == result
    assert compare(found, "a", "b", seed=1).low != result.low
    assert compare(found, "b", "a").difference == -result.difference
    with pytest.raises(ValueError, match="no series has figures of both a and c"):
        compare(found, "a", "c")


def test_workers_judge_as_this_process_does(monkeypatch, capsys):
    class Pool(ThreadPoolExecutor):
        def map(self, function, jobs):
            calls = [pickle.dumps((function, job)) for job in jobs]
            return (pickle.loads(pickle.dumps(f(job))) for f, job in map(pickle.loads, calls))

    monkeypatch.setattr(judging, "ProcessPoolExecutor", lambda count, _: Pool(count))
    jobs = [Job("ASD", made_series(name), contestants=CHEAP[2:]) for name in ("A-1", "A-2")]
    results = judging.run(jobs, 1)
    out = capsys.readouterr().out
    assert "2/2 ASD A-2 (400 rows, buffers up to 100)" in out
    assert [f.vus_pr for r in results for f in r.found] == [
        f.vus_pr for job in jobs for f in judge(job).found
    ]

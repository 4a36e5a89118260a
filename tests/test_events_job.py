"""Events of a file: what detect and score write, say and show of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("sklearn", "matplotlib", "rich", "jinja2", "typer"):
    pytest.importorskip(_module)

from rich.console import Console  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from slidecell.cli.main import app  # noqa: E402
from slidecell.detect import (  # noqa: E402
    Ensemble,
    PCADetector,
    RollingVarianceDetector,
    ZScoreDetector,
)
from slidecell.jobs.detect import DetectOptions, run_detect  # noqa: E402
from slidecell.jobs.events import event_facts, event_shares, events_frame  # noqa: E402
from slidecell.jobs.json_file import to_json  # noqa: E402
from slidecell.jobs.results import Result, default_event_gap  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.jobs.terminal import print_report  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.rows import Rows  # noqa: E402
from slidecell.tables.table import make_table  # noqa: E402
from tests.detectors import ALL, NETWORKS, make, rows_needed, series  # noqa: E402

KEYS = ["--time", "day", "--entity", "host"]


class Told(ZScoreDetector):
    """A detector whose scores are the column load, and whose shares are the columns' own."""

    def score_rows(self, rows, *, fill=None):
        return rows.features[:, 0]

    def shares_at(self, rows, chosen):
        return rows.features[chosen][:, 1:] if rows.num_features > 1 else np.ones((len(chosen), 1))


def told(scores, shares=None, *, threshold=3.0, gap=0, test=None, offsets=None) -> Result:
    """Return a result of given scores [S] and shares [S, F]; rows of ``test`` are the test part."""
    scores = np.asarray(scores, np.float64)
    S = len(scores)
    shares = np.full((S, 2), 0.5) if shares is None else np.asarray(shares, np.float64)
    rows = Rows(
        np.column_stack([scores, shares]),
        np.array([0, S] if offsets is None else offsets),
        names=("load", "heat", "mail")[1 : 1 + shares.shape[1]],
    )
    detector = Told()
    detector.contamination = 0.5
    detector.threshold_ = np.float64(threshold)
    part = np.full(S, "test") if test is None else np.where(test, "test", "train")
    return Result(rows, part, scores, detector, {}, event_gap=gap)


def test_the_share_of_an_event_is_weighted_by_how_far_scores_lie_above_the_threshold() -> None:
    result = told([4.0, 3.5, 1.0, 0.0], [[1.0, 0.0], [0.25, 0.75], [0.0, 1.0], [0.0, 1.0]])
    (event,) = result.events
    # Weights of 1 and 0.5: (1 + 0.125) / 1.5 and 0.375 / 1.5.
    assert event_shares(result, [event]) == pytest.approx(np.array([[0.75, 0.25]]))


def test_infinite_scores_have_all_of_an_event() -> None:
    shares = [[1.0, 0.0], [0.25, 0.75], [0.75, 0.25]]
    result = told([4.0, np.inf, np.inf], shares)
    assert result.events[0].peak == result.events[0].area == np.inf
    assert event_shares(result, result.events).tolist() == [[0.5, 0.5]]


def test_a_row_without_shares_is_left_out_of_its_event() -> None:
    nan = np.nan
    result = told([5.0, 4.0, 0.0, 6.0], [[nan, nan], [0.25, 0.75], [0, 0], [nan, nan]])
    first, second = event_shares(result, sorted(result.events))
    assert first.tolist() == [0.25, 0.75]
    assert np.isnan(second).all()
    facts = event_facts(result)
    assert [event["columns"] for event in facts["worst"]] == [
        [],
        [{"column": "mail", "share": 0.75}, {"column": "heat", "share": 0.25}],
    ]


def test_the_highest_100_rows_of_a_long_event_count() -> None:
    scores = np.full(150, 4.0)
    scores[50:] = 5.0
    shares = np.tile([1.0, 0.0], (150, 1))
    shares[50:] = [0.0, 1.0]
    result = told(scores, shares)
    assert event_shares(result, result.events).tolist() == [[0.0, 1.0]]


def test_no_event_crosses_into_the_test_part() -> None:
    test = [False, False, True, True, True, False]
    result = told([5.0, 5.0, 6.0, 5.0, 0.0, 7.0], test=test, gap=3)
    assert [(e.start, e.end) for e in result.events] == [(5, 5), (2, 3), (0, 1)]
    facts = event_facts(result)
    assert (facts["events"], facts["part"], facts["events_of_part"]) == (3, "the test part", 1)
    assert [event["start"] for event in facts["worst"]] == [3]  # counted from 1


def test_events_name_their_entity_though_one_has_two_segments() -> None:
    result = told([5.0, 5.0, 5.0, 5.0], offsets=[0, 1, 2, 4], gap=9)
    assert [(e.start, e.end, e.entity) for e in sorted(result.events)] == [
        *((0, 0, 0), (1, 1, 1), (2, 3, 2)),
    ]
    table = replace(
        result.table,
        entities=np.array([0, 0, 1, 1]),
        entity_names=("a", "b"),
        names=("x", "y", "z"),
    )
    again = replace(result, table=table)
    assert [(e.start, e.entity) for e in sorted(again.events)] == [(0, 0), (1, 0), (2, 1)]


def frame() -> pd.DataFrame:
    """Return two hosts of 100 days with spikes that are known."""
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(100), unit="D")
    made = pd.DataFrame(rng.normal(size=(200, 3)), columns=["load", "heat", "mail"]).clip(-1.5, 1.5)
    made.insert(0, "host", np.repeat(["b", "a"], 100))
    made.insert(1, "day", np.tile(days, 2))
    made.loc[[180, 182], "heat"] = [20.0, 30.0]  # a: July
    made.loc[90, "mail"] = -12.0
    return made


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    frame().sample(frac=1.0, random_state=3).to_csv(folder / "in.csv", index=False)
    return folder


def detect(job, *more, out="out"):
    settings = ["--detector", "zscore", "--percentile", "99.9", *KEYS]
    command = ["detect", str(job / "in.csv"), "--out", str(job / out), *settings, *more]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return done


def test_events_stand_in_every_output(job) -> None:
    done = detect(job, "--event-gap", "1", "--html", "--percentile", "99.9")
    listed = pd.read_csv(job / "out" / "events.csv")
    tests = listed[listed["part"] == "test"]
    columns = ["entity", "start", "end", "rows", "flagged", "peak", "area", "part"]
    driving = [f"{what}_{n}" for n in (1, 2, 3) for what in ("column", "share")]
    assert list(listed.columns) == [*columns, *driving]
    assert listed["peak"].is_monotonic_decreasing
    assert tests.iloc[:2][
        ["entity", "start", "end", "rows", "flagged", "column_1"]
    ].values.tolist() == [
        ["a", "2024-03-21", "2024-03-23", 3, 2, "heat"],
        ["b", "2024-03-31", "2024-03-31", 1, 1, "mail"],
    ]
    shares = tests[["share_1", "share_2", "share_3"]].to_numpy()
    assert (shares >= 0.0).all()
    assert shares.sum(axis=1) == pytest.approx(1.0)
    scores = pd.read_csv(job / "out" / "scores.csv")
    own = scores[scores["host"].eq("a") & scores["day"].between("2024-03-21", "2024-03-23")]
    assert tests["peak"].iloc[0] == own["score"].max()
    report = json.loads((job / "out" / "report.json").read_text())
    limit = report["threshold"]["value"]
    above = own["score"][own["score"] > limit] - limit
    assert tests["area"].iloc[0] == pytest.approx(above.sum(), rel=1e-12)
    facts = report["events"]
    assert (facts["gap"], facts["events"], facts["part"]) == (1, len(listed), "the test part")
    assert [event["start"] for event in facts["worst"]] == tests["start"].tolist()
    assert facts["worst"][0]["columns"][0] == {
        "column": "heat",
        "share": pytest.approx(tests["share_1"].iloc[0]),
    }
    assert facts["worst"][0]["peak"] == tests["peak"].iloc[0]
    said = done.stdout
    assert said.index("\nThreshold\n") < said.index("\nEvents\n") < said.index("scores.csv")
    assert "2024-03-21" in said[said.index("\nEvents\n") :]
    assert "heat 9" in said[said.index("\nEvents\n") :]
    page = (job / "out" / "report.html").read_text()
    assert page.index("<h2>Events</h2>") < page.index("<h2>What was run</h2>")
    assert page.index("heat 9") < page.index("<h2>What was run</h2>")


def test_the_gap_decides_and_score_finds_the_same_events(job) -> None:
    detect(job, "--event-gap", "0")
    listed = pd.read_csv(job / "out" / "events.csv")
    assert listed[listed["entity"] == "a"].iloc[:2]["rows"].tolist() == [1, 1]
    for gap, rows in ((None, [1, 1]), (1, [3])):
        options = ScoreOptions(job / "out", job / "in.csv", job / "again", event_gap=gap)
        result = run_score(options)
        again = pd.read_csv(job / "again" / "events.csv")
        assert len(again) == len(result.events)
        assert again[again["entity"] == "a"].iloc[: len(rows)]["rows"].tolist() == rows


def test_scores_on_standard_output_are_scores_alone(job) -> None:
    detect(job)
    kept = (job / "out" / "scores.csv").read_bytes()
    settings = ["--detector", "zscore", "--percentile", "99.9", *KEYS, "--out", "-"]
    done = CliRunner().invoke(app, ["detect", str(job / "in.csv"), *settings])
    assert done.stdout_bytes == kept
    assert "Events" in done.stderr


def test_without_times_and_entities_rows_are_counted_from_1(tmp_path) -> None:
    X = np.random.default_rng(0).normal(size=(100, 2)).clip(-1.5, 1.5)
    X[90:92, 1] = 9.0
    pd.DataFrame(X, columns=["load", "heat"]).to_csv(tmp_path / "in.csv", index=False)
    options = DetectOptions(
        tmp_path / "in.csv", tmp_path / "out", detector="zscore", percentile=99.9
    )
    result = run_detect(options, progress=False)
    listed = pd.read_csv(tmp_path / "out" / "events.csv")
    assert "entity" not in listed.columns
    assert listed.loc[0, ["start", "end", "rows"]].tolist() == [91, 92, 2]
    assert (result.events[0].start, result.events[0].end) == (90, 91)
    text = result.document.sections[0].text
    assert text.endswith("Rows are counted as in the file of scores.")


def test_a_detector_that_tells_no_columns_apart_names_none(tmp_path) -> None:
    frame().to_csv(tmp_path / "in.csv", index=False)
    options = DetectOptions(
        *(tmp_path / "in.csv", tmp_path / "out"),
        table=TableOptions(time="day", entity="host"),
        detector="random-gru",
    )
    result = run_detect(options, progress=False)
    listed = pd.read_csv(tmp_path / "out" / "events.csv")
    assert list(listed.columns)[-1] == "part"
    assert all("columns" not in event for event in result.report["events"]["worst"])
    assert "driven by" not in result.document.sections[0].tables[0].columns


def test_rows_without_a_flag_are_no_event() -> None:
    result = told([1.0, np.nan, 2.0])
    assert result.events == []
    assert event_facts(result)["worst"] == []
    table = make_table(frame().head(3), TableOptions(time="day", entity="host"))
    quiet = replace(result, table=table)
    listed = events_frame(quiet, event_facts(quiet))
    assert len(listed) == 0
    assert list(listed.columns)[:3] == ["entity", "start", "end"]


def test_a_terminal_shows_ten_events_and_ends_with_them() -> None:
    from slidecell.jobs.events import events_section
    from slidecell.jobs.report import Report, Section

    scores = np.zeros(60)
    scores[::2] = np.arange(30) + 10.0
    section = events_section(event_facts(told(scores)), has_times=False)
    assert section.text.startswith("30 events in all rows, of which the worst follow.")
    (table,) = section.tables
    assert (len(table.rows), len(table.terminal_rows)) == (20, 10)
    assert [row[table.columns.index("peak")] for row in table.terminal_rows[:2]] == ["39", "38"]
    console = Console(file=io.StringIO(), width=100)
    print_report(console, Report("T", "", [section, Section("Data", "One file.")]))
    said = console.file.getvalue()
    assert said.index("Data") < said.index("Events")


def test_infinite_peaks_are_text_in_json() -> None:
    (event,) = json.loads(to_json(event_facts(told([np.inf, 1.0]))))["worst"]
    assert (event["peak"], event["area"]) == ("Infinity", "Infinity")


def test_the_default_gap_is_what_scores_of_two_rows_can_share(job) -> None:
    X = np.random.default_rng(0).normal(size=(100, 2))
    members = [("level", ZScoreDetector()), ("burst", RollingVarianceDetector(window=7))]
    assert default_event_gap(Ensemble(members).fit(X)) == 6
    assert default_event_gap(PCADetector().fit(X)) == 0
    # Filled values reach back over any number of rows; windows do not.
    assert default_event_gap(RollingVarianceDetector(window=7, missing="ffill").fit(X)) == 6


def test_shares_of_an_ensemble_are_of_members_that_raise_the_score() -> None:
    X = np.random.default_rng(0).normal(size=(500, 2))
    X[400, 1] = 9.0
    members = [("level", ZScoreDetector()), ("burst", RollingVarianceDetector(window=30))]
    ensemble = Ensemble(members).fit(X[:300])
    rows = Rows(X, np.array([0, 500]))
    chosen = np.array([400, 402, 450])
    shares = ensemble.shares_at(rows, chosen)
    assert (shares >= 0.0).all()
    assert shares.sum(axis=1) == pytest.approx(1.0)
    of_members = np.maximum(ensemble.attribution(X, chosen), 0.0)
    parts = sum(
        of_members[:, [m]] * member.shares_at(rows, chosen)
        for m, member in enumerate(ensemble.members_.values())
    )
    assert shares[0] == pytest.approx(parts[0] / parts[0].sum())
    assert of_members[1].tolist()[0] == 0.0  # two rows later the level is normal again
    assert shares[1] == pytest.approx(ensemble.members_["burst"].shares_at(rows, chosen)[1])


@pytest.mark.parametrize("gap", [-1, 1.5])
def test_a_gap_that_cannot_be_is_refused(gap, tmp_path) -> None:
    for options in (
        lambda: DetectOptions(tmp_path / "a.csv", tmp_path / "o", event_gap=gap),
        lambda: ScoreOptions(tmp_path / "m", tmp_path / "a.csv", tmp_path / "o", event_gap=gap),
    ):
        with pytest.raises(
            ValueError, match=f"--event-gap: expected a whole number >= 0, got {gap}"
        ):
            options()


def test_results_do_not_replace_an_input_named_as_they_are(job) -> None:
    folder = job / "named"
    folder.mkdir()
    frame().to_csv(folder / "events.csv", index=False)
    options = DetectOptions(folder / "events.csv", folder, detector="zscore")
    with pytest.raises(ValueError, match=r"--out: its events\.csv would replace the input"):
        run_detect(options, progress=False)


@pytest.mark.parametrize("kind", ALL)
def test_shares_of_the_events_of_every_detector(kind) -> None:
    if kind in NETWORKS:
        pytest.importorskip("torch")
    X = series(80)
    X[70] += [0.0, 9.0, 0.0]
    detector = make(kind, contamination=0.1).fit(X[:60])
    rows = Rows(X, np.array([0, 80]))
    part = np.where(np.arange(80) < 60, "train", "test")
    gap = default_event_gap(detector)
    assert gap == rows_needed(kind) - 1
    result = Result(rows, part, detector.score_rows(rows), detector, {}, event_gap=gap)
    events = result.events
    assert events
    shares = event_shares(result, events)
    if not detector.has_feature_parts:
        assert shares is None
        assert all("columns" not in event for event in event_facts(result)["worst"])
        return
    assert (shares >= 0.0).all()
    assert shares.sum(axis=1) == pytest.approx(1.0)
    if kind in ("rolling_variance", "zscore"):  # the others' errors spread over columns
        assert events[0].start <= 70 <= events[0].end
        assert event_facts(result)["worst"][0]["columns"][0]["column"] == "1"

"""The logic of the benchmarks, on tiny data; nothing here looks at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import chart, cold_start, detector_streams, live_stream, parquet_files, peers
from benchmarks.__main__ import main, parse
from benchmarks.cases import CASES
from benchmarks.command import commit, conditions, print_conditions
from benchmarks.latency.__main__ import table
from slidecell.bench import limits, measure, report, timer
from slidecell.bench.accuracy import flat
from slidecell.bench.contestants import OURS, Peer
from slidecell.bench.measure import SMOKE, Result
from slidecell.bench.run import settings_restored
from slidecell.bench.workloads import ScoreWorkload

NAMES = [case.name for case in CASES]
ONE_OF_EACH_KIND = {case.kind: case for case in CASES}


@pytest.fixture(autouse=True)
def limits_set(monkeypatch) -> Iterator[None]:
    """Run in this process, and with one thread of torch's: more would contend on such tiny data."""
    for name, value in limits.limits_of(None).items():
        monkeypatch.setenv(name, value)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def few(monkeypatch) -> None:
    """Score with two contestants: every one of them is tried once elsewhere."""
    both = {name: peers.PEERS["score"][name] for name in (OURS, "torch")}
    monkeypatch.setitem(peers.PEERS, "score", both)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_cases_have_peers_and_respect_the_size(case) -> None:
    workload = case.workload(300)
    assert next(iter(peers.PEERS[case.kind])) == OURS
    assert 0 < workload.work <= 300 * 17 / 16
    assert 0 < workload.first(100).work <= 100
    assert workload.kind == case.kind
    assert workload.threaded == case.threaded
    assert len(flat(workload.truth)) > 0


@pytest.mark.parametrize("case", ONE_OF_EACH_KIND.values(), ids=ONE_OF_EACH_KIND.keys())
def test_every_setting_of_every_peer_is_right(case) -> None:
    workload = case.workload(300)
    if isinstance(workload, ScoreWorkload):
        workload = replace(workload, batches=(64, 256))
    with settings_restored():
        for name, peer in peers.PEERS[case.kind].items():
            for setting, run in peer.ways(workload, 1).items() if peer.takes(workload) else ():
                verdict = workload.judge(run(), peer.precision)
                assert verdict.right, (name, setting, verdict)
    assert np.float32(1e-38) * np.float32(0.5) > 0  # denormals are left as they were


def test_windows_of_the_workloads_are_those_of_a_naive_loop() -> None:
    workload = next(case for case in CASES if case.name == "windows, 400 users").workload(1_000)
    bounds = zip(workload.offsets[:-1], workload.offsets[1:], strict=True)
    starts = [at for a, b in bounds for at in range(a, b) if at + 7 + 1 <= b]
    assert list(workload.starts) == starts
    assert len(workload.offsets) > 2


def test_timer_calls_contestants_in_turn() -> None:
    calls: list[str] = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    found = timer.interleaved(runs, repeats=3)
    assert "".join(calls) == "ababab"
    assert {name: len(timed.seconds) for name, timed in found.items()} == {"a": 3, "b": 3}
    assert {name: len(timed.cpu_seconds) for name, timed in found.items()} == {"a": 3, "b": 3}
    assert timer.gc.isenabled()


def test_conditions_name_machine_threads_versions_and_command() -> None:
    about = conditions(
        "benchmarks.x", "tiny", [1, 2], arguments=["--only", "y"], packages=["torch"]
    )
    assert about["cpu"]
    assert about["threads"] == [1, 2]
    assert about["slidecell"].endswith(f" ({commit()})")
    assert about["torch"].startswith(torch.__version__.partition("+")[0])
    assert torch.backends.cpu.get_cpu_capability() in about["torch"]
    assert "onnxruntime" not in about
    assert about["command"] == "python -m benchmarks.x --only y"
    start = about["load average"]
    print_conditions(about)
    assert about["load average"][0] == start
    assert len(about["load average"]) == 2


def test_latency_table_has_every_kind_of_row() -> None:
    times = {"p50_us": 0.5, "p90_us": 1.0, "p99_us": 20.0}
    many = {"rows_per_s": 9e5, "share": 0.9, "score_windows_per_s": 1e6, "bytes_per_entity": 1_000}
    rows = [
        {"case": "push", **times, "in_all_p50_us": 25.0, "sustained_us": 30.0},
        {"case": "step, GRU 64", **times},
        {"case": "push_many", **many},
    ]
    lines = [[cell.strip() for cell in line.split("|")] for line in table(rows).splitlines()[2:]]
    assert lines[0][1:-1] == ["push", "0.50", "1.00", "20.00", "25.00", "30.00", ""]
    assert lines[1][1:-1] == [
        "step, GRU 64", "0.50", "1.00", "20.00", "", "", "published by RTNeural: 2.40"
    ]  # fmt: skip
    assert lines[2][6] == "900,000 rows/s"
    assert lines[2][7] == "90% of score's 1,000,000 windows/s, 1,000 bytes/entity"


@pytest.mark.usefixtures("few")
def test_command_writes_table_and_json(tmp_path: Path, capsys) -> None:
    file = tmp_path / "found.json"
    arguments = ["--smoke", "--only", "GRU 64", "--threads", "1,2", "--json", str(file)]
    assert main([*arguments, "--repeats", "2"]) == 0
    out = capsys.readouterr().out
    assert "| score GRU 64 (W=7 F=7 S=" in out
    assert "WRONG" not in out
    found = json.loads(file.read_text())
    assert found["conditions"]["cpu"]
    assert found["conditions"]["threads"] == [1, 2]
    assert {r["threads"] for r in found["results"] if r["kind"] == "score"} == {1, 2}
    assert {r["threads"] for r in found["results"] if r["kind"] == "step"} == {1}
    for r in found["results"]:
        assert r["right"]
        assert len(r["seconds"]) == 2
        bound = {"highest": 1e-5 if r["kind"] == "train" else 1e-6, "high": 1e-6}
        assert 0 < r["max_error"] < bound.get(r["precision"], 0.01)
        ours = r["contestant"] in {OURS, "slidecell's layer"}  # two modules on the same kernels
        assert (r["max_difference"] == 0) == ours
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.usefixtures("few")
def test_saved_run_has_a_table_and_a_chart(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    assert main(["--smoke", "--only", "score LSTM 16", "--save"]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "scores.json",
        "scores.md",
        "scores.png",
    ]
    assert (tmp_path / "scores.md").read_text() == capsys.readouterr().out
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((tmp_path / "scores.json").read_text())
    assert chart.contests(content, 1)["LSTM 16"].keys() == {OURS, "torch"}
    content["results"] = []
    with pytest.raises(ValueError, match="no scores of a peer"):
        chart.draw(content, tmp_path / "none.png")


def test_cold_start_scores_rightly_in_a_fresh_process(monkeypatch) -> None:
    scripts = {"slidecell": cold_start.SCRIPTS["slidecell"]}
    monkeypatch.setattr(cold_start, "SCRIPTS", scripts)
    (start,) = cold_start.measure(1)
    assert start.right
    assert list(start.seconds) == list(cold_start.PHASES)
    assert "| slidecell  |" in cold_start.table([start])


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda scores: scores + np.float32(1e-3), 1e-3),
        (lambda scores: scores[:-1], math.inf),
        (lambda scores: np.where(np.arange(len(scores)) == 50, np.nan, scores), math.inf),
    ],
    ids=["off", "short", "nan"],
)
@pytest.mark.parametrize("name", ["slidecell", "torch"])
@pytest.mark.usefixtures("few")
def test_wrong_answers_are_named(spoil, error, name, monkeypatch, tmp_path, capsys) -> None:
    right = peers.PEERS["score"][name]

    def wrong(workload, threads):
        ways = right.ways(workload, threads)
        return {setting: lambda run=run: spoil(run()) for setting, run in ways.items()}

    monkeypatch.setitem(peers.PEERS["score"], name, Peer(wrong))
    file = tmp_path / "found.json"
    assert main(["--smoke", "--only", "score LSTM 16", "--json", str(file)]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith(f"WRONG: score LSTM 16, threads=1, {name}, ")
    results = {r["contestant"]: r for r in json.loads(file.read_text())["results"]}
    assert [n for n, r in results.items() if not r["right"]] == [name]
    found = results[name]["max_error"]
    assert found is None if math.isinf(error) else found == pytest.approx(error, rel=1e-3)


def test_report_shows_medians_and_losses() -> None:
    def result(contestant: str, seconds: list[float], ratio: float) -> Result:
        return Result(
            kind="score", case="c", shape="s", threads=1, contestant=contestant,
            precision="highest", setting="", unit="windows/s", work=1_000, seconds=seconds,
            ratio=ratio, max_error=0.0, max_difference=0.0, relative_error=None,
            auc_difference=None, right=True,
        )  # fmt: skip

    ours = result("slidecell", [0.001, 0.002, 0.004], 1.0)
    peer = result("torch", [0.001, 0.001, 0.001], 0.5)
    lines = report.table([ours, peer]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "500k windows/s" in lines[2]
    assert "250k - 1.00M" in lines[2]
    assert "0.50x" in lines[3]
    assert report.summary([ours, peer]) == "Lost: c, threads=1, torch, 0.50x"
    assert report.summary([ours]) == "Lost: none"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "0.12"), (9.996, "10.0"), (99.96, "100"), (999.6, "1.00k"), (1.234e6, "1.23M")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert report.short_number(value) == text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--isa", "z80"],
        ["--threads", "0"],
        ["--repeats", "x"],
        ["--only", "?"],
        ["--quick", "--smoke"],
    ],
)
def test_bad_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(arguments)


def test_efforts_differ() -> None:
    assert parse([]).effort == measure.FULL
    assert parse(["--smoke"]).effort == SMOKE
    assert parse(["--quick", "--repeats", "9"]).effort.repeats == 9


def test_streams_of_detectors_are_timed_with_those_of_their_networks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {"forecast", "zscore"}
    found = [(name, detector) for name, detector in detector_streams.detectors() if name in chosen]
    monkeypatch.setattr(detector_streams, "detectors", lambda: iter(found))
    assert detector_streams.main(["--pushes", "3", "--entities", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    header, _, *lines = out[:5]
    assert "| 2 entities |" in header
    cases = [line.split("|")[1].strip() for line in lines]
    assert cases == ["forecast, the network alone", "forecast", "zscore"]
    assert all(float(line.split("|")[2]) > 0.0 for line in lines)
    assert "| columns of an event | 1 flagged, ms | 10 flagged, ms | 100 flagged, ms |" in out[6]
    assert [line.split("|")[1].strip() for line in out[8:10]] == ["forecast", "zscore"]
    assert all(float(line.split("|")[4]) > 0.0 for line in out[8:10])


def test_memory_of_parquet_files_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert parquet_files.main(["--rows", "3000"]) == 0
    row = capsys.readouterr().out.splitlines()[2].split("|")
    assert row[1].strip() == "3,000"
    _, rate, before, peak = (float(cell.replace(",", "")) for cell in row[2:6])
    assert min(rate, before) > 0.0
    assert peak >= 0.0  # so few rows may fit what the process has already


def test_the_rate_of_live_rows_is_told_beside_what_options_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_stream.write_rows(tmp_path / "rows.csv", 41, seed=0)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in (lines[1], lines[41])] == [["0", "h0"], ["2", "h0"]]
    times = iter([(4.0, 2.0), (9.0, 3.0), (8.0, 2.0), (5.0, 3.0)])
    monkeypatch.setattr(live_stream, "run_apart", lambda *_: live_stream.Run(*next(times)))
    runs = live_stream.measure(tmp_path, ["plain", "all"], 2)
    rows = [line.split("|") for line in live_stream.table(runs, 100_000).splitlines()[2:]]
    assert [[cell.strip() for cell in row[1:6]] for row in rows] == [
        ["plain", "20.0", "50,000", "16,667", ""],
        ["all", "30.0", "33,333", "14,286", "+50 %"],
    ]

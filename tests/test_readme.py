"""The claims of README.md and python/README.md that a test can hold against the repository."""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
from pathlib import Path

import pytest

import slidecell
from benchmarks import readme_table
from slidecell import detect

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAP = (ROOT / "python" / "README.md").read_text()
RESULTS = ROOT / "benchmarks" / "results"
CASES = {
    "LSTM 16, W=7": "score LSTM 16",
    "LSTM 64, W=7": "score LSTM 64",
    "GRU 64, W=7": "score GRU 64",
    "LSTM 128, W=7": "score LSTM 128",
    "LSTM 64, W=50": "score LSTM 64, W=50",
    "autoencoder 16-8-8-16, W=10, 29 features": "score autoencoder 16-8-8-16",
}
SETS = {"ASD": "ASD (6 servers)", "MSL": "MSL (13 channels)", "NAB": "NAB (25 files)"}
SETS |= {"SMAP": "SMAP (27 channels)", "SMD": "SMD (2 machines)"}
DETECTORS = ["ensemble:network=False", "ensemble:network=False,align=cover"]
DETECTORS += ["zscore", "window-pca:window=10", "pca", "random"]
BEHIND: list[str] = []  # sets on which the ensemble is below one of the simple detectors


def table(first_column: str) -> dict[str, list[str]]:
    """Return the rows of the README's table whose header begins so: name -> other cells."""
    lines = README.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column}"))
    rows = {}
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = cells
    return rows


def test_readme_rates_are_those_of_the_saved_run():
    content = json.loads((RESULTS / "scores.json").read_text())
    header, *lines = readme_table.table(content)
    assert "| " + " | ".join(header) + " |" in README
    assert table(header[0]) == {name: cells for name, *cells in lines}
    assert set(table(header[0])) >= set(CASES)
    for r in content["results"]:
        if r["case"] in CASES.values() and r["contestant"] == "slidecell":
            assert r["max_error"] <= 2e-7
        if r["case"] in CASES.values() and r["contestant"] == "slidecell medium":
            assert r["relative_error"] <= 2.5e-4


def test_readme_table_has_what_a_run_has():
    def result(case: str, contestant: str, threads: int, seconds: float, **changes: object) -> dict:
        plain = {"case": case, "contestant": contestant, "threads": threads, "work": 1_000}
        return plain | {"seconds": [seconds], "right": True, **changes}

    results = [
        result("score LSTM 64", who, threads, seconds / threads)
        for who, seconds in (("slidecell", 2e-3), ("slidecell low", 1e-3), ("torch", 4e-3))
        for threads in (1, 2)
    ]
    # Faster, and wrong.
    results += [result("score LSTM 64", "openvino", n, 1e-3, right=False) for n in (1, 2)]
    flags = "flags LSTM 64, W=50"
    results += [result(flags, "slidecell", n, 1e-3) for n in (1, 2)]
    results += [result(flags, "torch", n, 0.05, work=500) for n in (1, 2)]
    results += [result(flags, "torch carried", n, 3e-3, right=False) for n in (1, 2)]
    header, *lines = readme_table.table({"conditions": {"threads": [1, 2]}, "results": results})
    title = "windows scored per second, one thread / two"
    assert header == [title, "slidecell, float32", "int8", "best float32 peer", "ratio"]
    assert lines == [
        ["LSTM 64, W=7", "500 k / 1.00 M", "1.00 M / 2.00 M", "250 k / 500 k", "2.0 / 2.0"],
        ["audited flags, LSTM 64, W=50; peers score every window",
         "1.00 M / 1.00 M", "", "10.0 k / 10.0 k", "100.0 / 100.0"],
        ["the same; peers carry states, unchecked",
         "1.00 M / 1.00 M", "", "333 k / 333 k", "3.0 / 3.0"],
    ]  # fmt: skip


def test_readme_detectors_are_those_of_the_saved_run():
    report = json.loads((RESULTS / "detection.json").read_text())
    assert report["vus_window"] == 100
    assert not report["faults"]
    assert "mean VUS-PR, buffers up to 100 rows" in README
    found = report["found"]
    rows = table("mean VUS-PR")
    assert list(rows) == list(SETS.values())
    assert {f["set"] for f in found} == set(SETS)
    means = {}
    for title, name in SETS.items():
        for detector, cell in zip(DETECTORS, rows[name], strict=True):
            values = [f["vus_pr"] for f in found if (f["set"], f["detector"]) == (title, detector)]
            assert f"({len(values)} " in name
            means[title, detector] = statistics.mean(values)
            assert cell == f"{means[title, detector]:.2f}"
    end, cover, *simple = DETECTORS[:-1]
    below = [
        s for s in SETS if min(means[s, end], means[s, cover]) < max(means[s, b] for b in simple)
    ]
    assert below == BEHIND
    seconds = [f["fit_seconds"] for f in found if f["detector"] in simple]
    assert max(seconds) < 1
    value = {(f["series"], f["detector"]): f["vus_pr"] for f in found if f["set"] == "SMAP"}
    series = {name for name, _ in value}
    ahead = sum(max(value[s, b] for b in simple) > value[s, end] for s in series)
    said = f"ahead of that ensemble (`end`) on {ahead} of SMAP's {len(series)} channels"
    assert said in " ".join(README.split())


def test_readme_names_every_detector():
    exported = {name for name in detect.__all__ if name.endswith("Detector")} - {"Detector"}
    named = set(re.findall(r"`(\w+Detector)`", README))
    assert named == exported


def test_readme_names_the_systems_that_the_command_has():
    pytest.importorskip("typer")
    from slidecell.cli.reproduce import app

    listed = [re.match(r"`([\w-]+)", name)[1] for name in table("`slidecell reproduce ...`")]
    assert listed == [command.name for command in app.registered_commands]


def test_readme_says_what_the_c_interface_has_and_lacks():
    include = ROOT / "csrc" / "include" / "slidecell"
    functions = set(re.findall(r"\b(slidecell_\w+)\(", (include / "slidecell.h").read_text()))
    has = {"score", "score_f64", "predict", "predict_f64", "encode", "encode_f64"}
    has |= {"stream_push", "stream_push_f64", "monitor_push", "monitor_push_f64"}
    assert {f"slidecell_{name}" for name in has} <= functions
    assert not [name for name in functions if re.search("lstm|gru|forward|step|train", name)]
    assert "class SLIDECELL_API Monitor" in (include / "monitor.hpp").read_text()
    assert "class SLIDECELL_API Recurrent" in (include / "recurrent.hpp").read_text()
    text = " ".join(README.split())
    assert "`Monitor` for a fixed threshold" in text
    assert (
        "**C** (`<slidecell/slidecell.h>`) has the same for models: scores, predictions and codes "
        "of float or double rows, streams, and the monitor; it has no layers outside of a model."
        in text
    )


def test_readme_commands_and_links_are_there():
    for module in set(re.findall(r"python -m (benchmarks[\w.]*)", README)):
        assert importlib.util.find_spec(module), module
    links = re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", README)
    assert "benchmarks/results/demo.png" in links
    for link in links:
        assert (ROOT / link).exists(), link


def test_readme_picture_is_a_small_png():
    data = (RESULTS / "demo.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    assert len(data) < 150_000


def test_map_names_every_room_and_real_files():
    package = ROOT / "python" / "slidecell"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert {room for room in rooms if f"| `{room}/` |" not in MAP} == set()
    assert slidecell.__file__ is not None
    places = [ROOT, package, ROOT / "csrc" / "src" / "kernels", package / "bench"]
    for name in re.findall(r"`([\w./-]+\.(?:py|h|hpp|cpp|cuh|cmake))`", MAP):
        assert any((place / name).exists() for place in places), name

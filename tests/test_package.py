"""The installed C++ library: found, linked and run by a project that is not ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import slidecell as sc
from tests.cmake_case import CLEAN, ROOT, Case, needs_cmake, run

pytestmark = needs_cmake


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def prefixes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the static and the shared library are installed; compiled once, then moved."""
    folder = tmp_path_factory.mktemp("library")
    # Whoever builds the C++ tests too may say where, and go on from there.
    build = Path(os.environ.get("SLIDECELL_TEST_BUILD", folder))
    build /= os.environ.get("PYTEST_XDIST_WORKER", "build")
    moved = {"build": build}
    for kind, shared in (("static", "OFF"), ("shared", "ON")):
        prefix = folder / f"{kind}-first"
        run(
            *("cmake", "-S", ROOT, "-B", build, "-DCMAKE_BUILD_TYPE=Release"),
            *("-DSLIDECELL_TESTS=OFF", "-DSLIDECELL_EXAMPLES=ON", "-DSLIDECELL_WERROR=ON"),
            *(f"-DBUILD_SHARED_LIBS={shared}", "-DCMAKE_INSTALL_LIBDIR=lib"),
        )
        run("cmake", "--build", build, "-j", "2")
        run("cmake", "--install", build, "--prefix", prefix)
        moved[kind] = prefix.rename(folder / kind)
    return moved


def build_consumer(search: Path, build: Path) -> str:
    output = run(
        *("cmake", "-S", ROOT / "tests" / "consumer", "-B", build, "-DCMAKE_BUILD_TYPE=Release"),
        f"-DCMAKE_PREFIX_PATH={search}",
    )
    run("cmake", "--build", build)
    return output


@pytest.mark.parametrize("kind", ["static", "shared", "wheel"])
def test_package_found_by_cmake(
    kind: str, case: Case, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "wheel":
        search = Path(sc.get_cmake_dir())
    else:
        search = request.getfixturevalue("prefixes")[kind]
    build_consumer(search, tmp_path)
    found = re.search(r"slidecell_DIR:PATH=(.*)", (tmp_path / "CMakeCache.txt").read_text())
    assert found
    assert Path(found[1]).resolve().is_relative_to(search.resolve())
    for program in ("consumer_cpp", "consumer_c"):
        assert run(tmp_path / program, *case.files) == "ok\n"


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="needs pkg-config")
@pytest.mark.parametrize("kind", ["static", "shared"])
def test_package_found_by_pkg_config(
    kind: str, case: Case, prefixes: dict[str, Path], tmp_path: Path
) -> None:
    lib = prefixes[kind] / "lib"
    flags = run(
        "pkg-config", "--cflags", "--libs", "slidecell", PKG_CONFIG_PATH=str(lib / "pkgconfig")
    ).split()
    source = ROOT / "tests" / "consumer"
    run("c++", "-std=c++17", source / "consumer.cpp", *flags, "-o", tmp_path / "consumer_cpp")
    run("cc", "-std=c99", source / "consumer.c", *flags, "-o", tmp_path / "consumer_c")
    for program in ("consumer_cpp", "consumer_c"):
        assert run(tmp_path / program, *case.files, LD_LIBRARY_PATH=str(lib)) == "ok\n"


def test_package_version_is_checked(prefixes: dict[str, Path], tmp_path: Path) -> None:
    script = tmp_path / "version.cmake"
    script.write_text(
        "include(${FILE})\nmessage(STATUS compatible=${PACKAGE_VERSION_COMPATIBLE})\n"
    )
    file = prefixes["static"] / "lib/cmake/slidecell/slidecell-config-version.cmake"
    major, minor, _ = sc.__version__.split(".")
    for version, expected in (
        (f"{major}.{minor}", True),
        (f"{major}.{int(minor) + 1}", False),
        (f"{int(major) + 1}.0", False),
    ):
        first, second = version.split(".")
        output = run(
            *("cmake", f"-DFILE={file}", f"-DPACKAGE_FIND_VERSION={version}"),
            *(f"-DPACKAGE_FIND_VERSION_MAJOR={first}", f"-DPACKAGE_FIND_VERSION_MINOR={second}"),
            *("-P", script),
        )
        assert ("compatible=TRUE" in output) == expected, version


def test_package_says_that_a_static_library_needs_cxx(
    prefixes: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(c_only LANGUAGES C)\n"
        "find_package(slidecell CONFIG REQUIRED)\n"
    )
    output = run(
        *("cmake", "-S", tmp_path, "-B", tmp_path / "build"),
        f"-DCMAKE_PREFIX_PATH={prefixes['static']}",
        status=1,
    )
    assert "needs the language CXX" in " ".join(output.split())


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm")
def test_package_shared_library_exports_only_the_interface(prefixes: dict[str, Path]) -> None:
    listing = run("nm", "-DC", "--defined-only", prefixes["shared"] / "lib/libslidecell.so")
    names = [line.split(maxsplit=2)[2] for line in listing.splitlines()]
    headers = "".join(
        path.read_text()
        for path in (prefixes["shared"] / "include/slidecell").iterdir()
        if path.name != "export.h"
    )
    classes = set(re.findall(r"(?:class|struct) SLIDECELL_API (\w+)", headers))
    functions = set(re.findall(r"SLIDECELL_API [^;()]*?(\w+)\(", headers))
    assert {"SequenceModel", "Stream"} <= classes
    assert {"active_isa", "slidecell_score"} <= functions
    seen = set()
    for name in names:
        match = re.fullmatch(
            r"(?:(?:typeinfo|typeinfo name|vtable) for )?(?:slidecell::)?(\w+)(::\S.*|\W.*)?", name
        )
        assert match, name
        seen.add(match[1])
        assert match[1] in classes | functions, name
        assert "::Impl::" not in name.split("(")[0], name
    assert seen == classes | functions


@pytest.mark.skipif(not shutil.which("readelf"), reason="needs readelf")
def test_package_shared_library_has_a_soname(prefixes: dict[str, Path]) -> None:
    dynamic = run("readelf", "-d", prefixes["shared"] / "lib/libslidecell.so")
    major, minor, _ = sc.__version__.split(".")
    assert f"[libslidecell.so.{major}.{minor}]" in dynamic
    assert "RUNPATH" not in dynamic
    assert "RPATH" not in dynamic


def test_package_examples_score(case: Case, prefixes: dict[str, Path], tmp_path: Path) -> None:
    examples = prefixes["build"] / "csrc" / "examples"
    lines = case.lines()
    texts = ["" if np.isnan(score) else f"{score:.9g}" for score in case.scores]

    csv = tmp_path / "rows.csv"
    csv.write_text("a,b,c\n" + "".join(lines))
    output = run(examples / "slidecell_score_csv", case.model, csv)
    assert output.splitlines() == ["line,score", *(f"{n},{t}" for n, t in enumerate(texts, 2))]

    state = tmp_path / "state"
    stdin = (examples / "slidecell_score_stdin", case.model, "--state", state)
    output = run(*stdin, text="".join(lines[:20])) + run(*stdin, text="".join(lines[20:]))
    assert output.splitlines() == [
        *(*texts[:20], "20 rows, 0 bad lines"),
        *(*texts[20:], "30 rows, 0 bad lines"),
    ]

    rows = "".join(lines).replace(",,", ",nan,")
    for mode in ([], ["--live"]):
        output = run(examples / "slidecell_score_c", case.model, *mode, text=rows)
        assert [text.replace("nan", "") for text in output.splitlines()] == texts

    output = run(
        *(examples / "slidecell_simulate", case.model, "--rows", "100"),
        *("--entities", "20", "--rounds", "3"),
    )
    assert "p99" in output
    assert re.search(r"largest difference of a score: 0\n", output)


def test_package_examples_find_the_features_by_name(
    case: Case, prefixes: dict[str, Path], tmp_path: Path
) -> None:
    """The table that a detector was fitted on: times, entities, a label, columns in any order."""
    examples = prefixes["build"] / "csrc" / "examples"
    threshold = {"kind": "fixed", "value": 1.0}
    model = sc.SequenceModel.load(case.model)
    scaler = model.scaler | {"center": [0.5, 1e6, 0.0]}
    model = model.with_metadata(
        features=["load", "heat", "flow"],
        scaler=scaler,
        threshold=threshold,
        smoothing={"kind": "ewma", "alpha": 0.5},
    )
    path = tmp_path / "named.safetensors"
    model.save(path)
    # Counters: their float is not their double.
    rows = np.float64(case.rows) + 1e6 * np.array([0.0, 1.0, 0.0])
    entities = np.repeat(["a", "b"], [20, len(rows) - 20])
    lines = ['"flow",time,load,server,heat,label\n']
    for i, ((load, heat, flow), server) in enumerate(zip(rows, entities, strict=True)):
        heat_text = "" if np.isnan(heat) else f"{heat:.17g}"
        lines.append(f"{flow:.17g},2026-01-01 {i:02}:00,{load:.17g},{server},{heat_text},0\n")
    csv = tmp_path / "rows.csv"
    csv.write_text("".join(lines))

    def texts(scores: np.ndarray) -> list[str]:
        return ["" if np.isnan(score) else f"{score:.9g}" for score in scores]

    by_entity = texts(model.score(rows, [0, 20, len(rows)]))
    output = run(examples / "slidecell_score_csv", path, csv, "--entity", "server")
    assert output.splitlines() == ["line,score", *(f"{n},{t}" for n, t in enumerate(by_entity, 2))]

    expected = texts(model.score(rows))
    assert expected != texts(model.score(rows.astype(np.float32)))
    text = csv.read_text()
    output = run(examples / "slidecell_score_stdin", path, text=text)
    assert output.splitlines()[:-1] == expected
    for mode in ([], ["--live"]):
        output = run(examples / "slidecell_score_c", path, *mode, text=text)
        assert [line.replace("nan", "") for line in output.splitlines()] == expected
    output = run(examples / "slidecell_score_c", path, "--alarms", text=text)
    events = [line.split(",") for line in output.splitlines()]
    assert [event[0].replace("nan", "") for event in events] == expected
    monitor = sc.Monitor.from_model(model)
    for event, row in zip(events, rows, strict=True):
        seen = monitor.push(row)
        assert event[1] == f"{seen.smoothed:.9g}"
        assert event[2] == str(int(seen.alarm))

    csv.write_text(text.replace("heat", "cold"))
    output = run(examples / "slidecell_score_csv", path, csv, status=1)
    assert f"{csv}:1: expected a column 'heat'" in output
    output = run(examples / "slidecell_score_csv", path, csv, "--entity", "client", status=1)
    assert f"{csv}:1: expected a column" in output
    output = run(examples / "slidecell_score_c", path, text=csv.read_text(), status=1)
    assert "line 1: expected the model's feature 'heat'" in output


def test_package_examples_name_the_bad_line(
    case: Case, prefixes: dict[str, Path], tmp_path: Path
) -> None:
    examples = prefixes["build"] / "csrc" / "examples"
    csv = tmp_path / "bad.csv"
    for bad, what in (("1,2", "expected 3 values, got 2"), ("1,x,3", "got 'x'")):
        text = "1,2,3\n4,5,6\n" + bad + "\n7,8,9\n"
        csv.write_text(text)
        output = run(examples / "slidecell_score_csv", case.model, csv, status=1)
        assert f"{csv}:3: " in output
        assert what in output
        output = run(examples / "slidecell_score_stdin", case.model, text=text, status=1)
        assert "line 3: " in output
        output = run(examples / "slidecell_score_stdin", case.model, "--skip-bad", text=text)
        assert "3 rows, 1 bad lines" in output
        output = run(examples / "slidecell_score_c", case.model, text=text, status=1)
        assert "line 3: " in output
    csv.write_text("a,1,2,3\nb,1,2,3\na,1,2,3\n")
    output = run(examples / "slidecell_score_csv", case.model, csv, "--entity", status=1)
    assert f"{csv}:3: entity 'a' again" in output
    output = run(examples / "slidecell_score_csv", tmp_path / "none", csv, status=1)
    assert "no such file" in output
    assert "usage: " in run(examples / "slidecell_simulate", case.model, "--rows", "x", status=2)


def test_package_stdin_example_saves_its_state_when_the_reader_goes_away(
    case: Case, prefixes: dict[str, Path], tmp_path: Path
) -> None:
    program = prefixes["build"] / "csrc" / "examples" / "slidecell_score_stdin"
    state = tmp_path / "state"
    with subprocess.Popen(
        [program, case.model, "--state", state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=CLEAN,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("1,2,3\n")
        process.stdin.flush()
        assert process.stdout.readline() == "\n"
        process.stdout.close()
        process.stdin.write("4,5,6\n")
        process.stdin.close()
        assert process.stderr.read() == "2 rows, 0 bad lines; stdout was closed\n"
        assert process.wait(timeout=60) == 0
    model = sc.SequenceModel.load(case.model)
    assert model.stream(state=state).rows_seen() == 2

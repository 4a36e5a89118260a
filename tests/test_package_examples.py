"""The examples of C++ and C on blank lines, marks of UTF-8, files without a header, bad lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import slidecell as sc
from tests.cmake_case import CLEAN, ROOT, Case, needs_cmake, run

pytestmark = needs_cmake

MARK = "\ufeff"  # of UTF-8, as some programs write it first


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("case"))


PROJECT = """cmake_minimum_required(VERSION 3.20)
project(copied LANGUAGES C CXX)
find_package(slidecell CONFIG REQUIRED)
foreach(source score_csv.cpp score_stdin.cpp score.c)
  add_executable(${source}.out ${EXAMPLES}/${source})
  target_link_libraries(${source}.out PRIVATE slidecell::slidecell)
endforeach()
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples are built, as a copy of theirs would be, with the library of the wheel."""
    project = tmp_path_factory.mktemp("copied")
    (project / "CMakeLists.txt").write_text(PROJECT)
    build = project / "build"
    run(
        *("cmake", "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={sc.get_cmake_dir()}"),
        f"-DEXAMPLES={ROOT / 'csrc' / 'examples'}",
    )
    run("cmake", "--build", build, "-j", "2")
    return build


def answers(scores: np.ndarray) -> list[str]:
    return ["" if np.isnan(score) else f"{score:.9g}" for score in scores]


def split(command: list[object], text: str, status: int = 0) -> tuple[list[str], list[str]]:
    """Return the lines of stdout and of stderr of a command that reads a text."""
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        input=text,
        capture_output=True,
        errors="surrogateescape",
        text=True,
        timeout=60,
        env=CLEAN,
    )
    assert done.returncode == status, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


@pytest.mark.parametrize("header", ["", "a,b,c\r\n"])
def test_examples_a_blank_line_is_a_row_without_a_value(
    header: str, case: Case, examples: Path, tmp_path: Path
) -> None:
    lines = case.lines()
    rows = np.insert(case.rows, 20, np.nan, axis=0)
    want = answers(sc.SequenceModel.load(case.model).score(rows))
    assert want[19] != want[20] == ""
    text = MARK + header + "\n" * (header != "") + "".join([*lines[:20], " \t\r\n", *lines[20:]])

    csv = tmp_path / "rows.csv"
    csv.write_text(text + "\n\n")
    first = 3 if header else 1
    output, _ = split([examples / "score_csv.cpp.out", case.model, csv], "")
    assert output == ["line,score", *(f"{n},{t}" for n, t in enumerate(want, first))]

    output, told = split([examples / "score_stdin.cpp.out", case.model], text)
    assert output == want
    assert told == ["51 rows, 0 bad lines"]

    for mode, end in ([], "\n\n"), (["--live"], ""):
        output, _ = split([examples / "score.c.out", case.model, *mode], text + end)
        assert [line.replace("nan", "") for line in output] == want


def test_examples_a_blank_line_of_an_unknown_entity_is_reported(
    case: Case, examples: Path, tmp_path: Path
) -> None:
    model = sc.SequenceModel.load(case.model)
    lines = [f"{int(i >= 30)},{line}" for i, line in enumerate(case.lines())]
    want = answers(model.score(case.rows, [0, 30, 50]))
    lines.insert(10, "\n")
    csv = tmp_path / "rows.csv"
    csv.write_text("".join(lines))
    output, told = split([examples / "score_csv.cpp.out", case.model, csv, "--entity"], "")
    assert [line.partition(",")[2] for line in output[1:]] == want
    assert [line.partition(",")[0] for line in output[10:13]] == ["10", "12", "13"]
    assert told == [f"{csv}:11: blank, left out"]
    command = [examples / "score_stdin.cpp.out", case.model, "--entities", "2"]
    output, told = split(command, "".join(lines))
    assert output == want
    assert told == ["line 11: blank, left out", "50 rows, 0 bad lines"]


def test_examples_a_file_without_a_header_has_the_columns_in_order(
    case: Case, examples: Path, tmp_path: Path
) -> None:
    """So its first row is a row, and a model's names are not asked for; a named entity is."""
    model = sc.SequenceModel.load(case.model).with_metadata(features=["load", "heat", "flow"])
    path, csv = tmp_path / "named.safetensors", tmp_path / "rows.csv"
    model.save(path)
    want = answers(case.scores)
    for mark in ("", MARK):
        text = mark + "".join(case.lines())
        csv.write_text(text)
        output, _ = split([examples / "score_csv.cpp.out", path, csv], "")
        assert output == ["line,score", *(f"{n},{t}" for n, t in enumerate(want, 1))]
        assert split([examples / "score_stdin.cpp.out", path], text)[0] == want
        output, _ = split([examples / "score.c.out", path], text)
        assert [line.replace("nan", "") for line in output] == want
    command = [examples / "score_csv.cpp.out", path, csv, "--entity", "server"]
    assert split(command, "", 1)[1] == [
        f"{csv}:1: --entity: expected the names of the columns in the first line"
    ]


@pytest.mark.parametrize("bad", ["1,2", "1,x,3", "1,1e400,3", '"1', "\udcff,1,2"])
def test_examples_a_skipped_line_is_a_row_without_a_value(
    bad: str, case: Case, examples: Path
) -> None:
    model = sc.SequenceModel.load(case.model)
    lines = case.lines()
    rows = np.insert(case.rows, 20, np.nan, axis=0)
    want = answers(model.score(rows))
    text = "".join([*lines[:20], bad + "\n", *lines[20:]])
    command: list[object] = [examples / "score_stdin.cpp.out", case.model, "--skip-bad"]
    output, told = split(command, text)
    assert output == want[:20] + want[21:]
    assert told[0].startswith("line 21: ")
    assert told[0].endswith(": skipped")
    assert told[1] == "50 rows, 1 bad lines"
    # It is the row of its own entity alone, where that can be read.
    numbered = [f"{i % 2},{line}" for i, line in enumerate(lines)]
    for entity, hole in (("1", True), ("2", False), ("x", False)):
        mixed = [*numbered[:20], f"{entity},{bad}\n", *numbered[20:]]
        output, told = split([*command, "--entities", "2"], "".join(mixed))
        odd = rows[1:20:2], np.full((int(hole), 3), np.nan), case.rows[21::2]
        for own, series in enumerate((case.rows[::2], np.concatenate(odd))):
            score = model.score(np.float32(series))
            score = np.delete(score, 10) if own and hole else score
            assert output[own::2] == answers(score)
        assert told[-1] == "50 rows, 1 bad lines"
    # Otherwise it ends the program, in C too.
    for program in ("score_stdin.cpp.out", "score.c.out"):
        _, told = split([examples / program, case.model], text, 1)
        assert told[0].startswith("line 21: ")

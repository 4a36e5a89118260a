"""The C++ sources as a part of somebody else's project: add_subdirectory and FetchContent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cmake_case import ROOT, Case, needs_cmake, run

pytestmark = needs_cmake

EMBEDDER = ROOT / "tests" / "consumer" / "embedded"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder that both ways share, so that the library is compiled once."""
    return tmp_path_factory.mktemp("embedder")


@pytest.mark.parametrize("way", ["add_subdirectory", "FetchContent"])
def test_embedding_builds_the_library_and_nothing_else(
    way: str, build: Path, tmp_path: Path
) -> None:
    run(
        *("cmake", "-S", EMBEDDER, "-B", build, f"-DBY={way}", f"-DSLIDECELL={ROOT}"),
        "-DCMAKE_BUILD_TYPE=Debug",  # compiles in a third of the time; scores have the same bits
    )
    run("cmake", "--build", build, "-j", "2")
    case = Case(tmp_path)
    for program in ("consumer_cpp", "consumer_c"):
        assert run(build / program, *case.files) == "ok\n"
    # The embedder has one test and installs one program: slidecell adds none.
    assert "Total Tests: 1\n" in run("ctest", "--test-dir", build, "-N")
    prefix = tmp_path / "prefix"
    run("cmake", "--install", build, "--prefix", prefix)
    files = [path.relative_to(prefix) for path in prefix.rglob("*") if path.is_file()]
    assert files == [Path("bin/consumer_cpp")]


def test_embedding_installs_the_library_where_the_project_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(embedder LANGUAGES CXX)\n"
        f"set(SLIDECELL_INSTALL ON)\nadd_subdirectory({ROOT} slidecell)\n"
    )
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build)
    assert "slidecell-targets" in (build / "slidecell/csrc/cmake_install.cmake").read_text()


def test_embedding_without_openmp_names_the_option(tmp_path: Path) -> None:
    configure = ("cmake", "-S", ROOT, "-B", tmp_path, "-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON")
    output = " ".join(run(*configure, status=1).split())
    assert re.search(r"slidecell: the compiler \S+ has no OpenMP.*-DSLIDECELL_OPENMP=OFF", output)
    run(*configure, "-DSLIDECELL_OPENMP=OFF", "-DSLIDECELL_TESTS=OFF")

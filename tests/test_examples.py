"""Each script of python/examples runs and says what it should."""

from __future__ import annotations

import os
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "python" / "examples"

# What each needs, and what its output must match.
EXAMPLES: dict[str, tuple[tuple[str, ...], str]] = {
    "cpp_from_wheel": ((), r"188 scores from C\+\+, the same as Python's: True"),
    "ensemble_with_events": (
        ("torch", "sklearn"),
        r"\d+ events, (3[0-6]|2\d) of 36[a-z ]* found\n(rows 4\d+ to 4\d+: peak [\d.]+.*\n){3}",
    ),
    "grid_search": (
        ("sklearn",),
        r"best: \{'n_clusters': \d+, 'window': (8|16)\}, ROC-AUC (0\.[89]|1\.0)",
    ),
    "keras_autoencoder": (
        ("keras", "torch"),
        r"at most [1-9]e-0[678] from Keras\nthe highest score is that of row 9[01]\d",
    ),
    "many_entities": (
        ("torch", "pandas"),
        r"3134 of 3344 rows have a score\nPR-AUC [\d.]+, \d\d times a random score's\nusers .*: U",
    ),
    "onnx_file": (("onnx", "torch"), r"at most [1-9]e-0[78] from torch; written again: True"),
    "own_torch_model": (
        ("torch",),
        r"at most [1-9]e-0[78] from torch\nthe highest score is that of row 12\d\d\n.*same: True",
    ),
    "replace_a_drifting_model": (
        ("sklearn", "pandas"),
        r"after 6\d\d rows: watch: heat \(.*\nafter 7\d\d rows: retrain: heat \(level \+4 .*\n"
        r"old: flags 3\d\d of 360 .*\nnew: flags \d of 360 .*\n"
        r"in use: \[-?0.0, 58.0\]\nagain: \[-?0.0, 50.0\]",
    ),
    "stream_with_alarms": (("torch",), r"row 250\d: [\d.]+ > [\d.]+, column 0 has (100|[89]\d)%"),
}


@pytest.fixture(autouse=True)
def threads_of_torch() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


# Of Keras on torch.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, expected = EXAMPLES[name]
    if "keras" in modules and "KERAS_BACKEND" not in os.environ:
        monkeypatch.setenv("KERAS_BACKEND", "torch")
    for module in modules:
        pytest.importorskip(module)
    if name == "cpp_from_wheel" and not all(map(shutil.which, ("cmake", "c++"))):
        pytest.skip("needs cmake and a C++ compiler")
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert re.search(expected, out), out


def test_no_example_is_left_out() -> None:
    of_engines = {"ray_dataset", "spark_frame"}  # the tests of the engines run them
    assert {file.stem for file in FOLDER.glob("*.py")} == set(EXAMPLES) | of_engines

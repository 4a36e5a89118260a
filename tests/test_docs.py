"""The examples of the docstrings and of the README run and say what they print."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import slidecell

README = Path(__file__).parents[1] / "README.md"
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(slidecell.__path__, "slidecell.")
    if not info.name.endswith(("__main__", "._core", ".mlflow_model"))
)
# These import the library that they are for. `.ci/adapters` has it, and runs their examples; also
# those of `mlflow_model`, which cannot be here: MLflow warns of itself when it is imported.
ADAPTERS = {f"slidecell.adapters.{name}_detector": name for name in ("aeon", "pyod", "sktime")}
SPARK = "slidecell.scale.spark"  # `.ci/scale` has it


@pytest.mark.parametrize("name", MODULES)
def test_docs_examples_of_module(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.startswith("slidecell.live.web."):
        for module in ("prometheus_client", "starlette", "uvicorn"):
            pytest.importorskip(module, reason=f"needs {module}: pip install 'slidecell[live]'")
    if name in ADAPTERS:
        pytest.importorskip(ADAPTERS[name], reason=f"needs {ADAPTERS[name]}: see .ci/adapters")
    if name == SPARK:
        pytest.importorskip("pyspark", reason="needs Spark: see .ci/scale")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_docs_modules_were_found() -> None:
    assert {"slidecell.model", "slidecell.windows", "slidecell.training.loop"} <= set(MODULES)


def test_docs_readme_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert samples
    for sample in samples:
        exec(compile(sample, "README.md", "exec"), {})


def test_docs_readme_names_its_two_commands() -> None:
    text = README.read_text()
    for what in ("main job", "test"):
        block = re.search(rf"<!-- command: {what} -->\n```sh\n(.*?)```", text, re.DOTALL)
        assert block, what
        assert len(block[1].splitlines()) == 1
        assert block[1].startswith("python3 -m venv ")

"""Configurations whose training fails: they are named, and the others keep their results."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
from slidecell.detect import architectures, search_architectures
from slidecell.training import fit

X = np.random.default_rng(0).normal(size=(60, 2))
QUICK: dict[str, Any] = {"window": 4, "epochs": 1, "progress": False}


class Deadly(int):
    """A size that ends the process that reads it, as a machine without memory does."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of 5 values, once built for good, want more memory than there is."""
    build = architectures._build

    def refuse(arguments: Any) -> Any:
        import torch

        module = build(arguments)
        if arguments["hidden_size"] == 5 and next(module.parameters()).device.type != "meta":
            raise torch.OutOfMemoryError("cannot allocate\nframe 1\nframe 2")
        return module

    monkeypatch.setattr(architectures, "_build", refuse)


@pytest.mark.usefixtures("no_memory")
def test_too_large_a_network_stays_in_the_table() -> None:
    found = search_architectures({"big": {"hidden_size": 5}, "ok": {"hidden_size": 2}}, X, **QUICK)
    big, ok = found.results
    assert found.best is ok
    assert (big.name, big.failure) == ("big", "OutOfMemoryError: cannot allocate")
    assert (big.parameters, big.epochs) == (4 * 5 * (2 + 5 + 2) + 2 * 6, 0)
    assert np.isnan(big.validation_loss)
    with pytest.raises(
        ValueError, match="training of none converged; 'big': OutOfMemoryError: can"
    ):
        search_architectures({"big": {"hidden_size": 5}}, X, **QUICK)


def test_failures_while_training_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(module: Any, *args: Any, **options: Any) -> Any:
        if module.code_size == 5:
            raise MemoryError
        return fit(module, *args, **options)

    monkeypatch.setattr("slidecell.training.fit", run)
    found = search_architectures({"ok": {"hidden_size": 2}, "big": {"hidden_size": 5}}, X, **QUICK)
    assert [result.failure for result in found.results] == ["", "MemoryError"]


def test_a_process_that_dies_leaves_the_table() -> None:
    """Whatever ended before keeps its result; here nothing did, so that the error names one."""
    configs = {"dies": {"hidden_size": Deadly(3)}, "too": {"hidden_size": Deadly(2)}}
    with pytest.raises(ValueError, match="'dies': a training process ended without an answer"):
        search_architectures(configs, X, n_jobs=2, **QUICK)

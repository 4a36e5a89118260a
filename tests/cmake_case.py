"""What the tests of the C++ library in other projects share: a model with its scores, a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import slidecell as sc
from tests.models import FORECASTERS, random_model

__all__ = ["CLEAN", "ROOT", "Case", "needs_cmake", "run"]

ROOT = Path(__file__).parents[1]

needs_cmake = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("cmake", "c++", "cc")),
    reason="needs cmake and a C++ compiler",
)

# What a process that embeds the library may set for itself, and a test must not inherit.
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("CMAKE_", "PKG_CONFIG"))}


def run(*command: str | Path, status: int = 0, text: str | None = None, **env: str) -> str:
    """Run a command to its expected exit status; returns its output, errors included."""
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        env=CLEAN | env,
    )
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


class Case:
    """A model file, rows and the scores that Python computes for them."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(7)
        scaler = {
            "kind": "standard",
            "center": [0.5, -1.0, 0.0],
            "scale": [2.0, 1.0, 0.1],
            "constant": [],
        }
        model = sc.SequenceModel(*random_model(rng, **FORECASTERS["lstm_horizon3"], scaler=scaler))
        self.rows = rng.normal(0, 1, (50, 3)).astype(np.float32)
        self.rows[30, 1] = np.nan
        self.scores = model.score(self.rows)
        assert 0 < np.isfinite(self.scores).sum() < len(self.scores)
        self.model = folder / "model.safetensors"
        model.save(self.model)
        self.rows.tofile(folder / "rows")
        self.scores.tofile(folder / "scores")
        self.files = (self.model, folder / "rows", folder / "scores")

    def lines(self) -> list[str]:
        texts = [["" if np.isnan(x) else f"{x:.17g}" for x in row] for row in self.rows]
        return [",".join(row) + "\n" for row in texts]

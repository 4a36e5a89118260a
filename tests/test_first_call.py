"""What a first score imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import slidecell as sc
from tests.models import layer, random_model

SCORE = """
import sys
import numpy as np
import slidecell as sc
model = sc.SequenceModel.load(sys.argv[1])
scores = model.score(np.ones((20, 3), np.float32))
assert np.isfinite(scores[5:]).all()
print("numpy.ma" in sys.modules)
"""


def test_a_first_score_of_plain_rows_does_not_import_masked_arrays(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    sc.SequenceModel(*random_model(np.random.default_rng(0), [layer("lstm", 8)])).save(file)
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]

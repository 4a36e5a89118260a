"""Two hundred random models against the truth; `python -m tests.random_models` checks more."""

from __future__ import annotations

import pytest

import slidecell as sc
from tests.random_models import SCORE_BOUND, VALUE_BOUND, check, random_case


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_random_models_equal_the_truth_and_their_own_streams(first: int) -> None:
    """Twenty models: cells, layers, projections, windows, strides, holes, scalers and targets."""
    for seed in range(first, first + 20):
        distances = check(random_case(seed), sc.available_isas())
        assert distances.score <= SCORE_BOUND, f"seed {seed}"
        assert distances.value <= VALUE_BOUND, f"seed {seed}"

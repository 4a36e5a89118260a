"""How an ensemble makes one score of many: normalisers, and the search for weights."""

from __future__ import annotations

from slidecell.detect.fusion.fused import fuse
from slidecell.detect.fusion.normalisers import (
    MinMaxNormaliser,
    Normaliser,
    RobustNormaliser,
    ZNormaliser,
    as_normaliser,
    normaliser_from_state,
)
from slidecell.detect.fusion.rank import RankNormaliser
from slidecell.detect.fusion.search import FoundWeights, grid_weights, search_weights

__all__ = [
    "FoundWeights",
    "MinMaxNormaliser",
    "Normaliser",
    "RankNormaliser",
    "RobustNormaliser",
    "ZNormaliser",
    "as_normaliser",
    "fuse",
    "grid_weights",
    "normaliser_from_state",
    "search_weights",
]

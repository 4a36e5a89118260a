"""Inputs far beyond any scale: gates saturate, as in exact arithmetic, and nothing becomes NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import slidecell as sc

SIZES = [1e10, 1e16, 1e20, 1e36]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_saturated(isa: str, kind: str, size: float, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(3, 8, batch_first=True)
    x = (rng.standard_normal((40, 4, 3)) * size).astype(np.float32)
    ours = getattr(sc, kind).from_torch(layer)
    out = ours.forward(x)[0]
    with torch.no_grad():
        expected = layer.double()(torch.from_numpy(x).double())[0].numpy()
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours.forward(x[:1])[0], out[:1])  # one row at a time
    stepped = ours.step(x[:1, 0], None)
    stepped = stepped[0] if kind == "LSTM" else stepped
    np.testing.assert_array_equal(stepped, out[:1, 0])

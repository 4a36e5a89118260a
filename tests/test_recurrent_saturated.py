"""Inputs far beyond any scale saturate the gates, as in exact arithmetic; any NaN stays NaN."""

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


# An exponential adds 2^n by its bits; what a NaN with a payload has there may be any number.
@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFC00000, 0x7FC00001, 0x7FC00101, 0xFFFFFFFF])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_nan_of_any_payload(
    isa: str, kind: str, bits: int, rng: np.random.Generator
) -> None:
    torch.manual_seed(0)
    ours = getattr(sc, kind).from_torch(getattr(torch.nn, kind)(3, 8, batch_first=True))
    x = rng.standard_normal((40, 4, 3)).astype(np.float32)
    x.view(np.uint32)[7, 1, 2] = bits
    out = ours.forward(x)[0]
    assert np.isnan(out[7, 1:]).all()
    assert np.isfinite(out[7, :1]).all()
    assert np.isfinite(np.delete(out, 7, axis=0)).all()
    assert np.isnan(ours.forward(x[7:8])[0][:, 1:]).all()

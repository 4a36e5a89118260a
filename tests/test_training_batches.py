"""The training loader: the compiled gather against torch's, and the order of an epoch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from slidecell.training.batches import WindowBatches, shuffled  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("targets", [None, (2, 0)])
@pytest.mark.parametrize("horizon", [0, 1, 3])
@pytest.mark.parametrize("columns", [3, 38])
def test_compiled_gather_equals_torchs(columns, horizon, targets) -> None:
    """Series of float64 take torch's way; these hold float32 numbers, so that both agree."""
    rows = torch.from_numpy(np.random.default_rng(0).random((500, columns), dtype=np.float32))
    rows[7, 1], rows[8, 0] = torch.nan, -torch.inf
    options = {"window": 11, "horizon": horizon, "targets": targets if horizon else None}
    starts = torch.randint(0, 500 - 11 - horizon + 1, (301,))
    found = WindowBatches(rows, **options).gather(starts)
    wanted = WindowBatches(rows.double(), **options).gather(starts)
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == torch.float32
        assert want.dtype == torch.float64
        assert got.shape == want.shape
        assert np.array_equal(got.numpy(), want.numpy(), equal_nan=True)
    assert (found[1] is found[0]) == (horizon == 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", [-1, 17])
def test_a_window_that_does_not_fit_is_refused(dtype, start) -> None:
    batches = WindowBatches(torch.zeros(20, 2, dtype=dtype), window=3, horizon=1)
    assert len(batches.gather(torch.tensor([16, 0]))[0]) == 2
    with pytest.raises(IndexError):
        batches.gather(torch.tensor([0, start]))


def test_gather_of_no_starts_and_of_strided_starts() -> None:
    batches = WindowBatches(torch.arange(20.0)[:, None], window=3, horizon=1)
    assert batches.gather(torch.empty(0, dtype=torch.int64))[0].shape == (0, 3, 1)
    x, y = batches.gather(torch.arange(10)[::2])
    assert torch.equal(x[:, 0, 0], torch.arange(0.0, 10, 2))
    assert torch.equal(y[:, 0], torch.arange(3.0, 13, 2))


@pytest.mark.parametrize("n", [0, 1, 2, 100_003])
def test_shuffled_is_torchs_permutation(n) -> None:
    starts = torch.arange(n) * 3 + 1
    found = shuffled(starts, torch.Generator().manual_seed(5))
    assert torch.equal(found, starts[torch.randperm(n, generator=torch.Generator().manual_seed(5))])
    assert torch.equal(found.sort().values, starts)

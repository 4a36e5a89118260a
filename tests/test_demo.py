"""The demo's comparison is with torch's own layers, and both score the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import slidecell as sc
from slidecell.bench.torch_demo import torch_peer
from slidecell.jobs.demo import compare_with_torch, demo_options, write_demo_data
from slidecell.jobs.detect import run_detect
from slidecell.training import Forecaster


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_first", [True, False])
def test_demo_peer_is_of_torch_layers_alone(cell, layers, batch_first):
    torch.manual_seed(0)
    module = Forecaster(3, 8, layers, cell=cell, window=6).eval()
    model = sc.SequenceModel.from_torch(module)
    peer = torch_peer(model, batch_first=batch_first)
    leaves = [part for part in peer.modules() if not list(part.children())]
    parts = [type(part) for part in leaves if not isinstance(part, nn.ModuleList)]
    assert parts == [{"lstm": nn.LSTM, "gru": nn.GRU}[cell], nn.Linear]
    ours = [part for part in peer.modules() if "slidecell.training" in type(part).__module__]
    assert ours == []
    # The trained module would not do: its layers run on this package's kernels.
    assert any("slidecell.training" in type(part).__module__ for part in module.modules())

    series = np.random.default_rng(1).random((40, 3), dtype=np.float32)
    windows, targets = sc.sliding_windows(series, window=6, horizon=1)
    x = torch.from_numpy(windows)
    with torch.inference_mode():
        predicted = peer(x if batch_first else x.transpose(0, 1)).numpy()
    expected = ((predicted - targets[:, 0]) ** 2).mean(axis=1)
    np.testing.assert_allclose(model.score(series)[6:], expected, rtol=1e-6, atol=2e-7)


def test_demo_compares_scores_of_both(tmp_path):
    file = write_demo_data(tmp_path / "demo", users=12, days=60, seed=1)
    options = demo_options(file, tmp_path / "demo", seed=1, num_threads=1)
    threads = torch.get_num_threads()
    found = compare_with_torch(run_detect(options), options)
    assert torch.get_num_threads() == threads
    assert found["torch_layer"] == "torch.nn.LSTM"
    assert found["torch_setting"].startswith("batches of ")
    assert found["threads"] == 1
    assert found["max_difference"] <= 1e-6 * found["max_score"] + 1e-7
    assert min(found["slidecell_seconds"], found["torch_seconds"], found["build_seconds"]) > 0

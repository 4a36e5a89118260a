"""Score with a torch module of your own: compile it, check it, save it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import slidecell as sc


class Net(nn.Module):
    """Two GRUs of different sizes and a head of two layers, as you would write them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.wide = nn.GRU(features, 24, batch_first=True)
        self.narrow = nn.GRU(24, 12, batch_first=True)
        self.head = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, features))

    def forward(self, x: Tensor) -> Tensor:
        """Forecast the row after each window: [N, W, F] -> [N, F]."""
        states, _ = self.narrow(self.wide(x)[0])
        forecast: Tensor = self.head(states[:, -1])
        return forecast


def main() -> None:
    """Train a little, compile, score, and compare with torch."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # batches this small are no work for more
    window = 16
    t = np.arange(1500)[:, None]
    series = np.sin(t / [5.0, 8.0, 13.0]).astype(np.float32)
    series[1200:1210, 1] += 1.0  # what is to be found

    net = Net(3)
    windows, ahead = sc.sliding_windows(series[:600], window=window, horizon=1)
    x, y = torch.from_numpy(windows), torch.from_numpy(ahead)[:, 0]
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()

    model = sc.SequenceModel.from_torch(net.eval(), window=window, horizon=1)
    scores = model.score(series)  # [S], NaN for the first 16 rows

    windows, ahead = sc.sliding_windows(series, window=window, horizon=1)
    with torch.inference_mode():
        own = (net(torch.from_numpy(windows)) - torch.from_numpy(ahead)[:, 0]).square().mean(1)
    worst = np.abs(scores[window:] - own.numpy()).max()
    print(f"{model}: at most {worst:.0e} from torch")
    print(f"the highest score is that of row {np.nanargmax(scores)}")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        model.save(file)  # C++ reads it too
        same = np.array_equal(sc.SequenceModel.load(file).score(series), scores, equal_nan=True)
        print(f"loaded again it scores the same: {same}")


if __name__ == "__main__":
    main()

"""Score with an ONNX file, here one that torch exports, and write one."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import slidecell as sc

WINDOW = 12


class Net(nn.Module):
    """A forecaster: an LSTM and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 16, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast the row after each window: [N, W, F] -> [N, F]."""
        forecast: Tensor = self.head(self.lstm(x)[0][:, -1])
        return forecast


def main() -> None:
    """Export from torch, compile the file, compare, and export again."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # batches this small are no work for more
    net = Net().eval()
    series = np.random.default_rng(0).random((300, 2), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        with warnings.catch_warnings():  # the older exporter needs no other package, but warns
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                (torch.zeros(1, WINDOW, 2),),
                str(file),
                dynamo=False,
                input_names=["x"],
                dynamic_axes={"x": {0: "n"}},
            )
        model = sc.SequenceModel.from_onnx(file, horizon=1)
        model.to_onnx(Path(folder) / "scores.onnx")  # for any runtime that reads ONNX
        again = (Path(folder) / "scores.onnx").stat().st_size
    scores = model.score(series)

    windows, ahead = sc.sliding_windows(series, window=WINDOW, horizon=1)
    with torch.inference_mode():
        own = (net(torch.from_numpy(windows)) - torch.from_numpy(ahead)[:, 0]).square().mean(1)
    worst = np.abs(scores[WINDOW:] - own.numpy()).max()
    print(f"{model}: at most {worst:.0e} from torch; written again: {again > 0}")


if __name__ == "__main__":
    main()

"""Peers that run by carried states, unchecked: the same blocks and chains as ``windows="carried"``.

Each takes batches of chains, time-major: [W + B, C, F], and scores with the predictions after each
of the last B rows. What a peer prepares is not counted: the module, and the chains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell.bench.peers_torch import Network
from slidecell.model import SequenceModel

__all__ = ["CarriedNetwork", "block_rows", "chains", "openvino_runs", "torch_runs"]

Floats = npt.NDArray[np.float32]
Run = Callable[[], Floats]


def block_rows(window: int) -> int:
    """Return the least prime that is at least four windows.

    Examples
    --------
    >>> from benchmarks.carried_peers import block_rows
    >>> block_rows(1), block_rows(50)
    (5, 211)
    """
    rows = max(2, 4 * window)
    while any(rows % divisor == 0 for divisor in range(2, int(rows**0.5) + 1)):
        rows += 1
    return rows


def chains(series: Floats, window: int) -> Floats:
    """Return the chains [C, W + B, F] of one entity's series [S, F], without those at its ends.

    The last row of a chain is a target alone. The first block's chain begins at the first row and
    the last block's ends early: two of thousands, which would need shapes of their own.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmarks.carried_peers import chains
    >>> chains(np.arange(20, dtype=np.float32)[:, None], 1)[:, :, 0].tolist()
    [[4.0, 5.0, 6.0, 7.0, 8.0, 9.0], [9.0, 10.0, 11.0, 12.0, 13.0, 14.0], \
[14.0, 15.0, 16.0, 17.0, 18.0, 19.0]]
    """
    rows = block_rows(window)
    starts = np.arange(rows - window, len(series) - window - rows + 1, rows)
    return series[starts[:, None] + np.arange(window + rows)]


class CarriedNetwork(nn.Module):
    """A forecaster of one row: chains [W + B, C, F] -> the errors of their windows [B, C]."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.network, self.window = Network(model, batch_first=False), model.window

    def forward(self, x: Tensor) -> Tensor:
        """Score the windows whose targets are the last B rows."""
        states = x[:-1]
        for layer in self.network.encoder:
            states, _ = layer(states)
        predicted = self.network.head(states[self.window - 1 :])
        errors: Tensor = (predicted - x[self.window :]).square().mean(2)
        return errors


def torch_runs(
    model: SequenceModel, rows: Floats, threads: int, *, size: int, bf16: bool = False
) -> Run:
    """Return what scores the chains with torch's layers in inference mode, `size` at a time."""
    module = CarriedNetwork(model).eval()
    parts = [torch.from_numpy(part) for part in _time_major(rows, size)]

    def run() -> Floats:
        torch.set_num_threads(threads)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return np.concatenate([module(part).float().numpy().T for part in parts])

    return run


def _time_major(rows: Floats, size: int) -> list[Floats]:
    return [
        np.ascontiguousarray(rows[at : at + size].transpose(1, 0, 2))
        for at in range(0, len(rows), size)
    ]


def openvino_runs(model: SequenceModel, rows: Floats, threads: int, *, size: int) -> Run:
    """Return what scores the chains with OpenVINO, compiled for `size` at a time."""
    import openvino

    padding = np.zeros((-len(rows) % size, *rows.shape[1:]), np.float32)
    parts = _time_major(np.concatenate([rows, padding]), size)
    example = torch.from_numpy(parts[0][:, :2])
    read = openvino.convert_model(CarriedNetwork(model).eval(), example_input=example)
    read.reshape(list(parts[0].shape))
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    request = openvino.Core().compile_model(read, "CPU", settings).create_infer_request()
    tensors = [openvino.Tensor(part, shared_memory=True) for part in parts]

    def run() -> Floats:
        found = []
        for tensor in tensors:
            request.infer([tensor], share_inputs=True)
            found.append(request.get_output_tensor(0).data.T.copy())
        return np.concatenate(found)[: len(rows)]

    return run

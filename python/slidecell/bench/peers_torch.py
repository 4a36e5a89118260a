"""torch's ways to score: its own layers in inference mode."""

from __future__ import annotations

import os
import warnings
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slidecell.bench import batches
from slidecell.bench.contestants import Ways
from slidecell.bench.layers import layers_of
from slidecell.bench.workloads import Floats, ScoreWorkload
from slidecell.model import SequenceModel
from slidecell.recurrent import TORCH_NAMES

__all__ = [
    "Network",
    "end_to_end",
    "has_bf16",
    "has_int8",
    "quantised",
    "score",
    "squared_errors",
    "strided_windows",
]


class Network(nn.Module):
    """The network of a compiled model, of torch's own layers: x [N, W, F] -> [N, K*F] or [N, W, F].

    Time-major it takes [W, N, F], which saves torch a transposition, and reconstructs such.
    """

    def __init__(self, model: SequenceModel, *, batch_first: bool = True) -> None:
        super().__init__()
        self.batch_first, self.window = batch_first, model.window
        parts = layers_of(model)
        self.encoder, self.decoder = (
            nn.ModuleList(_stacks(part, batch_first=batch_first)) for part in parts
        )
        head = model.tensors["head.weight"]
        self.head = nn.Linear(head.shape[1], head.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head))
            self.head.bias.copy_(torch.from_numpy(model.tensors["head.bias"]))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Predict what follows each window, or the window itself."""
        time = 1 if self.batch_first else 0
        for layer in self.encoder:
            x, _ = layer(x)
        x = x.select(time, -1)
        if self.decoder:
            x = x.unsqueeze(time)
            x = x.expand(*(self.window if axis == time else -1 for axis in range(3)))
            for layer in self.decoder:
                x, _ = layer(x)
        answer: Tensor = self.head(x)
        return answer


def _stacks(layers: list[Any], *, batch_first: bool) -> list[nn.Module]:
    """Layers of equal size as one module, as users write them."""
    stacks: list[nn.Module] = []
    at = 0
    while at < len(layers):
        first, count = layers[at], 1
        while at + count < len(layers) and layers[at + count].hidden_size == first.hidden_size:
            count += 1
        kind = getattr(nn, TORCH_NAMES[first.cell][0])
        stack = kind(first.input_size, first.hidden_size, count, batch_first=batch_first)
        state = {
            f"{name}_l{number}": torch.from_numpy(getattr(layers[at + number], name))
            for number in range(count)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        stack.load_state_dict(state)
        stacks.append(stack)
        at += count
    return stacks


def squared_errors(prediction: Tensor, truth: Tensor, window_axis: int = 0) -> Tensor:
    """Mean squared error of each window: [N, ...] or [W, N, F] twice -> [N]."""
    square = (prediction - truth).square()
    return square.mean([axis for axis in range(square.ndim) if axis != window_axis])


def has_int8(workload: ScoreWorkload) -> bool:
    """Return whether torch quantises such layers dynamically, which later versions may not."""
    gated = all(layer["cell"] in ("lstm", "gru") for layer in workload.model.metadata["encoder"])
    return gated and hasattr(torch.ao.quantization, "quantize_dynamic")


def quantised(module: nn.Module) -> nn.Module:
    """Return the module with 8-bit weights, by torch's own dynamic quantisation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what becomes of it in later versions
        found: nn.Module = torch.ao.quantization.quantize_dynamic(
            module, {nn.LSTM, nn.GRU, nn.Linear}, dtype=torch.qint8
        )
    return found


def score(workload: ScoreWorkload, threads: int, *, bf16: bool = False, int8: bool = False) -> Ways:
    """Batches of windows, batch-first or time-major; one after the other or one per thread.

    With `bf16` under autocast, with `int8` dynamically quantised. Prepared: the modules, all
    windows and targets, each batch contiguous in its layout.
    """

    @cache  # within the first call, which is not counted
    def network(time_major: bool) -> nn.Module:
        module = Network(workload.model, batch_first=not time_major)
        return quantised(module) if int8 else module

    @cache
    def prepared(size: int, time_major: bool) -> list[tuple[Tensor, Tensor]]:
        found = []
        for batch in batches.batches_of(workload, size, time_major=time_major):
            x = torch.from_numpy(batch.x)
            found.append((x, x if batch.y is None else torch.from_numpy(batch.y)))
        return found

    def run(size: int, time_major: bool, requests: int) -> Floats:
        torch.set_num_threads(threads // requests)
        module = network(time_major)
        window_axis = 1 if time_major and not workload.horizon else 0

        def scored(batch: tuple[Tensor, Tensor]) -> Floats:
            if requests > 1:  # OpenMP's number is each thread's own
                torch.set_num_threads(1)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                predicted = module(batch[0]).float()
                return squared_errors(predicted, batch[1], window_axis).numpy()

        parts = batches.each(scored, prepared(size, time_major), requests)
        return np.concatenate(list(parts))

    return {
        f"batch {size}{', time-major' if time_major else ''}"
        f"{f', {requests} at a time' if requests > 1 else ''}": partial(
            run, size, time_major, requests
        )
        for requests in sorted({1, threads}, reverse=True)
        for size in workload.batches
        for time_major in (True, False)
    }


def has_bf16(_job: ScoreWorkload) -> bool:
    """Return whether oneDNN has layers in bf16 here: else they fail, or take far longer.

    torch asks the processor, and so does not see a limit that was set for oneDNN.
    """
    limited = "ONEDNN_MAX_CPU_ISA" in os.environ
    return not limited and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def end_to_end(workload: ScoreWorkload, threads: int) -> Ways:
    """Do it from the series: gather each batch from a strided view.

    Prepared: the module, and the columns that it predicts.
    """
    module = Network(workload.model)
    predicted = np.ascontiguousarray(workload.series[:, workload.targets])

    def run(size: int) -> Floats:
        torch.set_num_threads(threads)
        series = torch.from_numpy(workload.series)
        starts = torch.from_numpy(workload.starts)
        inputs = strided_windows(series, workload.window)
        ahead = strided_windows(torch.from_numpy(predicted), max(1, workload.horizon))
        with torch.inference_mode():
            parts = []
            for chosen in torch.split(starts, size):
                x = inputs.index_select(0, chosen)
                y = (
                    ahead.index_select(0, chosen + workload.window).flatten(1)
                    if workload.horizon
                    else x
                )
                parts.append(squared_errors(module(x), y))
            return torch.cat(parts).numpy()

    return {f"batch {size}": partial(run, size) for size in workload.batches}


def strided_windows(series: Tensor, length: int) -> Tensor:
    """`series` [S, F] -> view [S - length + 1, length, F]."""
    S, F = series.shape
    return series.as_strided((S - length + 1, length, F), (F, F, 1))

"""Who computes the workloads beside scores. A new peer is one function and one entry of `PEERS`.

What a peer is: `slidecell.bench.contestants`. Those of the scores are `slidecell.bench.peers`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

import slidecell as sc
from benchmarks.carried_workloads import carried_contestants, flag_contestants
from benchmarks.networks import LastHidden, cell_of
from benchmarks.workloads import (
    Floats,
    GatherWorkload,
    Gradients,
    Ints,
    StepWorkload,
    TrainWorkload,
    WindowsWorkload,
)
from slidecell import training
from slidecell.bench.contestants import OURS, Peer, Run, Ways
from slidecell.bench.peers import score_peers
from slidecell.bench.peers_torch import strided_windows

# step: h [1, H] after the last step of a StepWorkload


def slidecell_step(workload: StepWorkload, threads: int) -> Ways:
    """`LSTM.step` or `GRU.step` in a Python loop. Prepared: the rows as arrays [1, I]."""
    rows = [row[None] for row in workload.rows]
    lstm = isinstance(workload.cell, nn.LSTMCell)
    cell = (sc.LSTM if lstm else sc.GRU).from_torch(workload.cell)

    def run() -> Floats:
        state = None
        for row in rows:
            state = cell.step(row, state)
        return state[0] if lstm else state

    return {"": run}


def torch_step(workload: StepWorkload, threads: int) -> Ways:
    """`LSTMCell` or `GRUCell`, or `nn.LSTM` or `nn.GRU` with T=1. Prepared: the rows as tensors."""
    rows = [row[None] for row in torch.from_numpy(workload.rows)]
    name = type(workload.cell).__name__.removesuffix("Cell")
    layer = getattr(nn, name)(workload.cell.input_size, workload.cell.hidden_size)
    layer.load_state_dict({f"{k}_l0": v for k, v in workload.cell.state_dict().items()})

    def run_cell() -> Floats:
        torch.set_num_threads(threads)
        state = None
        with torch.inference_mode():
            for row in rows:
                state = workload.cell(row, state)
        return (state[0] if name == "LSTM" else state).numpy()

    def run_layer() -> Floats:
        torch.set_num_threads(threads)
        state, out = None, None
        with torch.inference_mode():
            for row in rows:
                out, state = layer(row, state)
        return out.numpy()

    return {f"{name}Cell": run_cell, f"nn.{name}, T=1": run_layer}


# windows: x [N, W, F] and y [N, K, F] of a WindowsWorkload


def slidecell_windows(workload: WindowsWorkload, threads: int) -> Ways:
    """`sliding_windows`. Prepared: the arrays, where the workload is to fill the caller's."""
    out = workload.buffers() if workload.into_out else None
    return {
        "": lambda: sc.sliding_windows(
            workload.series,
            window=workload.window,
            horizon=workload.horizon,
            offsets=workload.offsets,
            out=out,
            num_threads=threads,
        )
    }


def numpy_windows(workload: WindowsWorkload, threads: int) -> Ways:
    """`sliding_window_view` of the series, and a copy of each entity's slice of it, on one thread.

    Two views: of the rows, as numpy documents it, and of the flat series, whose windows are
    contiguous runs of W*F numbers. Prepared: the arrays, where it fills the caller's.
    """
    buffers = workload.buffers() if workload.into_out else None
    W, K = workload.window, workload.horizon

    def run(view: Callable[[Floats, int], Floats]) -> tuple[Floats, Floats]:
        inputs, ahead = view(workload.series, W), view(workload.series, K)
        # A view over the whole series once: making one per entity costs more than the copies.
        bounds = [(a, b - W - K + 1) for a, b in pairwise(workload.offsets.tolist())]
        spans = [(a, end) for a, end in bounds if end > a]
        if buffers is None:
            x = np.concatenate([inputs[a:end] for a, end in spans])
            return x, np.concatenate([ahead[a + W : end + W] for a, end in spans])
        at = 0
        for a, end in spans:
            to = at + end - a
            buffers[0][at:to] = inputs[a:end]
            buffers[1][at:to] = ahead[a + W : end + W]
            at = to
        return buffers

    return {"view of rows": partial(run, view_of_rows), "flat view": partial(run, flat_view)}


def view_of_rows(series: Floats, length: int) -> Floats:
    """`series` [S, F] -> view [S - length + 1, length, F]."""
    return sliding_window_view(series, length, axis=0).transpose(0, 2, 1)


def flat_view(series: Floats, length: int) -> Floats:
    """`series` [S, F] -> the same view, over the contiguous series [S*F]."""
    S, F = series.shape
    view = sliding_window_view(series.reshape(-1), length * F)[::F]
    return view.reshape(S - length + 1, length, F)


def loop_windows(workload: WindowsWorkload, threads: int) -> Ways:
    """Slices collected in lists by a Python loop, then `np.array`, as in many a tutorial."""

    def run() -> tuple[Floats, Floats]:
        x, y = [], []
        for a, b in pairwise(workload.offsets.tolist()):
            for at in range(a, b - workload.window - workload.horizon + 1):
                x.append(workload.series[at : at + workload.window])
                y.append(
                    workload.series[at + workload.window : at + workload.window + workload.horizon]
                )
        return np.array(x), np.array(y)

    return {"": run}


# gather: x [n, W, F] and y [n, K, F] of the last batch of a GatherWorkload


def slidecell_gather(workload: GatherWorkload, threads: int) -> Ways:
    """`WindowPlan.gather` into reused buffers. Prepared: the plan and the buffers."""
    plan = sc.WindowPlan(workload.offsets, window=workload.window, horizon=workload.horizon)
    out = workload.buffers()

    def run() -> Any:
        for chosen in workload.batches:
            plan.gather(workload.series, chosen, out=out, num_threads=threads)
        return out

    return {"": run}


def numpy_gather(workload: GatherWorkload, threads: int) -> Ways:
    """Fancy indexing: of the series by rows, or of a strided view. Prepared: the starts."""
    views = [flat_view(workload.series, length) for length in (workload.window, workload.horizon)]

    def by_view(starts: Ints) -> tuple[Floats, Floats]:
        return views[0][starts], views[1][starts + workload.window]

    def run(gather: Callable[[Ints], tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        for chosen in workload.batches:
            answer = gather(workload.starts[chosen])
        return answer

    return {"rows": partial(run, workload.gathered), "view": partial(run, by_view)}


def torch_gather(workload: GatherWorkload, threads: int) -> Ways:
    """`index_select` on a strided view. Prepared: the starts, the views and the buffers."""
    starts, series = torch.from_numpy(workload.starts), torch.from_numpy(workload.series)
    batches = [torch.from_numpy(chosen) for chosen in workload.batches]
    inputs, ahead = (
        strided_windows(series, workload.window),
        strided_windows(series, workload.horizon),
    )
    x, y = (torch.from_numpy(buffer) for buffer in workload.buffers())

    def run() -> tuple[Tensor, Tensor]:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for chosen in batches:
                at = starts[chosen]
                torch.index_select(inputs, 0, at, out=x)
                torch.index_select(ahead, 0, at + workload.window, out=y)
        return x, y

    return {"": run}


def loop_gather(workload: GatherWorkload, threads: int) -> Ways:
    """Collect a slice per window in a Python loop, then `np.array`. Prepared: the starts."""

    def run() -> tuple[Floats, Floats]:
        for chosen in workload.batches:
            starts = workload.starts[chosen].tolist()
            x = np.array([workload.series[at : at + workload.window] for at in starts])
            ends = [at + workload.window for at in starts]
            y = np.array([workload.series[at : at + workload.horizon] for at in ends])
        return x, y

    return {"": run}


# train: the gradients of a TrainWorkload's first step, scaled


def slidecell_train(workload: TrainWorkload, threads: int) -> Ways:
    """`Forecaster`. Prepared: the module and the optimizer."""
    layer = workload.module.recurrent
    module = training.Forecaster(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        cell=cell_of(layer),
        window=workload.x.shape[1],
    )
    with torch.no_grad():
        for mine, right in zip(module.parameters(), workload.module.parameters(), strict=True):
            mine.copy_(right)
    return {"": step_of(workload, module, workload.x, threads, as_fit=True)}


def slidecell_layer_train(workload: TrainWorkload, threads: int) -> Ways:
    """Run the user's own module with `training.LSTM` or `training.GRU` in it. Prepared: that."""
    module, layer = copy.deepcopy(workload.module), workload.module.recurrent
    kind = training.LSTM if isinstance(layer, nn.LSTM) else training.GRU
    module.recurrent = kind(layer.input_size, layer.hidden_size, layer.num_layers, batch_first=True)
    module.recurrent.load_state_dict(layer.state_dict())
    own = copy.deepcopy(module)
    return {
        "torch_threads(N)": step_of(workload, module, workload.x, threads),
        "torch_threads(1, kernels=N)": step_of(workload, own, workload.x, threads, as_fit=True),
    }


def torch_train(workload: TrainWorkload, threads: int) -> Ways:
    """Run the module with torch's layer, read either way. Prepared: x in its layout."""
    hidden = LastHidden(copy.deepcopy(workload.module.recurrent))
    hidden.load_state_dict(workload.module.state_dict())
    time_major = workload.x.transpose(0, 1).contiguous()
    return {
        "out[:, -1]": step_of(workload, copy.deepcopy(workload.module), workload.x, threads),
        "out[-1], time-major": step_of(workload, workload.module.time_major(), time_major, threads),
        "h_n": step_of(workload, hidden, workload.x, threads),
    }


def step_of(
    workload: TrainWorkload, module: nn.Module, x: Tensor, threads: int, *, as_fit: bool = False
) -> Run:
    """Return one step of training `module` with Adam; compiled layers may have all threads."""
    optimizer = torch.optim.Adam(module.parameters(), fused=True)

    def run() -> Gradients:
        with training.torch_threads(1 if as_fit else threads, kernels=threads):
            optimizer.zero_grad()
            nn.functional.mse_loss(module(x), workload.y).backward()
            optimizer.step()
        return answer

    answer = Gradients(workload, list(module.parameters()))
    return run


# By kind of workload; ours is the first of each, and every other one's ratio is to it.
PEERS: dict[str, dict[str, Peer]] = {
    "score": score_peers(),
    "carried": carried_contestants(),
    "flags": flag_contestants(),
    "step": {OURS: Peer(slidecell_step), "torch": Peer(torch_step)},
    "windows": {
        OURS: Peer(slidecell_windows),
        "numpy": Peer(numpy_windows),
        "Python loop": Peer(loop_windows),
    },
    "windows into out": {OURS: Peer(slidecell_windows), "numpy": Peer(numpy_windows)},
    "gather": {
        OURS: Peer(slidecell_gather),
        "numpy": Peer(numpy_gather),
        "torch": Peer(torch_gather),
        "Python loop": Peer(loop_gather),
    },
    "train": {
        OURS: Peer(slidecell_train),
        "slidecell's layer": Peer(slidecell_layer_train),
        "torch": Peer(torch_train),
    },
}

"""``python -m benchmarks.loader``: a shuffled epoch of windows, beside a step of training on them.

Every loader gives batches of 2,048 random windows (W=7, seven features, one day ahead) of 4,000
users, inputs and targets as torch tensors, in a new order each epoch. Loaders run in turn, round
by round, a share of an epoch each, the start of the epoch included in proportion; the steps of
`Forecaster` run between them. Loaders that begin with all windows in memory do not count the time
to build them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, TensorDataset

import slidecell as sc
from benchmarks.cases import random_series
from slidecell.bench.measure import no_garbage_collection
from slidecell.training import Forecaster
from slidecell.training.batches import WindowBatches, shuffled
from slidecell.training.objective import make_loss, make_optimizer
from slidecell.training.trainer import Step

WINDOW, FEATURES, BATCH = 7, 7, 2048
SIZES = (16, 64)  # of the LSTM
OURS = "slidecell.training"

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Data:
    """A series [S, F], and where its windows begin."""

    series: Tensor
    plan: sc.WindowPlan

    @classmethod
    def of(cls, windows: int) -> Data:
        """Make about as many windows, of users with a year of days each."""
        rows = 280
        users = max(1, windows // (rows - WINDOW))
        series, offsets = random_series(users, rows, FEATURES, users * rows)
        return cls(torch.from_numpy(series), sc.WindowPlan(offsets, window=WINDOW))


Loader = Callable[[Data], Callable[[], Iterator[Batch]]]  # prepares, and begins an epoch


def slidecell_loader(data: Data) -> Callable[[], Iterator[Batch]]:
    """Do as `slidecell.training.fit`: windows from the series by index."""
    batches = WindowBatches(data.series, window=WINDOW, horizon=1)
    starts = torch.from_numpy(data.plan.starts())
    order = torch.Generator().manual_seed(0)

    def epoch() -> Iterator[Batch]:
        for part in torch.split(shuffled(starts, order), BATCH):
            yield batches.gather(part)

    return epoch


def torch_loader(data: Data) -> Callable[[], Iterator[Batch]]:
    """Do the same by torch: randperm, and index_select on strided views."""
    rows = len(data.series)
    shape = (FEATURES, FEATURES, 1)
    inputs = data.series.as_strided((rows - WINDOW + 1, WINDOW, FEATURES), shape)
    starts = torch.from_numpy(data.plan.starts())

    def epoch() -> Iterator[Batch]:
        for part in torch.split(starts[torch.randperm(len(starts))], BATCH):
            yield inputs.index_select(0, part), data.series.index_select(0, part + WINDOW)

    return epoch


class Gathered(Dataset[Batch]):
    """A map-style dataset whose keys are batches of window indices."""

    def __init__(self, data: Data) -> None:
        self._series, self._plan = data.series.numpy(), data.plan

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, indices: list[int]) -> Batch:
        x, y = self._plan.gather(self._series, np.array(indices))
        return torch.from_numpy(x), torch.from_numpy(y)[:, 0]


def gathered_loader(data: Data) -> Callable[[], Iterator[Batch]]:
    """Let `DataLoader` draw batches of indices, and gather each by `WindowPlan.gather`."""
    dataset = Gathered(data)
    sampler = BatchSampler(RandomSampler(range(len(dataset))), BATCH, drop_last=False)
    loader = DataLoader(dataset, batch_size=None, sampler=sampler)
    return lambda: iter(loader)


def windows_in_memory(data: Data) -> TensorDataset:
    """Build all windows and targets."""
    x, y = sc.sliding_windows(data.series.numpy(), window=WINDOW, offsets=data.plan.offsets)
    return TensorDataset(torch.from_numpy(x), torch.from_numpy(y[:, 0]))


def item_loader(data: Data) -> Callable[[], Iterator[Batch]]:
    """`DataLoader(TensorDataset(X, y))`, an item at a time, as most examples have it."""
    loader = DataLoader(windows_in_memory(data), batch_size=BATCH, shuffle=True)

    def epoch() -> Iterator[Batch]:
        yield from loader

    return epoch


LOADERS: dict[str, Loader] = {
    OURS: slidecell_loader,
    "torch, index_select": torch_loader,
    "DataLoader, our gather": gathered_loader,
    "DataLoader(TensorDataset)": item_loader,
}


def load(begin: Callable[[], Iterator[Batch]], share: float, batches: int) -> float:
    """Seconds per batch over a `share` of an epoch of `batches`; its start counts by that share."""
    started = perf_counter()
    epoch = iter(begin())
    next(epoch)
    first = perf_counter() - started
    count = max(1, round(share * batches) - 1)
    started = perf_counter()
    for _ in range(count):
        next(epoch)
    each = (perf_counter() - started) / count
    return max(0.0, first - each) / batches + each


def stepper(size: int) -> Step:
    """Return a step of training of a `Forecaster`."""
    torch.manual_seed(0)
    module = Forecaster(FEATURES, size, window=WINDOW)
    update = make_optimizer("adam", list(module.parameters()), 1e-3)
    return Step(module, make_loss("mse"), update, None)


def check(data: Data) -> None:
    """Raise if an epoch of ours is not every window once, in the generator's order."""
    found = [torch.cat(parts) for parts in zip(*slidecell_loader(data)(), strict=True)]
    order = torch.randperm(len(data.plan), generator=torch.Generator().manual_seed(0))
    for got, want in zip(found, windows_in_memory(data).tensors, strict=True):
        if not torch.equal(got, want[order]):
            raise AssertionError("the windows of an epoch are not those of the series")


def measure(windows: int, threads: int, repeats: int) -> dict[str, list[float]]:
    """Seconds per batch of each loader and per step of each size, `repeats` samples each."""
    torch.set_num_threads(threads)
    data = Data.of(windows)
    check(data)
    batches = max(3, len(data.plan) // BATCH)
    epochs = {name: loader(data) for name, loader in LOADERS.items()}
    steps = {f"LSTM {size}": stepper(size) for size in SIZES}
    x, y = next(epochs[OURS]())
    for step in steps.values():
        step.update(x, y)
    seconds: dict[str, list[float]] = {name: [] for name in [*epochs, *steps]}
    with no_garbage_collection():
        for _ in range(repeats):
            for name, begin in epochs.items():
                share = 0.02 if begin is epochs["DataLoader(TensorDataset)"] else 0.5
                seconds[name].append(load(begin, share, batches))
            for name, step in steps.items():
                started = perf_counter()
                for _ in range(10):
                    step.update(x, y)
                seconds[name].append((perf_counter() - started) / 10)
    return seconds


def table(seconds: dict[str, list[float]]) -> str:
    """Rates, and each loader's share of loading and stepping."""
    steps = [f"LSTM {size}" for size in SIZES]
    head = ["loader", "us/batch", "lowest - highest", "windows/s"]
    lines = [head + [f"share, {step}" for step in steps]]
    for name in LOADERS:
        times = seconds[name]
        each = median(times)
        row = [name, f"{each * 1e6:.0f}", f"{min(times) * 1e6:.0f} - {max(times) * 1e6:.0f}"]
        row.append(f"{BATCH / each / 1e6:.2f}M")
        for step in steps:
            shares = [a / (a + b) for a, b in zip(times, seconds[step], strict=True)]
            row.append(f"{100 * median(shares):.1f} %")
        lines.append(row)
    found = ["| " + " | ".join(line) + " |" for line in lines]
    found.insert(1, "|" + " --- |" * len(head + steps))
    found += [f"a step of {step}: {median(seconds[step]) * 1e6:.0f} us" for step in steps]
    return "\n".join(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader", description=__doc__)
    parser.add_argument("--windows", type=int, default=1_100_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    options = parser.parse_args(arguments)
    before = torch.get_num_threads()
    try:
        seconds = measure(options.windows, options.threads, options.repeats)
    finally:
        torch.set_num_threads(before)
    print(table(seconds))
    if options.json:
        about = {"windows": options.windows, "threads": options.threads, "batch": BATCH}
        options.json.write_text(json.dumps({**about, "seconds": seconds}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

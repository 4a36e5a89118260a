"""Loading: a shuffled epoch of windows, beside a step of training on them.

Every loader gives batches of 2,048 random windows (W=7, seven features, one day ahead) of 4,000
users, inputs and targets as torch tensors, in a new order each epoch. Loaders run in turn, round
by round, a share of an epoch each, the start of the epoch included in proportion; the steps of
`Forecaster` run between them. Loaders that begin with all windows in memory do not count the time
to build them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

import slidecell as sc
from benchmarks.notebook import ways
from benchmarks.notebook.ways import BATCH_SIZE as BATCH
from benchmarks.notebook.ways import WINDOW
from slidecell.bench.cases import FEATURES, random_series
from slidecell.bench.report import markdown, short_number
from slidecell.bench.timer import Sample, clock, take_turns
from slidecell.bench.workloads import Floats
from slidecell.training import Forecaster, torch_threads
from slidecell.training.batches import WindowBatches, shuffled
from slidecell.training.objective import make_loss, make_optimizer
from slidecell.training.trainer import Step

SIZES = (16, 64)  # of the LSTM
OURS = "slidecell.training"
ITEMS = "DataLoader(TensorDataset)"
SHARE = 0.5  # of an epoch, that a sample takes
ITEMS_SHARE = 0.02  # of the loader that is fifty times slower

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
    """Do as `slidecell.training.fit` does: take windows from the series by index."""
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


def windows_in_memory(data: Data) -> tuple[Floats, Floats]:
    """Build all windows and targets, as the notebook does."""
    return ways.windows_by_offsets(data.series.numpy(), data.plan.offsets)


def item_loader(data: Data) -> Callable[[], Iterator[Batch]]:
    """Serve all windows an item at a time by `DataLoader(TensorDataset)`: the notebook's way."""
    loader = ways.loader(*windows_in_memory(data), shuffle=True)
    return lambda: iter(loader)


LOADERS: dict[str, Loader] = {
    OURS: slidecell_loader,
    "torch, index_select": torch_loader,
    "DataLoader, our gather": gathered_loader,
    ITEMS: item_loader,
}


def load(begin: Callable[[], Iterator[Batch]], share: float, batches: int) -> Sample:
    """Return the time per batch over a `share` of an epoch; its start counts by that share."""
    epoch: Iterator[Batch] = iter(())

    def start() -> None:
        nonlocal epoch
        epoch = iter(begin())
        next(epoch)

    first = clock(start)
    each = clock(lambda: next(epoch), max(1, round(share * batches) - 1))
    return Sample(*(max(0.0, a - b) / batches + b for a, b in zip(first, each, strict=True)))


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
    for got, want in zip(found, windows_in_memory(data), strict=True):
        if not torch.equal(got, torch.from_numpy(want)[order]):
            raise AssertionError("the windows of an epoch are not those of the series")


def measure_loaders(windows: int, threads: int, repeats: int) -> dict[str, list[float]]:
    """Return seconds per batch of each loader and per step of each size, `repeats` samples each."""
    with torch_threads(threads):
        data = Data.of(windows)
        check(data)
        batches = max(3, len(data.plan) // BATCH)
        epochs = {name: loader(data) for name, loader in LOADERS.items()}
        x, y = next(epochs[OURS]())
        samplers: dict[str, Callable[[], Sample]] = {}
        for name, begin in epochs.items():
            share = ITEMS_SHARE if name == ITEMS else SHARE
            samplers[name] = partial(load, begin, share, batches)
        for size in SIZES:
            update = partial(stepper(size).update, x, y)
            update()
            samplers[step_name(size)] = partial(clock, update, 10)
        found = take_turns(samplers, repeats=repeats)
    return {name: timed.seconds for name, timed in found.items()}


def step_name(size: int) -> str:
    """Return what the step of an LSTM is called."""
    return f"LSTM {size}"


def loaders_table(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return rates, and each loader's share of loading and stepping."""
    steps = [name for name in seconds if name not in LOADERS]
    head = ["loader", "us/batch", "lowest - highest", "windows/s"]
    lines = [head + [f"share, {step}" for step in steps]]
    for name in LOADERS:
        times = seconds[name]
        each = median(times)
        row = [name, f"{each * 1e6:.0f}", f"{min(times) * 1e6:.0f} - {max(times) * 1e6:.0f}"]
        row.append(short_number(BATCH / each))
        for step in steps:
            shares = [a / (a + b) for a, b in zip(times, seconds[step], strict=True)]
            row.append(f"{100 * median(shares):.1f} %")
        lines.append(row)
    found = [f"a step of {step}: {median(seconds[step]) * 1e6:.0f} us" for step in steps]
    return "\n".join([markdown(lines), "", *found])

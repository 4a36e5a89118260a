"""Rows a second of Parquet files scored by one process, and by one and two workers of Ray.

All of them read the same files and write theirs: one process with one thread by
`slidecell.scale.score_parquet`, Ray by `slidecell.scale.ray.score_dataset`, whose actors have one
CPU and one thread each, beside one CPU for the tasks that read and write. They take turns, and the
scores are compared bit for bit. What Ray takes to start is printed apart: the cluster, and a job of
a few rows, whose time is in every other job's too. Processor seconds are those of all processes
together: they tell work that is only divided from work that is added where others run as well.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.command import add_json, conditions, print_conditions
from benchmarks.parquet_files import untrained_lstm
from slidecell.bench.command import positive
from slidecell.bench.report import markdown, short_number, write_json

_FEATURES = [f"x{n}" for n in range(7)]
_FILES = 8
_OPTIONS: dict[str, Any] = {"entity": "id", "time": "at", "duplicates": "error"}
_FEW = 2_000  # rows of the job that does next to nothing
_TICKS = os.sysconf("SC_CLK_TCK")


def write_files(folder: Path, rows: int, entities: int) -> Path:
    """Write files of entities that interleave, in the order of time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, at in enumerate(np.array_split(np.arange(rows), _FILES)):
        columns: dict[str, Any] = {"id": (at % entities).astype(np.int32), "at": at}
        columns |= {name: rng.normal(size=len(at)).astype(np.float32) for name in _FEATURES}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
    return folder


class Processor:
    """Sums the processor time of this process and of all below it, those that end among them."""

    def __init__(self) -> None:
        self._spent: dict[int, float] = {}
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.seconds()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._watcher.join()

    def seconds(self) -> float:
        """Return the sum up to now: half a second of a process that has ended may be missing."""
        parents, spent = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    text = (entry / "stat").read_text(encoding="utf-8")
                except OSError:  # it has ended
                    continue
                fields = text[text.rindex(")") + 2 :].split()
                parents[int(entry.name)] = int(fields[1])
                spent[int(entry.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
        mine = {os.getpid()}
        while more := {child for child, parent in parents.items() if parent in mine} - mine:
            mine |= more
        with self._lock:
            self._spent |= {process: spent[process] for process in mine}
            return sum(self._spent.values())


def timed(run: Callable[[], object], processor: Processor) -> tuple[float, float]:
    """Return the seconds and the processor seconds of a call."""
    before, start = processor.seconds(), time.perf_counter()
    run()
    return time.perf_counter() - start, processor.seconds() - before


def one_process(model: Path, source: Path, out: Path) -> None:
    """Score the files here, on one thread."""
    from slidecell.detect.loading import load_saved
    from slidecell.scale import score_parquet

    detector = load_saved(model).set_params(num_threads=1)
    score_parquet(detector, source, out / "scores.parquet", restart=True, **_OPTIONS)


def by_ray(model: Path, source: Path, out: Path, *, cut: Any, workers: int) -> None:
    """Score the files by workers."""
    import ray

    from slidecell.scale.ray import score_dataset

    dataset = ray.data.read_parquet(str(source))
    scored = score_dataset(dataset, model, cut=cut, concurrency=workers, **_OPTIONS)
    scored.select_columns(["id", "at", "score", "flagged"]).write_parquet(str(out))


def scores_of(folder: Path) -> Any:
    """Return the scores and flags that lie in a folder, in the order of time."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder, columns=["at", "score", "flagged"]).sort_by("at")
    return table.column("score").to_numpy(), table.column("flagged").to_numpy()


def start_ray() -> float:
    """Start Ray with a CPU for each of two workers, and one for the rest; return the seconds."""
    import ray

    # What Ray starts inherits these. Its workers give way to all others unless told not to.
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ |= {"RAY_worker_niceness": str(os.nice(0))}
    started = time.perf_counter()
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    seconds = time.perf_counter() - started
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the files in turn and print the table; return 1 if any bit differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_workers", description=__doc__)
    parser.add_argument("--rows", type=positive, default=4_000_000)
    parser.add_argument("--entities", type=positive, default=100)
    parser.add_argument("--hidden", type=positive, default=64, help="units of the LSTM")
    parser.add_argument("--window", type=positive, default=50)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--cut", choices=("groups", "blocks"), default="blocks")
    add_json(parser)
    options = parser.parse_args(arguments)
    import ray

    about = conditions("benchmarks.ray_workers", "default", 1, arguments=arguments)
    ways: dict[str, Callable[..., None]] = {
        "one process, one thread": one_process,
        "Ray, 1 worker": partial(by_ray, cut=options.cut, workers=1),
        "Ray, 2 workers": partial(by_ray, cut=options.cut, workers=2),
    }
    starts: dict[str, float] = {}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        source = write_files(folder / "in", options.rows, options.entities)
        few = write_files(folder / "few", _FEW, options.entities)
        model = folder / "model.safetensors"
        untrained_lstm(options.hidden, options.window, _FEATURES).save(model)
        cluster, processor = start_ray(), Processor()
        outs: list[Path] = []

        def run(name: str, files: Path) -> tuple[float, float]:
            outs.append(folder / f"out{len(outs)}")
            outs[-1].mkdir()
            return timed(partial(ways[name], model, files, outs[-1]), processor)

        for name in ways:
            run(name, few)  # files are read for the first time
            starts[name] = run(name, few)[0]
        done = len(outs)
        for _ in range(options.rounds):
            for name in ways:
                found[name].append(run(name, source))
        processor.stop()
        ray.shutdown()
        first, *others = map(scores_of, outs[done:])
        same = len(first[0]) == options.rows and all(
            np.array_equal(a, b, equal_nan=True)
            for other in others
            for a, b in zip(other, first, strict=True)
        )
    print_conditions(about)
    print(f"\nRay's cluster: {cluster:.1f} s, in no figure below")
    print(table(options.rows, starts, found))
    print("the same bits" if same else "OTHER BITS")
    if options.json is not None:
        rows = {"rows": options.rows, "cluster_seconds": cluster, "few_seconds": starts}
        write_json(options.json, {"conditions": about, **rows, "seconds": found, "same": same})
    return 0 if same else 1


def table(rows: int, starts: dict[str, float], found: dict[str, list[tuple[float, float]]]) -> str:
    """Return seconds, rates and ratios: medians of the rounds, and of the ratios within each."""
    header = ["", "seconds", "of them start", "rows/s", "times one process", "lowest - highest"]
    lines = [[*header, "times without start", "processor seconds"]]
    (name, one), *_ = found.items()
    alone = starts[name]
    for name, rounds in found.items():
        seconds = median(wall for wall, _ in rounds)
        ratios = [first[0] / own[0] for first, own in zip(one, rounds, strict=True)]
        beyond = [
            (first[0] - alone) / max(own[0] - starts[name], 1e-9)
            for first, own in zip(one, rounds, strict=True)
        ]
        lines.append([
            name,
            f"{seconds:.1f}",
            f"{starts[name]:.1f}",
            short_number(rows / seconds),
            f"{median(ratios):.2f}x",
            f"{min(ratios):.2f} - {max(ratios):.2f}",
            f"{median(beyond):.2f}x",
            f"{median(processor for _, processor in rounds):.1f}",
        ])  # fmt: skip
    return markdown(lines)


if __name__ == "__main__":
    sys.exit(main())

"""All contests of a run, one after the other."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

from slidecell import active_isa, set_isa
from slidecell.bench.cases import Case
from slidecell.bench.contestants import Peer
from slidecell.bench.measure import Effort, Result, contest
from slidecell.bench.progress import progress
from slidecell.bench.workloads import ScoreWorkload

__all__ = ["run_contests", "settings_restored"]


@contextmanager
def settings_restored() -> Iterator[None]:
    """Leave torch's threads, our ISA and this thread's treatment of denormals as they were.

    ONNX Runtime's first session flushes denormals on the thread that starts it, for good.
    """
    isa, torch = active_isa(), sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    name, environment = ctypes.util.find_library("m"), ctypes.create_string_buffer(64)
    mathematics = ctypes.CDLL(name) if name else None
    if mathematics:
        mathematics.fegetenv(environment)
    try:
        yield
    finally:
        if mathematics:
            mathematics.fesetenv(environment)
        if torch:
            torch.set_num_threads(threads)
        set_isa(isa)


def run_contests(
    cases: Sequence[Case],
    peers: Mapping[str, Mapping[str, Peer]],
    threads: Sequence[int],
    effort: Effort,
    *,
    seconds: float = 0.0,
) -> list[Result]:
    """Hold all contests: the peers of a case's kind, on each number of threads.

    With `seconds` each gets an equal share of what is left of them: more rounds while there is
    time, never fewer than the effort's.
    """
    results: list[Result] = []
    end = perf_counter() + seconds
    contests = [(case, n) for case in cases for n in (threads if case.threaded else [1])]
    with progress(len(contests)) as steps:
        for number, (case, n) in enumerate(contests):
            steps.begin(f"{case.name}, {n} thread{'s' if n > 1 else ''}")
            start = perf_counter()
            workload = case.workload(effort.max_rows)
            if isinstance(workload, ScoreWorkload):
                workload = replace(workload, batches=effort.batches)
            until = start + max(0.0, end - start) / (len(contests) - number)
            results += contest(
                workload, peers[case.kind], n, effort, in_mean=case.in_mean, until=until
            )
            steps.end()
    return results

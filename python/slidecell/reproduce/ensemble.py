"""System D: four detectors fused, on eight channels with four kinds of anomaly.

A z-score, an isolation forest, a rolling variance and a random GRU with principal components are
brought to one scale, weighted by a grid search for F1, explained, and watched by CUSUM. The source
fits and reports on the same rows; here the first half fits and the second half, W rows later,
reports. The source's protocol is computed beside it, and labelled in-sample.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from slidecell._extras import require
from slidecell.jobs.report import Figure, Table, page_only
from slidecell.reproduce.ensemble_beside import (
    beside_the_source,
    part_report,
    summary,
    used_thresholds,
)
from slidecell.reproduce.ensemble_further import gru_seeds, other_series, with_forecaster
from slidecell.reproduce.ensemble_gru import check_kernel
from slidecell.reproduce.ensemble_protocol import (
    GRID,
    WINDOW,
    Fitted,
    Ints,
    Part,
    fit_system,
    report_on,
)
from slidecell.reproduce.ensemble_tables import (
    alerts_table,
    attribution_table,
    kernel_table,
    kinds_table,
    report_table,
    score_summary,
    smoothing_table,
    top_table,
    ways_table,
    weights_table,
)
from slidecell.reproduce.outcome import Outcome, SystemOptions
from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    from slidecell.detect import RandomGRUDetector

__all__ = ["run"]

_SEED = 123  # of the source's series, for seed 0
_LEAST_ROWS = 8 * WINDOW


@dataclass(frozen=True)
class _Data:
    X: Floats  # [S, F]
    y: Ints  # [S]
    columns: tuple[str, ...]
    kind: Ints | None  # [S]
    kinds: tuple[str, ...]
    source: str
    times: list[str] | None = None  # [S]


def run(options: SystemOptions) -> Outcome:
    """Run system D.

    Parameters
    ----------
    options : SystemOptions
        ``data``: a CSV or Parquet file in order of time with a column ``label`` (1 = anomaly);
        ``time`` and ``kind`` are known by name, all other columns are channels. Default: the
        source's generated series. ``full`` adds a trained forecaster as a fifth detector, and
        other series.

    Returns
    -------
    Outcome
    """
    require("sklearn", "matplotlib", extra="detect")
    began = time.perf_counter()
    data = _generated(options.seed) if options.data is None else _read(options.data)
    half = _half(data)
    later = slice(half + WINDOW, len(data.X))
    settings: dict[str, Any] = {"seed": options.seed, "num_threads": options.num_threads}
    fitted = fit_system(data.X[:half], data.y[:half], **settings)
    part = report_on(fitted, data.X, data.y, later)
    everything = fit_system(data.X, data.y, **settings)
    inside = report_on(everything, data.X, data.y, slice(WINDOW, len(data.X)))
    gru = cast("RandomGRUDetector", fitted.ensemble.members_["random GRU"])
    kernel = check_kernel(gru, data.X)
    tables = _tables(data, fitted, part, everything, inside)
    halves = (data.X, data.y, half)
    further = [kernel_table(kernel), gru_seeds(*halves, **settings)]
    if options.full:
        further.append(with_forecaster(*halves, **settings))
        if options.data is None:
            further.append(other_series(_SEED, **settings))
    tables += map(page_only, further)
    report = {
        "data": {"source": data.source, "rows": len(data.X), "channels": list(data.columns)},
        "second_half": part_report(fitted, part),
        "in_sample": part_report(everything, inside),
        "kernel": asdict(kernel),
        "seconds": time.perf_counter() - began,
    }
    return Outcome(
        name="ensemble",
        title="Multi-channel ensemble with attribution and adaptive thresholds",
        summary=summary(data.source, len(data.X), half, fitted, part),
        comparisons=beside_the_source(
            data.X,
            data.y,
            held_out=(fitted, part),
            in_sample=(everything, inside),
            kernel=kernel,
        ),
        tables=tables,
        figures=_figures(data, fitted, part),
        report=report,
        thresholds=used_thresholds(len(data.X), half, fitted, everything),
        highest=top_table(fitted.names, part, kind=data.kind, kinds=data.kinds, times=data.times),
        plan=gru.model_.plan(num_threads=options.num_threads),
    )


def _generated(seed: int) -> _Data:
    from slidecell.datasets import ensemble_series

    made = ensemble_series(seed=_SEED + seed)
    source = f"generated with seed {_SEED + seed}" + (", the source's numbers" * (seed == 0))
    return _Data(made.series, made.label, made.columns, made.kind, made.kinds, source)


def _read(path: Path) -> _Data:
    from slidecell.tables.files import read_frame
    from slidecell.tables.options import TableOptions
    from slidecell.tables.table import make_table

    frame = read_frame(path, keys=["time"])
    if "label" not in frame.columns:
        raise ValueError(
            f"--data: expected a column 'label' (1 = anomaly) in {path}, "
            f"got {', '.join(map(str, frame.columns))}"
        )
    options = TableOptions(
        time="time" if "time" in frame.columns else None,
        label="label",
        duplicates="keep",
        exclude=("kind",) if "kind" in frame.columns else (),
    )
    table = make_table(frame, options, source=str(path))
    labels = np.asarray(table.labels, np.int64)
    kind, kinds = None, ("none",)
    if options.exclude:
        texts = frame["kind"].astype(str).to_numpy()[table.order].tolist()
        kinds = ("none", *sorted({t for t, label in zip(texts, labels, strict=True) if label}))
        kind = np.array([kinds.index(t) if t in kinds else 0 for t in texts], np.int64)
    given = table.times
    times = None if given is None else [given.text(row) for row in range(len(labels))]
    return _Data(table.features, labels, table.names or (), kind, kinds, str(path), times)


def _half(data: _Data) -> int:
    """Return where the second half begins; refuse data that cannot be halved."""
    S, half = len(data.X), len(data.X) // 2
    if S < _LEAST_ROWS:
        raise ValueError(f"data: expected at least {_LEAST_ROWS} rows, got {S} in {data.source}")
    for name, labels in (("first", data.y[WINDOW:half]), ("second", data.y[half + WINDOW :])):
        if not 0 < labels.sum() < len(labels):
            raise ValueError(
                f"data: expected normal and labelled rows in both halves, got {labels.sum()} "
                f"labelled of {len(labels)} in the {name} one of {data.source}"
            )
    return half


def _tables(
    data: _Data, fitted: Fitted, part: Part, everything: Fitted, inside: Part
) -> list[Table]:
    names = fitted.names
    by_kind = [] if data.kind is None else [kinds_table(fitted, part, data.kind, data.kinds)]
    further = [
        *by_kind,
        smoothing_table(part),
        attribution_table(names, part, inside),
        score_summary(names, part.scores, _SPANS),
        score_summary(names, inside.scores, "normalised scores, in-sample"),
        report_table("fixed threshold, second half", part.points(part.flags[GRID])),
        report_table("CUSUM, second half", part.points(part.cusum)),
        report_table("fixed threshold, in-sample", inside.points(inside.flags[GRID])),
        report_table("CUSUM, in-sample", inside.points(inside.cusum)),
    ]
    return [
        ways_table(fitted, part, "second half: fitted on the first, W rows before"),
        ways_table(everything, inside, "in-sample (the source's protocol)"),
        weights_table(fitted, everything),
        alerts_table([("second half", part), ("in-sample", inside)]),
        *map(page_only, further),
    ]


# The normalisers are fitted on the first half.
_SPANS = "normalised scores, second half; on the first half each detector's run from 0 to 1"


def _figures(data: _Data, fitted: Fitted, part: Part) -> list[Figure]:
    from slidecell.detect.fusion import fuse
    from slidecell.plots import plot_comparison, plot_member_attribution, plot_pr_curve

    way = fitted.ways[GRID]
    shown = [*fitted.names, GRID]  # detectors first: they keep their colours in all figures
    curves = {name: fuse(part.scores, fitted.ways[name].weights) for name in shown}
    up, down = part.sums
    comparison = partial(
        plot_comparison,
        data.X[part.rows, 0],
        part.fused,
        part.labels,
        threshold=way.threshold,
        sums=(up, down),
        interval=fitted.cusum.h,
        alarms={"CUSUM": part.cusum},
        times=part.rows,
        times_name="row",
        name=data.columns[0],
    )
    return [
        Figure(
            partial(plot_pr_curve, curves, part.labels, way.threshold, marked=GRID),
            "Second half: the ensemble and each detector alone, with the threshold of the first.",
            "precision-recall",
        ),
        Figure(
            partial(plot_member_attribution, part.contributions, fitted.names),
            f"Second half: what each detector adds to the {len(part.top)} highest fused scores.",
            "attribution",
        ),
        Figure(
            comparison,
            "Second half, by row: the first channel, the fused score, CUSUM, and their alarms.",
            "comparison",
        ),
    ]

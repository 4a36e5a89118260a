"""Tables of means, and the paired bootstrap between two detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchmarks.detection.alarms import FACTOR, Alarms, Counted
from benchmarks.detection.contestants import BASELINES, NETWORKS, RANDOM
from benchmarks.detection.judging import Found

RESAMPLES = 10_000
T = TypeVar("T", Found, Counted)
ALL = "all"
_NAMED = 3  # columns that have drifted

# Field of `Found`, and its title.
MEASURES = (("vus_pr", "VUS-PR"), ("pr_auc", "PR-AUC"), ("event_f1", "event F1"))


def sets_of(found: Sequence[T]) -> list[tuple[str, list[T]]]:
    """Return each set with its figures, and where there are several, all together at the end."""
    titles = sorted({f.set for f in found})
    parts = [(title, [f for f in found if f.set == title]) for title in titles]
    return parts if len(parts) == 1 else [*parts, (ALL, list(found))]


def table(found: Sequence[Found]) -> str:
    """Means per set, and on how many series each network loses to the better baseline."""
    names = [*dict.fromkeys(f.detector for f in found if f.detector != RANDOM), RANDOM]
    against = set(BASELINES) < set(names)
    networks = [name for name in NETWORKS if name in names] if against else []
    header = ["set (series)", *names, *(["below a baseline"] if networks else [])]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for title, here in sets_of(found):
        count = _series(here)
        cells = [f"{title} ({count})"]
        for name in names:
            own = [f for f in here if f.detector == name]
            cell = "-"
            if own:
                cell = f"{_mean(own, 'vus_pr'):.3f} / {_mean(own, 'pr_auc'):.3f}"
            # One that failed on some series has the mean over the others.
            cells.append(cell + (f" ({len(own)})" if 0 < len(own) < count else ""))
        if networks:
            cells.append(", ".join(f"{name} {losses(here, name)}" for name in networks))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def long_table(found: Sequence[Found]) -> str:
    """Return a row for every set and detector, with all means."""
    lines = [
        "| set | detector | alignment | series | VUS-PR | PR-AUC | event F1, own threshold "
        "| oracle's | CPU s to fit | to score |",
        "|" + "---|" * 10,
    ]
    for title, here in sets_of(found):
        for name in dict.fromkeys(f.detector for f in here):
            own = [f for f in here if f.detector == name]
            fields = ("vus_pr", "pr_auc", "event_f1", "event_f1_oracle")
            means = " | ".join(f"{_mean(own, field):.3f}" for field in fields)
            seconds = " | ".join(
                f"{_mean(own, field):.2f}" for field in ("fit_seconds", "score_seconds")
            )
            aligned = "/".join(sorted({f.alignment for f in own}))
            lines.append(f"| {title} | {name} | {aligned} | {len(own)} | {means} | {seconds} |")
    return "\n".join(lines)


def alarms_table(counted: Sequence[Counted]) -> str:
    """Return a row for every set and detector: events at its own threshold, and their rate."""
    lines = [
        "| set | detector | series | labelled windows hit | by as many random events "
        "| events outside | unlabelled rows inside | rate kept | where no column has drifted "
        "| seen / expected, median |",
        "|" + "---|" * 10,
    ]
    for title, here in sets_of(counted):
        for name in dict.fromkeys(c.detector for c in here):
            own = [c.alarms for c in here if c.detector == name]
            windows, hit, outside = (
                sum(getattr(a, field) for a in own) for field in ("windows", "hit", "outside")
            )
            random = sum(a.hit_by_random for a in own)
            inside = sum(a.rows_inside for a in own) / sum(a.rows_unlabelled for a in own)
            lines.append(
                f"| {title} | {name} | {len(own)} | {hit} of {windows} | {random:.1f} "
                f"| {outside:,} | {100.0 * inside:.2f} % | {_kept(own)} |"
            )
    return "\n".join(lines)


def _kept(alarms: Sequence[Alarms]) -> str:
    rated = [a for a in alarms if a.asked]
    if not rated:
        return "- | - | -"
    shares = []
    for here in (rated, [a for a in rated if a.drifted == ()]):
        shares.append(f"{sum(a.within for a in here)} of {len(here)}")
    return f"{' | '.join(shares)} | {float(np.median([a.ratio for a in rated])):.2f}"


def rates_off(counted: Sequence[Counted]) -> list[str]:
    """Return what to say of each series whose rate is not kept, the furthest off first."""
    off = [c for c in counted if c.alarms.asked and not c.alarms.within]
    off.sort(key=lambda c: -_distance(c.alarms))
    return [
        f"{c.set} {c.series}: {c.detector}: {c.alarms.seen:,} {c.alarms.unit} for "
        f"{c.alarms.expected:,.3g} at {c.alarms.asked}{_drift(c.alarms.drifted)}"
        for c in off
    ]


def _drift(columns: Sequence[int] | None) -> str:
    """Return in how many columns a series has drifted, and in which most."""
    if columns is None:
        return ""
    if not columns:
        return "; no column has drifted"
    named = ", ".join(map(str, columns[:_NAMED])) + (", ..." if len(columns) > _NAMED else "")
    return f"; drift in {len(columns)}: {named}"


def _distance(alarms: Alarms) -> float:
    """Return by how much a rate is off, to either side."""
    return abs(float(np.log((alarms.seen + 0.5) / (alarms.expected + 0.5))))


def alarms_text(counted: Sequence[Counted]) -> str:
    """Return the table of events, then the series whose rate is not kept, and their drift."""
    off = rates_off(counted)
    named = [
        f"Rates that are not kept ({len(off)}), the furthest off first; columns that have drifted,",
        "counted from 0, are those that the notes of `slidecell detect` would name:\n",
        *off,
    ]
    lines = [
        "Events at each detector's own threshold; all rows judged, training part included; flags",
        "are merged where at most the rows before its own that a score depends on lie between. The",
        "rate is that of the label-free rows of the test part: kept within a factor of "
        f"{FACTOR:g}, or",
        "where fewer than 30 events are expected, within the 90 % interval of the prediction.\n",
        alarms_table(counted),
        *(["", *named] if off else []),
    ]
    return "\n".join(lines)


def losses(found: Sequence[Found], network: str) -> int:
    """Count the series on which a baseline's VUS-PR is above the network's."""
    value = {(f.set, f.series, f.detector): f.vus_pr for f in found}
    own = [key for key in value if key[2] == network]
    return sum(
        value[key] < max(value.get((*key[:2], name), -np.inf) for name in BASELINES) for key in own
    )


def _series(found: Sequence[Found]) -> int:
    return len({(f.set, f.series) for f in found})


def _mean(found: Sequence[Found], field: str) -> float:
    return float(np.mean([getattr(f, field) for f in found]))


@dataclass(frozen=True)
class Comparison:
    """Mean of the differences first - second over the series that both have scored."""

    measure: str
    first: str
    second: str
    series: int
    difference: float
    low: float  # of the interval that holds 95 % of the resampled means
    high: float
    higher: int  # series on which the first is above
    lower: int
    resamples: int
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.measure}: {self.first} - {self.second} = {self.difference:+.3f} on "
            f"{self.series} series, 95 % interval {self.low:+.3f} to {self.high:+.3f}; "
            f"higher on {self.higher}, lower on {self.lower}"
        )


def compare(
    found: Sequence[Found],
    first: str,
    second: str,
    *,
    field: str = "vus_pr",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Return the paired bootstrap of two detectors: series are drawn with replacement.

    Raises
    ------
    ValueError
        If no series has figures of both.
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    for f in found:
        values.setdefault((f.set, f.series), {})[f.detector] = getattr(f, field)
    differences = np.array([
        by_name[first] - by_name[second]
        for by_name in values.values()
        if first in by_name and second in by_name
    ])  # fmt: skip
    if len(differences) == 0:
        raise ValueError(f"--compare: no series has figures of both {first} and {second}")
    rng = np.random.default_rng(seed)
    n = len(differences)
    means = differences[rng.integers(0, n, (resamples, n))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Comparison(
        dict(MEASURES)[field],
        first,
        second,
        n,
        float(differences.mean()),
        float(low),
        float(high),
        int((differences > 0).sum()),
        int((differences < 0).sum()),
        resamples,
        seed,
    )


def compare_all(
    found: Sequence[Found], pairs: Sequence[Sequence[str]], seed: int = 0
) -> list[Comparison]:
    """Return the comparisons of all pairs by every measure."""
    return [
        compare(found, first, second, field=field, seed=seed)
        for first, second in pairs
        for field, _ in MEASURES
    ]

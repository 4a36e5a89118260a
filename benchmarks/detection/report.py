"""Tables of means, and the paired bootstrap between two detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.contestants import BASELINES, NETWORKS, RANDOM
from benchmarks.detection.judging import Found

RESAMPLES = 10_000
ALL = "all"

# Field of `Found`, and its title.
MEASURES = (("vus_pr", "VUS-PR"), ("pr_auc", "PR-AUC"), ("event_f1", "event F1"))


def sets_of(found: Sequence[Found]) -> list[tuple[str, list[Found]]]:
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

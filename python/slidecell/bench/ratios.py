"""Ratios to the best peer of each case, by precision and threads, and their geometric means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slidecell.bench.contestants import OURS
from slidecell.bench.measure import Result, paired_ratio

__all__ = ["PRECISIONS", "Mean", "beaten_by", "geometric_means"]

PRECISIONS = ("highest", "high", "medium", "low")


@dataclass(frozen=True)
class Mean:
    """The geometric mean over the cases that count, each against its own best peer."""

    precision: str
    threads: int
    ratio: float
    least: float
    least_case: str
    ratios: dict[str, float]  # by case
    best_peers: dict[str, str]  # by case


def ours_at(precision: str, contest: Sequence[Result]) -> Result:
    """Return our contestant at a precision: with a kernel of its own, or of the one above."""
    allowed = PRECISIONS[: PRECISIONS.index(precision) + 1]
    mine = {r.contestant: r for r in contest}
    names = (f"{OURS} {name}" for name in reversed(allowed))
    return mine[next((name for name in names if name in mine), OURS)]


def beaten_by(peer: Result, results: Sequence[Result]) -> float:
    """Return how many times as fast as a peer we are at its own precision."""
    contest = [r for r in results if (r.case, r.threads) == (peer.case, peer.threads)]
    return paired_ratio(peer, ours_at(peer.precision, contest))


def best_peer(precision: str, contest: Sequence[Result]) -> Result | None:
    """Return the fastest peer whose answer is right at a precision."""
    allowed = PRECISIONS[: PRECISIONS.index(precision) + 1]
    peers = [
        r for r in contest if not r.is_ours and r.right and r.isa_limited and r.precision in allowed
    ]
    return min(peers, key=lambda r: r.seconds_per_call / r.work, default=None)


def geometric_means(results: Sequence[Result]) -> list[Mean]:
    """Return means over the cases that count, by precision and threads.

    Peers that use newer instructions than ours are limited to do not count. Below
    ``"highest"`` there is a mean only where another kernel of ours runs in some case.
    """
    means = []
    counted = [r for r in results if r.in_mean]
    for precision in PRECISIONS:
        if precision != "highest" and all(r.contestant != f"{OURS} {precision}" for r in counted):
            continue
        for threads in sorted({r.threads for r in counted}):
            ratios, names = {}, {}
            for case in dict.fromkeys(r.case for r in counted):
                contest = [r for r in counted if (r.case, r.threads) == (case, threads)]
                peer = best_peer(precision, contest)
                if peer is not None:
                    ratios[case] = paired_ratio(peer, ours_at(precision, contest))
                    names[case] = peer.contestant
            if ratios:
                mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
                least = min(ratios, key=lambda case: ratios[case])
                means.append(Mean(precision, threads, mean, ratios[least], least, ratios, names))
    return means

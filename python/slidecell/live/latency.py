"""Percentiles of many durations in little memory."""

from __future__ import annotations

from collections import Counter

__all__ = ["Latencies"]

_BITS = 5  # kept below the leading one: a bucket is at most 1/32 wide


class Latencies:
    """A histogram of nanoseconds whose buckets are 1/32 of their value wide; the maximum is exact.

    Examples
    --------
    >>> from slidecell.live.latency import Latencies
    >>> latencies = Latencies()
    >>> for ns in range(1, 101):
    ...     latencies.add(ns * 1000)
    >>> latencies.percentile(50) / 50e3 - 1 < 1 / 32, latencies.max
    (True, 100000)
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, int]] = Counter()
        self.max = 0

    def add(self, ns: int, times: int = 1) -> None:
        """Count a duration, so many times."""
        shift = max(0, ns.bit_length() - 1 - _BITS)
        self._counts[shift, ns >> shift] += times
        self.max = max(self.max, ns)

    def percentile(self, percent: float) -> int:
        """Return the upper end of the bucket in which the percentile lies; 0 without durations."""
        wanted = percent / 100 * self._counts.total()
        seen = 0
        for (shift, top), count in sorted(self._counts.items()):
            seen += count
            if seen >= wanted:
                return min(((top + 1) << shift) - 1, self.max)
        return self.max

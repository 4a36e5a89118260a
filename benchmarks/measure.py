"""The clocks of the benchmarks, which are those of ``slidecell bench``."""

from __future__ import annotations

from slidecell.bench.measure import REST_SECONDS, interleaved, no_garbage_collection, sample

__all__ = ["REST_SECONDS", "interleaved", "no_garbage_collection", "sample"]

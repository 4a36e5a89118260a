"""What a live run counts, and how it tells that in a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slidecell.live.latency import Latencies
from slidecell.live.scored import ScoredBlock

__all__ = ["Counters"]


@dataclass
class Counters:
    """Rows, lines that were not used, and how long a row took.

    Examples
    --------
    >>> from slidecell.live.counters import Counters
    >>> counters = Counters(malformed=2)
    >>> text, facts = counters.told(entities=3)
    >>> text.partition(";")[0], facts["malformed"]
    ('0 rows, 0 scores, 0 alarms, 0 events, 3 entities', 2)
    """

    rows: int = 0
    scores: int = 0
    alarms: int = 0
    events: int = 0
    malformed: int = 0
    out_of_order: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def add(self, scored: ScoredBlock) -> None:
        """Count rows that were scored; each has taken its share of the block's time."""
        answers = scored.answers
        self.latencies.add(scored.nanoseconds, len(scored))
        self.rows += len(scored)
        self.scores += len(scored) - int(np.count_nonzero(np.isnan(answers.scores)))
        self.alarms += int(np.count_nonzero(answers.alarms))

    def told(self, entities: int) -> tuple[str, dict[str, Any]]:
        """Return a line for people, and the numbers in it."""
        p50, p99 = (self.latencies.percentile(p) / 1000 for p in (50, 99))
        most = self.latencies.max / 1000
        text = (
            f"{self.rows} rows, {self.scores} scores, {self.alarms} alarms, {self.events} events, "
            f"{entities} entities; unused lines: {self.malformed} malformed, "
            f"{self.out_of_order} out of order; push p50 {p50:.1f} us, p99 {p99:.1f} us, "
            f"max {most:.1f} us"
        )
        names = ("rows", "scores", "alarms", "events")
        facts = {name: getattr(self, name) for name in names} | {"entities": entities}
        facts |= {"malformed": self.malformed, "out_of_order": self.out_of_order}
        return text, facts | {"p50_us": p50, "p99_us": p99, "max_us": most}

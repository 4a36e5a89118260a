"""The rows of an entity by which the columns of its event are found when it closes."""

from __future__ import annotations

import base64
import heapq
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.thresholds.state_values import flag, mapping, whole

if TYPE_CHECKING:
    from slidecell.live.explainer import Explainer

__all__ = ["EventRows"]


class EventRows:
    """Keeps an entity's last rows, and those before each of the highest flagged rows of its event.

    A row is kept once, as bytes, however many flagged rows it precedes.

    Parameters
    ----------
    explainer : Explainer
        Is asked once for each event.
    """

    __slots__ = ("_count", "_explainer", "_highest", "_last", "_missing", "_whole")

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._missing = np.full(explainer.features, np.nan).tobytes()
        self._last: deque[bytes] = deque(maxlen=explainer.rows)
        self._whole = True  # whether no row before the last ones is unknown
        self._count = 0
        # Score and number of the flagged rows, the number below 0: of equal ones the first counts.
        self._highest: list[tuple[float, int, tuple[bytes, ...]]] = []

    def add(self, row: bytes | None) -> None:
        """Take the next row, float64 [F]; None for one of which nothing is known."""
        self._last.append(self._missing if row is None else row)
        self._count += 1

    def flagged(self, score: float) -> None:
        """Take that the last row is flagged, and part of the event."""
        highest, last = self._highest, self._last
        if not self._whole and len(last) < self._explainer.rows:
            return
        if len(highest) < self._explainer.most:
            heapq.heappush(highest, (score, -self._count, tuple(last)))
        elif score > highest[0][0]:
            heapq.heapreplace(highest, (score, -self._count, tuple(last)))

    def close(self) -> tuple[tuple[int, float], ...]:
        """End the event; return the columns that drive it and their shares, the largest first."""
        found = sorted(self._highest, reverse=True)  # no two are equal before their rows
        self._highest = []
        scores = [score for score, _, _ in found]
        return self._explainer.named([b"".join(window) for _, _, window in found], scores)

    def forget(self) -> None:
        """Begin anew: no row precedes the next one."""
        self._last.clear()
        self._whole = True

    def state(self) -> dict[str, Any]:
        """Return the state, ready for JSON: rows as text in base 64, each once."""
        rows = dict(enumerate(self._last, self._count - len(self._last) + 1))
        for _, number, window in self._highest:
            rows.update(enumerate(window, -number - len(window) + 1))
        numbers = sorted(rows)
        return {
            "whole": self._whole,
            "count": self._count,
            "last": len(self._last),
            "highest": [
                [None if math.isinf(score) else score, -number, len(window)]
                for score, number, window in self._highest
            ],
            "numbers": numbers,
            "rows": base64.b64encode(b"".join(map(rows.__getitem__, numbers))).decode(),
        }

    def load_state(self, state: object) -> None:
        """Go on from what `state` returned, or from None: what came before is unknown.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        if state is None:
            self._whole = False
            return
        found = mapping(state, "rows")
        self._whole, self._count = flag(found, "whole"), whole(found, "count")
        try:
            size = len(self._missing)
            held = base64.b64decode(found["rows"], validate=True)
            if len(held) != size * len(found["numbers"]):
                raise ValueError(f"expected {len(found['numbers'])} rows of {size} bytes")
            rows = {n: held[at * size : (at + 1) * size] for at, n in enumerate(found["numbers"])}
            self._last.extend(self._window(rows, self._count, found["last"]))
            for score, number, length in found["highest"][: self._explainer.most]:
                known = math.inf if score is None else float(score)
                if length < 1:
                    raise ValueError(f"expected rows before {number}")
                self._highest.append((known, -number, self._window(rows, number, length)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"rows: expected those of an event: {error}") from None
        heapq.heapify(self._highest)

    def _window(self, rows: dict[int, bytes], end: int, length: int) -> tuple[bytes, ...]:
        if not 0 <= length <= self._explainer.rows:
            raise ValueError(f"expected at most {self._explainer.rows} rows, got {length}")
        return tuple(rows[n] for n in range(end - length + 1, end + 1))

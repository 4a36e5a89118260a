"""How far two models agree on the same rows: ranks of their scores, flags, cost, labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.evaluate import pr_auc, roc_auc

__all__ = ["Agreement"]

Floats = npt.NDArray[np.float64]

_MOST = 1 << 13  # pairs of scores that are kept: ranks of more are about 1 % off

_NAMES = ("champion", "challenger")


class Agreement:
    """Compares the answers of a champion and of a challenger, row by row, in bounded memory.

    Counts are of all rows; what needs ranks is of a random sample of about 8,000 of them.

    Examples
    --------
    >>> from slidecell.live.agreement import Agreement
    >>> agreement = Agreement()
    >>> for first, second in [(1.0, 2.0), (2.0, 4.0), (9.0, 3.0)]:
    ...     agreement.add(first, second, flags=(first > 5.0, second > 5.0), costs=(1000, 2000))
    >>> found = agreement.to_dict()
    >>> found["flagged"], found["rank_correlation"]
    ({'both': 0, 'champion_only': 1, 'challenger_only': 0}, 0.5)
    """

    def __init__(self) -> None:
        self.failed = 0
        """Rows that the challenger could not take."""
        self.first_failure: str | None = None
        self._rows = 0
        self._scored = {"both": 0, "champion_only": 0, "challenger_only": 0}
        self._flagged = dict(self._scored)
        self._events = [0, 0]
        self._nanoseconds = [0, 0]
        self._timed = 0
        # Flags on rows that are labelled as normal and as an anomaly, of each of the two.
        self._labelled = np.zeros((2, 2, 2), np.int64)
        self._sample: Floats = np.empty((_MOST, 3))
        self._kept = 0  # rows of the sample
        self._generator = np.random.default_rng(0)

    def add(
        self,
        champion: npt.ArrayLike,
        challenger: npt.ArrayLike,
        *,
        flags: tuple[npt.ArrayLike, npt.ArrayLike],
        costs: tuple[int, int],
        labels: npt.ArrayLike | None = None,
    ) -> None:
        """Take the scores of rows [n] or of one, whether each flags them, and nanoseconds.

        Parameters
        ----------
        champion, challenger : array_like, [n]
            NaN where there is no score.
        flags : tuple of array_like of bool, [n]
        costs : tuple of int
            Of each row.
        labels : array_like, [n], optional
            1 for an anomaly, 0 for a normal row, NaN where nobody knows. Default: nobody knows.
        """
        scores = np.stack([np.atleast_1d(champion), np.atleast_1d(challenger)], axis=1)
        flagged = np.stack([np.atleast_1d(flag) for flag in flags], axis=1).astype(np.bool_)
        known = np.full(len(scores), math.nan) if labels is None else np.atleast_1d(labels)
        self._rows += len(scores)
        self._timed += len(scores)
        for place in (0, 1):
            self._nanoseconds[place] += costs[place] * len(scores)
        found = ~np.isnan(scores)
        self._count(self._scored, found)
        self._count(self._flagged, flagged)
        labelled = ~np.isnan(known)
        if labelled.any():
            wrong = (known[labelled] > 0.0).astype(np.int64)
            for place in (0, 1):
                at = (place, wrong, flagged[labelled, place].astype(np.int64))
                np.add.at(self._labelled, at, 1)
        both = found.all(axis=1)
        self._keep(np.column_stack([scores[both], known[both]]))

    def fail(self, error: Exception) -> None:
        """Count a row that the challenger could not take."""
        self._rows += 1
        self.failed += 1
        if self.first_failure is None:
            self.first_failure = f"{type(error).__name__}: {error}"

    def count_events(self, champion: int, challenger: int) -> None:
        """Count events that have opened."""
        self._events[0] += champion
        self._events[1] += challenger

    def to_dict(self) -> dict[str, Any]:
        """Return all that was found, ready for JSON.

        Returns
        -------
        dict
            ``rows``, and ``failed`` of them with the ``first_failure``; ``scored`` and ``flagged``
            by ``both``, ``champion_only``, ``challenger_only``; ``events`` and
            ``microseconds_per_row`` of each; ``rank_correlation`` (Spearman's) of the scores of
            rows that both have scored, ``ranked`` of them; ``labels``, None or of each of the two
            precision, recall, F1, and ROC-AUC and PR-AUC of the ranked rows.
        """
        ranked = self._sample[: self._kept]
        costs = [found / self._timed / 1000 if self._timed else None for found in self._nanoseconds]
        return {
            "rows": self._rows,
            "failed": self.failed,
            "first_failure": self.first_failure,
            "scored": dict(self._scored),
            "flagged": dict(self._flagged),
            "events": dict(zip(_NAMES, self._events, strict=True)),
            "microseconds_per_row": dict(zip(_NAMES, costs, strict=True)),
            "rank_correlation": _rank_correlation(ranked),
            "ranked": len(ranked),
            "labels": self._metrics(ranked) if self._labelled.any() else None,
        }

    def lines(self) -> list[str]:
        """Return what a person is told, in a few lines."""
        found = self.to_dict()
        ranks = found["rank_correlation"]
        flagged, costs = found["flagged"], found["microseconds_per_row"]
        text = (
            f"challenger: {found['rows']:,} rows; flagged by both {flagged['both']}, by the "
            f"champion only {flagged['champion_only']}, by the challenger only "
            f"{flagged['challenger_only']}; events {found['events']['champion']} and "
            f"{found['events']['challenger']}; rank correlation of scores "
            f"{'unknown' if ranks is None else f'{ranks:.3f}'}"
        )
        if costs["champion"] is not None:
            text += f"; {costs['champion']:.1f} and {costs['challenger']:.1f} us a row"
        lines = [text]
        if found["failed"]:
            lines.append(
                f"challenger: it could not take {found['failed']} rows, the first because of "
                f"{found['first_failure']}"
            )
        for name, metrics in (found["labels"] or {}).items():
            values = [
                f"{title} {'unknown' if metrics[key] is None else format(metrics[key], '.3f')}"
                for key, title in (
                    ("precision", "precision"),
                    ("recall", "recall"),
                    ("f1", "F1"),
                    ("roc_auc", "ROC-AUC"),
                    ("pr_auc", "PR-AUC"),
                )
            ]
            lines.append(f"challenger: labels say of the {name}: {', '.join(values)}")
        return lines

    def _keep(self, pairs: Floats) -> None:
        """Keep some pairs [n, 3] in the sample, in which every row has the same chance to be."""
        room = min(_MOST - self._kept, len(pairs))
        self._sample[self._kept : self._kept + room] = pairs[:room]
        self._kept += room
        if room == len(pairs):
            return
        seen = self._scored["both"]
        places = self._generator.integers(np.arange(seen - len(pairs) + room, seen) + 1)
        for row in np.flatnonzero(places < _MOST).tolist():
            self._sample[places[row]] = pairs[room + row]

    @staticmethod
    def _count(counts: dict[str, int], each: npt.NDArray[np.bool_]) -> None:
        """Count rows [n, 2] by which of the two it is true for."""
        champion, challenger = each.T
        counts["both"] += int((champion & challenger).sum())
        counts["champion_only"] += int((champion & ~challenger).sum())
        counts["challenger_only"] += int((~champion & challenger).sum())

    def _metrics(self, ranked: np.ndarray) -> dict[str, dict[str, float | None]]:
        known = ranked[~np.isnan(ranked[:, 2])]
        found = {}
        for place, name in enumerate(_NAMES):
            (_, false), (missed, true) = self._labelled[place].tolist()
            scores = known[:, place]
            found[name] = {
                "precision": true / (true + false) if true + false else None,
                "recall": true / (true + missed) if true + missed else None,
                "f1": 2 * true / (2 * true + false + missed) if true + false + missed else None,
                "roc_auc": roc_auc(known[:, 2], scores) if len(known) else None,
                "pr_auc": pr_auc(known[:, 2], scores) if len(known) else None,
            }
        return found


def _rank_correlation(ranked: np.ndarray) -> float | None:
    """Return Spearman's correlation; None where one of the two gives all rows the same score."""
    if len(ranked) < 2 or (np.ptp(_finite(ranked[:, :2]), axis=0) == 0.0).any():
        return None
    require("scipy", extra="detect")
    from scipy.stats import spearmanr

    return float(spearmanr(ranked[:, 0], ranked[:, 1]).statistic)


def _finite(values: np.ndarray) -> np.ndarray:
    """Return the values with the greatest number in the place of infinity."""
    return np.asarray(np.nan_to_num(values, posinf=np.finfo(np.float64).max))

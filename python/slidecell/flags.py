"""What `SequenceModel.flag` returns: flags, scores, and how far each of them is proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell._core import UnsupportedError

__all__ = ["FlagAudit", "Flags", "averages_of", "fixed_threshold"]

Method: TypeAlias = Literal["carried", "carried_low", "low", "medium", "exact"]


@dataclass(frozen=True, eq=False)
class FlagAudit:
    """How flags were found, what was measured, and how many may be missing.

    Attributes
    ----------
    method : {"carried", "carried_low", "low", "medium", "exact"}
        What scored all windows first; ``"exact"``: the exact kernel scored all of them.
    reasons : tuple of str
        Why another method stepped aside, where one did.
    windows : int
        Windows that have a score.
    recomputed : int
        Of them, windows whose score is the exact one.
    seams : int
        Windows at which the distance between cheap and exact score was measured.
    seam_p99 : float
        The distance that 99 % of the seams do not exceed; NaN without seams.
    whole_blocks : int
        Blocks that were computed exactly because their distance was far above the others'.
    certified : bool
        Whether a younger chain measured the distance at every row.
    distance : {"log", "absolute"}
        ``|log((exact + t/10) / (cheap + t/10))|`` with the threshold t, or ``|exact - cheap|``
        where no threshold is positive or scores may be negative.
    margin : ndarray, [G]
        Each entity's margin: twice the largest distance; NaN where all is exact.
    cheap : int
        Decisions that rest on cheap scores.
    verified : int
        Of them, those of a sample that were computed exactly and played no part in the margin: of
        the last sample, where an earlier one lay beyond the margin and widened it.
    wrong : int
        Of these, decisions that were wrong. One, and everything was computed exactly.
    wrong_at_most : float
        Alarms that may be missing, at 95 % confidence: ``3 * cheap / verified``, or 0 where every
        cheap decision was verified.
    """

    method: Method
    reasons: tuple[str, ...]
    windows: int
    recomputed: int
    seams: int
    seam_p99: float
    whole_blocks: int
    certified: bool
    distance: Literal["log", "absolute"]
    margin: npt.NDArray[np.float64]
    cheap: int
    verified: int
    wrong: int
    wrong_at_most: float

    @property
    def share_recomputed(self) -> float:
        """The share of the windows whose score is exact; NaN without windows."""
        return self.recomputed / self.windows if self.windows else np.nan

    @classmethod
    def from_core(cls, found: Mapping[str, Any]) -> FlagAudit:
        """Return the audit that the core gives as a dict."""
        given = {**found, "reasons": tuple(found["reasons"]), "recomputed": found["exact"]}
        given["distance"] = "absolute" if given.pop("absolute") else "log"
        del given["exact"]
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return the audit ready for JSON: of the margins the largest, None where there is none."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        finite = self.margin[~np.isnan(self.margin)]
        values["margin"] = float(finite.max()) if len(finite) else None
        values["seam_p99"] = None if np.isnan(self.seam_p99) else self.seam_p99
        return values | {"reasons": list(self.reasons)}

    def __str__(self) -> str:
        """Return the audit in a few lines."""
        lines = [
            f"method: {self.method}",
            f"windows: {self.windows:,}, of which {self.recomputed:,} are exact"
            + (f" ({self.share_recomputed:.2%})" if self.windows else ""),
        ]
        if self.seams:
            lines.append(
                f"seams: {self.seams:,}; 99 % of their {self.distance} distances are at most "
                f"{self.seam_p99:.2g}; {self.whole_blocks:,} blocks computed whole"
            )
        if self.certified:
            lines.append("certified: a younger chain measured the distance at every row")
        if np.isfinite(self.margin).any():
            low, high = np.nanmin(self.margin), np.nanmax(self.margin)
            lines.append(
                f"margin: {high:.2g}" if low == high else f"margin: {low:.2g} to {high:.2g}"
            )
        if self.verified:
            lines.append(
                f"verified: {self.verified:,} decisions that rested on cheap scores, "
                f"{self.wrong:,} of them wrong"
            )
        lines.append(f"missed alarms: at most {self.wrong_at_most:.0f} (95 % confidence)")
        return "\n".join([*lines, *(f"note: {reason}" for reason in self.reasons)])


@dataclass(frozen=True, eq=False)
class Flags:
    """Audited flags: those that are raised are proved, those that are missing are bounded.

    Attributes
    ----------
    flagged : ndarray of bool, [S]
        Whether a row's score, or its moving average, is above its threshold.
    score : ndarray, [S], float32
        Scores as `SequenceModel.score` places them; NaN where there is none.
    exact : ndarray of bool, [S]
        Where the score is that of `SequenceModel.score`, bit for bit; elsewhere it is a cheap one,
        or there is none. All scores that a raised flag rests on are exact.
    audit : FlagAudit
        How many alarms may be missing, and why.
    """

    flagged: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float32]
    exact: npt.NDArray[np.bool_]
    audit: FlagAudit

    def __repr__(self) -> str:
        audit = self.audit
        how = (
            "all exact"
            if audit.method == "exact"
            else f"audited: {audit.method}, {audit.share_recomputed:.2%} exact, at most "
            f"{audit.wrong_at_most:.0f} alarms missed (95 % confidence)"
        )
        return f"Flags({np.count_nonzero(self.flagged):,} of {len(self.flagged):,} rows; {how})"


def fixed_threshold(threshold: Any) -> Any:
    """Return the number of a fitted threshold that no score changes; numbers are returned as given.

    Raises
    ------
    UnsupportedError
        If the threshold follows the scores.

    Examples
    --------
    >>> from slidecell.flags import fixed_threshold
    >>> from slidecell.thresholds import FixedThreshold
    >>> fixed_threshold(FixedThreshold(0.5)), fixed_threshold(2.0)
    (0.5, 2.0)
    """
    if not hasattr(threshold, "is_constant"):
        return threshold
    if not threshold.is_constant or threshold.by_entity:
        raise UnsupportedError(
            f"threshold: {threshold!r} follows the scores before a row, all of which would have "
            "to be exact; expected numbers, or a threshold that no score changes"
        )
    return threshold.threshold


def averages_of(smoothing: Mapping[str, Any] | None) -> dict[str, int]:
    """Return the widths of a moving average, from its state: of the last scores, of the last rows.

    Raises
    ------
    UnsupportedError
        If the smoothing is no moving average.

    Examples
    --------
    >>> from slidecell.flags import averages_of
    >>> averages_of({"kind": "trailing_mean", "n": 5})
    {'moving_average': 0, 'trailing_mean': 5}
    """
    widths = {"moving_average": 0, "trailing_mean": 0}
    if smoothing is None:
        return widths
    kind = smoothing.get("kind") if isinstance(smoothing, Mapping) else None
    if kind == "ewma":
        raise UnsupportedError(
            "smoothing: an exponentially weighted average rests on all scores before a row, all "
            "of which would have to be exact; expected a MovingAverage or a TrailingMean"
        )
    if kind not in widths:
        raise ValueError(
            f"smoothing: expected a MovingAverage or a TrailingMean, got {smoothing!r}"
        )
    n = smoothing.get("n")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n < 2**63:
        raise ValueError(f"smoothing: expected a whole number n >= 1, got {n!r}")
    return {**widths, kind: int(n)}

"""A threshold by what a user can stand: a share of rows, or events per day or per 1,000 rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell._arguments import whole_number
from slidecell.evaluate.inputs import as_labels
from slidecell.thresholds.constant import ConstantThreshold
from slidecell.thresholds.event_counts import count_events
from slidecell.thresholds.events import find_events
from slidecell.thresholds.exposure import Exposure, read_exposure
from slidecell.thresholds.rate_text import Rate, read_rate
from slidecell.thresholds.scores import Floats, training_part
from slidecell.thresholds.spot_tail import Tail
from slidecell.thresholds.state_values import number, whole

__all__ = ["DEFAULT_RATE", "DEFAULT_SHARE", "RateSeen", "RateThreshold"]

# Chosen on every other file of NAB, all rows judged: 1 % finds 18 of 21 labelled windows with 34
# events outside them; 2 % finds one more with 67, 0.5 % three less with 22. benchmarks/README.md
# has the figures of all files.
DEFAULT_RATE = "1/1000rows"
DEFAULT_SHARE = "1%"  # where the rows are too few for the rate

_LEAST_EVENTS = 10  # expected of the fitted rows, else a rate is a guess
_TAIL_EVENTS = 50  # whose peaks the tail is fitted to, if there are so many
Bools = npt.NDArray[np.bool_]


class RateSeen(NamedTuple):
    """A rate on rows that it was not calibrated on.

    Parameters
    ----------
    asked : str
        The rate.
    unit : {"events", "rows"}
        What is counted.
    expected : float
        Events, or flagged rows of a share, that the rate lets expect on these rows.
    low, high : int or None
        The interval that holds 90 % of what may be seen, where events come by chance: of the
        calibration rows, which tell the threshold, and of these. None of a share, whose rows come
        in clusters.
    seen : int
        Those that there are.
    rate : str
        What is seen, in the terms of what was asked.
    """

    asked: str
    unit: str
    expected: float
    low: int | None
    high: int | None
    seen: int
    rate: str


class RateThreshold(ConstantThreshold):
    """The threshold above which a chosen share of rows, or number of events, is to be expected.

    What is asked for is one of

    ``0.1%``
        this share of the rows is flagged,
    ``3/day``
        so many events a day in all entities together (``hour``, ``day``, ``week``, ``month`` of 30
        days, ``year`` of 365 days),
    ``2/entity/week``
        so many events a week in each entity,
    ``5/1000rows``
        so many events in 1,000 rows with a score.

    An event is what `find_events` finds: flagged rows with at most ``gap`` others between them.

    A share is met by a conformal quantile [1]_: of n calibration scores the one of rank
    ``ceil((n + 1) * (1 - share))``, so that a further score, exchangeable with them, exceeds it
    with at most this probability. For events the threshold is the highest at which the calibration
    rows have as many events as the rate allows them. Where these are fewer than 10, it is
    extrapolated: the generalised Pareto distribution of `SpotThreshold` is fitted to the peaks of
    the highest 50 events (fewer, if there are not so many).

    Both are approximate under drift and autocorrelation: new rows that are unlike the calibration
    rows have another rate, and what is said of exchangeable scores holds for the scores of a series
    nearly at best. `seen` compares what was asked with what came.

    Once fitted it is a fixed number, in streams too.

    Parameters
    ----------
    rate : str, optional
        Default: what a person can look at, the highest of three thresholds: that of ``1/1000rows``,
        unless the rows are too few for it; that of ``1%`` of the rows; and the percentile 99 of the
        scores of all training rows, so that a quiet end of theirs does not set off what was usual
        before. A rate that is asked for and that the rows are too few for is refused.
    gap : int, optional
        Default: that of the detector, the rows before its own that a score depends on; else 0.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman, G. Shafer (2005), "Algorithmic Learning in a Random World",
       Springer, chapter 2.

    See Also
    --------
    SpotThreshold : Follows the scores.
    ContaminationThreshold : A percentile of all training scores, as PyOD has it.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds import RateThreshold
    >>> rng = np.random.default_rng(0)
    >>> rule = RateThreshold("5/1000rows", gap=2).fit(rng.exponential(size=20_000))
    >>> seen = rule.seen(rng.exponential(size=20_000))
    >>> seen.asked, seen.expected, (seen.low, seen.high), seen.seen, seen.rate
    ('5/1000rows', 100.0, (78, 124), 112, '5.6/1000rows')
    """

    kind = "rate"

    def __init__(self, rate: str | None = None, *, gap: int | None = None) -> None:
        self.rate = rate
        self.gap = None if gap is None else whole_number("gap", gap, least=0)
        if rate is not None:
            read_rate(rate)
        self._met = rate or DEFAULT_RATE
        self._merged = self.gap or 0
        self._per_one = self._calibrated_by = math.nan

    @property
    def met(self) -> str:
        """The rate that the threshold was set for: what was asked, or the one of the default."""
        self._need_reference()
        return self._met

    def fit(
        self,
        training_scores: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        times: npt.ArrayLike | None = None,
        held_out: npt.ArrayLike | None = None,
        gap: int = 0,
    ) -> RateThreshold:
        """Set the threshold on training scores [S].

        Parameters
        ----------
        training_scores : array_like, [S]
            In time order within an entity; NaN where a row has none.
        offsets : array_like of int, [G+1], optional
            Where each entity begins. Default: one entity.
        times : array_like, [S], optional
            Dates of the rows; a rate in time needs them.
        held_out : array_like of bool, [S], optional
            The rows that calibrate: those that trained nothing, whose scores are as those of new
            rows. The others tell how many entities there are at once. Default: all rows.
        gap : int
            Used where the constructor was given none.

        Raises
        ------
        ValueError
            If all fitted rows together are too few for the rate; the text says which they support.
            If a rate in time has no dates.
        """
        training_part(training_scores)
        exposure = read_exposure(training_scores, offsets, times)
        size = len(exposure.scores)
        everything = np.ones(size, np.bool_)
        chosen = everything if held_out is None else as_labels(held_out, size, name="held_out") > 0
        if not np.isfinite(exposure.scores[chosen]).any():
            chosen = everything
        self._merged = whole_number("gap", gap, least=0) if self.gap is None else self.gap
        calibrate = _Calibration(exposure, chosen, self._merged)
        if self.rate is None:
            self._met, self._value = calibrate.default()
        else:
            self._met, self._value = self.rate, calibrate.threshold(read_rate(self.rate))
        rate = read_rate(self._met)
        self._per_one = calibrate.per_one(rate)
        self._calibrated_by = calibrate.expected(rate, chosen)
        return self

    def seen(
        self,
        scores: npt.ArrayLike,
        offsets: npt.ArrayLike | None = None,
        *,
        times: npt.ArrayLike | None = None,
        rows: npt.ArrayLike | None = None,
        flags: npt.ArrayLike | None = None,
    ) -> RateSeen:
        """Compare the rate that was asked with that of scores [S].

        Parameters
        ----------
        scores : array_like, [S]
        offsets : array_like of int, [G+1], optional
        times : array_like, [S], optional
        rows : array_like of bool, [S], optional
            The rows that count. Default: all.
        flags : array_like of bool, [S], optional
            The rows that are flagged. Default: those above the threshold.

        Examples
        --------
        >>> from slidecell.thresholds import RateThreshold
        >>> rule = RateThreshold("10%").fit(range(100))
        >>> rule.threshold, rule.seen([3.0, 99.0]).seen
        (90.0, 1)
        """
        self._need_reference()
        exposure = read_exposure(scores, offsets, times)
        size = len(exposure.scores)
        everything = np.ones(size, np.bool_)
        chosen = everything if rows is None else as_labels(rows, size, name="rows") > 0
        rate = read_rate(self._met)
        flagged = exposure.scores > self.threshold
        if flags is not None:
            flagged = as_labels(flags, size, name="flags") > 0
        flagged &= chosen
        if rate.of == "share":
            count, unit = int(flagged.sum()), "rows"
        else:
            count, unit = _events(flagged, exposure, chosen, self._merged), "events"
        amount = _amount(exposure, chosen, rate)
        at_once = 1.0 if rate.by_entity or rate.of != "time" else exposure.at_once
        rate_seen = count / amount * rate.span * at_once if amount > 0.0 else math.nan
        expected = self._per_one * amount
        between: tuple[int | None, int | None] = (None, None)
        if rate.of != "share":
            between = chance_interval(expected, self._calibrated_by)
        return RateSeen(
            self._met,
            unit,
            expected,
            *between,
            count,
            rate.with_number(rate_seen) if amount > 0.0 else "",
        )

    def _settings(self) -> dict[str, Any]:
        return {"rate": self.rate, "gap": self.gap}

    def _reference(self) -> dict[str, Any]:
        if self._value is None:
            return {}
        fitted = {
            "met": self._met,
            "merged": self._merged,
            "per_one": self._per_one,
            "calibrated_by": self._calibrated_by,
        }
        return {**super()._reference(), "fitted": fitted}

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        super()._load_reference(state)
        if self._value is not None:
            fitted = state.get("fitted")
            if not isinstance(fitted, Mapping):
                raise ValueError(f"state: 'fitted': expected an object, got {fitted!r}")
            met = fitted.get("met")
            try:
                read_rate(met)
            except (TypeError, ValueError) as error:
                raise ValueError(f"state: 'met': {error}") from None
            self._met, self._merged = str(met), whole(fitted, "merged")
            self._per_one = number(fitted, "per_one")
            self._calibrated_by = number(fitted, "calibrated_by")


class _Calibration:
    """The fitted rows, and those of them that calibrate."""

    def __init__(self, exposure: Exposure, chosen: Bools, gap: int) -> None:
        self.exposure, self.chosen, self.gap = exposure, chosen, gap

    def per_one(self, rate: Rate) -> float:
        """Return the rate per row, or per nanosecond of one entity."""
        return rate.per_one / (self._at_once(rate))

    def default(self) -> tuple[str, float]:
        """Return the rate where none is asked for, and its threshold."""
        share, rate = read_rate(DEFAULT_SHARE), read_rate(DEFAULT_RATE)
        scores = self.exposure.scores[np.isfinite(self.exposure.scores)]
        of_all = float(np.percentile(scores, 100.0 * (1.0 - share.per_one)))
        flagged = DEFAULT_SHARE, max(self.quantile(share.per_one), of_all)
        if not self._supports(rate):
            return flagged
        return max((DEFAULT_RATE, self.threshold(rate)), flagged, key=lambda found: found[1])

    def _supports(self, rate: Rate) -> bool:
        """Return whether the fitted rows let expect enough events."""
        most = count_events(*self._calibrating(), self.gap).most
        expected = self.expected(rate, self.chosen)
        return self.expected(rate) >= _LEAST_EVENTS and most >= max(expected, _LEAST_EVENTS)

    def threshold(self, rate: Rate) -> float:
        """Return the threshold of a rate, or say which rate the rows support."""
        if rate.of == "share":
            return self._share(rate)
        if rate.of == "time" and self.exposure.steps is None:
            raise ValueError(
                f"rate: {rate.with_number(rate.number)!r} needs times that are dates, but "
                f"{self.exposure.why_no_time}: ask for a share of rows as 0.1%, or for events as "
                "5/1000rows"
            )
        expected = self.expected(rate)
        if expected < _LEAST_EVENTS:
            least = _rounded_up(rate.number * _LEAST_EVENTS / expected) if expected else math.inf
            raise ValueError(
                f"rate: the rows that were fitted let expect {expected:.3g} events at "
                f"{rate.with_number(rate.number)!r}, fewer than {_LEAST_EVENTS}: give more rows, "
                f"or a rate of at least {rate.with_number(least)!r}"
            )
        return self._of_events(rate, self.expected(rate, self.chosen))

    def quantile(self, share: float) -> float:
        """Return the conformal quantile of the calibration scores; if too few, the highest."""
        scores = np.sort(self._finite())
        rank = math.ceil(round((len(scores) + 1) * (1.0 - share), 9))
        return float(scores[min(rank, len(scores)) - 1])

    def _share(self, rate: Rate) -> float:
        size = len(self._finite())
        if math.ceil(round((size + 1) * (1.0 - rate.per_one), 9)) > size:
            raise ValueError(
                f"rate: {size} scores calibrate the threshold, too few for "
                f"{rate.with_number(rate.number)!r} of the rows: give more rows, or a share of at "
                f"least {rate.with_number(_rounded_up(100.0 / (size + 1)))!r}"
            )
        return self.quantile(rate.per_one)

    def _of_events(self, rate: Rate, expected: float) -> float:
        scores, offsets = self._calibrating()
        counts = count_events(scores, offsets, self.gap)
        if counts.most < max(expected, _LEAST_EVENTS):
            self._refuse_merged(rate, expected, counts.most)
        if expected >= _LEAST_EVENTS:
            return counts.highest(expected)
        level = counts.highest(min(_TAIL_EVENTS, counts.most))
        flags = np.nan_to_num(scores, nan=-np.inf) > level
        peaks = np.array([e.peak for e in find_events(flags, scores, offsets, gap=self.gap)])
        return _beyond(peaks, level, expected)

    def _refuse_merged(self, rate: Rate, expected: float, most: int) -> None:
        if most < _LEAST_EVENTS:
            raise ValueError(
                f"rate: the rows that calibrate the threshold have at most {most} events with a "
                f"gap of {self.gap} rows, of which fewer than {_LEAST_EVENTS} tell nothing: give "
                "more rows, a smaller gap, or a share of rows as 1%"
            )
        raise ValueError(
            f"rate: {rate.with_number(rate.number)!r} is {expected:.3g} events on the rows that "
            f"calibrate the threshold, which have at most {most} that are more than {self.gap} "
            f"rows apart: give a smaller gap, or a rate of at most "
            f"{rate.with_number(rate.number * most / expected)!r}"
        )

    def _finite(self) -> Floats:
        scores = self.exposure.scores[self.chosen]
        return scores[np.isfinite(scores)]

    def _calibrating(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Return the scores that calibrate [n], and where a segment or a run of them begins."""
        return _runs(self.exposure, self.chosen)

    def expected(self, rate: Rate, rows: Bools | None = None) -> float:
        """Return how many events, or flagged rows, of some rows a rate lets expect."""
        rows = np.ones(len(self.chosen), np.bool_) if rows is None else rows
        return _amount(self.exposure, rows, rate) * self.per_one(rate)

    def _at_once(self, rate: Rate) -> float:
        return 1.0 if rate.by_entity or rate.of != "time" else self.exposure.at_once


def _amount(exposure: Exposure, rows: Bools, rate: Rate) -> float:
    """Return the rows, or the nanoseconds of all entities, that the events are counted on."""
    if rate.of != "time":
        return float(exposure.rows(rows))
    if exposure.steps is None:
        raise ValueError(f"times: expected the dates of the rows, but {exposure.why_no_time}")
    return exposure.time(rows)


def _runs(exposure: Exposure, rows: Bools) -> tuple[Floats, npt.NDArray[np.int64]]:
    kept = np.flatnonzero(rows)
    segments = np.searchsorted(exposure.offsets, kept, side="right") - 1
    cuts = np.flatnonzero((np.diff(kept) != 1) | (np.diff(segments) != 0)) + 1
    return exposure.scores[kept], np.concatenate([[0], cuts, [len(kept)]]).astype(np.int64)


def _events(flags: Bools, exposure: Exposure, rows: Bools, gap: int) -> int:
    scores, offsets = _runs(exposure, rows)
    return len(find_events(flags[rows], scores, offsets, gap=gap))


def _beyond(peaks: Floats, level: float, events: float) -> float:
    """Return the threshold that so few of the peaks above a level exceed, by SPOT's tail.

    Equation (1) of the paper that `SpotThreshold` names.
    """
    excesses = peaks[np.isfinite(peaks)] - level
    tail = Tail(max(len(excesses), 2), excesses[:-1].tolist())
    gamma, sigma = tail.push(float(excesses[-1]))
    ratio = min(events / len(excesses), 1.0)
    if gamma == 0.0:
        return level - sigma * math.log(ratio)
    return level + (sigma / gamma) * (math.pow(ratio, -gamma) - 1.0)


def chance_interval(expected: float, calibrated_by: float) -> tuple[int, int]:
    """Return the least and the most events that are to be expected, with 5 % outside on each side.

    Where events come by chance (Poisson), and so many of them set the threshold, the number on
    other rows follows the negative binomial distribution.

    Examples
    --------
    >>> from slidecell.thresholds.rate import chance_interval
    >>> chance_interval(10.0, 1e9), chance_interval(10.0, 10.0)
    ((5, 15), (4, 18))
    """
    if not expected > 0.0 or not calibrated_by > 0.0:
        return 0, 0
    spread = math.sqrt(expected * (1.0 + expected / calibrated_by))
    if expected > 300.0:  # the normal distribution is near, and no event too rare for a float
        return math.floor(expected - 1.645 * spread), math.ceil(expected + 1.645 * spread)
    other = expected / (expected + calibrated_by)
    # The probability of no event, and from each number the next.
    chance = total = math.exp(-calibrated_by * math.log1p(expected / calibrated_by))
    number, low = 0, 0
    while total < 0.95 and number < expected + 20.0 * spread + 20.0:
        if total < 0.05:
            low = number + 1
        chance *= other * (number + calibrated_by) / (number + 1)
        total += chance
        number += 1
    return low, number


def _rounded_up(value: float) -> float:
    """Return three digits of a number, not below it."""
    digits = 2 - math.floor(math.log10(value))
    return math.ceil(value * 10.0**digits - 1e-9) / 10.0**digits

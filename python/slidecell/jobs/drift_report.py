"""Whether scored rows look like those of training, as facts and as notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.drift import Drift, Statistics, compare
from slidecell.jobs.drift_advice import advice_facts, advice_note
from slidecell.jobs.results import Result, judged_rows
from slidecell.thresholds.rate import RateThreshold
from slidecell.thresholds.rate_text import read_rate

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["drift_facts", "drift_notes", "files_drift_facts", "how_far"]

_LEAST_ROWS = 20  # fewer are no sample

# What a person would want to know. Parts of one series often differ by half of this.
_LEVEL = 1.0  # standard deviations of training
_SPREAD = 2.0  # times as wide, or as narrow
_OUTSIDE = 0.05  # of the values outside the range of training
_MISSING = 0.1  # of the values
_FLAGGED = 3.0  # times as many rows as were to be expected
_LEAST_FLAGS = 10

_UNIT = 3.0  # times as large: values of another unit
_NAMED = 5  # columns in a note


def drift_facts(result: Result) -> dict[str, Any] | None:
    """Return how the judged rows differ from those of training.

    The rows are those of `slidecell.jobs.results.judged_rows`.

    Returns
    -------
    dict or None
        ``part`` and ``rows``; ``flagged``, the share of the rows with a score that are flagged, and
        ``expected``, the share of training, or that the percentile of the threshold says;
        ``columns``, of each by its name `slidecell.detect.drift.Drift`'s numbers; ``drifted``, the
        names of those that are far from training, the farthest first; ``advisory``, see
        `slidecell.jobs.drift_advice.advice_facts`. None where the detector kept
        no statistics, where rows of training are among the judged ones, or few rows are.
    """
    kept = result.detector.training_statistics_
    judged, part = judged_rows(result)
    count = int(judged.sum())
    trained = bool((result.part[judged] == "train").any())
    if kept is None or trained or count < _LEAST_ROWS:
        return None
    table = result.table
    recent = kept.columns.sketch()
    recent.add(table.features if judged.all() else table.features[judged])
    names = [str(name) for name in table.names or range(table.num_features)]
    scored = judged & ~np.isnan(result.scores)
    return {
        "part": part,
        "rows": count,
        "scored": int(scored.sum()),
        "flagged": float(result.flagged[scored].mean()) if scored.any() else 0.0,
        "expected": _expected(result.detector),
        **_column_facts(kept.columns, recent.statistics(), names),
        "advisory": advice_facts(result.detector, table, judged),
    }


def files_drift_facts(
    detector: Detector,
    recent: Statistics | None,
    advisory: dict[str, Any] | None,
    *,
    scored: int,
    flagged: int,
) -> dict[str, Any] | None:
    """Return how rows of files that were scored in parts differ from those of training.

    Parameters
    ----------
    detector : Detector
    recent : Statistics, optional
        Of all rows.
    advisory : dict, optional
        `slidecell.scale.ScoredFiles.advice`.
    scored, flagged : int
        Rows that have a score, and that are flagged.

    Returns
    -------
    dict or None
        As `drift_facts` does.
    """
    kept = detector.training_statistics_
    if kept is None or recent is None or recent.rows < _LEAST_ROWS:
        return None
    names = detector.feature_texts() or list(map(str, range(len(recent.mean))))
    return {
        "part": "all rows",
        "rows": recent.rows,
        "scored": scored,
        "flagged": flagged / scored if scored else 0.0,
        "expected": _expected(detector),
        **_column_facts(kept.columns, recent, names),
        "advisory": advisory,
    }


def _column_facts(training: Statistics, found: Statistics, names: Sequence[str]) -> dict[str, Any]:
    """Return the numbers of each column by its name, and the names of those that are far."""
    drift = compare(training, found)
    far = how_far(drift)
    drifted = [c for c in np.argsort(-far, kind="stable").tolist() if far[c] >= 1.0]
    units = _units(training, found)
    return {
        "columns": {
            name: {
                "level": float(drift.level[c]),
                "spread": float(drift.spread[c]),
                "outside": float(drift.outside[c]),
                "missing": float(drift.missing[c]),
                "distance": float(drift.distance[c]),
                "stability": float(drift.stability[c]),
            }
            | ({"unit": float(units[c])} if np.isfinite(units[c]) else {})
            for c, name in enumerate(names)
        },
        "drifted": [names[c] for c in drifted],
    }


def how_far(drift: Drift) -> npt.NDArray[np.float64]:
    """Return how far each column is from training, [C]: 1 is where it is worth saying.

    Parameters
    ----------
    drift : Drift

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.drift import Drift
    >>> from slidecell.jobs.drift_report import how_far
    >>> none = np.zeros(2)
    >>> how_far(Drift(np.array([0.5, 3.0]), np.ones(2), none, none, none, none)).tolist()
    [0.5, 3.0]
    """
    with np.errstate(all="ignore"):
        measures = np.stack(
            [
                np.abs(drift.level) / _LEVEL,
                np.abs(np.log(drift.spread)) / math.log(_SPREAD),
                drift.outside / _OUTSIDE,
                drift.missing / _MISSING,
            ]
        )
    # An infinite ratio, as of a column that moves no more, is as far as can be.
    return np.asarray(np.nan_to_num(measures, nan=0.0, posinf=1e9).max(axis=0, initial=0.0))


def _units(training: Statistics, recent: Statistics) -> npt.NDArray[np.float64]:
    """Return how many times as large values are, as if in another unit; NaN where they are not.

    Their spread and their middle have then changed by the same factor.
    """
    with np.errstate(all="ignore"):
        ratios = [(recent.at(level) / training.at(level)) for level in (0.1, 0.5, 0.9)]
        lowest, highest = np.minimum.reduce(ratios), np.maximum.reduce(ratios)
        same = (lowest > 0.0) & (highest < 1.25 * lowest)
        changed = (lowest >= _UNIT) | (highest <= 1.0 / _UNIT)
        varies = training.at(0.9) > training.at(0.1)
    return np.where(same & changed & varies, ratios[1], np.nan)


def _expected(detector: Detector) -> float:
    """Return the share of rows that a threshold flags in rows like those of training."""
    rule = detector.threshold_state() or {}
    if rule.get("percentile") is not None:
        return 1.0 - float(rule["percentile"]) / 100.0
    if rule.get("kind") == RateThreshold.kind:
        rate = read_rate(rule["fitted"]["met"])
        if rate.of == "share":
            return rate.per_one
    scores, labels = detector.decision_scores_, detector.labels_
    scored = ~np.isnan(scores)
    return float(labels[scored].mean()) if scored.any() else 0.0


def drift_notes(facts: Mapping[str, Any] | None) -> list[str]:
    """Return what is to be said of them: flags far above the expected share, columns that moved.

    Parameters
    ----------
    facts : mapping, optional
        Of `drift_facts`.

    Examples
    --------
    >>> from slidecell.jobs.drift_report import drift_notes
    >>> heat = {"level": 3.2, "spread": 1.0, "outside": 0.5, "missing": 0.0}
    >>> facts = {"part": "the test part", "rows": 100, "scored": 100, "flagged": 0.91}
    >>> facts |= {"expected": 0.05, "columns": {"heat": heat}, "drifted": ["heat"]}
    >>> for note in drift_notes(facts):
    ...     print(note)
    91 % of the scored rows of the test part are flagged, where 5 % were to be expected: it looks \
unlike training, and the threshold may not fit it
    the test part differs from training in 1 of 1 columns: heat (level +3.2 training standard \
deviations, 50 % outside the training range)
    """
    if facts is None:
        return []
    flagged, expected = facts["flagged"], facts["expected"]
    part = facts["part"].replace("all rows", "the file")
    notes = []
    drifted = facts["drifted"]
    advice = advice_note(facts.get("advisory"), part, differs=bool(drifted))
    if flagged >= _FLAGGED * expected and flagged * facts["scored"] >= _LEAST_FLAGS:
        if drifted:
            why = "it looks unlike training, and the threshold may not fit it"
        elif advice:
            why = f"as a whole it looks like training, but {advice}"
        else:
            why = (
                "no column alone is far from training; there are many anomalies, or the columns "
                "together behave unlike it"
            )
        notes.append(
            f"{_percent(flagged)} of the scored rows of {part} are flagged, where "
            f"{_percent(expected)} were to be expected: {why}"
        )
    elif advice and not drifted:
        notes.append(f"as a whole {part} looks like training, but {advice}")
    if drifted:
        named = [f"{name} ({_describe(facts['columns'][name])})" for name in drifted[:_NAMED]]
        more = f", and {len(drifted) - _NAMED} more" if len(drifted) > _NAMED else ""
        notes.append(
            f"{part} differs from training in {len(drifted)} of {len(facts['columns'])} columns: "
            + ", ".join(named)
            + more
            + (f"; {advice}" if advice else "")
        )
    return notes


def _describe(column: Mapping[str, float]) -> str:
    """Return what is far from training in one column."""
    texts = []
    if column.get("unit") is not None:
        texts.append(f"{column['unit']:.3g} times as large, as if its unit had changed")
    elif abs(column["level"]) >= _LEVEL:
        size = abs(column["level"])
        amount = f"{column['level']:+.2g}" if size < 1e6 else f"{column['level']:+.0e}"
        texts.append(f"level {amount} training standard deviations")
    spread = column["spread"]
    if column.get("unit") is None and (spread >= _SPREAD or spread <= 1.0 / _SPREAD):
        texts.append("it does not move" if spread == 0.0 else f"spread {spread:.2g} times as wide")
    if column["outside"] >= _OUTSIDE:
        texts.append(f"{_percent(column['outside'])} outside the training range")
    if column["missing"] >= _MISSING:
        texts.append(f"{_percent(column['missing'])} more of it is missing")
    return ", ".join(texts)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.0f} %"

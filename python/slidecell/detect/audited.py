"""Audited flags of a detector with a network: see `SequenceModel.flag`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from slidecell._core import UnsupportedError
from slidecell.flags import FlagAudit, Flags, fixed_threshold
from slidecell.tables.rows import Rows
from slidecell.thresholds import PerEntityThreshold, threshold_from_state
from slidecell.thresholds.smoothing import smoothing_from_state

if TYPE_CHECKING:
    from slidecell._choices import Speculate
    from slidecell.model import SequenceModel

__all__ = ["Judging", "audited_flags", "check_audited", "judged_scores", "thresholds_of"]


class Judging(Protocol):
    """What is asked of a detector here."""

    @property
    def network(self) -> SequenceModel | None:
        """The compiled network behind the scores; None if there is none."""

    @property
    def scoring_model(self) -> SequenceModel | None:
        """The model whose scores and flags are the detector's; None if there is none."""

    def threshold_state(self) -> dict[str, Any] | None:
        """Return the rule that flags rows; None: no row is flagged."""


def check_audited(detector: Judging) -> None:
    """Refuse a detector that has no audited flags.

    Raises
    ------
    UnsupportedError
        If the detector is no network, if its scores are of other errors than those of whole
        windows, look ahead or are not of float32 accuracy, or if its threshold or smoothing follows
        all scores before a row.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.audited import check_audited
    >>> try:
    ...     check_audited(ZScoreDetector().fit(np.random.default_rng(0).normal(size=(99, 1))))
    ... except sc.UnsupportedError as error:
    ...     print(error)
    audited flags: expected a detector with a network, got a ZScoreDetector
    """
    if detector.network is None:
        raise UnsupportedError(
            f"audited flags: expected a detector with a network, got a {type(detector).__name__}"
        )
    if detector.scoring_model is None:
        raise UnsupportedError(
            "audited flags: the scores must be those of whole windows at their last rows "
            "(aggregate='window', align='end'); others rest on many windows each, or on later rows"
        )
    precision = getattr(detector, "precision", "highest")
    if precision != "highest":
        raise UnsupportedError(
            f"audited flags: exact scores are those of precision='highest', got {precision!r}"
        )


def audited_flags(
    detector: Judging,
    rows: Rows,
    *,
    speculate: Speculate,
    audit: int = 1024,
    thresholds: float | npt.NDArray[Any] | None = None,
) -> Flags:
    """Return audited flags of rows of a table, in the rows' own order.

    ``score`` is the raw score of each row, before the detector smooths it.

    Parameters
    ----------
    detector : Detector
        Fitted, with a network.
    rows : Rows
        Filled, if that was asked.
    speculate, audit
        See `SequenceModel.flag`.
    thresholds : float or ndarray, [G] or [S], optional
        Default: those of the detector's rule.

    Raises
    ------
    UnsupportedError
        As `check_audited` and `SequenceModel.flag`.
    """
    check_audited(detector)
    model = detector.scoring_model
    assert model is not None
    return model.flag(
        rows.features,
        thresholds_of(detector, rows) if thresholds is None else thresholds,
        rows.offsets,
        reduction=model.reduction or "mse",  # type: ignore[arg-type]  # the core checked it
        smoothing=model.metadata["smoothing"],
        audit=audit,
        speculate=speculate,
        num_threads=getattr(detector, "num_threads", None),
    )


def judged_scores(
    detector: Judging,
    rows: Rows,
    thresholds: float | npt.NDArray[Any] | None,
    speculate: Speculate,
    audit: int,
) -> tuple[npt.NDArray[Any], FlagAudit]:
    """Return scores [S], smoothed, that thresholds flag as `audited_flags` does; and the audit.

    Those of flagged rows are exact.
    """
    found = audited_flags(detector, rows, speculate=speculate, audit=audit, thresholds=thresholds)
    assert detector.scoring_model is not None
    state = detector.scoring_model.metadata["smoothing"]
    if state is None:
        return found.score, found.audit
    return smoothing_from_state(state).apply(found.score, rows.offsets), found.audit


def thresholds_of(detector: Judging, rows: Rows) -> float | npt.NDArray[Any]:
    """Return the value of a detector's rule, or of each entity's [G]; infinity without a rule.

    Raises
    ------
    UnsupportedError
        If the rule follows the scores.
    """
    state = detector.threshold_state()
    if state is None:
        return np.inf
    rule = threshold_from_state(state)
    if not isinstance(rule, PerEntityThreshold):
        return float(fixed_threshold(rule))
    return np.array([fixed_threshold(rule.for_entity(name)) for name in rows.segment_names()])

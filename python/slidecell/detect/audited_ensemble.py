"""Audited flags of an ensemble: its network is asked with a threshold for each row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from slidecell._core import UnsupportedError
from slidecell.detect.audited import Judging, check_audited, judged_scores, thresholds_of
from slidecell.detect.fusion.fused import fuse
from slidecell.detect.fusion.normalisers import _Affine
from slidecell.flags import FlagAudit
from slidecell.tables.rows import Floats, Rows

if TYPE_CHECKING:
    from slidecell._choices import Speculate
    from slidecell.detect.base import Detector
    from slidecell.detect.fusion.base import Normaliser

__all__ = ["Fusing", "asked_member", "audited_fusion"]

_ROUNDING = 1e-11  # of the sums behind a row's threshold; far more than float64 loses


class Fusing(Judging, Protocol):
    """What is asked of an ensemble here."""

    members_: dict[str, Detector]
    normalisers_: dict[str, Normaliser]
    weights_: Floats

    def _member_scores(self, rows: Rows, names: Iterable[str]) -> Floats:
        """Return normalised scores [S, M'] of these members, in the order of rows."""
        ...


def asked_member(ensemble: Fusing) -> str:
    """Return the name of the weighted member with a network, which has the threshold to itself.

    Raises
    ------
    UnsupportedError
        If there is none, or more than one, if it has no audited flags, or if its scores are fused
        by their ranks.
    """
    weighted = zip(ensemble.members_.items(), ensemble.weights_, strict=True)
    names = [name for (name, member), w in weighted if w > 0 and member.network is not None]
    if len(names) != 1:
        raise UnsupportedError(
            "audited flags: expected an ensemble with one weighted network, got "
            + (", ".join(map(repr, names)) or "none")
        )
    check_audited(ensemble.members_[names[0]])
    if not isinstance(ensemble.normalisers_[names[0]], _Affine):
        raise UnsupportedError(
            "audited flags: a rank is flat between the scores of the fitted rows, so that no "
            "threshold of the network's own score stands for one of the fused score; expected "
            "normaliser 'minmax', 'z' or 'robust'"
        )
    return names[0]


def audited_fusion(
    ensemble: Fusing, rows: Rows, *, speculate: Speculate, audit: int = 1024
) -> tuple[Floats, FlagAudit]:
    """Return fused scores [S] by which the ensemble's rule raises audited flags; and the audit.

    All members but the network score exactly. What they leave to the threshold is the network's, a
    number for each row; fused scores of rows that are not flagged may be of cheap ones.
    """
    asked = asked_member(ensemble)
    names = [n for n, w in zip(ensemble.members_, ensemble.weights_, strict=True) if w > 0]
    weights = ensemble.weights_[ensemble.weights_ > 0]
    place = names.index(asked)
    columns = np.zeros((len(rows), len(names)))
    for m, name in enumerate(names):
        if m != place:
            columns[:, [m]] = ensemble._member_scores(rows, [name])
    affine = ensemble.normalisers_[asked]
    assert isinstance(affine, _Affine)  # asked_member has seen to it
    limits = _limits(ensemble, rows, affine, others=fuse(columns, weights), weight=weights[place])
    member = ensemble.members_[asked]
    own, found = judged_scores(member, _as_read(member, rows), limits, speculate, audit)
    columns[:, place] = ensemble.normalisers_[asked].apply(own)
    return fuse(columns, weights), found


def _as_read(member: Detector, rows: Rows) -> Rows:
    return rows.filled() if member._fills() else rows


def _limits(
    ensemble: Fusing,
    rows: Rows,
    affine: _Affine,
    *,
    others: Floats,  # [S]
    weight: float,
) -> Floats:
    """Return the network's scores above which the fused ones lie above their thresholds: [S].

    ``others`` is what the other members add to the fused score, ``affine`` and ``weight`` are the
    network's. A little less is returned, so that rounding hides none: what lies above is computed
    exactly.
    """
    given = np.asarray(thresholds_of(ensemble, rows), np.float64)
    limits = np.repeat(given, np.diff(rows.offsets)) if given.ndim else np.full(len(rows), given)
    assert affine.center is not None
    with np.errstate(invalid="ignore"):
        own = affine.center + affine.scale * ((limits - others) / weight)
        size = abs(affine.center) + affine.scale * ((abs(limits) + abs(others)) / weight)
        own -= _ROUNDING * size
    own[np.isposinf(others)] = -np.inf  # infinite whatever the network says
    own[np.isnan(own)] = np.inf  # no fused score
    return own

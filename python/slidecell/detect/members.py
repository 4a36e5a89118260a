"""The members of an ensemble: named, checked, fitted and kept in folders of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from slidecell.detect.base import Alignment, Detector
from slidecell.tables.rows import Floats, Rows
from slidecell.tables.windowed import TooFewWindowsError

__all__ = ["checked_members", "common_alignment", "fit_member", "member_folder", "naming"]

# Errors that stay of their kind; others become a ValueError.
_KEPT = (TypeError, OSError, ImportError, TooFewWindowsError)

P = TypeVar("P", bound=PurePath)


def checked_members(
    given: Any, *, entity: Hashable | None, time: Hashable | None
) -> dict[str, Detector]:
    """Return (name, detector) pairs as a dict, or refuse them.

    Parameters
    ----------
    given : sequence of (str, Detector)
    entity, time : hashable, optional
        Columns that the ensemble names; a member may name no others.

    Examples
    --------
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.members import checked_members
    >>> checked_members([("level", ZScoreDetector())], entity=None, time=None)
    {'level': ZScoreDetector()}
    """
    try:
        pairs = [(name, member) for name, member in given]
    except (TypeError, ValueError):
        raise TypeError(f"members: expected (name, detector) pairs, got {given!r}") from None
    if not pairs:
        raise ValueError("members: expected at least one (name, detector), got none")
    members: dict[str, Detector] = {}
    for name, member in pairs:
        if not isinstance(name, str) or not name:
            raise TypeError(f"members: expected names, got {name!r}")
        if name in members:
            raise ValueError(f"members: the name {name!r} stands twice")
        if not isinstance(member, Detector):
            hint = ": SklearnDetector(...) makes one" if hasattr(member, "fit") else ""
            raise TypeError(f"member {name!r}: expected a Detector, got {member!r}{hint}")
        for role, ours in (("entity", entity), ("time", time)):
            theirs = getattr(member, role)
            if theirs not in (None, ours):
                raise ValueError(
                    f"member {name!r}: {role}={theirs!r}, but the ensemble's is {ours!r}: "
                    "columns are named in the ensemble"
                )
        members[name] = member
    return members


def common_alignment(members: Mapping[str, Detector]) -> Alignment:
    """Return the alignment of all members; None: each looks at single rows.

    Raises
    ------
    ValueError
        If they are a mix: scores of other rows would be added up.

    Examples
    --------
    >>> from slidecell.detect import KMeansDetector, RidgeDetector, ZScoreDetector
    >>> from slidecell.detect.members import common_alignment
    >>> common_alignment({"a": KMeansDetector(align="cover"), "b": ZScoreDetector()})
    'cover'
    >>> common_alignment({"a": KMeansDetector(align="cover"), "b": RidgeDetector()})
    Traceback (most recent call last):
    ValueError: members: expected one alignment, got 'cover' of 'a' and 'end' of 'b'
    """
    named = {name: member.alignment for name, member in members.items()}
    known = {aligned: name for name, aligned in named.items() if aligned is not None}
    if len(known) > 1:
        got = " and ".join(f"{aligned!r} of {name!r}" for aligned, name in known.items())
        raise ValueError(f"members: expected one alignment, got {got}")
    return next(iter(known), None)


def member_folder(folder: P, index: int) -> P:
    """Return a member's folder, numbered: a name may be one that no file can have.

    Examples
    --------
    >>> from pathlib import PurePosixPath
    >>> from slidecell.detect.members import member_folder
    >>> member_folder(PurePosixPath("ensemble"), 2)
    PurePosixPath('ensemble/member-2')
    """
    return folder / f"member-{index}"


def fit_member(
    member: Detector, rows: Rows, held: npt.NDArray[np.bool_], *, prefit: bool
) -> tuple[Detector, Floats]:
    """Return the member, fitted on rows that are not held out, and its scores of all, [S].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.tables.arrays import take_rows
    >>> from slidecell.tables.options import TableOptions
    >>> from slidecell.detect.members import fit_member
    >>> rows = take_rows([[0.0], [2.0]], None, TableOptions())
    >>> fit_member(ZScoreDetector(), rows, np.array([False, False]), prefit=False)[1]
    array([1., 1.])
    """
    if not prefit:
        fitted: Detector = clone(member)
        fitted._fit_rows(rows, held)
        scores = fitted.decision_scores_  # in input order
        return fitted, scores if rows.order is None else scores[rows.order]
    check_is_fitted(member, "threshold_")
    known = getattr(member, "feature_names_in_", None)
    names = rows.names if known is None else tuple(known.tolist())
    # As text, which is what a file has of them.
    differ = rows.names is not None and [*map(str, names or ())] != [*map(str, rows.names)]
    if member.n_features_in_ != rows.num_features or differ:
        theirs = member.n_features_in_ if known is None else ", ".join(map(repr, names or ()))
        ours = rows.num_features if rows.names is None else ", ".join(map(repr, rows.names))
        raise ValueError(f"it was fitted with the features {theirs}, but X has {ours}")
    return member, member.score_rows(rows).astype(np.float64)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Let what goes wrong say in which member.

    Examples
    --------
    >>> from slidecell.detect.members import naming
    >>> with naming("level"):
    ...     raise ValueError("window: too long")
    Traceback (most recent call last):
    ValueError: member 'level': window: too long
    """
    try:
        yield
    except _KEPT as error:
        kind = next(k for k in _KEPT if isinstance(error, k))
        raise kind(f"member {name!r}: {error}") from error
    except Exception as error:
        raise ValueError(f"member {name!r}: {error}") from error

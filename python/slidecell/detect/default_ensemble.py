"""The members of the ensemble to begin with, and of the one that the command line describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slidecell._arguments import as_choice
from slidecell.detect.base import SHARED_SETTINGS
from slidecell.detect.registry import (
    DEFAULT_MEMBERS,
    QUICK_MEMBERS,
    find_detector,
    setting_flag,
)

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["make_members", "members_from_settings"]


def make_members(names: Sequence[str], settings: Mapping[str, Any]) -> list[tuple[str, Detector]]:
    """Return detectors by their names, unfitted; each takes the settings that it has.

    Examples
    --------
    >>> from slidecell.detect.default_ensemble import make_members
    >>> from slidecell.detect.registry import QUICK_MEMBERS
    >>> [member for _, member in make_members(QUICK_MEMBERS, {"align": "cover"})]
    [RidgeDetector(align='cover'), KMeansDetector(align='cover'), WindowPCADetector(align='cover')]
    """
    members = []
    for name in names:
        kind = find_detector(name)
        known = kind._get_param_names()
        taken = {key: value for key, value in settings.items() if key in known}
        members.append((name, kind.from_settings(taken)))
    return members


def members_from_settings(
    settings: Mapping[str, Any], *, own: set[str]
) -> tuple[list[tuple[str, Detector]], dict[str, Any]]:
    """Return the members that the command line describes, and the settings of the ensemble itself.

    ``members`` are names with commas between them; ``network`` chooses among the default ones.

    Parameters
    ----------
    settings : mapping
    own : set of str
        Parameters of the ensemble.

    Examples
    --------
    >>> from slidecell.detect.default_ensemble import members_from_settings
    >>> members_from_settings({"members": "pca, zscore", "missing": "ffill"}, own={"members"})
    ([('pca', PCADetector(missing='ffill')), ('zscore', ZScoreDetector(missing='ffill'))], {})
    """
    given = dict(settings)
    network = as_choice("network", given.pop("network", True), (True, False))
    names = _names(given.pop("members", None), DEFAULT_MEMBERS if network else QUICK_MEMBERS)
    shared = SHARED_SETTINGS | {"contamination", "missing"}
    kinds = [find_detector(name) for name in names]
    for key in sorted(set(given) - own - shared):
        if not any(key in kind._get_param_names() for kind in kinds):
            flag = setting_flag(key)
            raise ValueError(
                f"{flag}: none of the members {', '.join(names)} has such a setting, got "
                f"{given[key]!r}: leave it out"
            )
    # The ensemble has the columns, and shows the progress of all.
    theirs = {key: given[key] for key in given if key not in own or key in shared}
    theirs = {key: value for key, value in theirs.items() if key != "progress"}
    return make_members(names, theirs), {key: given[key] for key in given if key in own}


def _names(text: str | None, default: Sequence[str]) -> list[str]:
    """Return names with commas between them, each once."""
    names = list(default) if text is None else [part.strip() for part in text.split(",")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"--members: {twice[0]!r} comes twice")
    if "ensemble" in names:
        raise ValueError("--members: expected single detectors, got 'ensemble'")
    return names

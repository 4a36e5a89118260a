"""The ensemble to begin with, and the one that the command line describes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from slidecell._arguments import as_choice
from slidecell.detect.base import SHARED_SETTINGS, Detector
from slidecell.detect.flat_windows import Align
from slidecell.detect.registry import (
    DEFAULT_MEMBERS,
    QUICK_MEMBERS,
    find_detector,
    setting_flag,
)

if TYPE_CHECKING:
    from slidecell.thresholds import Threshold

__all__ = ["DefaultEnsemble", "make_members", "members_from_settings"]

E = TypeVar("E", bound="DefaultEnsemble")


class DefaultEnsemble(Detector):
    """How an ensemble is made without a list of detectors; see `slidecell.detect.Ensemble`."""

    @classmethod
    def default(
        cls: type[E],
        align: Align = "end",
        network: bool = True,
        random_state: Any = None,
        *,
        contamination: float | None = None,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
        num_threads: int | None = None,
        progress: bool | Callable[[int, int, float, float | None], object] = False,
    ) -> E:
        """Return the ensemble to begin with, unfitted: what ``slidecell detect`` runs.

        Its members are a `ForecastDetector`, a `KMeansDetector` and a `WindowPCADetector` with
        their own defaults, fused by z-scores with equal weights. A member for which the training
        rows are too short is left out, with a note.

        Parameters
        ----------
        align : {"end", "cover"}
            Of all members. ``end``: a score uses no row after its own, as a stream must.
            ``cover``: it is of all windows that cover the row, which finds more, in batches alone.
        network : bool
            False: a `RidgeDetector` forecasts in the network's place, in a hundredth of the time.
        random_state : int, RandomState or None
            Of the network and of k-means.
        contamination, threshold
            See `Ensemble`.
        missing : {"skip", "ffill"}
            Of all members.
        entity, time : hashable, optional
        num_threads : int, optional
        progress : bool or callable

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect import Ensemble
        >>> X = np.sin(np.arange(900) / 5)[:, None] + 0.01 * np.cos(np.arange(900) ** 2)[:, None]
        >>> X[800:810] += 0.5
        >>> ensemble = Ensemble.default(network=False, random_state=0).fit(X[:700])
        >>> list(ensemble.members_)
        ['ridge', 'kmeans', 'window-pca']
        >>> int(np.nanargmax(ensemble.score_samples(X))) in range(800, 860)
        True
        """
        settings = {
            "align": align,
            "random_state": random_state,
            "contamination": contamination,
            "missing": missing,
            "num_threads": num_threads,
        }
        make: Any = cls
        ensemble: E = make(
            make_members(DEFAULT_MEMBERS if network else QUICK_MEMBERS, settings),
            "z",
            contamination=contamination,
            threshold=threshold,
            skip_short=True,
            entity=entity,
            time=time,
            progress=progress,
        )
        return ensemble

    @classmethod
    def from_settings(cls: type[E], settings: Mapping[str, Any]) -> E:
        """Return `default` by the settings of the command line, or one of the members named there.

        Settings go to each member that has them, and one that none has is refused.
        """
        members, own = members_from_settings(settings, own=set(cls._get_param_names()))
        make: Any = cls
        ensemble: E = make(members, **{"normaliser": "z", "skip_short": True, **own})
        return ensemble

    @classmethod
    def takes_setting(cls, name: str) -> bool:
        """Return whether the ensemble of the command line has a member with this setting."""
        return name in {"members", "network"} or any(
            find_detector(member).takes_setting(name) for member in DEFAULT_MEMBERS
        )


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

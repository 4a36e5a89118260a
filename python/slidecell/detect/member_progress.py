"""Show how far an ensemble has come: a bar over its members, and how long a network will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sklearn.base import clone

if TYPE_CHECKING:
    from rich.progress import Progress

    from slidecell.detect.base import Detector

__all__ = ["MemberProgress", "member_progress", "training_time_text"]

D = TypeVar("D", bound="Detector")


class MemberProgress:
    """The base: it shows nothing, and hands a callable on to the networks."""

    def __init__(self, given: bool | Callable[..., object] = False) -> None:
        self._given = given

    @contextmanager
    def fitting(self, name: str, member: D) -> Iterator[D]:
        """Yield the member as it is to be fitted, while it is."""
        del name
        yield self._telling(member, self._given)

    @staticmethod
    def _trains(member: Detector) -> bool:
        """Return whether a member has progress to tell."""
        return "progress" in member.get_params(deep=False)

    @staticmethod
    def _telling(member: D, progress: Any) -> D:
        """Return a copy of a member that tells its progress, if it has some to tell."""
        if progress is False or not MemberProgress._trains(member):
            return member
        told: D = clone(member)
        told.set_params(progress=progress)
        return told


class _Bar(MemberProgress):
    """A rich bar over members and, within one that is a network, over its epochs."""

    def __init__(self, progress: Progress, members: int) -> None:
        super().__init__()
        self._progress = progress
        self._all = progress.add_task("members", total=members)

    @contextmanager
    def fitting(self, name: str, member: D) -> Iterator[D]:
        self._progress.update(self._all, description=f"fit {name}")
        if self._trains(member):
            import slidecell.training  # noqa: F401  # whose import takes longer than many an epoch
        began = time.perf_counter()
        own = None

        def tell(epoch: int, epochs: int, loss: float, validation: float | None) -> None:
            nonlocal own
            del loss, validation
            if own is None:
                own = self._progress.add_task(name, total=epochs)
                text = training_time_text(name, epochs, time.perf_counter() - began)
                self._progress.console.print(text, highlight=False, soft_wrap=True)
            self._progress.update(own, completed=epoch, description=f"epoch {epoch}/{epochs}")

        yield self._telling(member, tell)
        if own is not None:
            self._progress.remove_task(own)
        self._progress.advance(self._all)


def training_time_text(name: str, epochs: int, seconds: float) -> str:
    """Return how long a network will train at most, by the seconds of its first epoch.

    Examples
    --------
    >>> from slidecell.detect.member_progress import training_time_text
    >>> training_time_text("forecast", 50, 0.84)
    'forecast: an epoch takes 0.84 s; training takes 42 s at most (50 epochs)'
    """
    whole = epochs * seconds
    most = f"{whole:.2g} s" if whole < 9.95 else f"{whole:.0f} s"
    if whole >= 120.0:
        most = f"{whole / 60.0:.0f} min"
    return (
        f"{name}: an epoch takes {seconds:.2g} s; training takes {most} at most ({epochs} epochs)"
    )


@contextmanager
def member_progress(
    progress: bool | Callable[..., object], members: Mapping[str, Detector]
) -> Iterator[MemberProgress]:
    """Yield what shows the progress of fitting these members.

    Parameters
    ----------
    progress : bool or callable
        True: a bar on stderr if that is a terminal and rich is there. A callable is handed on to
        the networks.
    members : mapping of str to Detector

    Examples
    --------
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.member_progress import member_progress
    >>> members = {"level": ZScoreDetector()}
    >>> with member_progress(False, members) as shown:
    ...     with shown.fitting("level", members["level"]) as member:
    ...         member
    ZScoreDetector()
    """
    if not isinstance(progress, bool) and not callable(progress):
        raise TypeError(f"progress: expected a bool or a callable, got {progress!r}")
    if progress is not True:
        yield MemberProgress(progress)
        return
    bars = _bars() if sys.stderr.isatty() else None
    if bars is None:
        yield MemberProgress(False)
        return
    with bars:
        yield _Bar(bars, len(members))


def _bars() -> Progress | None:
    """Return rich's bars on stderr; None where rich is not installed."""
    try:
        from rich import progress
        from rich.console import Console
    except ModuleNotFoundError:
        return None
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )

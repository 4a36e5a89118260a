"""A run of ``slidecell stream`` from its options to its end."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, TextIO

from slidecell._extras import require
from slidecell.live.drift_watch import DriftWatch
from slidecell.live.entities import Entities
from slidecell.live.load_live import load_live
from slidecell.live.loop import Loop
from slidecell.live.observers import Observer
from slidecell.live.own_observers import own_observers
from slidecell.live.signals import Signals
from slidecell.live.sources import Sources

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.live.explainer import Explainer
    from slidecell.live.options import LiveOptions
    from slidecell.live.web.service import WebService

__all__ = ["run_live"]


def run_live(
    options: LiveOptions,
    *,
    stdin: int | None = None,
    stdout: BinaryIO | None = None,
    stderr: TextIO | None = None,
    observers: Sequence[Observer] = (),
) -> None:
    """Score lines until their end, SIGINT, SIGTERM or SIGHUP; then save the state.

    The scores, alarms and events are those of ``slidecell score`` on the same rows. SIGUSR1 prints
    the counters. Events that are open at the end stay open where a state is saved, and are closed
    where none is.

    Parameters
    ----------
    options : LiveOptions
    stdin : int, optional
        File descriptor to read from. Default: standard input.
    stdout, stderr : file, optional
        For scores, and for reports. Default: the standard ones.
    observers : sequence of Observer
        Are told what happens. One that fails is dropped, and the run goes on.

    Raises
    ------
    ValueError, OSError
        A bad line with ``on_error="fail"`` (the rows before it are in the saved state), a bad
        header, model or state file; a state that cannot be written; a port that cannot be had.

    Notes
    -----
    With ``on_error="skip"`` a line that cannot be used is reported, and what it held stays a
    missing row, so that no window bridges it: of its entity, where that can be read; else of all
    entities whose last row came from the same source, as it may be any of theirs. A row that is
    not later than the one before it is skipped alone: its place has been scored.

    Where somebody is told of events (``output``, ``page``), a closed one names the columns that
    drive it with their shares: those of ``events.csv``, and of events beyond its worst 50 too. A
    folder's detector tells them, if it can, from the rows that its scores depend on: of each entity
    the last ones are kept, and of an open event those of its highest 100 flagged rows. It is asked
    once, when the event closes. A state has these rows; of an event that was open in a state
    without them, as of a run that told nobody, flagged rows count once their windows are whole
    again. A detector that scores by later rows (``align="cover"``) has no stream, and smoothing by
    all rows before has no such window: a model's `EWMA` names no columns. Nor does a model file,
    of which the page alone shows those that its forecasts missed.

    Lines that have come are taken together: what can be read without waiting, up to 64 KiB, is
    parsed, scored and answered in blocks of up to 1,024 rows, and a line that comes alone is a
    block of one. Where rows take long, soon fewer are taken together: answers and signals wait for
    tens of milliseconds, or for one row. What happens is what would happen one line after the
    other, and each row of a block counts with the same share of the block's time.

    Nobody outside can keep the run from its end. It waits in one place, for input, for signals, and
    for room in the queue of 64 KiB in front of standard output: while that is full, all input
    waits. Reports beyond 64 KiB that nobody reads are dropped and counted. After a signal there is
    one second for the lines that were read; then the state is saved.
    """
    model, event_gap, detector = load_live(options.model)
    asked, options = options, options.with_model(model)
    _check_writable(options)
    own = own_observers(asked, options, model, detector)
    explainer = _explainer(options, detector)
    if explainer is not None:
        options.refuse_driving_columns(explainer.columns)
    entities = Entities(model, options, event_gap=event_gap, explainer=explainer)
    if stdout is None:
        if sys.stdout is None:
            raise OSError("standard output: it is closed")
        stdout = sys.stdout.buffer
    if stdin is None and options.listen is None and sys.stdin is not None:
        stdin = sys.stdin.fileno()
    with (
        contextlib.closing(Sources(stdin, options.listen)) as sources,
        Signals() as signals,
        _web(options) as web,
    ):
        drift = next((one for one in own if isinstance(one, DriftWatch)), None)
        served = [] if web is None else web.watch(model, entities, drift)
        run = Loop(
            options,
            model,
            entities,
            signals,
            stdout=stdout,
            stderr=sys.stderr if stderr is None else stderr,
            observers=[*own, *observers, *served],
        )
        if web is not None:
            web.start(run.why_not_ready, run.say)
        try:
            run.until_the_end(sources)
        finally:
            try:
                entities.save()
            finally:
                run.close()


def _explainer(options: LiveOptions, detector: Detector | None) -> Explainer | None:
    """Return what names the columns of events, if somebody is told them and it can be known."""
    if detector is None or (options.output == "scores" and options.page is None):
        return None
    from slidecell.live.explainer import Explainer

    return Explainer.of(detector)


def _web(options: LiveOptions) -> contextlib.AbstractContextManager[WebService | None]:
    """Return what serves metrics and page, its ports open, or None; it is closed at the end."""
    if options.metrics is None and options.page is None:
        return contextlib.nullcontext()
    require("starlette", "uvicorn", "prometheus_client", extra="live")
    from slidecell.live.web.service import WebService

    return contextlib.closing(WebService(options))


def _check_writable(options: LiveOptions) -> None:
    """Raise OSError at the start, not after days, if a file cannot be written at the end."""
    for flag, path in (("--state", options.state), ("--shadow-report", options.shadow_report)):
        if path is None:
            continue
        try:
            with tempfile.TemporaryFile(dir=path.absolute().parent):
                pass
        except OSError as error:
            raise OSError(f"{flag} {path}: {error.strerror or error}") from None

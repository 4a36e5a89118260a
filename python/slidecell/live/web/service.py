"""What ``--metrics`` and ``--page`` ask for, put together: ports, observers, a server."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from slidecell.live.observers import Observer
from slidecell.live.web.counts import Counts
from slidecell.live.web.event_book import EventBook
from slidecell.live.web.health import health_routes, metrics_routes
from slidecell.live.web.metrics import ColumnDrift, DriftNow, RunMetrics, make_registry
from slidecell.live.web.page import LivePage
from slidecell.live.web.server import Site, WebServer
from slidecell.live.web.sockets import is_loopback, open_port, url_of
from slidecell.live.web.traces import Traces

if TYPE_CHECKING:
    from slidecell.live.drift_watch import DriftWatch
    from slidecell.live.entities import Entities
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["WebService"]

_MEASURES = ColumnDrift._fields[1:]


class WebService:
    """Metrics and page of one run. Its ports are open from the start.

    Parameters
    ----------
    options : LiveOptions
        With a port for metrics, or for the page, or both, which may be the same.

    Raises
    ------
    OSError
        If a port cannot be had.
    """

    def __init__(self, options: LiveOptions) -> None:
        self._options = options
        self._sockets: dict[int, socket.socket] = {}
        self._server: WebServer | None = None
        self.observers: list[Observer] = []
        self.pages: list[LivePage] = []
        try:
            for option, port in (("--metrics", options.metrics), ("--page", options.page)):
                if port is not None and port not in self._sockets:
                    self._sockets[port] = open_port(option, port, options.bind)
        except OSError:
            self.close()
            raise

    def watch(
        self,
        model: SequenceModel | LiveDetector,
        entities: Entities,
        drift: DriftWatch | None = None,
    ) -> list[Observer]:
        """Return the observers whose numbers are served, beside those of ``drift``."""
        options = self._options
        self._drift = drift
        self._entities = entities
        self._counts = Counts(
            per_entity=options.metrics_entities, open_events=len(entities.open_events())
        )
        self.observers = [self._counts]
        if options.page is not None:
            names = model.features or [str(n + 1) for n in range(model.input_size)]
            self._traces, self._book = Traces(), EventBook(entities, names)
            self.observers += [self._traces, self._book]
        return self.observers

    def start(self, why_not_ready: Callable[[], str | None], say: Callable[..., object]) -> None:
        """Serve what the observers were told, and say where."""
        options, closing = self._options, asyncio.Event()
        routes: dict[int, list[Route]] = {port: [] for port in self._sockets}
        samples = []
        if options.metrics is not None:
            metrics = RunMetrics(
                self._counts,
                entities=lambda: len(self._entities),
                state=options.state,
                drift=None if self._drift is None else partial(_drift_now, self._drift),
            )
            routes[options.metrics] += metrics_routes(make_registry(metrics))
        if options.page is not None:
            page = LivePage(
                options.model.name,
                entities=self._entities,
                counts=self._counts,
                traces=self._traces,
                book=self._book,
                closing=closing,
                drift=None if self._drift is None else self._drift.served,
            )
            self.pages.append(page)
            routes[options.page] += page.routes()
            samples.append(page.sample)
        sites = [
            Site(found, Starlette(routes=[*routes[port], *health_routes(why_not_ready)]))
            for port, found in self._sockets.items()
        ]
        self._server = WebServer(sites, closing, beside=samples)
        self._server.start()
        self._say_where(say)

    def _say_where(self, say: Callable[..., object]) -> None:
        options = self._options
        for what, port, path in (
            ("metrics", options.metrics, "/metrics"),
            ("page", options.page, "/"),
        ):
            if port is not None:
                url = url_of(self._sockets[port]) + path
                say(f"{what} at {url}", kind="serving", what=what, url=url)
        if not all(map(is_loopback, self._sockets.values())):
            say(
                f"whoever reaches {options.bind} can read the scores and the names of entities",
                kind="serving",
                level="warning",
            )

    def close(self) -> None:
        """End the server, or close the ports alone before it has begun."""
        if self._server is not None:
            self._server.close()
        for found in self._sockets.values():
            found.close()


def _drift_now(watch: DriftWatch) -> DriftNow | None:
    """Return what metrics tell of drift; NaN where nobody can tell."""
    found = watch.served()
    if found is None:
        return None
    columns = [
        ColumnDrift(
            column["name"],
            *(math.nan if column[name] is None else column[name] for name in _MEASURES),
        )
        for column in found["columns"]
    ]
    return DriftNow(found["advice"], found["rows"], columns)

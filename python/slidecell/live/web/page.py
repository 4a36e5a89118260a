"""The live page: what a browser is sent, and when."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from slidecell import __version__
from slidecell.live.web.plain import json_number
from slidecell.live.web.traces import Points, Traces

if TYPE_CHECKING:
    from slidecell.live.entities import Entities
    from slidecell.live.web.counts import Counts
    from slidecell.live.web.event_book import EventBook

__all__ = ["LivePage"]

_TICK = 1.0  # seconds between two messages
_MOST_READERS = 32
_RATES = 120  # seconds whose rows a second are shown
_RATE_OVER = 5  # seconds that a rate is a mean over
_LISTED = 200  # entities that are told about: those with events first
_QUIET = 15.0  # seconds after which a client that has gone is found out
_FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


class LivePage:
    """The page of a run: static files, and a stream of what has changed, once a second.

    What all readers see is put into words once a second, however many there are.

    Parameters
    ----------
    title : str
        What is scored with.
    entities : Entities
    counts, traces, book : observers
    closing : Event
        Ends the streams.
    drift : callable, optional
        Returns a JSON-ready dict of how recent rows differ from those of training, or None.
    """

    def __init__(
        self,
        title: str,
        *,
        entities: Entities,
        counts: Counts,
        traces: Traces,
        book: EventBook,
        closing: asyncio.Event,
        drift: Callable[[], dict[str, Any] | None] | None = None,
    ) -> None:
        self._title, self._entities, self._counts = title, entities, counts
        self._traces, self._book, self._closing = traces, book, closing
        self._drift = drift
        self.readers = 0
        """Pages that are open."""
        self._rates: deque[tuple[float, int]] = deque(maxlen=_RATES + _RATE_OVER)
        self._shared: dict[str, tuple[float, str]] = {}

    def routes(self) -> list[Route]:
        """Return what the page's port serves."""
        files = [Route(path, self._file, methods=["GET"]) for path in _FILES]
        return [*files, Route("/live", self._live, methods=["GET"])]

    async def sample(self) -> None:
        """Note the rows of every second, until the end."""
        while not self._closing.is_set():
            self._rates.append((time.monotonic(), self._counts.rows()))
            await self._wait()

    async def _file(self, request: Request) -> Response:
        name = _FILES[request.url.path]
        text = resources.files("slidecell.live.web").joinpath(name).read_text(encoding="utf-8")
        return Response(text, media_type=_TYPES[name.rpartition(".")[2]])

    async def _live(self, request: Request) -> Response:
        if self.readers >= _MOST_READERS:
            return PlainTextResponse(f"{_MOST_READERS} pages are open already\n", 503)
        try:
            scale = int(request.query_params.get("scale", "0"))
        except ValueError:
            return PlainTextResponse("scale: expected a whole number\n", 400)
        entity = request.query_params.get("entity")
        return StreamingResponse(self._messages(entity, scale), media_type="text/event-stream")

    async def _messages(self, entity: str | None, scale: int) -> AsyncIterator[str]:
        """Yield what has changed, once a second; the client chooses by asking anew."""
        self.readers += 1
        try:
            sent: dict[str, str] = {}
            heard = time.monotonic()
            yield "retry: 2000\n\n"
            while not self._closing.is_set():
                if entity is None:
                    entity = self._first_entity()
                parts = {
                    "run": self._share("run", self._run),
                    "events": self._share("events", self._book.events),
                    "entities": self._share("entities", self._listed),
                    "drift": self._share("drift", lambda: self._drift and self._drift()),
                }
                if entity is not None:
                    name = json.dumps([entity, scale])
                    parts["trace"] = self._share(name, partial(self._trace, entity, scale))
                changed = {kind: text for kind, text in parts.items() if sent.get(kind) != text}
                sent.update(changed)
                if changed:
                    yield "".join(f"event: {k}\ndata: {text}\n\n" for k, text in changed.items())
                    heard = time.monotonic()
                elif time.monotonic() - heard > _QUIET:
                    yield ": nothing new\n\n"
                    heard = time.monotonic()
                await self._wait()
            yield "event: ended\ndata: {}\n\n"
        finally:
            self.readers -= 1

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), _TICK)
        except asyncio.TimeoutError:
            return

    def _share(self, key: str, make: Callable[[], Any]) -> str:
        """Return JSON that is made once for all readers of this second."""
        now = time.monotonic()
        found = self._shared.get(key)
        if found is None or now - found[0] > 0.9 * _TICK:
            if len(self._shared) > 4 * _MOST_READERS:
                self._shared.clear()
            text = json.dumps(make(), separators=(",", ":"), default=str)
            found = self._shared[key] = (now, text)
        return found[1]

    def _first_entity(self) -> str | None:
        listed = self._listed()["shown"]
        return listed[0]["name"] if listed else None

    def _run(self) -> dict[str, Any]:
        """Return the numbers at the top of the page."""
        totals = self._counts.totals()
        percentiles = {
            name: json_number(None if found is None else 1e6 * found)
            for name, found in (
                ("p50", totals.push.quantile(0.5)),
                ("p99", totals.push.quantile(0.99)),
            )
        }
        samples = list(self._rates)
        pairs = zip(samples, samples[_RATE_OVER:], strict=False)
        rates = [round((b[1] - a[1]) / max(b[0] - a[0], 1e-9), 1) for a, b in pairs]
        return {
            "title": self._title,
            "version": __version__,
            "kind": self._entities.time_kind,
            "uptime": round(time.time() - self._counts.started),
            "idle": None if totals.last_row is None else round(time.time() - totals.last_row),
            "rows": totals.rows,
            "alarms": totals.alarms,
            "events": totals.events,
            "open": totals.open_events,
            "skipped": sum(totals.skipped.values()),
            "reasons": dict(totals.skipped),
            "missed": totals.missed,
            "entities": len(self._entities),
            "rates": rates,
            **percentiles,
        }

    def _listed(self) -> dict[str, Any]:
        """Return entities, those with open events first, then those whose alarms are newest."""
        opened = self._book.open_entities()
        found = self._traces.now()
        found.sort(key=lambda pair: (pair[0] not in opened, pair[1].quiet_rows))
        return {
            "names": [name for name, _ in found[_LISTED:]],
            "shown": [
                {
                    "name": name,
                    "open": name in opened,
                    "score": json_number(trace.score),
                    "threshold": json_number(trace.threshold),
                    "alarm": trace.last_alarm > 0,
                }
                for name, trace in found[:_LISTED]
            ],
        }

    def _trace(self, entity: str, scale: int) -> dict[str, Any] | None:
        found = self._traces.points(entity, scale)
        if found is None:
            return {"entity": entity, "sizes": [], "size": 1, "t": [], "s": [], "h": [], "a": []}
        points, sizes = found
        return {"entity": entity, "sizes": sizes, **_plain(points)}


def _plain(points: Points) -> dict[str, Any]:
    return {
        "size": points.rows_per_point,
        "t": points.moments.tolist(),
        "s": _numbers(points.scores),
        "h": _numbers(points.thresholds),
        "a": points.alarms.tolist(),
    }


def _numbers(values: npt.NDArray[np.float32]) -> list[float | str | None]:
    return [json_number(value) for value in values.tolist()]

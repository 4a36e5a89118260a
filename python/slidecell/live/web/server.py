"""The HTTP server of a live run: a thread of its own, which no client keeps from its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from uvicorn import Config, Server

from slidecell.live.web.guard import App, Guard, Impatient
from slidecell.live.web.sockets import is_loopback

__all__ = ["Site", "WebServer"]

_MOST_CONNECTIONS = 100
_LAST_ANSWERS = 1  # seconds for answers that are being sent, at the end
_LAST_WAIT = 2.0  # seconds for the thread, which then is left to die with the process


class Site(NamedTuple):
    """What one port serves.

    Attributes
    ----------
    socket : socket
        It listens already.
    app : callable
        An ASGI application.
    """

    socket: socket.socket
    app: App


class WebServer:
    """Serves sites from a thread, until it is closed.

    The run never waits for it: observers copy what they are told in microseconds, and a client that
    is slow, silent or gone keeps a connection for ten seconds at most.

    Parameters
    ----------
    sites : sequence of Site
    closing : Event
        Set when the server ends: answers without an end are to end then.
    beside : sequence of callable
        Functions of coroutines that run beside, and end with it.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        closing: asyncio.Event,
        *,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self._sites, self._closing, self._beside = list(sites), closing, list(beside)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="slidecell-web", daemon=True)
        # Its warnings are about clients' requests. They would mix with the reports.
        for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._servers = [Server(_config(site)) for site in self._sites]

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """End: close the ports; answers that have begun have a second."""
        self._is_closed = True
        for server in self._servers:
            server.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._closing.set)
        if self._thread.ident is not None:
            self._thread.join(_LAST_WAIT)
        for site in self._sites:
            site.socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._is_closed:  # before it had begun
            self._closing.set()
        await asyncio.gather(
            *(run() for run in self._beside),
            *(
                server.serve(sockets=[site.socket])
                for server, site in zip(self._servers, self._sites, strict=True)
            ),
        )


def _config(site: Site) -> Config:
    config = Config(
        Guard(site.app, loopback=is_loopback(site.socket)),
        http=Impatient,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_ANSWERS,
        h11_max_incomplete_event_size=1 << 14,
    )
    config.load()
    return config

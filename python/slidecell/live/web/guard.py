"""What stands between clients and the pages of a live run: names, headers, patience."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["POLICY", "App", "Guard", "Impatient"]

App = Callable[[MutableMapping[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]

PATIENCE = 10.0  # seconds for a client to ask, and to take what is sent

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_OWN_NAMES = re.compile(rb"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)


class Guard:
    """Adds headers to all answers, and refuses names of other hosts where it serves loopback alone.

    A page of another site could else reach the port by a name of its own that leads to 127.0.0.1,
    and read.

    Parameters
    ----------
    app : callable
        An ASGI application.
    loopback : bool
    """

    def __init__(self, app: App, *, loopback: bool) -> None:
        self._app, self._loopback = app, loopback

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[..., Any],
        send: Callable[..., Any],
    ) -> None:
        """Answer one request."""

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost")
        if self._loopback and not _OWN_NAMES.fullmatch(host):
            body = b"expected the host localhost or 127.0.0.1\n"
            kind = [(b"content-type", b"text/plain; charset=utf-8")]
            start = {"type": "http.response.start", "status": 421, "headers": kind}
            await send_guarded(start)
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send_guarded)


class Impatient(H11Protocol):  # type: ignore[misc]
    """A connection that is closed when its client neither asks nor takes what it is sent."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._timers = {"request": self.loop.call_later(PATIENCE, self._expect)}

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting."""
        for timer in self._timers.values():
            timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to take what it is sent."""
        super().pause_writing()
        self._timers["answer"] = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has been taken."""
        timer = self._timers.pop("answer", None)
        if timer is not None:
            timer.cancel()
        super().resume_writing()

    def _expect(self) -> None:
        """Close the connection if no request is being answered; else look again later."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            self._timers["request"] = self.loop.call_later(PATIENCE, self._expect)

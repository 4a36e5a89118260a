"""Whether a live run is there, and whether it takes rows: for what watches over processes."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from slidecell.live.web.metrics import exposition

__all__ = ["health_routes", "metrics_routes"]


def health_routes(why_not_ready: Callable[[], str | None]) -> list[Route]:
    """Return /healthz, which answers as long as the process runs, and /readyz.

    Parameters
    ----------
    why_not_ready : callable
        Returns why no row is taken now, which /readyz tells with the status 503; or None.
    """

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        why = why_not_ready()
        return PlainTextResponse("ok\n" if why is None else f"{why}\n", 200 if why is None else 503)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
    ]


def metrics_routes(registry: CollectorRegistry) -> list[Route]:
    """Return /metrics, in the form that the client accepts."""

    async def metrics(request: Request) -> Response:
        body, kind = exposition(registry, request.headers.get("accept", ""))
        return Response(body, media_type=None, headers={"content-type": kind})

    return [Route("/metrics", metrics, methods=["GET"])]

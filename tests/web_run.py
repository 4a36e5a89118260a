"""A live run's web service without its process: rows go in, HTTP comes out."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from slidecell.live.entities import Entities
from slidecell.live.observers import Observers
from slidecell.live.options import LiveOptions
from slidecell.live.rows import Row, RowBlock
from slidecell.live.scored import ScoredBlock
from slidecell.live.web.service import WebService
from tests.live_lines import KEYS, save_model


class WebRun:
    """Scores rows and serves what `slidecell stream` would."""

    def __init__(self, folder: Path, *, event_gap: int = 0, **options: Any) -> None:
        self.model = save_model(folder / "model.safetensors")
        options = {**KEYS, "event_gap": event_gap, "bind": "127.0.0.1", **options}
        self.options = LiveOptions(folder / "model.safetensors", **options).with_model(self.model)
        self.entities = Entities(self.model, self.options)
        self.service = WebService(self.options)
        self.said: list[str] = []
        own = self.service.watch(self.model, self.entities)
        self.observers = Observers(own, self.said.append)
        self.not_ready: str | None = None
        self.service.start(lambda: self.not_ready, lambda text, **_: self.said.append(text))
        self.ports = [int(text.split(":")[2].split("/")[0]) for text in self.said if "http" in text]

    def __enter__(self) -> WebRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.service.close()

    def push(self, entity: str, time: object, values: list[float]) -> float:
        """Score a row as the run does; its score."""
        (scored,) = self.entities.score(RowBlock.of([Row(entity, time, values, [])]))
        assert isinstance(scored, ScoredBlock)
        scored.nanoseconds = 20_000
        self.observers.scored(scored[:1])
        for _, changes in scored.changes:
            for line in changes:
                self.observers.event(line)
        self.observers.attend()
        return scored[0].answer.smoothed

    def connect(self, place: int = 0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.ports[place], timeout=30)

    def get(self, path: str, place: int = 0, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers of an answer."""
        connection = self.connect(place)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read().decode(), found
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by name and labels."""
        lines = self.get("/metrics")[1].splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


def messages(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Server-sent events: kind and JSON."""
    kind = ""
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side closes a connection, which is read meanwhile."""
    end = time.monotonic() + seconds
    connection.settimeout(seconds)
    try:
        while time.monotonic() < end:
            if not connection.recv(1 << 16):
                return True
    except (TimeoutError, ConnectionError) as error:
        return isinstance(error, ConnectionError)
    return False

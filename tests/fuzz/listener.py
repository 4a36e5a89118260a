"""Connections to ``slidecell stream --listen`` on loopback: none ends it or brings a traceback.

Run ``python -m tests.fuzz.listener --seconds 20``. The inputs of a run meet one process; what one
leaves behind is a part of the next.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

from tests.fuzz.changes import change_bytes
from tests.fuzz.driver import Reached, main
from tests.fuzz.rows import csv_text, json_lines
from tests.live_lines import save_model


class Listener:
    """The process, what it prints, and connections to it."""

    def __init__(self, folder: Path) -> None:
        self.model = folder / "model.safetensors"
        save_model(self.model)
        self.state = folder / "state"
        self.process: subprocess.Popen[bytes] | None = None
        self.lines = 0

    def start(self, form: str) -> None:
        options = ["--time", "t", "--entity", "host", "--max-entities", "8", "--listen", "0"]
        options += ["--format", form, "--state", str(self.state)]
        command = [sys.executable, "-m", "slidecell", "stream", str(self.model), *options]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        first = self.process.stderr.readline().decode()  # type: ignore[union-attr]
        try:
            self.port = int(first.rpartition(":")[2])
        except ValueError:
            raise AssertionError(f"it did not start: {first}") from None
        self.form, self.reports = form, b""
        self.readers = [Thread(target=self._reports), Thread(target=self._scores)]
        for reader in self.readers:
            reader.start()

    def _reports(self) -> None:
        for line in self.process.stderr:  # type: ignore[union-attr]
            self.reports = (self.reports + line)[-20_000:]

    def _scores(self) -> None:
        for _ in self.process.stdout:  # type: ignore[union-attr]
            self.lines += 1

    def __call__(self, random: Random) -> Reached:
        if self.process is None:
            self.start(random.choice(("csv", "jsonl")))
        text = (csv_text if self.form == "csv" else json_lines)(random)
        data = text.encode("utf-8", "surrogatepass")
        if random.random() < 0.1:
            data = change_bytes(data, random)
        before = self.lines
        try:
            self.send(data, random)
        except OSError as error:
            if not isinstance(error, (ConnectionError, TimeoutError)):
                raise
            self.check(f"a connection was refused: {error}")
        self.check("an input ended it")
        if random.random() < 0.01:
            self.stop()
        return Reached.ALL if self.lines > before else Reached.HEADER

    def send(self, data: bytes, random: Random) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            left = data
            while left:
                size = random.choice((1, 20, 1000, len(left)))
                with contextlib.suppress(ConnectionError):  # it has closed a bad connection
                    connection.sendall(left[:size])
                left = left[size:]
            if random.random() < 0.1:  # gone without a farewell
                linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            if random.random() < 0.8:
                with contextlib.suppress(OSError):  # closed on the other side
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(5 if random.random() < 0.5 else 0.001)
                    connection.recv(1)

    def check(self, what: str) -> None:
        assert self.process is not None
        ended = self.process.poll()
        if ended is not None or b"Traceback" in self.reports:
            for reader in self.readers:
                reader.join(5)
            reports, self.process = self.reports.decode("utf-8", "replace"), None
            raise AssertionError(f"{what}: exit code {ended}\n{reports[-3000:]}")

    def stop(self) -> None:
        """End it as a service is ended: within some seconds, with its state saved."""
        if self.process is None:
            return
        self.process.terminate()
        process, self.process = self.process, None
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError("it did not end within 30 s of SIGTERM") from None
        for reader in self.readers:
            reader.join(5)
        if code != 0 or b"Traceback" in self.reports or not self.state.exists():
            raise AssertionError(f"exit code {code}\n{self.reports.decode('utf-8', 'replace')}")
        self.state.unlink()


def run(folder: Path) -> int:
    listener = Listener(folder)
    found: Any = 0
    try:
        found = main("tests.fuzz.listener", listener)
        listener.stop()
    finally:
        if listener.process is not None:
            listener.process.kill()
    return int(found)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="slidecell-fuzz-") as scratch:
        sys.exit(run(Path(scratch)))

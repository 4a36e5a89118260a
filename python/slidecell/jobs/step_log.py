"""The steps of a work that can be killed: one line of JSON each, on the disk before the next."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["StepLog"]


class StepLog:
    """Appends steps to a file, and reads those that an earlier call has written.

    Parameters
    ----------
    path : Path
        A last line that is not whole, of a process that was killed, does not count.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    ValueError
        If another line is no step.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.jobs.step_log import StepLog
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "steps.jsonl"
    >>> StepLog(path).add("advised", round=1)
    >>> [step["step"] for step in StepLog(path).steps]
    ['advised']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps: list[dict[str, Any]] = []
        """All that have been done, the oldest first."""
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                step = json.loads(line)
            except ValueError:
                step = None
            if not isinstance(step, dict) or not isinstance(step.get("step"), str):
                raise ValueError(f"{path}: line {number}: expected a step, as retrain writes them")
            self.steps.append(step)
        if len(whole) < len(data):
            with path.open("r+b") as file:
                file.truncate(len(whole))

    def add(self, step: str, **facts: Any) -> None:
        """Append a step with its facts, ready for JSON, and bring it to the disk."""
        found = {"step": step, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts}
        line = json.dumps(found, allow_nan=False, ensure_ascii=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.steps.append(found)

    def last(self, step: str, round: int) -> dict[str, Any] | None:
        """Return the last step of this name in a round; None if there is none."""
        found = [one for one in self.steps if one["step"] == step and one.get("round") == round]
        return found[-1] if found else None

"""Memory that a stream takes by numbers of a file: bounded, and the bound can be moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.models import layer, random_model


def model(window: int) -> sc.SequenceModel:
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 4)], features=2)
    return sc.SequenceModel({**metadata, "window": window}, tensors)


@pytest.mark.parametrize("entities", [1, 16])
def test_a_window_of_a_file_takes_no_more_than_a_gibibyte(entities: int) -> None:
    wide = model(2**28)
    for make in (wide.stream, lambda n: sc.Monitor.from_model(wide, n)):
        with pytest.raises(ValueError, match=r"max_bytes: .*window=268435456 take, got 1073741824"):
            make(entities)


def test_the_bound_can_be_moved() -> None:
    small = model(4)
    with pytest.raises(ValueError, match="max_bytes: expected at least"):
        small.stream(max_bytes=100)
    with pytest.raises(ValueError, match="max_bytes: expected at least"):
        sc.Monitor.from_model(small, max_bytes=100)
    assert small.stream(max_bytes=10_000).num_entities == 1
    assert small.stream(max_bytes=2**80).num_entities == 1
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_bytes: expected an integer >= 1"):
            small.stream(max_bytes=wrong)
    with pytest.raises(TypeError, match="max_bytes: expected an integer"):
        small.stream(max_bytes=1.5)  # type: ignore[arg-type]


def test_a_state_goes_on_without_the_bound(tmp_path: Path) -> None:
    stream = model(4).stream(20, max_bytes=10**6)
    rows = np.random.default_rng(0).random((30, 2))
    [stream.push(row, 7) for row in rows]
    stream.save(tmp_path / "state")
    again = model(4).stream(state=tmp_path / "state", max_bytes=1)
    assert again.push(rows[0], 7) == stream.push(rows[0], 7)


def test_the_command_says_its_own_option(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    from slidecell.live import LiveOptions
    from slidecell.live.entities import Entities

    def options(**more: Any) -> LiveOptions:
        return LiveOptions(tmp_path / "model", **more)

    with pytest.raises(ValueError, match=r"^--max-memory: expected at least .* \(12 GiB\)"):
        Entities(model(2**28), options(max_entities=None))
    with pytest.raises(ValueError, match=r"^--max-memory: expected at least"):
        Entities(model(4), options(max_memory="100"))
    assert len(Entities(model(4), options(max_memory="1 MiB"))) == 0
    for wrong in ("much", "0", "-1GiB", "1e3"):
        with pytest.raises(ValueError, match=r"^--max-memory: expected"):
            options(max_memory=wrong)

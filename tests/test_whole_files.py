"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

import slidecell as sc
from slidecell._whole_files import replacing
from tests.models import layer, random_model


def test_whole_files_replace_or_leave(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(error: type[BaseException]) -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            fail(error)
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]
    with replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_whole_files_have_the_permissions_of_new_files(tmp_path: Path) -> None:
    model = sc.SequenceModel(*random_model(np.random.default_rng(0), [layer("lstm", 3)]))
    monitor = sc.Monitor(model.stream())
    before = os.umask(0o027)
    try:
        model.save(tmp_path / "model.safetensors")
        monitor.save(tmp_path / "monitor")
    finally:
        os.umask(before)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o640, path.name

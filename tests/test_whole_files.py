"""Files that appear whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell._whole_files import replacing
from tests.limits import file_sizes_below
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


def saves() -> dict[str, Any]:
    """What saves a single file, by name."""
    model = sc.SequenceModel(*random_model(np.random.default_rng(0), [layer("lstm", 40)]))
    return {
        "model": model.save,
        "monitor": sc.Monitor(model.stream()).save,
        "stream": model.stream(200).save,
    }


@pytest.mark.parametrize("kind", saves())
def test_links_are_replaced_and_never_followed(kind: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "saved"
    victim.write_text("precious")
    # Names that a temporary file has, or once had.
    planted = [tmp_path / ".slidecell-0123456789abcdef", tmp_path / "saved.partial"]
    for link in (path, *planted):
        link.symlink_to(victim)
    saves()[kind](path)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.stat().st_size > 100
    assert all(link.is_symlink() for link in planted)


@pytest.mark.parametrize("kind", saves())
def test_a_full_disk_leaves_the_old_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    path.write_text("old")
    with file_sizes_below(1024), pytest.raises(OSError, match="too large"):
        saves()[kind](path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", saves())
def test_where_nothing_can_be_written_the_path_is_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "saved", tmp_path / "none" / "saved"):
        with pytest.raises(OSError, match="cannot be written") as caught:
            saves()[kind](path)
        assert str(path) in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"cannot be written.*folder|folder: cannot be written"):
        saves()[kind](tmp_path / "folder")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("kind", saves())
def test_a_folder_without_the_right_to_write(kind: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="cannot be written"):
        saves()[kind](tmp_path / "saved")


def test_abandoned_files_are_removed_and_locked_ones_stay(tmp_path: Path) -> None:
    abandoned, file = tmp_path / f".slidecell-{'0' * 16}", tmp_path / f".slidecell-{'1' * 16}"
    abandoned.mkdir()
    (abandoned / "half").write_text("half")
    file.write_text("half")
    similar = tmp_path / ".slidecell-notes"
    similar.write_text("the user's")
    with replacing(tmp_path / "a") as first:
        first.write_text("first")
        with replacing(tmp_path / "a") as second:
            second.write_text("second")
        assert (tmp_path / "a").read_text() == "second"
    assert (tmp_path / "a").read_text() == "first"
    assert set(tmp_path.iterdir()) == {tmp_path / "a", similar}


@pytest.mark.parametrize("kind", saves())
def test_competing_savers_leave_one_whole_file(kind: str, tmp_path: Path) -> None:
    save, path = saves()[kind], tmp_path / "saved"
    save(path)
    size = path.stat().st_size

    def save_often() -> None:
        for _ in range(10):
            save(path)

    savers = [multiprocessing.get_context("fork").Process(target=save_often) for _ in range(2)]
    for saver in savers:
        saver.start()
    while any(saver.is_alive() for saver in savers):
        assert path.stat().st_size == size
    for saver in savers:
        saver.join()
    assert [saver.exitcode for saver in savers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]

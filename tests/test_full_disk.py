"""On a full disk every save and every command fails with one error and leaves what was there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("sklearn")

import slidecell as sc
from slidecell.cli.main import app
from slidecell.detect import Ensemble, ZScoreDetector
from slidecell.detect.loading import load_saved
from tests import detectors
from tests.models import layer, random_model

SIZE = 512 * 1024
PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no small file system here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, left: int) -> None:
    """Fill the disk but for so many bytes."""
    (disk / "filler").unlink(missing_ok=True)
    free = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(b"x" * max(0, free - left))
    assert shutil.disk_usage(disk).free <= left


def files(disk: Path) -> dict[str, bytes]:
    """Return the content of every file but the filler, hidden ones too."""
    return {
        str(path.relative_to(disk)): path.read_bytes()
        for path in disk.rglob("*")
        if path.is_file() and path.name != "filler"
    }


def model(seed: int) -> sc.SequenceModel:
    return sc.SequenceModel(*random_model(np.random.default_rng(seed), [layer("lstm", 24)]))


def stream(seed: int) -> sc.Stream:
    stream = model(0).stream(4)
    stream.push_many(range(4), np.full((4, 3), float(seed)))
    return stream


def detector(kind: str) -> Callable[[int], Any]:
    return lambda seed: detectors.make(kind).fit(detectors.series(seed=seed))


def ensemble(seed: int) -> Any:
    members = [(kind, detectors.make(kind)) for kind in ("zscore", "forecast")]
    return Ensemble(members).fit(detectors.series(seed=seed))


SAVED: dict[str, Callable[[int], Any]] = {
    "model": model,
    "stream": stream,
    "monitor": lambda seed: sc.Monitor(stream(seed)),
    "ensemble": ensemble,
    **{kind: detector(kind) for kind in detectors.ALL},
}


def _failed_save(saved: Any, path: Path) -> str | None:
    """Return the text of the OSError of a save, None where it succeeds."""
    try:
        saved.save(path)
    except OSError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", SAVED)
def test_a_save_on_a_full_disk_is_an_oserror_and_keeps_the_old_content(
    name: str, disk: Path
) -> None:
    """Wherever the space runs out: at each page, from none to as many as the save takes."""
    old, new = SAVED[name](0), SAVED[name](1)
    path = disk / "saved"
    new.save(path)
    whole = files(disk)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    old.save(path)
    before = files(disk)
    for pages in range(SIZE // PAGE):
        fill(disk, pages * PAGE)
        failed = _failed_save(new, path)
        if failed is None:
            break
        assert "No space left" in failed
        assert files(disk) == before
    assert pages > 0  # at least one save failed
    assert files(disk).keys() == whole.keys()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_commands_on_a_full_disk_say_so_and_leave_what_was_there(suffix: str, disk: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(detectors.series(600), columns=["a", "b", "c"])
    data = disk.parent / f"data{suffix}"
    frame.to_csv(data, index=False) if suffix == ".csv" else frame.to_parquet(data)
    runner = CliRunner()

    def run(*arguments: object) -> Any:
        return runner.invoke(app, [str(argument) for argument in arguments])

    result = disk / "result"
    done = run("detect", data, "--detector", "zscore", "--out", result)
    assert done.exit_code == 0, done.output
    before = files(disk)
    commands = {
        "detect": ("detect", data, "--detector", "pca", "--out", result),
        "score": ("score", result, data, "--out", disk / f"scores{suffix}"),
        "retrain": ("retrain", result, data, "--out", disk / "newer"),
    }
    for name, command in commands.items():
        for pages in range(3):
            fill(disk, pages * PAGE)
            done = run(*command)
            assert done.exit_code == 1, f"{name}: {done.output}"
            assert "No space left" in done.output
            assert "Traceback" not in done.output
            assert files(disk) == before, name
    assert isinstance(load_saved(result), ZScoreDetector)

"""Files of a folder appear together; the user's other files stay."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from pathlib import Path, PurePath

import numpy as np
import pytest

pytest.importorskip("sklearn")

from slidecell import _whole_folders
from slidecell._whole_folders import read_whole, replacing_folder, whole_set
from slidecell.detect import Ensemble, PCADetector, ZScoreDetector, load_detector
from slidecell.jobs.outputs import OutputFolder
from tests.limits import file_sizes_below


def write(path: Path, text: str, *, names: str = "ab") -> None:
    with replacing_folder(path, owns=lambda relative: relative.name in "abc") as folder:
        for name in names:
            (folder / name).write_text(text)


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(params=["exchanged", "in place"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of putting the files in place."""

    def missing(*_: object) -> None:
        raise OSError(errno.EINVAL, "no exchange on this file system")

    if request.param == "in place":
        monkeypatch.setattr(_whole_folders, "_exchange", missing)
    return str(request.param)


def test_folders_are_exchanged_in_one_step_where_nothing_else_is_there(
    tmp_path: Path, way: str
) -> None:
    path = tmp_path / "set"
    write(path, "old", names="abc")
    path.chmod(0o750)
    before = path.stat().st_ino
    write(path, "new")
    assert texts(path) == {"a": "new", "b": "new"}
    assert (path.stat().st_ino != before) == (way == "exchanged")
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert list(tmp_path.iterdir()) == [path]


def test_other_files_stay(tmp_path: Path, way: str) -> None:
    path = tmp_path / "set"
    write(path, "old", names="abc")
    (path / "notes.txt").write_text("keep")
    (path / "link").symlink_to("notes.txt")
    (path / "empty").mkdir()
    before = path.stat().st_ino
    write(path, "new")
    assert path.stat().st_ino == before
    assert texts(path) == {"a": "new", "b": "new", "notes.txt": "keep", "link": "keep"}
    assert (path / "empty").is_dir()
    assert (path / "link").is_symlink()
    assert list(tmp_path.iterdir()) == [path]


def interrupted(path: Path) -> None:
    with replacing_folder(path) as folder:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt


def with_a_part(path: Path) -> None:
    with replacing_folder(path) as folder:
        (folder / "c").mkdir()
        (folder / "c" / "a").write_text("new")


def test_a_failure_leaves_all_as_it_was(tmp_path: Path, way: str) -> None:
    del way
    path = tmp_path / "set"
    for there in (False, True):
        if there:
            write(path, "old")
        with pytest.raises(KeyboardInterrupt):
            interrupted(path)
        assert path.exists() == there
    (path / "c").mkdir()
    with pytest.raises(OSError, match="cannot be written: there is a folder"):
        write(path, "new", names="abc")
    assert texts(path) == {"a": "old", "b": "old"}
    assert set(path.iterdir()) == {path / "a", path / "b", path / "c"}


def test_a_link_to_a_folder_is_followed_and_links_in_it_are_replaced(
    tmp_path: Path, way: str
) -> None:
    del way
    path, link = tmp_path / "set", tmp_path / "link"
    write(path, "old")
    link.symlink_to("set")
    (tmp_path / "victim").write_text("precious")
    (path / "a").unlink()
    (path / "a").symlink_to(tmp_path / "victim")
    write(link, "new")
    assert link.is_symlink()
    assert texts(path) == {"a": "new", "b": "new"}
    assert (tmp_path / "victim").read_text() == "precious"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (path / "c").symlink_to(elsewhere)
    with pytest.raises(OSError, match="there is no folder"):
        with_a_part(path)
    assert list(elsewhere.iterdir()) == []


def test_the_folder_of_this_process_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(), "old")
    write(Path(), "new")
    assert sorted(os.listdir()) == ["a", "b"]
    assert Path("a").read_text() == "new"


def test_a_set_that_is_being_put_in_place_is_read_from_the_hidden_folder(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    for name in ("a", "b", "part/c"):
        (tmp_path / name).write_text("old")
    (tmp_path / ".slidecell-new" / "part").mkdir(parents=True)
    for name in ("a", "b", "part/c"):
        (tmp_path / ".slidecell-new" / name).write_text("new")
    (tmp_path / "a").write_text("new")  # as far as a killed process came
    assert read_whole(tmp_path, texts) == {"a": "new", "b": "new"}
    assert read_whole(tmp_path / "part", texts) == {"c": "new"}
    # A save of the part alone is newer than the set, which it must not hide or undo.
    with replacing_folder(tmp_path / "part") as folder:
        (folder / "c").write_text("newest")
    assert whole_set(tmp_path) == tmp_path
    assert texts(tmp_path) == {"a": "new", "b": "new"}
    assert texts(tmp_path / "part") == {"c": "newest"}


def test_a_reader_starts_anew_when_the_set_was_replaced_meanwhile(tmp_path: Path, way: str) -> None:
    del way
    path = tmp_path / "set"
    write(path, "old")
    calls: list[Path] = []

    def read(folder: Path) -> list[str]:
        first = (folder / "a").read_text()
        if not calls:
            write(path, "new")
        calls.append(folder)
        return [first, (folder / "b").read_text()]

    assert read_whole(path, read) == ["new", "new"]
    assert len(calls) in (1, 2)

    def disturbed(folder: Path) -> None:
        write(path, "again")

    with pytest.raises(OSError, match="replaced again and again"):
        read_whole(path, disturbed)


def test_competing_savers_leave_one_whole_set(tmp_path: Path, way: str) -> None:
    del way
    path = tmp_path / "set"
    write(path, "start")

    def save_often(text: str) -> None:
        for _ in range(30):
            write(path, text)

    savers = [
        multiprocessing.get_context("fork").Process(target=save_often, args=(text,))
        for text in ("first", "second")
    ]
    for saver in savers:
        saver.start()
    while any(saver.is_alive() for saver in savers):
        assert len(set(read_whole(path, texts).values())) == 1
    for saver in savers:
        saver.join()
    assert [saver.exitcode for saver in savers] == [0, 0]
    write(path, "last")
    assert texts(path) == {"a": "last", "b": "last"}
    assert [file.name for file in path.iterdir() if file.name.startswith(".")] == []
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_detector_and_results(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 200))
    old, new = ZScoreDetector().fit(rows), PCADetector(n_components=1).fit(rows + 1)
    old.save(tmp_path / "detector")
    with file_sizes_below(256), pytest.raises(OSError, match="too large"):
        new.save(tmp_path / "detector")
    loaded = load_detector(tmp_path / "detector")
    assert np.array_equal(loaded.score_samples(rows), old.score_samples(rows))
    with (
        file_sizes_below(256),
        pytest.raises(OSError, match="too large"),
        OutputFolder(tmp_path / "new" / "results") as out,
    ):
        out.add("scores.csv", lambda path: path.write_text("0" * 1000))
    assert list(tmp_path.iterdir()) == [tmp_path / "detector"]


def test_notes_beside_a_detector_stay(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    path = tmp_path / "detector"
    pair = Ensemble([("z", ZScoreDetector()), ("pca", PCADetector(n_components=1))]).fit(rows)
    pair.save(path)
    (path / "notes.txt").write_text("keep")
    ZScoreDetector().fit(rows).save(path)
    assert {file.name for file in path.iterdir()} == {
        "arrays.safetensors",
        "detector.json",
        "notes.txt",
    }
    assert isinstance(load_detector(path), ZScoreDetector)


def test_owned_folders_go_with_their_files(tmp_path: Path, way: str) -> None:
    del way
    path = tmp_path / "set"
    with replacing_folder(path) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "a").write_text("old")
    (path / "notes.txt").write_text("keep")
    with replacing_folder(path, owns=lambda path: path in (PurePath("part"), PurePath("part/a"))):
        pass
    assert list(path.iterdir()) == [path / "notes.txt"]

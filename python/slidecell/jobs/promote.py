"""Let a challenger take the champion's place, keep the old champion, and bring it back."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slidecell._whole_files import replacing
from slidecell._whole_folders import read_whole, replacing_folder, whole_set
from slidecell.detect.loading import find_saved, load_saved
from slidecell.detect.storage import copy_detector, owns_detector_file
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.work_lock import working_at
from slidecell.jobs.write_result import owns_saved_file
from slidecell.live.live_detector import LiveDetector
from slidecell.live.monitor import Monitor
from slidecell.live.shadow import feature_order, shadow_state

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = [
    "Promoted",
    "place_copy",
    "previous_of",
    "promote",
    "rollback",
    "same_saved",
    "saved_digest",
]


@dataclass(frozen=True)
class Promoted:
    """What has been done.

    Attributes
    ----------
    model : Path
        Where the model in use lies.
    old : Path
        Where the one that was in use before is kept.
    state : {"swapped", "kept", "none"}
        What became of the state of a stream: those of both models were exchanged; or it was the
        right one; or there is none.
    """

    model: Path
    old: Path
    state: Literal["swapped", "kept", "none"]


def previous_of(model: Path) -> Path:
    """Return where the model is kept that was in use before.

    Examples
    --------
    >>> from pathlib import PurePosixPath
    >>> from slidecell.jobs.promote import previous_of
    >>> previous_of(PurePosixPath("pumps/model.safetensors")).name
    'model.previous.safetensors'
    >>> previous_of(PurePosixPath("pumps/out")).name
    'out.previous'
    """
    suffix = model.suffix if model.suffix == ".safetensors" else ""
    return model.with_name(f"{model.name.removesuffix(suffix)}.previous{suffix}")


def promote(model: Path, challenger: Path, *, state: Path | None = None) -> Promoted:
    """Put a challenger in the place of a model, and the model in that of the challenger.

    The old model is kept beside it too, for `rollback`, whatever becomes of the challenger's place.
    Each of the three places has a whole model at every moment, the old one or the new one, also
    where the process is killed: the same call again then ends the work.

    Parameters
    ----------
    model, challenger : Path
        What was saved: both model files, or both folders, of ``slidecell detect`` or of
        `Detector.save`.
    state : Path, optional
        File of a stream that has ended. The state of its challenger lies beside it: both are
        exchanged, so that the new model goes on where the challenger stopped.

    Returns
    -------
    Promoted

    Raises
    ------
    ValueError
        If the challenger has other features, is of another kind, or is the model itself.
    BusyError
        If another process exchanges one of the two.
    OSError
        If a place cannot be read or written; each still has a whole model then.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.detect import PCADetector, ZScoreDetector, load_detector
    >>> from slidecell.jobs.promote import promote, rollback
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save(folder / "model")
    >>> PCADetector().fit([[0.0], [1.0], [2.0]]).save(folder / "challenger")
    >>> _ = promote(folder / "model", folder / "challenger")
    >>> load_detector(folder / "model"), load_detector(folder / "challenger")
    (PCADetector(), ZScoreDetector())
    >>> _ = rollback(folder / "model")
    >>> load_detector(folder / "model")
    ZScoreDetector()
    """
    if model.resolve() == challenger.resolve():
        raise ValueError(f"CHALLENGER: expected another one than MODEL, got {challenger}")
    with working_at(model, challenger, work="slidecell promote"):
        return _promote(model, challenger, state)


def _promote(model: Path, challenger: Path, state: Path | None) -> Promoted:
    old, new = load_saved(model), load_saved(challenger)
    _check_pair(old, new, (model, challenger))
    previous = previous_of(model)
    if _content(model) != _content(challenger):
        place_copy(model, previous)
        place_copy(challenger, model)
    elif not _exists(previous) or _content(previous) == _content(model):
        raise ValueError(f"CHALLENGER: expected another one than MODEL, got the same: {model}")
    # Otherwise a call was killed here: the model is the challenger already.
    place_copy(previous, challenger)
    return Promoted(model, challenger, _swap_states(new, state))


def rollback(model: Path, *, state: Path | None = None) -> Promoted:
    """Bring back the model that was in use before the last `promote`, and keep the other one.

    Rolling back twice brings the newer one back.

    Parameters
    ----------
    model : Path
    state : Path, optional
        As of `promote`.

    Returns
    -------
    Promoted

    Raises
    ------
    ValueError
        If no older model is kept.
    BusyError
        If another process exchanges the model.
    OSError
        If a place cannot be read or written.
    """
    with working_at(model, work="slidecell rollback"):
        return _rollback(model, state)


def _rollback(model: Path, state: Path | None) -> Promoted:
    previous = previous_of(model)
    if not _exists(previous):
        raise ValueError(
            f"MODEL: {model} has taken nobody's place: there is no {previous}, where promote "
            "keeps the old one"
        )
    old = load_saved(previous)
    waiting = previous.with_name(f"{previous.name}.new")
    if _content(previous) != _content(model):
        place_copy(model, waiting)
        place_copy(previous, model)
    if _exists(waiting):  # also what a call left that was killed
        place_copy(waiting, previous)
        _remove(waiting)
    return Promoted(model, previous, _swap_states(old, state))


def _check_pair(old: Detector, new: Detector, names: tuple[Path, Path]) -> None:
    """Refuse a challenger that cannot stand in the place of the model."""
    feature_order(_live(old), _live(new), (os.fspath(names[0]), f"CHALLENGER {names[1]}"))
    kinds = ["file" if find_saved(name).is_file() else "folder" for name in names]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"CHALLENGER: expected a {kinds[0]} as MODEL is, got the {kinds[1]} {names[1]}"
        )


def _live(detector: Detector) -> LiveDetector:
    return LiveDetector(detector)


def _exists(place: Path) -> bool:
    """Tell whether a model lies there, or the set of one that is not all in place."""
    return whole_set(place).exists()


def same_saved(first: Path, second: Path) -> bool:
    """Tell whether the same model lies in two places; it does not where one is empty.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.jobs.promote import same_saved
    >>> same_saved(Path("here"), Path("there"))
    False
    """
    return _exists(first) and _exists(second) and _content(first) == _content(second)


def saved_digest(place: Path) -> str:
    """Return digits by which a saved model is known again.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.jobs.promote import saved_digest
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save(folder / "model")
    >>> saved_digest(folder / "model") == saved_digest(folder / "model")
    True
    """
    digest = hashlib.sha256()
    for name, data in sorted(_content(place).items()):
        for part in (name.encode(), data):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def place_copy(source: Path, target: Path) -> None:
    """Copy a saved model to a place, which has the form of what was there: whole, or not at all.

    Parameters
    ----------
    source, target : Path

    Raises
    ------
    OSError
        If the model cannot be read, or the place cannot be written; what was there stays.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.detect import ZScoreDetector, load_detector
    >>> from slidecell.jobs.promote import place_copy
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save(folder / "one")
    >>> place_copy(folder / "one", folder / "two")
    >>> load_detector(folder / "two")
    ZScoreDetector()
    """
    saved = find_saved(source)
    if whole_set(saved).is_file():
        with replacing(target) as temporary:
            shutil.copyfile(whole_set(saved), temporary)
        return
    shape = target if _exists(target) else source
    if find_saved(shape) == shape:  # the folder is the detector
        with replacing_folder(target, owns=owns_detector_file) as folder:
            _copy_into(saved, folder)
        return
    network = load_saved(source).scoring_model
    with OutputFolder(target, owns=owns_saved_file) as results:
        results.add("detector", lambda path: copy_detector(saved, path))
        if network is not None:
            results.add("model.safetensors", network.save)


def _copy_into(saved: Path, folder: Path) -> None:
    """Copy the files of a detector to a folder that is there."""
    copy = folder / "copy"
    copy_detector(saved, copy)
    for entry in list(copy.iterdir()):
        entry.rename(folder / entry.name)
    copy.rmdir()


def _content(place: Path) -> dict[str, bytes]:
    """Return the files of a saved model by their names."""
    saved = find_saved(place)
    if whole_set(saved).is_file():
        return {"": whole_set(saved).read_bytes()}

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in _files(folder)
            if owns_detector_file(path.relative_to(folder))
        }

    return read_whole(saved, read)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()


def _swap_states(model: Detector, state: Path | None) -> Literal["swapped", "kept", "none"]:
    """Let the state of a stream be that of the model that is in use now."""
    if state is None or not state.exists():
        return "none"
    other, kept = shadow_state(state), state.with_name(f"{state.name}.swapped")
    if kept.exists() and not other.exists():  # a call was killed here
        os.replace(kept, other)
    if _is_state_of(model, state):
        return "kept"
    if not other.exists() or not _is_state_of(model, other):
        raise ValueError(
            f"--state {state}: neither it nor {other.name} is a state of the model that is in use "
            "now: a stream begins anew with another file"
        )
    shutil.copyfile(state, kept)
    os.replace(other, state)
    os.replace(kept, other)
    return "swapped"


def _is_state_of(model: Detector, state: Path) -> bool:
    try:
        Monitor.load(model.stream_model or LiveDetector(model), state)
    except ValueError:
        return False
    return True

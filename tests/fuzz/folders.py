"""Folders of detectors whose files were changed: a ValueError or OSError names the place.

What is accepted scores rows. Run ``python -m tests.fuzz.folders --seconds 20``.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from random import Random

from slidecell.detect import Ensemble, load_detector
from tests.detectors import ALL, make, series
from tests.fuzz.changes import change_bytes, change_json, change_tensors, json_text
from tests.fuzz.driver import ALLOWED, Reached, check_text, main

SMALL = ("zscore", "pca", "rolling_variance")


def saved_folders(root: Path) -> list[dict[str, bytes]]:
    """Return the files of one folder of each kind, and of ensembles."""
    detectors = {kind: make(kind) for kind in ALL}
    members = [(kind, make(kind)) for kind in SMALL]
    detectors["ensemble"] = Ensemble(members, "robust")
    detectors["nested"] = Ensemble([("inner", Ensemble(members[:2], "z")), members[2]], "minmax")
    folders = []
    root.mkdir()
    for kind, detector in detectors.items():
        detector.fit(series()).save(root / kind)
        files = [file for file in (root / kind).rglob("*") if file.is_file()]
        folders.append({str(f.relative_to(root / kind)): f.read_bytes() for f in files})
    return folders


class Folders:
    """Makes and loads changed folders."""

    def __init__(self, root: Path) -> None:
        self.folders = saved_folders(root / "saved")
        self.place = root / "changed"
        self.rows = series(12)

    def __call__(self, random: Random) -> Reached:
        files = dict(random.choice(self.folders))
        for _ in range(random.choice((1, 1, 2))):
            self.change(files, random)
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        for name, data in files.items():
            target = self.place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        if random.random() < 0.02:
            (self.place / "member-0").exists() or (self.place / "member-0").symlink_to(self.place)
        return self.load()

    def load(self) -> Reached:
        try:
            detector = load_detector(self.place)
        except (ValueError, OSError) as error:
            check_text(error)
            if str(self.place) not in str(error):
                raise AssertionError(f"names no file: {error}") from error
            header = any(
                word in str(error) for word in ("not JSON", "expected an object of format")
            )
            return Reached.NOTHING if header else Reached.HEADER
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                detector.score_samples(self.rows)
        except ALLOWED as error:
            check_text(error)
            return Reached.HEADER
        return Reached.ALL

    def change(self, files: dict[str, bytes], random: Random) -> None:
        if not files:
            return
        name = random.choice(sorted(files))
        what = random.randrange(20)
        if what == 0:
            del files[name]
        elif what == 1:
            other = random.choice(self.folders)
            files[name] = other.get(name, b"")
        elif what == 2:
            files[random.choice(("extra", "model.safetensors", "estimator.skops"))] = files[name]
        elif what == 3:
            files[name] = change_bytes(files[name], random)
        elif name.endswith(".json"):
            text = files[name]
            try:
                tree = json.loads(text)
            except (ValueError, RecursionError):
                tree = {}
            for _ in range(random.choice((1, 1, 2))):
                tree = change_json(tree, random)
            files[name] = json_text(tree, random)
        elif name.endswith(".safetensors"):
            files[name] = change_tensors(files[name], random)
        else:
            files[name] = change_estimator(files[name], random)


def change_estimator(data: bytes, random: Random) -> bytes:
    """Change a part of skops's archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {part: archive.read(part) for part in archive.namelist()}
    except Exception:
        return change_bytes(data, random)
    name = random.choice(sorted(parts))
    if name.endswith(".json"):
        parts[name] = json_text(change_json(json.loads(parts[name]), random), random)
    else:
        parts[name] = change_bytes(parts[name], random)
    out = io.BytesIO()
    stored = zipfile.ZIP_STORED if random.random() < 0.95 else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w", stored) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return out.getvalue()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="slidecell-fuzz-") as scratch:
        sys.exit(main("tests.fuzz.folders", Folders(Path(scratch))))

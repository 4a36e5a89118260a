"""Fit a saved detector again on new rows, and keep the better of the two."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell._whole_folders import whole_set
from slidecell.detect.training_statistics import compare
from slidecell.jobs.json_file import write_json
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.report import Report
from slidecell.jobs.results import (
    Stopwatch,
    count_too_large,
    judge,
    machine,
    refuse_overwriting,
    score_table,
    summarise_data,
)
from slidecell.jobs.score import SavedOptions, read_for, refuse_swapped
from slidecell.jobs.write_result import owns_saved_file, save_new
from slidecell.tables.rows import Rows
from slidecell.tables.split import fitted_rows, name_parts, past_rows
from slidecell.training.settings import TrainingSettings

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.model import SequenceModel

__all__ = ["RetrainOptions", "Retrained", "run_retrain"]


@dataclass(frozen=True)
class RetrainOptions(TrainingSettings, SavedOptions):
    """What `run_retrain` does; what is None is taken from the saved detector.

    Parameters
    ----------
    model, file, out, time, entity, label, max_gap, missing, duplicates, max_bytes
        See `slidecell.jobs.score.SavedOptions`; the file has the new rows.
    train_until : str, optional
        A fraction of each entity's rows, or a time: rows before it train, those after it are the
        held-out part that old and new are compared on.
    train_on : {"all", "normal"}
    epochs, patience, batch_size, lr, validation, seed, num_threads
        See `slidecell.training.settings.TrainingSettings`.
    """

    train_until: str | None = None
    train_on: Literal["all", "normal"] = "all"
    epochs: int = field(default=20, kw_only=True)

    def __post_init__(self) -> None:
        self.check_flags()
        if not self.validation > 0.0:
            raise ValueError(f"--validation: expected between 0 and 1, got {self.validation:g}")
        if self.train_on not in {"all", "normal"}:
            raise ValueError(f"--train-on: expected all, normal, got {self.train_on!r}")
        if self.train_on == "normal" and self.label is None:
            raise ValueError("--train-on normal: needs --label, the column that tells normal rows")


@dataclass(frozen=True)
class Retrained:
    """The detector that was kept, and what was found."""

    detector: Detector
    kept: Literal["old", "new"]
    report: dict[str, Any]

    @property
    def model(self) -> SequenceModel | None:
        """The network of the detector that was kept; None if it has none."""
        return self.detector.network


def run_retrain(
    options: RetrainOptions,
    *,
    progress: bool | Callable[[int, int, float, float | None], object] = True,
    announce: Callable[[dict[str, Any]], object] | None = None,
) -> Retrained:
    """Read, split, fit again, compare, write the better detector.

    A network goes on from its weights; scaler, features and settings stay. The new one is better if
    its loss is lower on the held-out part: the mean squared error of the windows of its rows alone,
    without those that touch a row labelled as an anomaly. Other detectors are fitted anew by their
    parameters; the new one is better unless labels of the held-out part give it a lower area under
    the precision-recall curve. The threshold is set anew by the detector's own rule, on the scores
    of the fitted rows. An old one that is better is kept as it is, byte for byte.

    Parameters
    ----------
    options : RetrainOptions
    progress : bool or callable
        As for `slidecell.training.fit`.
    announce : callable, optional
        Gets the summary of the data before training begins.

    Returns
    -------
    Retrained
        In ``options.out``: the folder ``detector`` and, as `run_detect` does,
        ``model.safetensors``, or only that where a model file was given; and ``retrain.json``. They
        appear together, or none does. The folder may be the old one's own: its scores and its
        report remain as they are.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.datasets import insider_threat
    >>> from slidecell.detect import DetectOptions, RetrainOptions, TableOptions
    >>> from slidecell.detect import run_detect, run_retrain
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> insider_threat(users=4, days=60).to_csv(folder / "in.csv", index=False)
    >>> table = TableOptions(time="day", entity="user", label="label")
    >>> settings = {"detector": "forecast", "window": 7, "epochs": 1}
    >>> first = DetectOptions(folder / "in.csv", folder / "out", table, **settings)
    >>> found = run_detect(first, progress=False)
    >>> again = RetrainOptions(folder / "out", folder / "in.csv", folder / "new", epochs=3)
    >>> run_retrain(again, progress=False).kept
    'new'
    """
    require("pandas", "sklearn", extra="detect")
    from slidecell.detect.loading import find_saved, load_saved

    stopwatch = Stopwatch()
    with OutputFolder(options.out, owns=owns_saved_file) as folder:
        refuse_swapped(options.model, options.file)
        refuse_overwriting(options.out, options.file)
        saved = find_saved(options.model)
        if saved.is_file() and (whole_set(options.out) / "detector").exists():
            raise ValueError(
                f"--out: {options.out} has a folder 'detector', which a new model file beside it "
                f"would not belong to: give {options.out} as MODEL, or another folder"
            )
        old = load_saved(saved, num_threads=options.num_threads)
        new = load_saved(saved, **_settings(options, old, progress))
        rows, part, training = _read(options, new)
        data = summarise_data(rows, part, max_gap=_max_gap(rows))
        stopwatch.lap("read")
        if announce is not None:
            announce(data)
        new.fit_again(training)
        new.fit_rule(rows.take(part != "test"))
        stopwatch.lap("train")
        measured = {name: _measure(d, rows, part) for name, d in (("old", old), ("new", new))}
        stopwatch.lap("score")
        data = data | count_too_large(new, rows)
        kept: Literal["old", "new"] = "new" if _is_better(**measured) else "old"
        files = _write(folder, saved, new if kept == "new" else None, old)
        stopwatch.lap("write")
        history = getattr(new, "history_", None)
        network = new.network
        plan = None if network is None else network.plan(num_threads=options.num_threads)
        report = {
            "command": "retrain",
            "options": options.to_dict(),
            "detector": type(new).__name__,
            "data": data,
            "training": None if history is None else history.to_dict(),
            **measured,
            "kept": kept,
            "machine": machine(plan),
            "seconds": stopwatch.seconds,
            "files": [str(folder.path / name) for name in (*files, "retrain.json")],
        }
        folder.add("retrain.json", lambda path: write_json(path, Report(data=report)))
    return Retrained(new if kept == "new" else old, kept, report)


def _settings(
    options: RetrainOptions,
    old: Detector,
    progress: bool | Callable[[int, int, float, float | None], object],
) -> dict[str, Any]:
    """Return the parameters of the further training; only networks have some."""
    if "epochs" not in old.get_params(deep=False):
        return {"num_threads": options.num_threads}
    names = ("epochs", "patience", "batch_size", "lr", "validation", "num_threads")
    settings = {name: getattr(options, name) for name in names}
    return {**settings, "random_state": options.seed, "progress": progress}


def _read(options: RetrainOptions, new: Detector) -> tuple[Rows, npt.NDArray[Any], Rows]:
    """Return all rows, their parts [S], and the rows to fit; what could fail is tried here."""
    rows = read_for(new, options)
    past = past_rows(rows, train_until=options.train_until)
    fitted = fitted_rows(rows, past, train_on=options.train_on)
    training = rows.take(fitted)
    part = name_parts(rows, past, fitted, new.held_out(training))
    new.check_rule(rows)
    losses = new.losses(_held_out(rows, part))
    if losses is not None and not np.isfinite(losses).any():
        raise ValueError(
            f"{rows.source}: no window of {new.rows_needed()} complete (and normal) rows is held "
            "out to compare old and new on; give more rows or a smaller --train-until"
        )
    return rows, part, training


def _max_gap(rows: Rows) -> str | None:
    return None if rows.options is None else rows.options.max_gap


def _held_out(rows: Rows, part: npt.NDArray[Any]) -> Rows:
    """Return the rows after the cut alone; those labelled as anomalies have no values."""
    held = rows.take(part == "test")
    if held.labels is None:
        return held
    return replace(held, features=np.where(held.labels[:, None] == 1, np.nan, held.features))


def _measure(detector: Detector, rows: Rows, part: npt.NDArray[Any]) -> dict[str, Any]:
    """Loss, scores and flags of the held-out part, and what labels say of them."""
    test = part == "test"
    scores = score_table(detector, rows).astype(np.float64)
    losses = detector.losses(_held_out(rows, part))
    finite = test & np.isfinite(scores)
    rule = detector.threshold_state()
    flags = None if rule is None else detector.flag_rows(rows, scores)
    labelled = rows.labels is not None and test.any()
    return {
        "loss": None if losses is None else float(np.nanmean(losses)),
        "windows": None if losses is None else int(np.isfinite(losses).sum()),
        "scored": int((test & ~np.isnan(scores)).sum()),
        "mean_score": float(scores[finite].mean()) if finite.any() else None,
        "score_distance": _score_distance(detector, scores[test]),
        "threshold": rule,
        "flagged": None if flags is None else int((flags & test).sum()),
        "metrics": judge(rows, scores, test, rule, flags) if labelled else None,
    }


def _score_distance(detector: Detector, scores: npt.NDArray[np.float64]) -> float | None:
    """Return how unlike those of the fitted rows the scores are, 0 to 1; None: nobody can tell.

    It is the distance of Kolmogorov and Smirnov.
    """
    kept = detector.training_statistics_
    if kept is None or np.isnan(scores).all():
        return None
    recent = kept.scores.sketch()
    recent.add(scores[:, None])
    distance = float(compare(kept.scores, recent.statistics()).distance[0])
    return None if np.isnan(distance) else distance


def _is_better(*, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Tell whether the new detector is to be kept."""
    if old["loss"] is not None:
        return bool(new["loss"] < old["loss"])
    if old["metrics"] is None or None in (old["metrics"]["pr_auc"], new["metrics"]["pr_auc"]):
        return True
    return bool(new["metrics"]["pr_auc"] >= old["metrics"]["pr_auc"])


def _write(folder: OutputFolder, saved: Path, new: Detector | None, old: Detector) -> list[str]:
    """Write the new detector, or copy the old one; return the names of the files."""
    model = (old if new is None else new).scoring_model
    if not whole_set(saved).is_dir():  # a model file
        if new is None:
            folder.add("model.safetensors", lambda path: shutil.copyfile(saved, path))
        elif model is not None:
            folder.add("model.safetensors", model.save)
        return ["model.safetensors"]
    from slidecell.detect.storage import copy_detector

    if new is None:
        folder.add("detector", lambda path: copy_detector(saved, path))
    else:
        folder.add("detector", lambda path: save_new(new, path))
    if model is None:
        return ["detector"]
    folder.add("model.safetensors", model.save)
    return ["detector", "model.safetensors"]

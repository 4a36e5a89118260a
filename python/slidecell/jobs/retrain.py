"""Go on training a saved model on new rows, and keep the better of the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slidecell._extras import require
from slidecell.jobs.json_file import write_json
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.report import Report
from slidecell.jobs.results import (
    Stopwatch,
    judge,
    machine,
    refuse_overwriting,
    summarise_data,
)
from slidecell.jobs.score import ScoreOptions, table_options
from slidecell.tables.split import Split, split_table
from slidecell.tables.table import Table, read_table
from slidecell.thresholds import BestFThreshold, threshold_from_state
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.smoothing import smoothing_from_state
from slidecell.training.train_network import NetworkTraining, train_network

if TYPE_CHECKING:
    from slidecell.model import SequenceModel
    from slidecell.training import History

__all__ = ["RetrainOptions", "Retrained", "run_retrain"]

# A folder of `detect` keeps its report, which is of the scores beside it.
_FILES = ("model.safetensors", "retrain.json")


@dataclass(frozen=True)
class RetrainOptions:
    """What `run_retrain` does; what is None is taken from the model.

    Parameters
    ----------
    model, file, out : Path
        The saved model, the new rows, the folder of the results.
    time, entity, label, max_gap, missing, duplicates : str, optional
        As in `slidecell.jobs.score.ScoreOptions`.
    train_until : str, optional
        A fraction of each entity's rows, or a time: rows before it train, those after it are the
        held-out part that old and new are compared on.
    train_on : {"all", "normal"}
    epochs, patience, batch_size, lr, validation
        Training, as for `slidecell.training.fit`.
    seed : int
    num_threads : int, optional
    """

    model: Path
    file: Path
    out: Path
    time: str | None = None
    entity: str | None = None
    label: str | None = None
    max_gap: str | None = None
    missing: str | None = None
    duplicates: str | None = None
    train_until: str | None = None
    train_on: Literal["all", "normal"] = "all"
    epochs: int = 20
    patience: int = 5
    batch_size: int | None = None
    lr: float = 1e-3
    validation: float = 0.2
    seed: int = 0
    num_threads: int | None = None

    def __post_init__(self) -> None:
        least = {"epochs": 1, "patience": 1, "batch_size": 1, "seed": 0, "num_threads": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and (int(value) != value or value < low):
                flag = "threads" if name == "num_threads" else name.replace("_", "-")
                raise ValueError(f"--{flag}: expected a whole number >= {low}, got {value}")
        if not self.lr > 0.0:
            raise ValueError(f"--lr: expected a number above 0, got {self.lr:g}")
        if not 0.0 < self.validation < 1.0:
            raise ValueError(f"--validation: expected between 0 and 1, got {self.validation:g}")
        if self.train_on not in {"all", "normal"}:
            raise ValueError(f"--train-on: expected all, normal, got {self.train_on!r}")
        if self.train_on == "normal" and self.label is None:
            raise ValueError("--train-on normal: needs --label, the column that tells normal rows")

    def to_dict(self) -> dict[str, Any]:
        """Return all options, ready for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}


@dataclass(frozen=True)
class Retrained:
    """The model that was kept, and what was found."""

    model: SequenceModel
    kept: Literal["old", "new"]
    report: dict[str, Any]


def run_retrain(
    options: RetrainOptions,
    *,
    progress: bool | Callable[[int, int, float, float | None], object] = True,
    announce: Callable[[dict[str, Any]], object] | None = None,
) -> Retrained:
    """Read, split, train on from the model's weights, compare, write the better model.

    Scaler, features and settings stay the model's. The new one is better if its loss is lower on
    the held-out part: the mean squared error of the windows of its rows alone, without those that
    touch a row labelled as an anomaly. Its threshold is the model's own rule, fitted anew on the
    scores of training windows. An old model that is better is kept as it is, byte for byte.

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
        In ``options.out``: ``model.safetensors`` and ``retrain.json``, both or none. The folder
        may be the model's own: its scores and its report remain those of the old model.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.datasets import insider_threat
    >>> from slidecell.detect import DetectOptions, RetrainOptions, TableOptions
    >>> from slidecell.detect import run_detect, run_retrain
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> insider_threat(users=4, days=60).to_csv(folder / "in.csv", index=False)
    >>> table = TableOptions(time="day", entity="user", label="label")
    >>> first = DetectOptions(folder / "in.csv", folder / "out", table, window=7, epochs=1)
    >>> model = run_detect(first, progress=False).report["files"][1]
    >>> again = RetrainOptions(pathlib.Path(model), folder / "in.csv", folder / "new", epochs=3)
    >>> run_retrain(again, progress=False).kept
    'new'
    """
    require("pandas", "sklearn", extra="detect")
    require("torch", extra="train")
    from slidecell.model import SequenceModel

    stopwatch = Stopwatch()
    with OutputFolder(options.out) as folder:
        refuse_overwriting(options.out, options.file)
        old = SequenceModel.load(options.model)
        table, split, data = _read(options, old)
        stopwatch.lap("read")
        if announce is not None:
            announce(data)
        new, history = _train(options, old, table, split, progress)
        stopwatch.lap("train")
        new = _with_threshold(new, table, split, options.num_threads)
        found = {
            name: _measure(model, table, split, options.num_threads)
            for name, model in (("old", old), ("new", new))
        }
        stopwatch.lap("score")
        better = found["new"]["loss"] < found["old"]["loss"]
        if better:
            folder.add(_FILES[0], new.save)
        else:
            content = options.model.read_bytes()
            folder.add(_FILES[0], lambda path: path.write_bytes(content))
        stopwatch.lap("write")
        report = {
            "command": "retrain",
            "options": options.to_dict(),
            "data": data,
            "training": history.to_dict(),
            **found,
            "kept": "new" if better else "old",
            "machine": machine(new.plan(num_threads=options.num_threads)),
            "seconds": stopwatch.seconds,
            "files": [str(folder.path / name) for name in _FILES],
        }
        folder.add(_FILES[1], lambda path: write_json(path, Report(data=report)))
    return Retrained(new if better else old, "new" if better else "old", report)


def _read(options: RetrainOptions, model: SequenceModel) -> tuple[Table, Split, dict[str, Any]]:
    """Return the table, its parts and its summary; what could fail after training is tried here."""
    known = {f.name for f in fields(ScoreOptions)}
    given = ScoreOptions(**{k: v for k, v in vars(options).items() if k in known})
    asked = table_options(given, model)
    table = read_table(options.file, asked)
    if len(table.names) != model.input_size:
        raise ValueError(
            f"{options.file}: expected {model.input_size} feature columns (the model names none), "
            f"got {len(table.names)}: {', '.join(table.names)}"
        )
    split = split_table(
        table,
        window=model.window,
        horizon=model.horizon,
        train_until=options.train_until,
        train_on=options.train_on,
        validation=options.validation,
        seed=options.seed,
    )
    if model.threshold is not None:
        rule = threshold_from_state(model.threshold)
        if isinstance(rule, BestFThreshold) and table.labels is None:
            raise ValueError("--label: the model's threshold is one that is chosen on labels")
    if not np.isfinite(_held_out_errors(model, table, split, options.num_threads)).any():
        length = model.window + model.horizon
        raise ValueError(
            f"{options.file}: no window of {length} complete (and normal) rows is held out to "
            "compare old and new on; give more rows or a smaller --train-until"
        )
    return table, split, summarise_data(table, split.part, max_gap=asked.max_gap)


def _train(
    options: RetrainOptions,
    model: SequenceModel,
    table: Table,
    split: Split,
    progress: bool | Callable[[int, int, float, float | None], object],
) -> tuple[SequenceModel, History]:
    """Go on from the model's weights on the train part."""
    from slidecell.training import to_module

    training = NetworkTraining(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        patience=options.patience,
        seed=options.seed,
        num_threads=options.num_threads,
        progress=progress,
        warm_start=True,
    )
    held_out = split.take(table.features, validation=True)
    new, history = train_network(
        lambda _: to_module(model),
        split.take(table.features, validation=False),
        held_out,
        scaler=model.scaler,
        options=training,
        features=model.features,
    )
    old = model.metadata
    new = new.with_metadata(**{name: old[name] for name in ("smoothing", "threshold", "extra")})
    # The statistics of the old network's errors say nothing of the new one's.
    return (new if old["error"] is None else new.fit_error(*held_out)), history


def _with_threshold(
    model: SequenceModel, table: Table, split: Split, num_threads: int | None
) -> SequenceModel:
    """Fit the model's own rule on the scores of its training windows."""
    if model.threshold is None:
        return model
    rule = threshold_from_state(model.threshold)
    scores = _scores(model, table, num_threads)
    if isinstance(rule, BestFThreshold):
        past = split.part != "test"
        assert table.labels is not None  # checked before training
        rule.fit(scores[past], table.labels[past])
    else:
        rule.fit(scores[split.training_window_ends()])
    rule.reset()
    return model.with_metadata(threshold=rule.state())


def _scores(model: SequenceModel, table: Table, num_threads: int | None) -> Floats:
    """Scores of all rows [S], smoothed as the model says."""
    scores = model.score(table.features, table.offsets, num_threads=num_threads).astype(np.float64)
    smoothing = model.metadata["smoothing"]
    if smoothing is None:
        return scores
    return smoothing_from_state(smoothing).apply(scores, table.offsets)


def _held_out_errors(
    model: SequenceModel, table: Table, split: Split, num_threads: int | None
) -> Floats:
    """Errors of the windows of held-out rows alone, at their last rows; NaN elsewhere."""
    test = split.part == "test"
    rows = table.features[test]
    if table.labels is not None:
        rows = np.where(table.labels[test, None] == 1, np.nan, rows)
    offsets = np.concatenate(([0], np.cumsum(test)))[table.offsets]
    return model.score(rows, offsets, num_threads=num_threads).astype(np.float64)


def _measure(
    model: SequenceModel, table: Table, split: Split, num_threads: int | None
) -> dict[str, Any]:
    """Loss, scores and flags of the held-out part, and what labels say of them."""
    test = split.part == "test"
    scores = _scores(model, table, num_threads)
    errors = _held_out_errors(model, table, split, num_threads)
    scored = test & ~np.isnan(scores)
    found: dict[str, Any] = {
        "loss": float(np.nanmean(errors)),
        "windows": int(np.isfinite(errors).sum()),
        "scored": int(scored.sum()),
        "mean_score": float(scores[test & np.isfinite(scores)].mean()),
        "threshold": model.threshold,
        "flagged": None,
        "metrics": None,
    }
    flags = None
    if model.threshold is not None:
        flags = threshold_from_state(model.threshold).apply(scores, table.offsets)
        found["flagged"] = int((flags & test).sum())
    if table.labels is not None:
        found["metrics"] = judge(table, scores, test, model.threshold, flags)
    return found

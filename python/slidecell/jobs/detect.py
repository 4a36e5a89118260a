"""The main job: from a file of series to scores, a model, a report and a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slidecell._extras import require
from slidecell.jobs.command_line import command_line
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.results import (
    Result,
    Stopwatch,
    check_key_names,
    refuse_overwriting,
    summarise_data,
)
from slidecell.jobs.write_result import write_result
from slidecell.tables.split import Split, split_table
from slidecell.tables.table import Table, TableOptions, join_tables, read_table, with_features
from slidecell.training.train_network import NetworkTraining, train_network

if TYPE_CHECKING:
    from torch import nn

    from slidecell.model import SequenceModel
    from slidecell.training import History

__all__ = ["DetectOptions", "run_detect"]


@dataclass(frozen=True)
class DetectOptions:
    """What `run_detect` does; the command line has a flag for each.

    Parameters
    ----------
    file : Path
        CSV or Parquet.
    out : Path
        Folder of the results.
    table : TableOptions
        Columns and holes.
    test : Path, optional
        A second file whose rows are the test part; those of ``file`` then all train.
    train_until : str, optional
        Fraction of each entity's rows, or a time: see `slidecell.tables.split.split_table`.
    train_on : {"all", "normal"}
    window, horizon : int
        W rows in, K rows forecast; horizon 0 is an autoencoder.
    cell : {"lstm", "gru"}
    hidden_size : tuple of int
        One for all layers, or one per layer. Default: 64; of an autoencoder 16, 8. An
        autoencoder's single size is halved from layer to layer, and its decoder mirrors it.
    layers : int
    epochs, patience, batch_size, lr, validation
        Training, as for `slidecell.training.fit`.
    scaler : {"minmax", "standard", "robust"}
        Fitted on the train part only.
    percentile : float
        The threshold is this percentile of the scores of training windows.
    seed : int
    num_threads : int, optional
    html : bool
        Write ``report.html`` too: what was run, what was found, figures, in one file.
    """

    file: Path
    out: Path
    table: TableOptions = field(default_factory=TableOptions)
    test: Path | None = None
    train_until: str | None = None
    train_on: Literal["all", "normal"] = "all"
    window: int = 32
    horizon: int = 1
    cell: Literal["lstm", "gru"] = "lstm"
    hidden_size: tuple[int, ...] = ()
    layers: int = 1
    epochs: int = 50
    patience: int = 5
    batch_size: int | None = None
    lr: float = 1e-3
    validation: float = 0.2
    scaler: Literal["minmax", "standard", "robust"] = "minmax"
    percentile: float = 95.0
    seed: int = 0
    num_threads: int | None = None
    html: bool = False

    def __post_init__(self) -> None:
        least = {"window": 1, "horizon": 0, "layers": 1, "epochs": 1, "patience": 1, "seed": 0}
        least |= {"batch_size": 1, "num_threads": 1}
        flags = {"num_threads": "threads"}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and (int(value) != value or value < low):
                option = flags.get(name, name).replace("_", "-")
                raise ValueError(f"--{option}: expected a whole number >= {low}, got {value}")
        if any(int(size) != size or size < 1 for size in self.hidden_size):
            raise ValueError(f"--hidden-size: expected sizes >= 1, got {self.hidden_size}")
        if len(self.hidden_size) > 1 and self.layers not in {1, len(self.hidden_size)}:
            raise ValueError(
                f"--layers: expected {len(self.hidden_size)}, the number of hidden sizes, "
                f"got {self.layers}"
            )
        if not 0.0 < self.percentile < 100.0:
            raise ValueError(f"--percentile: expected between 0 and 100, got {self.percentile:g}")
        if not self.lr > 0.0:
            raise ValueError(f"--lr: expected a number above 0, got {self.lr:g}")
        if not 0.0 <= self.validation < 1.0:
            raise ValueError(f"--validation: expected 0 up to below 1, got {self.validation:g}")
        _choice("--cell", self.cell, ("lstm", "gru"))
        _choice("--scaler", self.scaler, ("minmax", "standard", "robust"))
        _choice("--train-on", self.train_on, ("all", "normal"))
        if self.test is not None and self.train_until is not None:
            raise ValueError("--test: with it all rows of FILE train; leave --train-until out")
        if self.train_on == "normal" and self.table.label is None:
            raise ValueError("--train-on normal: needs --label, the column that tells normal rows")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Hidden size of each layer of the encoder."""
        if len(self.hidden_size) > 1:
            return self.hidden_size
        if self.horizon > 0:
            return (self.hidden_size or (64,)) * self.layers
        if not self.hidden_size and self.layers == 1:
            return (16, 8)
        first = (self.hidden_size or (16,))[0]
        return tuple(max(1, first >> layer) for layer in range(self.layers))

    def to_dict(self) -> dict[str, Any]:
        """Return all options, ready for JSON."""
        options = asdict(self)
        options |= options.pop("table")
        for name in ("file", "out", "test"):
            options[name] = None if options[name] is None else str(options[name])
        return options | {"hidden_size": list(self.sizes)}


def run_detect(
    options: DetectOptions,
    *,
    progress: bool | Callable[[int, int, float, float | None], object] = True,
    announce: Callable[[dict[str, Any]], object] | None = None,
) -> Result:
    """Read, split, scale, train, score on the compiled kernels, set the threshold, write.

    Everything is checked before training begins, the output folder too. Test rows are scored
    with the training rows before them as their history: a window looks back only.

    Parameters
    ----------
    options : DetectOptions
    progress : bool or callable
        As for `slidecell.training.fit`.
    announce : callable, optional
        Gets the summary of the data before training begins.

    Returns
    -------
    Result
        In ``options.out``: ``scores.csv`` (or ``.parquet``, as the input), ``model.safetensors``,
        ``report.json``, ``scores.png``, with ``html`` ``report.html``. They appear together, or
        none does.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.datasets import insider_threat
    >>> from slidecell.detect import DetectOptions, TableOptions, run_detect
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> insider_threat(users=4, days=60).to_csv(folder / "in.csv", index=False)
    >>> options = DetectOptions(
    ...     file=folder / "in.csv",
    ...     out=folder / "out",
    ...     table=TableOptions(time="day", entity="user", label="label"),
    ...     window=7,
    ...     epochs=1,
    ... )
    >>> result = run_detect(options, progress=False)
    >>> sorted(path.name for path in (folder / "out").iterdir())
    ['model.safetensors', 'report.json', 'scores.csv', 'scores.png']
    >>> bool((result.scores[result.flagged] > result.threshold).all())
    True
    """
    require("pandas", "matplotlib", extra="detect")
    if options.html:
        require("jinja2", extra="detect")
    if options.table.label is not None:
        require("sklearn", extra="detect")
    stopwatch = Stopwatch()
    with OutputFolder(options.out) as folder:
        refuse_overwriting(options.out, options.file, options.test)
        table, test_from_row = _read(options)
        split = split_table(
            table,
            window=options.window,
            horizon=options.horizon,
            train_until=options.train_until,
            test_from_row=test_from_row,
            train_on=options.train_on,
            validation=options.validation,
            seed=options.seed,
        )
        data = summarise_data(table, split.part, max_gap=options.table.max_gap)
        stopwatch.lap("read")
        if announce is not None:
            announce(data)
        model, history = _train(options, table, split, progress)
        stopwatch.lap("train")
        scores = model.score(table.features, table.offsets, num_threads=options.num_threads)
        stopwatch.lap("score")
        ends = scores[split.training_window_ends()].astype(np.float64)
        value = float(np.percentile(ends[np.isfinite(ends)], options.percentile))
        kind = {"kind": "percentile", "percentile": options.percentile, "value": value}
        model = model.with_metadata(threshold=kind)
        constant = [table.names[index] for index in model.metadata["scaler"]["constant"]]
        report = {
            "command": "detect",
            "options": options.to_dict(),
            "data": data | {"constant_features": constant},
            "training": history.to_dict(),
        }
        return write_result(
            folder,
            Result(table, split.part, scores, model, report),
            stopwatch,
            title=(options.test or options.file).name,
            save_model=True,
            num_threads=options.num_threads,
            # Rows of a test file are entities of their own; the picture is about them.
            draw_from=test_from_row or 0,
            command=command_line("detect", options),
            page=options.html,
        )


def _choice(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{flag}: expected {', '.join(allowed)}, got {value!r}")


def _read(options: DetectOptions) -> tuple[Table, int | None]:
    """Return the table and, with a test file, its first row there."""
    check_key_names(options.table)
    table = read_table(
        options.file,
        options.table,
        label_optional=options.test is not None and options.train_on == "all",
    )
    if options.test is None:
        return table, None
    test = read_table(options.test, with_features(options.table, table.names))
    return join_tables(table, test), len(table.order)


def _train(
    options: DetectOptions,
    table: Table,
    split: Split,
    progress: bool | Callable[[int, int, float, float | None], object],
) -> tuple[SequenceModel, History]:
    """Fit the scaler and the network on the train part, and compile."""
    training = NetworkTraining(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        patience=options.patience,
        seed=options.seed,
        num_threads=options.num_threads,
        progress=progress,
    )
    model, history = train_network(
        lambda features: make_module(options, features),
        split.take(table.features, validation=False),
        split.take(table.features, validation=True),
        scaler=options.scaler,
        options=training,
        features=table.names,
    )
    return model.with_metadata(extra={"detect": asdict(options.table)}), history


def make_module(options: DetectOptions, input_size: int) -> nn.Module:
    """Return the network that the options describe, untrained."""
    from slidecell.training import Autoencoder, Forecaster

    if options.horizon == 0:
        return Autoencoder(
            input_size,
            options.sizes,
            options.sizes[::-1],
            cell=options.cell,
            window=options.window,
        )
    return Forecaster(
        input_size,
        options.sizes,
        cell=options.cell,
        window=options.window,
        horizon=options.horizon,
    )

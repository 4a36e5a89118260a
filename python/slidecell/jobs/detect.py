"""The main job: from a file of series to scores, a detector, a report and a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slidecell._cells import CELLS, CellName
from slidecell._extras import require
from slidecell.detect.registry import find_detector
from slidecell.jobs.command_line import command_line
from slidecell.jobs.outputs import open_results
from slidecell.jobs.results import (
    Result,
    Stopwatch,
    check_key_names,
    count_too_large,
    default_event_gap,
    parameters,
    refuse_overwriting,
    score_table,
    summarise_data,
    why_no_score,
)
from slidecell.jobs.rule_options import RuleOptions
from slidecell.jobs.write_result import owns_saved_file, write_result
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Rows
from slidecell.tables.source import is_standard, source_name
from slidecell.tables.split import fitted_rows, name_parts, past_rows
from slidecell.tables.table import join_tables, read_table
from slidecell.training.settings import WITHOUT_FLAG, TrainingSettings, refuse_below

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["DetectOptions", "run_detect"]


@dataclass(frozen=True)
class DetectOptions(TrainingSettings, RuleOptions):
    """What `run_detect` does; the command line has a flag for each.

    A setting of the network that is None is the detector's own default.

    Parameters
    ----------
    file : Path
        CSV or Parquet. ``-`` is standard input.
    out : Path
        Folder of the results. With ``-`` no file is written; the command prints the scores.
    table : TableOptions
        Columns and holes.
    test : Path, optional
        A second file whose rows are the test part; those of ``file`` then all train.
    train_until : str, optional
        Fraction of each entity's rows, or a time: see `slidecell.tables.split.past_rows`.
    train_on : {"all", "normal"}
    detector : str
        A name of `slidecell.detect.registry.DETECTORS`, or a class of it.
    members : str, optional
        Of the ensemble: names of detectors with commas between them.
    align : {"end", "cover"}, optional
        Of the detectors that have it: whether a score uses no later row, or is of all windows that
        cover the row.
    window, horizon : int, optional
        W rows in, K rows forecast. A forecaster with horizon 0 is an autoencoder.
    cell : str, optional
        A name in `slidecell.recurrent.STACKS`.
    hidden_size : tuple of int
        One for all layers, or one per layer. An autoencoder's single size is halved from layer to
        layer, and its decoder mirrors it.
    layers : int, optional
    scaler : {"minmax", "standard", "robust"}, optional
        Fitted on the rows that train only.
    event_gap : int, optional
        Flagged rows with at most so many others between them are one event. Default: as many as
        the rows before its own that a score depends on, of a network its window.
    html : bool
        Write ``report.html`` too: what was run, what was found, figures, in one file.
    epochs, patience, batch_size, lr, validation, seed, num_threads
        See `slidecell.training.settings.TrainingSettings`.
    threshold, rate, percentile, value, spot_q, spot_level, spot_depth, cusum_k, cusum_h, \
dynamic_batch, dynamic_window, per_entity
        See `slidecell.jobs.rule_options.RuleOptions`.
    """

    file: Path
    out: Path
    table: TableOptions = field(default_factory=TableOptions)
    test: Path | None = None
    train_until: str | None = None
    train_on: Literal["all", "normal"] = "all"
    detector: str = "ensemble"
    members: str | None = None
    align: Literal["end", "cover"] | None = None
    window: int | None = None
    horizon: int | None = None
    cell: CellName | None = None
    hidden_size: tuple[int, ...] = ()
    layers: int | None = None
    scaler: Literal["minmax", "standard", "robust"] | None = None
    event_gap: int | None = None
    html: bool = False

    def __post_init__(self) -> None:
        self.check_flags()
        for name, low in {"window": 1, "horizon": 0, "layers": 1, "event_gap": 0}.items():
            refuse_below(name, getattr(self, name), low)
        if any(size % 1 != 0 or size < 1 for size in self.hidden_size):
            raise ValueError(f"--hidden-size: expected sizes >= 1, got {self.hidden_size}")
        if len(self.hidden_size) > 1 and self.layers not in {None, 1, len(self.hidden_size)}:
            raise ValueError(
                f"--layers: expected {len(self.hidden_size)}, the number of hidden sizes, "
                f"got {self.layers}"
            )
        self.check_rule_options()
        if self.per_entity and self.table.entity is None:
            raise ValueError("--per-entity: needs --entity, the column that tells whose a row is")
        _choice("--cell", self.cell, (None, *CELLS))
        _choice("--align", self.align, (None, "end", "cover"))
        _choice("--scaler", self.scaler, (None, "minmax", "standard", "robust"))
        _choice("--train-on", self.train_on, ("all", "normal"))
        if is_standard(self.file) and is_standard(self.test):
            raise ValueError("--test: expected another file than FILE, got '-' for both")
        if self.test is not None and self.train_until is not None:
            raise ValueError("--test: with it all rows of FILE train; leave --train-until out")
        if self.train_on == "normal" and self.table.label is None:
            raise ValueError("--train-on normal: needs --label, the column that tells normal rows")

    def make_detector(
        self, progress: bool | Callable[[int, int, float, float | None], object] = False
    ) -> Detector:
        """Return the detector that the options describe, unfitted."""
        named: dict[str, Any] = {
            "members": self.members,
            "align": self.align,
            "window": self.window,
            "horizon": self.horizon,
            "cell": self.cell,
            "hidden_size": self.hidden_size or None,
            "num_layers": self.layers,
            "scaler": self.scaler,
            "num_threads": self.num_threads,
        }
        settings = {name: value for name, value in named.items() if value is not None}
        for setting in fields(TrainingSettings):
            value = getattr(self, setting.name)
            if setting.name not in {"seed", "num_threads"} and value != setting.default:
                settings[setting.name] = value
        columns = {"entity": self.table.entity, "time": self.table.time}
        settings |= {name: column for name, column in columns.items() if column is not None}
        settings |= {
            "random_state": self.seed,
            **self.rule_settings(self.event_gap),
            "missing": self.table.missing,
            "progress": progress,
        }
        reconstructs = self.detector == "forecast" and self.horizon == 0
        kind = find_detector("autoencoder" if reconstructs else self.detector)
        detector: Detector = kind.from_settings(settings)
        return detector

    def to_dict(self) -> dict[str, Any]:
        """Return all options, ready for JSON."""
        options = asdict(self)
        options |= options.pop("table")
        for name in ("file", "out", "test"):
            options[name] = None if options[name] is None else str(options[name])
        for name in WITHOUT_FLAG:
            del options[name]
        return options | {"hidden_size": list(self.hidden_size)}


def run_detect(
    options: DetectOptions,
    *,
    progress: bool | Callable[[int, int, float, float | None], object] = True,
    announce: Callable[[dict[str, Any]], object] | None = None,
) -> Result:
    """Read, split, fit a detector, score all rows, flag those above its threshold, write.

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
        In ``options.out``: ``scores.csv`` (or ``.parquet``, as the input), ``events.csv``,
        ``detector``, the folder that `Detector.save` writes, ``model.safetensors`` where a
        network's errors are the scores, ``report.json``, ``scores.png``, with ``html``
        ``report.html``. They appear together, or none does.

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
    ...     detector="forecast",
    ...     window=7,
    ...     epochs=1,
    ... )
    >>> result = run_detect(options, progress=False)
    >>> sorted(path.name for path in (folder / "out").iterdir())
    ['detector', 'events.csv', 'model.safetensors', 'report.json', 'scores.csv', 'scores.png']
    >>> bool((result.scores[result.flagged] > result.threshold).all())
    True
    """
    require("pandas", "sklearn", "matplotlib", extra="detect")
    if options.html:
        require("jinja2", extra="detect")
    detector = options.make_detector(progress)
    stopwatch = Stopwatch()
    with open_results(options.out, page=options.html, owns=owns_saved_file) as folder:
        refuse_overwriting(options.out, options.file, options.test)
        rows, test_from_row = _read(options)
        past = past_rows(rows, train_until=options.train_until, test_from_row=test_from_row)
        fitted = fitted_rows(rows, past, train_on=options.train_on)
        training = rows.take(fitted)
        part = name_parts(rows, past, fitted, detector.held_out(training))
        data = summarise_data(rows, part, max_gap=options.table.max_gap)
        stopwatch.lap("read")
        if announce is not None:
            announce(data)
        detector.fit(training)
        stopwatch.lap("train")
        scores = score_table(detector, rows)
        stopwatch.lap("score")
        constant = [str(name) for name in detector.constant_features_]
        history = getattr(detector, "history_", None)
        notes = [*detector.score_notes()]
        if np.isnan(scores).all():
            notes.append(why_no_score(rows, detector))
        if options.percentile is not None and options.percentile <= 1.0:
            notes.append(
                f"--percentile {options.percentile:g} flags nearly every row; to flag the highest "
                f"{100.0 * (1.0 - options.percentile):.3g} %, give {100.0 * options.percentile:g}"
            )
        gap = default_event_gap(detector) if options.event_gap is None else options.event_gap
        report = {
            "command": "detect",
            "options": options.to_dict(),
            "detector": type(detector).__name__,
            "parameters": parameters(detector),
            "data": data | {"constant_features": constant} | count_too_large(detector, rows),
            "notes": notes,
            **({} if history is None else {"training": history.to_dict()}),
        }
        return write_result(
            folder,
            Result(rows, part, scores, detector, report, event_gap=gap),
            stopwatch,
            title=source_name(options.test or options.file),
            save=True,
            # Rows of a test file are entities of their own; the picture is about them.
            draw_from=test_from_row or 0,
            command=command_line("detect", options),
            page=options.html,
        )


def _choice(flag: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        known = ", ".join(str(name) for name in allowed if name is not None)
        raise ValueError(f"{flag}: expected {known}, got {value!r}")


def _read(options: DetectOptions) -> tuple[Rows, int | None]:
    """Return the rows and, with a test file, the first row of it there."""
    check_key_names(options.table)
    rows = read_table(
        options.file,
        options.table,
        label_optional=options.test is not None and options.train_on == "all",
    )
    if options.test is None:
        return rows, None
    test = read_table(options.test, options.table.with_features(rows.names or ()))
    return join_tables(rows, test), len(rows)

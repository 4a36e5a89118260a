"""The command ``slidecell retrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slidecell.cli import options as o
from slidecell.cli.guard import guarded

__all__ = ["retrain"]


@guarded
def retrain(
    model: o.ModelArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV or Parquet with new rows. '-' is standard input."),
    ],
    *,
    out: o.OutOption = Path("slidecell-retrained"),
    time: o.TimeOption = None,
    entity: o.EntityOption = None,
    label: o.LabelOption = None,
    max_gap: o.MaxGapOption = None,
    missing: o.MissingAgainOption = None,
    duplicates: o.DuplicatesAgainOption = None,
    max_memory: o.MaxColumnOption = None,
    epochs: o.EpochsOption = 20,
    patience: o.PatienceOption = 5,
    batch_size: o.BatchSizeOption = None,
    lr: o.LrOption = 1e-3,
    validation: o.ValidationOption = 0.2,
    train_until: o.TrainUntilOption = None,
    train_on: o.TrainOnOption = o.TrainOn.all,
    seed: o.SeedOption = 0,
    threads: o.ThreadsOption = None,
) -> None:
    """Fit a saved detector again on new rows, compare old and new, keep the better.

    A network goes on from its weights. Both are measured on the held-out part of FILE: the rows
    after --train-until, which train nothing. Writes what MODEL is, a folder or a model file, with
    the threshold set anew by its own rule, and retrain.json; where the old one is better, it is
    copied as it is. Features, time and entity column, --max-gap, --missing and --duplicates are
    those of MODEL.
    """
    from slidecell.jobs.outputs import refuse_standard_output
    from slidecell.jobs.retrain import RetrainOptions, run_retrain
    from slidecell.jobs.retrain_report import retrain_report
    from slidecell.jobs.sections import data_section
    from slidecell.jobs.terminal import print_report, print_section

    refuse_standard_output(out, "retrain", "a detector")
    options = RetrainOptions(
        model=model,
        file=file,
        out=out,
        time=time,
        entity=entity,
        label=label,
        max_gap=max_gap,
        missing=None if missing is None else missing.value,
        duplicates=None if duplicates is None else duplicates.value,
        max_bytes=o.column_bytes(max_memory),
        train_until=train_until,
        train_on=train_on.value,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        lr=lr,
        validation=validation,
        seed=seed,
        num_threads=threads,
    )
    console = Console(highlight=False)
    result = run_retrain(options, announce=lambda data: print_section(console, data_section(data)))
    print_report(console, retrain_report(result.report))

"""The command ``slidecell retrain``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from slidecell.cli import options as o
from slidecell.cli.guard import guarded

if TYPE_CHECKING:
    from slidecell.jobs.retrain import RetrainOptions

__all__ = ["retrain"]


class Place(str, Enum):
    """Where a detector goes that was retrained because of drift."""

    out = "out"
    shadow = "shadow"
    model = "model"


def _drift(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="On drift")


IfDriftOption = Annotated[
    bool, _drift("Retrain once, and only if the stream whose rows FILE keeps is advised to.")
]
WatchOption = Annotated[bool, _drift("Wait for that advice, again and again.")]
EveryOption = Annotated[float, _drift("Seconds between two looks, of --watch.")]
PlaceOption = Annotated[
    Place,
    _drift(
        "Where a better detector goes: to out alone, to --shadow, or in the place of MODEL, whose "
        "old one rollback brings back."
    ),
]
PlaceShadowOption = Annotated[
    Path | None, _drift("The challenger of the stream, which --place shadow replaces.")
]
RecentOption = Annotated[
    int | None, _drift("Rows to train on and to compare with, the newest (default: all kept ones)")
]


@guarded
def retrain(
    model: o.ModelArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV or Parquet with new rows; '-' is standard input. With --if-drift and --watch "
            "the folder that stream --keep-rows writes.",
        ),
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
    if_drift: IfDriftOption = False,
    watch: WatchOption = False,
    every: EveryOption = 10.0,
    place: PlaceOption = Place.out,
    shadow: PlaceShadowOption = None,
    recent: RecentOption = None,
) -> None:
    """Fit a saved detector again on new rows, compare old and new, keep the better.

    A network goes on from its weights. Both are measured on the held-out part of FILE: the rows
    after --train-until, which train nothing. Writes what MODEL is, a folder or a model file, with
    the threshold set anew by its own rule, and retrain.json; where the old one is better, it is
    copied as it is. Features, time and entity column, --max-gap, --missing and --duplicates are
    those of MODEL.

    With --if-drift FILE is the folder of a stream, and nothing is done unless its advice is to
    retrain: then the detector is fitted again on the rows that the stream has kept, compared on
    the newest of them, and put where --place says, if it is no worse there. --watch does so
    whenever the advice comes, until it is interrupted. --out holds steps.jsonl, one line for each
    step that is done, and a folder for each round: a call that was killed is gone on with by the
    next.
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
    if if_drift or watch:
        _retrain_on_drift(options, place, shadow, recent, every if watch else None)
        return
    if place is not Place.out or shadow is not None or recent is not None:
        raise ValueError("--place, --shadow, --recent: expected with --if-drift or --watch")
    console = Console(highlight=False)
    result = run_retrain(options, announce=lambda data: print_section(console, data_section(data)))
    print_report(console, retrain_report(result.report))


def _retrain_on_drift(
    options: RetrainOptions,
    place: Place,
    shadow: Path | None,
    recent: int | None,
    seconds: float | None,
) -> None:
    """Retrain if the advice of a stream says so: once, or whenever it does."""
    from slidecell.jobs.retrain_on_drift import DriftRetraining, DriftRetrainingOptions

    if seconds is not None and not seconds > 0.0:
        raise ValueError(f"--every: expected more than 0 seconds, got {seconds:g}")
    asked = DriftRetrainingOptions(options, place.value, shadow, recent)
    work = DriftRetraining(asked, progress=True, say=typer.echo)
    try:
        if seconds is None:
            typer.echo(work.run_once())
        else:
            work.watch(seconds)
    except KeyboardInterrupt:
        typer.echo("interrupted: the same command goes on where it stopped", err=True)
        raise typer.Exit(130) from None

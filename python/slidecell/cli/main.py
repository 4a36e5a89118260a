"""The command ``slidecell``: it parses, calls and prints; the work is done elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slidecell import __version__
from slidecell.cli import options as o
from slidecell.cli import reproduce
from slidecell.cli.bench import SETTINGS, bench
from slidecell.cli.guard import BAD_INPUT, guarded, one_line
from slidecell.cli.output import print_scores, report_console, require_standard_output
from slidecell.cli.promote import promote, rollback
from slidecell.cli.retrain import retrain
from slidecell.tables.source import is_standard

app = typer.Typer(
    help="Anomaly scores for time series by LSTM and GRU networks on fused kernels.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # joins the lines of a docstring
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slidecell {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    del version


@app.command()
@guarded
def detect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV or Parquet, one row per time and entity. '-' is standard input.",
        ),
    ],
    *,
    out: o.ScoresOutOption,
    time: o.TimeOption = None,
    entity: o.EntityOption = None,
    label: o.LabelOption = None,
    features: o.FeaturesOption = None,
    exclude: o.ExcludeOption = None,
    max_gap: o.MaxGapOption = None,
    missing: o.MissingOption = o.Missing.skip,
    duplicates: o.DuplicatesOption = o.Duplicates.error,
    max_memory: o.MaxColumnOption = None,
    detector: o.DetectorOption = "ensemble",
    members: o.MembersOption = None,
    align: o.AlignOption = None,
    window: o.WindowOption = None,
    horizon: o.HorizonOption = None,
    cell: o.CellOption = None,
    hidden_size: o.HiddenSizeOption = None,
    layers: o.LayersOption = None,
    epochs: o.EpochsOption = 50,
    patience: o.PatienceOption = 5,
    batch_size: o.BatchSizeOption = None,
    lr: o.LrOption = 1e-3,
    validation: o.ValidationOption = 0.2,
    scaler: o.ScalerOption = None,
    threshold: o.ThresholdOption = None,
    rate: o.RateOption = None,
    percentile: o.PercentileOption = None,
    value: o.ValueOption = None,
    spot_q: o.SpotQOption = None,
    spot_level: o.SpotLevelOption = None,
    spot_depth: o.SpotDepthOption = None,
    cusum_k: o.CusumKOption = None,
    cusum_h: o.CusumHOption = None,
    dynamic_batch: o.DynamicBatchOption = None,
    dynamic_window: o.DynamicWindowOption = None,
    per_entity: o.PerEntityOption = False,
    train_until: o.TrainUntilOption = None,
    test: o.TestOption = None,
    train_on: o.TrainOnOption = o.TrainOn.all,
    seed: o.SeedOption = 0,
    threads: o.ThreadsOption = None,
    event_gap: o.EventGapOption = None,
    html: o.HtmlOption = False,
) -> None:
    """Fit a detector on a file of series, score every row, flag the unlikely ones.

    Writes scores.csv (or .parquet, as FILE: key columns, score, flagged, part, one row per row of
    FILE in its order), events.csv (flagged rows that lie near each other, worst first), the folder
    detector, which score, stream and retrain take,
    model.safetensors where the detector is a forecaster or an autoencoder, report.json and
    scores.png. Metrics use the test part only. A score looks back only, unless --align cover is
    asked for; test rows may have training rows as their history. An option that the chosen detector
    has no use for is refused.
    """
    from slidecell.jobs.detect import DetectOptions, run_detect
    from slidecell.jobs.sections import data_section
    from slidecell.jobs.terminal import print_report, print_section
    from slidecell.tables.options import TableOptions

    options = DetectOptions(
        file=file,
        out=out,
        table=TableOptions(
            time=time,
            entity=entity,
            label=label,
            features=tuple(features or ()),
            exclude=tuple(exclude or ()),
            max_gap=max_gap,
            missing=missing.value,
            duplicates=duplicates.value,
            max_bytes=o.column_bytes(max_memory),
        ),
        test=test,
        train_until=train_until,
        train_on=train_on.value,
        detector=detector,
        members=members,
        align=None if align is None else align.value,
        window=window,
        horizon=horizon,
        cell=None if cell is None else cell.value,
        hidden_size=_sizes(hidden_size),
        layers=layers,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        lr=lr,
        validation=validation,
        scaler=None if scaler is None else scaler.value,
        threshold=None if threshold is None else threshold.value,
        rate=rate,
        percentile=percentile,
        value=value,
        spot_q=spot_q,
        spot_level=spot_level,
        spot_depth=spot_depth,
        cusum_k=cusum_k,
        cusum_h=cusum_h,
        dynamic_batch=dynamic_batch,
        dynamic_window=dynamic_window,
        per_entity=per_entity,
        seed=seed,
        num_threads=threads,
        event_gap=event_gap,
        html=html,
    )
    console = report_console(out)
    result = run_detect(options, announce=lambda data: print_section(console, data_section(data)))
    print_report(console, result.document)
    if is_standard(out):
        typer.echo("note: the detector was not kept; --out FOLDER keeps it", err=True)
    print_scores(result, out)


@app.command()
@guarded
def score(
    model: o.ModelArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV or Parquet of raw rows; a folder or a pattern of such files. '-' is "
            "standard input.",
        ),
    ],
    *,
    out: o.ScoresOutOption,
    time: o.TimeOption = None,
    entity: o.EntityOption = None,
    label: o.LabelOption = None,
    max_gap: o.MaxGapOption = None,
    missing: o.MissingAgainOption = None,
    duplicates: o.DuplicatesAgainOption = None,
    max_memory: o.MaxColumnOption = None,
    threads: o.ThreadsOption = None,
    event_gap: o.EventGapOption = None,
    html: o.HtmlOption = False,
    restart: o.RestartOption = False,
    audited: o.AuditedOption = False,
) -> None:
    """Score the raw rows of a file with a saved detector.

    Columns are matched by name. Time and entity column, --max-gap, --missing and --duplicates are
    those that the detector was fitted with, unless given here ('' for no such column).

    A folder or a pattern of Parquet or of CSV files, and a file whose columns take more than
    --max-memory by their rows, 8 bytes each, are scored in parts (so is text of eight times as many
    bytes, and text in gzip that takes more unpacked): rows are in the order of time within each
    entity, series go on from file to file, and a run that is killed goes on where it stopped, or
    begins anew with --restart. Then there are scores.parquet or scores.csv, events.csv and
    report.json; with --label the report has what follows from counts of flags and labels.
    """
    from slidecell.jobs.score import ScoreOptions, run_score
    from slidecell.jobs.score_files import kind_in_parts, run_score_files
    from slidecell.jobs.sections import data_section
    from slidecell.jobs.terminal import print_report, print_section

    options = ScoreOptions(
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
        num_threads=threads,
        event_gap=event_gap,
        html=html,
        audited=audited,
    )
    console = report_console(out)
    kind = kind_in_parts(file, options.max_bytes)
    if kind is not None:
        print_report(console, run_score_files(options, kind=kind, restart=restart))
        return
    if restart:
        raise ValueError(f"--restart: {file} is read at once, and no run of it is left to discard")
    result = run_score(options, announce=lambda data: print_section(console, data_section(data)))
    print_report(console, result.document)
    print_scores(result, out)


app.command()(retrain)
app.command()(promote)
app.command()(rollback)


@app.command()
@guarded
def stream(
    model: o.ModelArgument,
    *,
    format: o.FormatOption = o.LineFormat.csv,  # the option's name
    output: o.OutputOption = o.LineOutput.scores,
    event_gap: o.EventGapAgainOption = None,
    time: o.TimeOption = None,
    entity: o.EntityOption = None,
    max_gap: o.MaxGapOption = None,
    missing: o.MissingAgainOption = None,
    duplicates: o.DuplicatesAgainOption = None,
    state: o.StateOption = None,
    listen: o.ListenOption = None,
    on_error: o.OnErrorOption = o.OnError.skip,
    max_entities: o.MaxEntitiesOption = None,
    max_memory: o.MaxMemoryOption = None,
    metrics: o.MetricsOption = None,
    metrics_entities: o.MetricsEntitiesOption = False,
    page: o.PageOption = None,
    bind: o.BindOption = "127.0.0.1",
    log: o.LogOption = o.LogForm.text,
    drift: o.DriftOption = True,
    shadow: o.ShadowOption = None,
    shadow_report: o.ShadowReportOption = None,
    label: o.LiveLabelOption = None,
    keep_rows: o.KeepRowsOption = None,
    keep: o.KeepOption = 100_000,
) -> None:
    """Score raw rows as they come: a line on stdin, its score and alarm on stdout.

    MODEL is any saved detector. Scores, alarms and events are those of the command score, bit for
    bit. With --output events a line is written when an event opens, and one when it closes, with
    its start, end, rows, flagged rows, peak, area and entity, and when it closes the columns that
    drive it, where MODEL is a folder whose detector tells them; with both, beside the scores.
    Events that are open at the end go on with --state, and are closed without it.

    Columns or keys are matched by name; time and entity column, --max-gap, --missing and
    --duplicates are those that the model was trained with, unless given here ('' for no such
    column). Rows of an entity must come in the order of time. A line that cannot be read is a
    missing row of its entity; where that is unknown too, of all entities whose last row came from
    the same source. SIGUSR1 prints counters and latencies to stderr; SIGINT, SIGTERM and SIGHUP end
    cleanly, as the end of the input does: --state is saved, within two seconds though nobody reads
    the scores.

    --metrics and --page serve what has been scored by HTTP, read-only, on this machine alone unless
    --bind says otherwise. No client can slow the scoring.

    The last rows are compared with those of training, where the detector has kept what they looked
    like: stderr says when the advice changes between fine, watch and retrain, and which columns say
    so. With --shadow a challenger scores the same rows: the counters end with how far both agree.
    Nothing that it does ends the run. --keep-rows keeps the last rows for slidecell retrain.
    """
    from slidecell.jobs.score import refuse_table
    from slidecell.live import LiveOptions, run_live
    from slidecell.live.reports import json_line

    try:
        refuse_table(model)
        if shadow is not None:
            refuse_table(shadow)
        options = LiveOptions(
            model=model,
            format=format.value,
            output=output.value,
            event_gap=event_gap,
            time=time,
            entity=entity,
            max_gap=max_gap,
            missing=None if missing is None else missing.value,
            duplicates=None if duplicates is None else duplicates.value,
            state=state,
            listen=listen,
            on_error=on_error.value,
            max_entities=max_entities,
            max_memory=max_memory,
            metrics=metrics,
            page=page,
            bind=bind,
            metrics_entities=metrics_entities,
            log=log.value,
            drift=drift,
            shadow=shadow,
            shadow_report=shadow_report,
            label=label,
            keep_rows=keep_rows,
            keep=keep,
        )
        run_live(options)
    except BAD_INPUT as error:
        if log is not o.LogForm.json or isinstance(error, BrokenPipeError):
            raise
        typer.echo(json_line(one_line(error), kind="error", level="error"), err=True)
        raise typer.Exit(1) from None


@app.command()
@guarded
def demo(
    *,
    out: o.OutOption = Path("slidecell-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the data and of training.")] = 0,
    users: Annotated[int, typer.Option(help="Users in the generated data.")] = 300,
    days: Annotated[int, typer.Option(help="Days per user.")] = 250,
    threads: o.ThreadsOption = None,
) -> None:
    """Run detect on generated activity of users, some of them insider threats, and torch beside it.

    The data are written to insider_threat.csv in the folder of the results.
    """
    from slidecell.jobs.demo import compare_with_torch, demo_options, write_demo_data
    from slidecell.jobs.demo_report import comparison_section
    from slidecell.jobs.detect import run_detect
    from slidecell.jobs.outputs import refuse_standard_output
    from slidecell.jobs.sections import data_section
    from slidecell.jobs.terminal import print_report, print_section

    refuse_standard_output(out, "demo", "data and a detector")
    console = Console(highlight=False)
    file = write_demo_data(out, users=users, days=days, seed=seed)
    typer.echo(
        f"slidecell detect {file} --time day --entity user --label label --detector forecast "
        f"--window 7 --epochs 12 --patience 3 --batch-size 256 --seed {seed} --out {out}"
    )
    options = demo_options(file, out, seed=seed, num_threads=threads)
    result = run_detect(options, announce=lambda data: print_section(console, data_section(data)))
    print_report(console, result.document)
    print_section(console, comparison_section(compare_with_torch(result, options)))


app.add_typer(reproduce.app, name="reproduce")
app.command(context_settings=SETTINGS)(bench)


@app.command()
@guarded
def info() -> None:
    """Show versions, the processor, its instruction sets and the one in use."""
    from slidecell.jobs.environment import environment

    require_standard_output()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for name, value in environment().items():
        grid.add_row(name, value)
    Console(highlight=False).print(grid)


def _sizes(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--hidden-size: expected a number, or one per layer as in 64,32, got {text!r}"
        ) from None


if __name__ == "__main__":
    sys.exit(app())

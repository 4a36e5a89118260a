"""The options of the command line: their types, texts and groups."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from slidecell._arguments import as_bytes
from slidecell._cells import CELLS
from slidecell.detect.registry import DEFAULT_MEMBERS, DETECTORS
from slidecell.jobs.rule_options import RULES
from slidecell.tables.budget import COLUMN_BYTES

Cell = Enum("Cell", {name: name for name in CELLS}, type=str)  # type: ignore[misc]


class Scaler(str, Enum):
    """Scalings of columns."""

    minmax = "minmax"
    standard = "standard"
    robust = "robust"


class Align(str, Enum):
    """Rows that a score depends on."""

    end = "end"
    cover = "cover"


class TrainOn(str, Enum):
    """Rows to train on."""

    all = "all"
    normal = "normal"


class Missing(str, Enum):
    """What to do about missing cells."""

    skip = "skip"
    ffill = "ffill"


class Duplicates(str, Enum):
    """What to do about equal times."""

    error = "error"
    keep = "keep"
    last = "last"


Rule = Enum("Rule", {name: name for name in RULES}, type=str)  # type: ignore[misc]


class LineFormat(str, Enum):
    """Formats of lines."""

    csv = "csv"
    jsonl = "jsonl"


class LineOutput(str, Enum):
    """Which lines a live run writes."""

    scores = "scores"
    events = "events"
    both = "both"


class LogForm(str, Enum):
    """Forms of reports."""

    text = "text"
    json = "json"


class OnError(str, Enum):
    """What to do about a line that cannot be used."""

    skip = "skip"
    fail = "fail"


def _data(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Columns and holes")


def _network(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Detector")


def _training(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Training")


def _rule(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Threshold")


def _live(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Stream")


OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="Folder of the results, created if absent.")
]
ScoresOutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="Folder of the results, created if absent. With '-' no file is written: the scores go "
        "to standard output as CSV, tables and notes to standard error.",
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Threads (default: all cores; small networks train on one)")
]
HtmlOption = Annotated[
    bool,
    typer.Option("--html", help="Write report.html too: one page with everything, to pass on."),
]
AuditedOption = Annotated[
    bool,
    typer.Option(
        "--audited",
        help="Flag faster: carried states score all rows, the exact kernel those near the "
        "threshold. Raised flags are proved, missed ones bounded by a sample.",
    ),
]

TimeOption = Annotated[
    str | None,
    _data("Time column: numbers or dates. Without it rows are taken in the order of the file."),
]
EntityOption = Annotated[
    str | None,
    _data("Column that names a row's series (user, machine). Windows never cross series."),
]
LabelOption = Annotated[
    str | None, _data("Column of 0 and 1 (anomaly): to measure with, never a feature.")
]
FeaturesOption = Annotated[
    list[str] | None, _data("Feature columns: a,b,c or repeated (default: every other column)")
]
ExcludeOption = Annotated[
    list[str] | None, _data("Columns that are no features: a,b,c or repeated.")
]
MaxGapOption = Annotated[
    str | None,
    _data("A longer step in time cuts a series: 2h, 1d, or a number where times are numbers."),
]
MissingOption = Annotated[
    Missing,
    _data("Missing cells: skip windows that touch one, or fill with the value before."),
]
DuplicatesOption = Annotated[
    Duplicates, _data("Equal times in one series: refuse, keep all rows, or use the last one.")
]

MaxColumnOption = Annotated[
    str | None,
    _data(
        "Memory that a column may take, and what comes from a pipe or unpacked from gzip, as 4GiB "
        "(default: 1GiB)"
    ),
]


def column_bytes(text: str | None) -> int:
    """Return what ``--max-memory`` says of a table in bytes."""
    return COLUMN_BYTES if text is None else as_bytes("--max-memory", text)


def _complete_detector(incomplete: str) -> list[tuple[str, str]]:
    return [(e.name, e.about) for e in DETECTORS if e.name.startswith(incomplete)]


ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="Folder that detect or retrain wrote, or a model.safetensors."
    ),
]
DetectorOption = Annotated[
    str,
    typer.Option(
        help="What scores the rows: " + "; ".join(f"{e.name} ({e.about})" for e in DETECTORS) + ".",
        autocompletion=_complete_detector,
        rich_help_panel="Detector",
    ),
]
MembersOption = Annotated[
    str | None,
    _network(
        "Detectors of the ensemble, as ridge,kmeans,window-pca, which trains no network "
        f"(default: {','.join(DEFAULT_MEMBERS)})"
    ),
]
AlignOption = Annotated[
    Align | None,
    _network(
        "end: a score uses no later row, as in a stream (the default). cover: it is of all windows "
        "that cover the row, which finds more."
    ),
]
WindowOption = Annotated[
    int | None,
    _network(
        "Rows that the detector sees at once (default: 32 of forecast and autoencoder, 50 of "
        "random-gru, 30 of variance). The others see one row."
    ),
]
HorizonOption = Annotated[
    int | None,
    _network("Rows that forecast looks ahead (default: 1). 0 makes it an autoencoder."),
]
CellOption = Annotated[
    Cell | None, _network("Recurrent cell of forecast and autoencoder (default: lstm)")
]
HiddenSizeOption = Annotated[
    str | None,
    _network(
        "Size of all layers, or one per layer as in 64,32 (default: 64 of forecast, 16,8 of "
        "autoencoder, 32 of random-gru)"
    ),
]
LayersOption = Annotated[
    int | None,
    _network("Layers of forecast (default: 1) and of autoencoder, whose size is halved at each."),
]

EpochsOption = Annotated[int, _training("Epochs at most; like all of training, of networks alone.")]
PatienceOption = Annotated[
    int, _training("Stop after so many epochs without a better validation loss.")
]
BatchSizeOption = Annotated[
    int | None, _training("Windows per step (default: a fiftieth of them, 32 to 2048)")
]
LrOption = Annotated[float, _training("Learning rate of Adam.")]
ValidationOption = Annotated[
    float,
    _training("Share of training windows held out: whole entities, or the end of a single one."),
]
ScalerOption = Annotated[
    Scaler | None,
    _training(
        "Scaling of columns, fitted on the train part only (default: minmax of forecast and "
        "autoencoder, standard of random-gru and pca, else none)"
    ),
]
ThresholdOption = Annotated[
    Rule | None,
    _rule(
        "Rule that flags rows (default: that of the option given, or else rate). percentile, fixed "
        "and rate are one number; spot, cusum and dynamic follow the scores of each series."
    ),
]
RateOption = Annotated[
    str | None,
    _rule(
        "What you can look at: a share of rows as 0.1%, or events as 3/day, 2/entity/week or "
        "5/1000rows (default: 1/1000rows, or 1% where the rows are too few). Approximate under "
        "drift and autocorrelation."
    ),
]
PercentileOption = Annotated[
    float | None,
    _rule(
        "Percentile of the scores of the fitted rows: 99 flags the highest 1 % of them "
        "(default: 95)"
    ),
]
ValueOption = Annotated[float | None, _rule("Score above which a row is flagged, of fixed.")]
SpotQOption = Annotated[
    float | None, _rule("Probability of an alarm on a normal score, of spot (default: 1e-4)")
]
SpotLevelOption = Annotated[
    float | None, _rule("Quantile above which scores are excesses, of spot (default: 0.98)")
]
SpotDepthOption = Annotated[
    int | None,
    _rule("Judge a score minus the mean of so many before it, of spot (default: 0, as it is)"),
]
CusumKOption = Annotated[
    float | None, _rule("Allowance in standard deviations, of cusum (default: 0.5)")
]
CusumHOption = Annotated[
    float | None, _rule("Sum in standard deviations that is an alarm, of cusum (default: 5)")
]
DynamicBatchOption = Annotated[
    int | None, _rule("Scores between two choices of the threshold, of dynamic (default: 70)")
]
DynamicWindowOption = Annotated[
    int | None, _rule("Scores that choose the threshold, of dynamic (default: 2100)")
]
PerEntityOption = Annotated[
    bool,
    _rule(
        "Fit the rule for each entity on its own scores; those with fewer than 100 take that of "
        "all. For rate, percentile, spot and cusum.",
    ),
]
RestartOption = Annotated[
    bool,
    typer.Option(
        "--restart",
        help="Of files scored in parts: discard what a killed run has left and begin anew.",
    ),
]
EventGapOption = Annotated[
    int | None,
    typer.Option(
        help="Flagged rows with at most so many others between them are one event (default: the "
        "rows before its own that a score depends on; of a network its window)"
    ),
]
TrainUntilOption = Annotated[
    str | None,
    _training(
        "A fraction of each entity's rows, or a time; rows before it train, later ones are the "
        "test part (default: 0.7)"
    ),
]
TestOption = Annotated[
    Path | None, _training("Second file whose rows are the test part; all of FILE then trains.")
]
TrainOnOption = Annotated[
    TrainOn, _training("normal: no window that touches a labelled row trains.")
]
SeedOption = Annotated[int, _training("Same seed, versions and threads: same results.")]

MissingAgainOption = Annotated[Missing | None, _data("As for detect (default: MODEL's)")]
DuplicatesAgainOption = Annotated[Duplicates | None, _data("As for detect (default: MODEL's)")]

FormatOption = Annotated[
    LineFormat,
    _live("Format of the lines in and out: CSV with a header, or one JSON object a line."),
]
OutputOption = Annotated[
    LineOutput,
    _live("Lines out: scores (one of each row), events (when one opens and when it closes), both."),
]
EventGapAgainOption = Annotated[
    int | None, _live("As for score (default: the state's, or as for score)")
]
StateOption = Annotated[
    Path | None, _live("File to go on from, if it exists, and to save to at the end.")
]
ListenOption = Annotated[
    int | None, _live("Read from connections to this port on 127.0.0.1 (0: a free one).")
]
MetricsOption = Annotated[
    int | None,
    _live(
        "Serve metrics for Prometheus on this port (0: a free one): /metrics, /healthz and /readyz."
    ),
]
MetricsEntitiesOption = Annotated[
    bool, _live("Serve rows, alarms and last score of every entity among the metrics.")
]
PageOption = Annotated[
    int | None,
    _live(
        "Serve a page that shows the run on this port (0: a free one); may be that of --metrics."
    ),
]
BindOption = Annotated[
    str, _live("Address that --metrics and --page serve: 0.0.0.0 lets other machines read them.")
]
LogOption = Annotated[
    LogForm, _live("Form of the reports on stderr: text, or one JSON object a line.")
]
DriftOption = Annotated[
    bool,
    _live("Report when rows are far from those of training: fine, watch or retrain."),
]
ShadowOption = Annotated[
    Path | None,
    _live("A challenger: it scores the same rows, decides nothing, and is compared at the end."),
]
ShadowReportOption = Annotated[
    Path | None, _live("JSON file for how far MODEL and the challenger agree.")
]
LiveLabelOption = Annotated[
    str | None,
    _live("Column of labels, by which MODEL and the challenger are measured; kept with the rows."),
]
KeepRowsOption = Annotated[
    Path | None,
    _live("Folder that keeps the last rows and the advice, for retrain --if-drift and --watch."),
]
KeepOption = Annotated[int, _live("Rows that --keep-rows keeps at least, once they came.")]
OnErrorOption = Annotated[
    OnError, _live("What follows a line that cannot be used, once it is reported: skip it, or end.")
]
MaxMemoryOption = Annotated[
    str | None, _live("Memory that the stream may take, as 4GiB (default: 1GiB)")
]
MaxEntitiesOption = Annotated[
    int | None, _live("Entities that there is room for at most (default: the state's, or 1024)")
]

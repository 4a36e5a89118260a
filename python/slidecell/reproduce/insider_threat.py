"""System A: five recurrent forecasters of users' daily activity, and who stands out by errors.

Windows of seven days forecast the next one, per user; the scaler sees training users only; five
architectures, the lowest validation loss wins; the 95th percentile of the training errors flags
days of users that were never seen. The source stops at the share of days flagged. Here incidents
are injected as well, and what an analyst needs is measured: which users come first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.datasets import (
    InsiderStudy,
    inject_incidents,
    insider_threat_study,
    load_insider_study,
)
from slidecell.jobs.report import Table, page_only
from slidecell.reproduce.outcome import Comparison, Outcome, SystemOptions, UsedThreshold

if TYPE_CHECKING:
    from slidecell.detect import ArchitectureSearch
    from slidecell.model import SequenceModel
    from slidecell.reproduce.insider_cell import CellCheck
    from slidecell.reproduce.insider_users import Ranking

__all__ = ["run"]

WINDOW, HORIZON = 7, 1
EPOCHS, BATCH_SIZE, LR = 3, 2048, 1e-3
PERCENTILE = 95.0

_QUICK_USERS, _FULL_USERS = 400, 4000
_INJECTED_SHARE = 10  # one test user in so many

# Of the source: final validation loss by architecture.
_SOURCE_LOSSES = {
    "baseline LSTM": "0.001371",
    "GRU": "0.001367",
    "deep LSTM": "0.001362",
    "light LSTM": "0.001403",
    "large LSTM": "0.001355",
}


@dataclass(frozen=True)
class _Data:
    """The study without incidents, and with them where they were injected."""

    plain: InsiderStudy
    labelled: InsiderStudy
    source: str
    generated: bool
    injected: bool


@dataclass(frozen=True)
class _Scored:
    """What was scored."""

    cell: CellCheck
    search: ArchitectureSearch
    train: npt.NDArray[np.float32]  # [rows of the training part]
    plain: npt.NDArray[np.float32]  # [rows of the test part], without incidents
    labelled: npt.NDArray[np.float32]
    per_feature: npt.NDArray[np.float32]
    threshold: float


def run(options: SystemOptions) -> Outcome:
    """Run system A.

    Parameters
    ----------
    options : SystemOptions
        ``data``: CSV or Parquet with user, day, the seven features and perhaps label, see
        `slidecell.datasets.load_insider_study`; default: a generated study of 400 users, with
        ``full`` of 4,000, the source's size. ``num_threads``: threads that score, and networks
        trained at a time, each on one thread, so that losses do not depend on it (more than one
        needs the ``if __name__ == "__main__":`` of spawned processes). Default: all processors
        with ``full``, else one network at a time.

    Returns
    -------
    Outcome
    """
    require("sklearn", "matplotlib", extra="detect")
    from slidecell.evaluate import alarms_per, detection_delay, label_entities
    from slidecell.reproduce.insider_figures import insider_figures
    from slidecell.reproduce.insider_users import (
        kinds_table,
        rank_users,
        rankings_table,
        top_days_table,
        top_users_table,
    )

    began = time.perf_counter()
    data = _data(options)
    scored = _score(data, options)
    test = data.labelled.select("test")
    rankings = rank_users(test, scored.labelled)
    flags = scored.labelled > scored.threshold
    first = rankings[-1]
    tables = [
        rankings_table(rankings, len(test.users)),
        kinds_table(test, flags, first),
    ]
    further = [
        _architectures_table(scored.search),
        top_users_table(test, scored.labelled, scored.per_feature, scored.threshold, first),
    ]
    judged = {
        "alarms_per_user_month": alarms_per(flags, 30),
        "users_with_a_flag": float(label_entities(flags.astype(np.int64), test.offsets).mean()),
        "delay": asdict(detection_delay(test.label, flags, test.offsets)),
    }
    return Outcome(
        name="insider-threat",
        title="Insider-threat forecaster: unusual days of users never seen",
        summary=_summary(data, scored),
        comparisons=[
            *_cell_lines(scored.cell),
            *_count_lines(data.plain),
            *_loss_lines(scored.search, generated=data.generated),
            *_flag_lines(scored, injected=data.injected),
            *_user_lines(rankings, judged, len(test.users)),
        ],
        tables=[*tables, *map(page_only, further)],
        figures=insider_figures(scored.search, test, scored.labelled, scored.threshold, first),
        report={
            "data": {"source": data.source, **_counts(data.plain)},
            "cell": asdict(scored.cell),
            "architectures": [result.to_dict() for result in scored.search.results],
            "best": scored.search.best.name,
            "scaler": scored.search.model.scaler,
            "threshold": scored.threshold,
            "flagged_share": _share(scored.plain, scored.threshold),
            "rankings": [
                {k: v for k, v in vars(ranking).items() if k != "scores"} for ranking in rankings
            ],
            **judged,
            "seconds": time.perf_counter() - began,
        },
        thresholds=[_threshold(scored)],
        highest=top_days_table(scored.search.model, data.labelled, scored.labelled),
        plan=scored.search.model.plan(num_threads=options.num_threads),
    )


def _threshold(scored: _Scored) -> UsedThreshold:
    rows = f"{int(np.isfinite(scored.train).sum()):,} days of the training users"
    return UsedThreshold(
        "error", scored.threshold, f"percentile {PERCENTILE:g} of the errors", rows
    )


def _data(options: SystemOptions) -> _Data:
    """Read or generate the study; incidents are injected unless the file's test users have some."""
    if options.data is None:
        users = _FULL_USERS if options.full else _QUICK_USERS
        plain = insider_threat_study(users=users, seed=options.seed, injected_users=0)
        source = f"generated with seed {options.seed}"
    else:
        plain = load_insider_study(options.data, seed=options.seed)
        source = str(options.data)
        if plain.label[plain.rows_of("test")].any():
            return _Data(plain, plain, source, generated=False, injected=False)
    testers = int((plain.part == "test").sum())
    injected = max(1, round(testers / _INJECTED_SHARE))
    labelled = inject_incidents(plain, injected, seed=options.seed)
    generated = options.data is None
    return _Data(plain, labelled, source, generated=generated, injected=True)


def _score(data: _Data, options: SystemOptions) -> _Scored:
    """Train the five on training users, and score all users with the best of them."""
    from slidecell.detect import INSIDER_THREAT_ARCHITECTURES, search_architectures
    from slidecell.reproduce.insider_cell import check_lstm_cell
    from slidecell.scaling import apply_scaler, fit_scaler

    train, validation = data.plain.select("train"), data.plain.select("validation")
    # As in the source, the scaler sees all users that are not for the test.
    scaler = fit_scaler(data.plain.counts[data.plain.rows_of("train", "validation")], "minmax")
    cell = check_lstm_cell(apply_scaler(scaler, _whole_rows(train)[:WINDOW]), seed=options.seed)
    search = search_architectures(
        INSIDER_THREAT_ARCHITECTURES,
        train.counts,
        train.offsets,
        window=WINDOW,
        horizon=HORIZON,
        scaler=scaler,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LR,
        validation=(validation.counts, validation.offsets),
        n_jobs=options.num_threads or (os.cpu_count() or 1 if options.full else 1),
        num_threads=1,
        seed=options.seed,
        progress=options.progress,
    )
    score = _scorer(search.model, options.num_threads)
    errors = score(train)
    test = data.labelled.select("test")
    return _Scored(
        cell=cell,
        search=search,
        train=errors,
        plain=score(data.plain.select("test")),
        labelled=score(test),
        per_feature=search.model.score(
            test.counts, test.offsets, per_feature=True, num_threads=options.num_threads
        ),
        threshold=float(np.nanpercentile(errors, PERCENTILE)),
    )


def _whole_rows(study: InsiderStudy) -> npt.NDArray[Any]:
    return study.counts[np.isfinite(study.counts).all(axis=1)]


def _scorer(
    model: SequenceModel, num_threads: int | None
) -> Callable[[InsiderStudy], npt.NDArray[np.float32]]:
    """Return what scores all rows of a study with the compiled kernel."""

    def score(study: InsiderStudy) -> npt.NDArray[np.float32]:
        return model.score(study.counts, study.offsets, num_threads=num_threads)

    return score


def _counts(study: InsiderStudy) -> dict[str, Any]:
    """Users, rows and windows of every part."""
    from slidecell.windows import WindowPlan

    counts: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        own = study.select(part)
        windows = len(WindowPlan(own.offsets, window=WINDOW, horizon=HORIZON))
        counts[part] = {"users": len(own.users), "rows": len(own.counts), "windows": windows}
    return counts


def _count_lines(study: InsiderStudy) -> list[Comparison]:
    counts = _counts(study)
    train, validation, test = counts["train"], counts["validation"], counts["test"]
    both = {name: train[name] + validation[name] for name in train}
    batches = " + ".join(f"{-(-p['windows'] // BATCH_SIZE):,}" for p in (train, validation, test))
    users, rows = len(study.users), len(study.counts)
    windows = both["windows"] + test["windows"]
    rule = "rows - 7 x users" if windows == rows - WINDOW * users else "some users have few rows"
    return [
        Comparison("rows", "1,394,010", f"{rows:,}", f"of {users:,} users (source: 4,000)"),
        *(
            Comparison(f"{name}, training + test users", source, f"{both[name]:,} + {test[name]:,}")
            for name, source in (("users", "3,200 + 800"), ("rows", "1,114,121 + 279,889"))
        ),
        Comparison(
            "windows, training + test users",
            "1,091,721 + 274,289",
            f"{both['windows']:,} + {test['windows']:,}",
            rule,
        ),
        Comparison(
            "windows, training + validation",
            "873,376 + 218,345",
            f"{train['windows']:,} + {validation['windows']:,}",
            "split by users; the source cuts the list of windows within a user",
        ),
        Comparison("batches: training, validation, test", "427 + 107 + 134", batches),
    ]


def _cell_lines(cell: CellCheck) -> list[Comparison]:
    shape = f"H={cell.hidden_size}, {cell.steps} steps; largest difference of h and c"
    return [
        Comparison("NumPy cell against nn.LSTMCell", "within 1e-6", f"{cell.by_hand:.1e}", shape),
        Comparison("compiled LSTM against nn.LSTMCell", "", f"{cell.compiled:.1e}", shape),
    ]


def _loss_lines(search: ArchitectureSearch, *, generated: bool) -> list[Comparison]:
    notes = {
        "large LSTM": "the source's dropout of 0.3 acts between layers: nowhere in a single one"
    }
    if generated:
        notes["baseline LSTM"] = "other data: losses compare with each other, not the source's"
    lines = [
        Comparison(
            f"validation loss, {result.name}",
            _SOURCE_LOSSES[result.name],
            f"{result.validation_loss:.6f}",
            notes.get(result.name, ""),
        )
        for result in search.results
    ]
    return [*lines, Comparison("lowest validation loss", "large LSTM", search.best.name)]


def _flag_lines(scored: _Scored, *, injected: bool) -> list[Comparison]:
    threshold = scored.threshold
    flagged = int((scored.plain > threshold).sum())
    days = int(np.isfinite(scored.plain).sum())
    without = ", no incidents injected" if injected else ""
    return [
        Comparison("training errors", "mean 0.001339, sd 0.004691", _moments(scored.train)),
        Comparison("threshold, 95th percentile of them", "0.006497", f"{threshold:.6f}"),
        Comparison(f"test errors{without}", "mean 0.001167, sd 0.004240", _moments(scored.plain)),
        Comparison(
            f"test days flagged{without}",
            "4.42 % (12,129 of 274,289)",
            f"{100 * flagged / days:.2f} % ({flagged:,} of {days:,})",
        ),
    ]


def _user_lines(rankings: list[Ranking], judged: dict[str, Any], users: int) -> list[Comparison]:
    first, last = rankings[0], rankings[-1]
    k = first.k
    if first.precision is None or last.precision is None or k == 0:
        return []
    delay = judged["delay"]
    incidents = f"{delay['found']} of {delay['events']} incidents"
    late = "" if delay["median"] is None else f", median {delay['median']:g} days"
    return [
        Comparison(
            f"precision = recall at k = {k}, {ranking.name}",
            "",
            f"{ranking.precision:.2f}",
            f"random: {k / users:.2f}; user ROC-AUC {ranking.roc_auc:.2f}",
        )
        for ranking in rankings
    ] + [
        Comparison(
            "incidents found, delay", "", incidents + late, "days with a row, from its first"
        ),
        Comparison(
            "alarms per user-month",
            "",
            f"{judged['alarms_per_user_month']:.2f}",
            f"30 days with a row; {100 * judged['users_with_a_flag']:.0f} % of the users have a "
            "flag, so users are ranked",
        ),
    ]


def _architectures_table(search: ArchitectureSearch) -> Table:
    rows = [
        [
            result.name,
            f"{result.parameters:,}",
            f"{result.train_loss:.6f}",
            f"{result.validation_loss:.6f}",
            f"{result.best_epoch} of {result.epochs}",
            f"{result.seconds:.1f} s",
        ]
        for result in search.results
    ]
    columns = ["architecture", "parameters", "train loss", "validation loss", "kept epoch", "time"]
    return Table(columns, rows, "architectures; dropout acts while training only")


def _summary(data: _Data, scored: _Scored) -> str:
    counts = _counts(data.plain)
    windows = counts["train"]["windows"]
    text = (
        f"Daily activity of {len(data.plain.users):,} users ({data.source}). Five networks were "
        f"trained on {windows:,} windows of {WINDOW} days for {EPOCHS} epochs; "
        f"{scored.search.best.name} has the lowest validation loss and scores the test users with "
        "the compiled kernel."
    )
    if data.injected:
        text += " Incidents were injected into one test user in ten."
    if data.generated:
        text += (
            " The source was published without its file: users, rows and windows can be counted "
            "as there, but losses and threshold are those of other data."
        )
    return text


def _moments(errors: npt.NDArray[np.float32]) -> str:
    return f"mean {np.nanmean(errors):.6f}, sd {np.nanstd(errors):.6f}"


def _share(scores: npt.NDArray[np.float32], threshold: float) -> float:
    return float((scores > threshold).sum() / np.isfinite(scores).sum())

"""The tables of the comparison, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.notebook.score import Scored
from benchmarks.notebook.train import EPOCHS, Training
from slidecell.bench.report import markdown, short_number


def score_table(found: Sequence[Scored]) -> str:
    """Return a row for every way to score: its rate and its error."""
    rows = []
    before = None
    for way in found:
        new = (way.case, way.threads) != before
        before = way.case, way.threads
        ends = [short_number(way.windows / s) for s in (max(way.seconds), min(way.seconds))]
        rows.append([
            way.case if new else "",
            str(way.threads) if new else "",
            way.contestant,
            f"{way.windows:,}",
            f"{short_number(way.rate)} windows/s",
            " - ".join(ends),
            "" if new else f"{way.ratio:.0f}x",
            "-" if way.max_error is None else f"{way.max_error:.1e}",
            "ok" if way.right else "WRONG",
        ])  # fmt: skip
    header = ("network", "threads", "way", "windows timed", "rate", "lowest - highest")
    return markdown([[*header, "slidecell is", "max error", "check"], *rows])


def train_table(found: Training) -> str:
    """Return a row for every architecture, trained in both ways, and their sums."""
    rows = [
        [
            case.case,
            f"{case.theirs:.1f} s",
            f"{case.scaled_from} batches" if case.scaled_from else "all batches",
            f"{case.ours:.1f} s",
            f"{case.theirs / case.ours:.2f}x",
            "-" if case.their_loss is None else f"{case.their_loss:.6f}",
            f"{case.our_loss:.6f}",
            "ok" if case.right else "WRONG",
        ]
        for case in found.cases
    ]
    timed = f"{found.users_timed:,} of {found.users:,} users"
    networks = sum(case.theirs for case in found.cases)
    blank = ["", "", ""]
    rows += [
        ["windows by user, as there", f"{found.by_user:.1f} s", timed, "", "", *blank],
        ["windows to tensors", f"{found.loaders:.1f} s", "all", "", "", *blank],
        _sum_row("all", found.theirs, found.ours),
        _sum_row("all but windows by user", networks + found.loaders, found.ours),
    ]
    header = ("network", "notebook", "timed", "slidecell", "slidecell is")
    return markdown([[*header, "notebook's loss", "slidecell's loss", "check"], *rows])


def _sum_row(name: str, theirs: float, ours: float) -> list[str]:
    return [name, f"{theirs:.1f} s", "", f"{ours:.1f} s", f"{theirs / ours:.2f}x", "", "", ""]


def train_title(kind: str, found: Training) -> str:
    """Return what a table of training shows."""
    what = "the notebook's seconds SCALED from a sample" if kind == "scaled" else "nothing scaled"
    return (
        f"Training, {found.users:,} users, {found.training_windows:,} + "
        f"{found.validation_windows:,} windows, {EPOCHS} epochs, threads {found.threads}; {what}"
    )

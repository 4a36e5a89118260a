"""What came of a retraining, old beside new, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["show_retrained"]


def show_retrained(console: Console, report: Mapping[str, Any]) -> None:
    """Print old against new on the held-out part, which is kept and why, and the files."""
    old, new = report["old"], report["new"]
    table = Table(title="on the held-out part", title_justify="left", show_edge=False)
    table.add_column("")
    for name in ("old", "new"):
        table.add_column(name, justify="right")
    table.add_row("loss", _number(old["loss"]), _number(new["loss"]))
    table.add_row("mean score", _number(old["mean_score"]), _number(new["mean_score"]))
    if old["threshold"] is not None:
        limits = [found["threshold"].get("value") for found in (old, new)]
        if None not in limits:
            table.add_row("threshold", *map(_number, limits))
        table.add_row("flagged", _share(old), _share(new))
    if old["metrics"] is not None:
        oracle = ", oracle threshold" * (old["metrics"]["threshold_origin"] == "oracle")
        for name, title in (
            ("roc_auc", "ROC-AUC"),
            ("pr_auc", "PR-AUC"),
            ("precision", f"precision{oracle}"),
            ("recall", f"recall{oracle}"),
            ("f1", f"F1{oracle}"),
            ("event_f1", f"event F1{oracle}"),
        ):
            table.add_row(title, _number(old["metrics"][name]), _number(new["metrics"][name]))
    console.print(table)
    for line in _lines(report):
        console.print(Text(line), soft_wrap=True)
    for path in report["files"]:
        console.print(Text(path, style="cyan"), soft_wrap=True)


def _lines(report: Mapping[str, Any]) -> list[str]:
    training = report["training"]
    went = f"went on for {training['epochs']} epochs on {training['training_windows']:,} windows"
    if training["best_epoch"] == 0:
        why = "no epoch was better than the old weights: the old model is kept"
    elif report["kept"] == "old":
        why = "the new model is no better on the held-out part: the old one is kept"
    else:
        gain = 1.0 - report["new"]["loss"] / report["old"]["loss"]
        why = f"the new model's loss is {100 * gain:.3g} % lower: it is kept"
    return [f"{went}, weights of epoch {training['best_epoch']}", why]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _share(found: Mapping[str, Any]) -> str:
    return f"{found['flagged']:,} of {found['scored']:,}"

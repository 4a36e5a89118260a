"""The report of a retraining: old beside new, and which of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slidecell.jobs.report import Report, Section, Table
from slidecell.jobs.sections import data_section, run_section, training_section

__all__ = ["retrain_report"]


def retrain_report(facts: Mapping[str, Any]) -> Report:
    """Return the report of the facts that `slidecell.jobs.retrain.run_retrain` returns."""
    sections = [
        run_section("", facts["machine"], facts["seconds"], facts["files"]),
        data_section(facts["data"], terminal=False),  # it was shown before the work began
        training_section(facts["training"]),
        Section("Old beside new", _verdict(facts), [_comparison_table(facts)]),
    ]
    title = f"{facts['options']['model']} retrained on {facts['options']['file']}"
    return Report(title, "", sections, facts["files"], dict(facts))


def _comparison_table(facts: Mapping[str, Any]) -> Table:
    old, new = facts["old"], facts["new"]
    rows = [["mean score", _number(old["mean_score"]), _number(new["mean_score"])]]
    if old["loss"] is not None:
        rows.insert(0, ["loss", _number(old["loss"]), _number(new["loss"])])
    if old["threshold"] is not None:
        limits = [measured["threshold"].get("value") for measured in (old, new)]
        if None not in limits:
            rows.append(["threshold", *map(_number, limits)])
        rows.append(["flagged", _share(old), _share(new)])
    if old["metrics"] is not None:
        oracle = ", oracle threshold" * (old["metrics"]["threshold_origin"] == "oracle")
        names = {
            "roc_auc": "ROC-AUC",
            "pr_auc": "PR-AUC",
            "precision": f"precision{oracle}",
            "recall": f"recall{oracle}",
            "f1": f"F1{oracle}",
            "event_f1": f"event F1{oracle}",
        }
        for key, name in names.items():
            rows.append([name, _number(old["metrics"][key]), _number(new["metrics"][key])])
    return Table(["", "old", "new"], rows, "on the held-out part")


def _verdict(facts: Mapping[str, Any]) -> str:
    old, new = facts["old"], facts["new"]
    if old["loss"] is None and old["metrics"] is None:
        return "The detector was fitted anew. Nothing tells which is better: the new one is kept."
    if old["loss"] is None:
        worse = facts["kept"] == "old"
        return (
            "The new detector's PR-AUC is lower on the held-out part: the old one is kept."
            if worse
            else "The new detector's PR-AUC is no lower on the held-out part: it is kept."
        )
    if facts["training"]["best_epoch"] == 0:
        return "No epoch was better than the old weights: the old model is kept."
    if facts["kept"] == "old":
        return "The new model is no better on the held-out part: the old one is kept."
    gain = 1.0 - new["loss"] / old["loss"]
    return f"The new model's loss is {100 * gain:.3g} % lower: it is kept."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _share(measured: Mapping[str, Any]) -> str:
    return f"{measured['flagged']:,} of {measured['scored']:,}"

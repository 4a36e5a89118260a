"""Retraining that a drift advisory asks for, step by step: killed anywhere, it goes on there."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from slidecell._whole_files import replacing
from slidecell.detect.loading import load_saved
from slidecell.detect.stretches import LEAST_TRAINING
from slidecell.jobs.promote import place_copy, previous_of, same_saved, saved_digest
from slidecell.jobs.retrain import RetrainOptions, run_retrain
from slidecell.jobs.step_log import StepLog
from slidecell.jobs.work_lock import working_at
from slidecell.live.row_log import KeptAdvisory, kept_rows, read_advisory

__all__ = ["DriftRetraining", "DriftRetrainingOptions"]

_STEPS = "steps.jsonl"

Place = Literal["out", "shadow", "model"]


@dataclass(frozen=True)
class DriftRetrainingOptions:
    """What `DriftRetraining` does.

    Parameters
    ----------
    retrain : RetrainOptions
        Its ``file`` is the folder that ``slidecell stream --keep-rows`` writes, its ``out`` the
        folder of the work: ``steps.jsonl``, and a folder of each round.
    place : {"out", "shadow", "model"}
        Where a better detector goes: nowhere else; to ``shadow``, where a stream has its
        challenger; or to the model's own place, the old one being kept for ``rollback``.
    shadow : Path, optional
        The challenger's place.
    recent : int, optional
        Rows to train on and to compare with, the newest ones. Default: all that are kept.
    """

    retrain: RetrainOptions
    place: Place = "out"
    shadow: Path | None = None
    recent: int | None = None

    def __post_init__(self) -> None:
        if self.place not in {"out", "shadow", "model"}:
            raise ValueError(f"--place: expected out, shadow, model, got {self.place!r}")
        if (self.place == "shadow") != (self.shadow is not None):
            raise ValueError("--shadow: expected with --place shadow, and only then")
        if self.recent is not None and self.recent < LEAST_TRAINING:
            raise ValueError(f"--recent: expected at least {LEAST_TRAINING}, got {self.recent}")


@dataclass
class DriftRetraining:
    """Retrains once for each spell of drift whose advisory says so.

    The steps of a round: ``advised``, ``rows`` (the recent ones are copied), ``retrained`` (fitted
    on the older ones, old and new compared on the newest), ``placed``, ``done``. Each is one line
    of ``steps.jsonl``, written once it is done. A round that was killed goes on with the step that
    is missing, with the same rows and the same seed.

    Parameters
    ----------
    options : DriftRetrainingOptions
    progress : bool or callable
        As of `run_retrain`.
    say : callable, optional
        Gets a line of text of each step.

    Notes
    -----
    The new detector is better if `run_retrain` keeps it, by the loss of a network or by labels. Of
    other detectors without labels it is better where its scores of the held-out rows are more like
    those of the rows that it was fitted on than the old one's are (distance of Kolmogorov and
    Smirnov).
    """

    options: DriftRetrainingOptions
    progress: bool | Callable[[int, int, float, float | None], object] = False
    say: Callable[[str], object] = field(default=lambda text: None)

    def __post_init__(self) -> None:
        work = self.options.retrain.out
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"--out: {work} cannot be made: {error.strerror or error}") from error
        self._log = StepLog(work / _STEPS)
        self._waiting: object = None

    def run_once(self) -> str:
        """End the round that was killed, or begin one if the advisory asks for it.

        Returns
        -------
        str
            What came of it, for a person: a detector was placed, the old one was better, or why
            there was nothing to do.

        Raises
        ------
        BusyError
            If another process works in the folder, or exchanges the model.
        """
        work = self.options.retrain.out
        with working_at(work, work="slidecell retrain"):
            self._log = StepLog(work / _STEPS)  # another process may have done some steps
            return self._next_round()

    def _next_round(self) -> str:
        number = max((step.get("round", 0) for step in self._log.steps), default=0)
        model = str(self.options.retrain.model)
        begun = self._log.last("advised", number)
        if begun is not None and self._log.last("done", number) is None:
            if begun["model"] != model:
                raise ValueError(
                    f"--out: round {number} of {begun['model']} stopped in "
                    f"{self._log.path.parent}: end it first, or give another folder for {model}"
                )
            return self._finish(number)
        folder = self.options.retrain.file
        advisory = read_advisory(folder)
        if advisory is None or advisory.advice != "retrain":
            kept_rows(folder, 1)  # an error, if it is no such folder
            text = "not there" if advisory is None else advisory.text
            return f"nothing to do: the advisory is {text}"
        if begun is not None and (begun["key"], begun["model"]) == (advisory.key, model):
            return "nothing to do: this drift has been retrained for"
        return self._begin(number + 1, advisory)

    def watch(self, seconds: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Do `run_once` again and again, with so many seconds between, until ``stop`` says so.

        An error of a round, such as a full disk, is reported, and the round goes on later.
        """
        said = ""
        while not stop():
            try:
                found = self.run_once()
            except (ValueError, OSError, MemoryError) as error:
                found = f"{type(error).__name__}: {error}; it is tried again"
            if found != said:
                self.say(found)
            said = found
            end = time.monotonic() + seconds
            while not stop() and (left := end - time.monotonic()) > 0.0:
                time.sleep(min(left, 0.2))

    def _begin(self, number: int, advisory: KeptAdvisory) -> str:
        """Begin a round, if there are rows enough."""
        _, rows = kept_rows(self.options.retrain.file, self.options.recent)
        detector = load_saved(self.options.retrain.model)
        least = max(LEAST_TRAINING, 4 * detector.shortest_series())
        if len(rows) < least:
            return (
                f"waiting for rows: {least} are needed to train and to compare, and "
                f"{self.options.retrain.file} has {len(rows)}"
            )
        model = str(self.options.retrain.model)
        self._log.add(
            "advised", round=number, model=model, key=advisory.key, advisory=advisory.text
        )
        return self._finish(number)

    def _finish(self, number: int) -> str:
        """Do the steps of a round that have not been done."""
        work = self.options.retrain.out / f"round-{number}"
        work.mkdir(exist_ok=True)
        if self._log.last("rows", number) is None:
            count = self._copy_rows(work / "rows.csv")
            self._log.add("rows", round=number, rows=count, file=str(work / "rows.csv"))
            self.say(f"round {number}: {count:,} recent rows")
        found = self._log.last("retrained", number)
        if found is None:
            self._log.add("retrained", round=number, **self._retrain(work))
            found = self._log.last("retrained", number)
            assert found is not None
            self.say(f"round {number}: retrained, the {found['better']} one is better")
        if self._log.last("placed", number) is None:
            self._log.add("placed", round=number, **self._place(work / "new", found))
        placed = self._log.last("placed", number)
        assert placed is not None
        self._log.add("done", round=number)
        if placed.get("replaced"):
            return (
                f"round {number}: another model has come to {self.options.retrain.model} since the "
                f"two were compared: it stays; the new detector is in {work / 'new'}"
            )
        if placed["place"] is None:
            return f"round {number}: the old detector is no worse on the held-out rows: it stays"
        return f"round {number}: the new detector is at {placed['place']}"

    def _copy_rows(self, target: Path) -> int:
        """Copy the recent rows, of equal keys the last one, and return how many they are."""
        header, rows = kept_rows(self.options.retrain.file, self.options.recent)
        detector = load_saved(self.options.retrain.model)
        table = detector.table_options()
        asked = self.options.retrain
        named = (
            asked.time if asked.time is not None else table.get("time"),
            asked.entity if asked.entity is not None else table.get("entity"),
        )
        places = [header.index(name) for name in named if name in header]
        if named[0] in header and table.get("duplicates") != "keep":
            # A stream that began anew may have been given rows that it had before.
            rows = list({tuple(row[place] for place in places): row for row in rows}.values())
        with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows([header, *rows])
        return len(rows)

    def _retrain(self, work: Path) -> dict[str, Any]:
        """Fit again and compare; return what is better, and by what."""
        asked = replace(self.options.retrain, file=work / "rows.csv", out=work / "new")
        compared = saved_digest(asked.model)
        done = run_retrain(asked, progress=self.progress)
        old, new = done.report["old"], done.report["new"]
        better: Literal["old", "new"] = done.kept
        by = "loss" if old["loss"] is not None else "labels"
        if by == "labels" and (
            old["metrics"] is None or None in (old["metrics"]["pr_auc"], new["metrics"]["pr_auc"])
        ):
            by = "scores"
            apart = [measured["score_distance"] for measured in (old, new)]
            better = "new" if None not in apart and apart[1] < apart[0] else "old"
        names = ("loss", "score_distance", "flagged", "scored")
        measured = {
            which: {name: found[name] for name in names}
            for which, found in (("old", old), ("new", new))
        }
        return {"better": better, "by": by, "compared": compared, **measured}

    def _place(self, new: Path, found: Mapping[str, Any]) -> dict[str, Any]:
        """Bring the new detector to where it is to be, and return where; done before, do nothing.

        It is not placed if it is no better, or if the model is none of those that were compared.
        """
        if found["better"] != "new":
            return {"place": None}
        model, place = self.options.retrain.model, self.options.place
        if place == "out":
            return {"place": str(new)}
        target = model if self.options.shadow is None else self.options.shadow
        with working_at(model, target, work="slidecell retrain"):
            if same_saved(new, target):
                return {"place": str(target)}
            if place == "model":
                if found.get("compared", saved_digest(model)) != saved_digest(model):
                    return {"place": None, "replaced": True}
                place_copy(model, previous_of(model))
            place_copy(new, target)
        return {"place": str(target)}

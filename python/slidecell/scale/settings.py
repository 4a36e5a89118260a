"""How rows are scored beyond memory: the detector, the columns, the options of their table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slidecell.model import SequenceModel
from slidecell.tables.options import TableOptions

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["as_detector", "feature_names", "key_flags", "table_options"]


def as_detector(given: Any) -> Detector:
    """Return the fitted detector that is given, or that a model is.

    Examples
    --------
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.scale.settings import as_detector
    >>> as_detector(ZScoreDetector().fit([[0.0], [1.0], [2.0]]))
    ZScoreDetector()
    """
    from slidecell.detect.base import Detector
    from slidecell.detect.model_detector import ModelDetector

    if isinstance(given, SequenceModel):
        return ModelDetector.of(given)
    if isinstance(given, Detector):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(given, "threshold_")
        return given
    raise TypeError(
        f"model_or_detector: expected a Detector or a SequenceModel, got {type(given).__name__}"
    )


def table_options(
    detector: Detector, *, label: str | None = None, **asked: str | None
) -> TableOptions:
    """Return how the files are read: as asked, or else as the detector's own was."""
    known = detector.table_options()
    names = ("time", "entity", "max_gap", "missing", "duplicates", "time_format")
    merged: dict[str, Any] = {n: known[n] for n in names if isinstance(known.get(n), str)}
    merged |= {name: value for name, value in asked.items() if value is not None}
    for name in ("time", "entity"):
        if merged.get(name) == "":
            del merged[name]
    if asked["max_gap"] is None and "time" not in merged:
        merged.pop("max_gap", None)
    if merged.get("duplicates") == "last":
        raise ValueError(
            "duplicates: expected 'error' or 'keep' for files that are read in batches, got 'last'"
            + ("" if asked["duplicates"] else ", as the detector was fitted: give one of them")
        )
    written = {"score", "flagged", "part"}
    for flag in ("time", "entity"):
        if merged.get(flag) in written:
            raise ValueError(
                f"{flag}: column {merged[flag]!r} has the name of a column of the scores file; "
                "rename it"
            )
    if label is not None and (
        label in {merged.get("time"), merged.get("entity")}
        or label in (detector.feature_texts() or ())
    ):
        raise ValueError(f"label: column {label!r} is a key or a feature of the detector")
    return TableOptions(**merged, label=label, exclude=tuple(known.get("exclude") or ()))


def feature_names(
    detector: Detector, names: Sequence[str], options: TableOptions, *, source: str
) -> list[str]:
    """Return the feature columns: the detector's, or else those of ``names`` that are no keys."""
    known = detector.feature_texts()
    if known is not None:
        return known
    left_out = {options.time, options.entity, options.label, *options.exclude}
    features = [name for name in names if name not in left_out]
    if len(features) != detector.n_features_in_:
        raise ValueError(
            f"{source}: expected {detector.n_features_in_} feature columns (the model names "
            f"none), got {len(features)}: {', '.join(features)}"
        )
    return features


def key_flags(options: TableOptions) -> dict[str, str]:
    """Return the option that names each key column.

    Examples
    --------
    >>> from slidecell.scale.settings import key_flags
    >>> from slidecell.tables.options import TableOptions
    >>> key_flags(TableOptions(entity="machine", time="at"))
    {'at': 'time', 'machine': 'entity'}
    """
    named = (("time", options.time), ("entity", options.entity))
    return {str(name): flag for flag, name in named if name is not None}

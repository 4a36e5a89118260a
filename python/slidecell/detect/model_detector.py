"""A model file as a detector: its scores, its smoothing, and the rule of its threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from slidecell.detect.decision import apply_rule, asks_for_rate, fit_rule
from slidecell.detect.network_detector import STATISTICS, NetworkDetector
from slidecell.detect.shares import shares_of_sum, spread_shares
from slidecell.detect.storage import Parts
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.thresholds import BestFThreshold, Threshold, threshold_from_state
from slidecell.thresholds.smoothing import Smoothing, smoothing_from_state

if TYPE_CHECKING:
    from slidecell.convert import SequenceNetwork
    from slidecell.model import SequenceModel

__all__ = ["ModelDetector"]


class ModelDetector(NetworkDetector):
    """Score rows as a model file says, smoothed and judged by the file's rule.

    Scores are those that the file's threshold is for (``reduction``); mean squared errors where it
    does not say, as in version 0.1. Whatever wrote the file: a detector's ``model_.save``, version
    0.1's ``slidecell detect``, or a user's own program. `fit` with ``warm_start`` goes on training
    it; scaler, features, smoothing and the kind of threshold stay.

    Parameters
    ----------
    model : SequenceModel
    epochs, patience, batch_size, lr, optimizer, loss, clip_grad_norm, validation, random_state
        Of a further training: see `NetworkDetector`.
    num_threads, device, progress
        See `NetworkDetector`.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ForecastDetector
    >>> from slidecell.detect.model_detector import ModelDetector
    >>> X = np.sin(np.arange(300) / 5)[:, None]
    >>> detector = ForecastDetector(window=8, hidden_size=4, epochs=1, random_state=0).fit(X)
    >>> again = ModelDetector.of(detector.model_)
    >>> bool(np.array_equal(again.score_samples(X), detector.score_samples(X), equal_nan=True))
    True
    """

    _reductions: ClassVar[tuple[str, ...]] = ("mse", "mae", "mahalanobis", "calibrated")

    dropout = 0.0
    scaler = None  # that of the file
    precision = "highest"
    contamination = None  # the file has a rule of its own, or none
    threshold = None
    entity = None
    time = None

    def __init__(
        self,
        model: SequenceModel,
        *,
        epochs: int = 20,
        patience: int | None = 5,
        batch_size: int | None = None,
        lr: float = 1e-3,
        optimizer: Any = "adam",
        loss: Any = "mse",
        clip_grad_norm: float | None = None,
        validation: float = 0.2,
        random_state: Any = None,
        num_threads: int | None = None,
        device: Any = None,
        progress: bool | Callable[[int, int, float, float | None], object] = False,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.loss = loss
        self.clip_grad_norm = clip_grad_norm
        self.validation = validation
        self.random_state = random_state
        self.num_threads = num_threads
        self.device = device
        self.progress = progress
        self.window = model.window
        self.reduction = model.reduction or "mse"  # type: ignore[assignment]  # the core checked it
        self.missing = "ffill" if _read_as(model).get("missing") == "ffill" else "skip"

    @classmethod
    def of(cls, model: SequenceModel, **settings: Any) -> ModelDetector:
        """Return the fitted detector that a model is; ``settings`` are the constructor's others."""
        detector = cls(model, **settings)
        detector._remember_parameters()
        detector.model_ = model
        detector.n_features_in_ = model.input_size
        if model.features is not None:
            detector.feature_names_in_ = np.array(model.features, dtype=object)
        detector.constant_features_ = []
        detector._table = _read_as(model)
        value = (model.threshold or {}).get("value")
        detector.threshold_ = np.float64(np.nan if value is None else value)
        return detector

    def flag_rows(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return which rows the model's rule flags, bool [S]; none without a rule."""
        rule = self._rule()
        return np.zeros(len(scores), np.bool_) if rule is None else apply_rule(rule, rows, scores)

    def threshold_state(self) -> dict[str, Any] | None:
        """Return the model's rule; None: no row is flagged."""
        return self.model_.threshold

    def shares_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's share of the error: 0 for those that the model does not predict."""
        errors = self._scores_at(rows, chosen, self._smoothed_features)
        targets = self.model_.metadata["targets"]
        shares = spread_shares(shares_of_sum(errors), targets, rows.num_features)
        return self._too_large_shares(rows, chosen, shares)

    def score_notes(self) -> list[str]:
        """Return what a reader of the scores should know."""
        smoothing, notes = self.model_.metadata["smoothing"], super().score_notes()
        if smoothing is not None:
            notes.append(f"scores are smoothed by the model's {smoothing['kind']!r}")
        if self.model_.threshold is None:
            notes.append("the model has no threshold: no row is flagged")
        return notes

    def table_options(self) -> dict[str, Any]:
        """Return how the file was read that the model was trained on."""
        return {"missing": self.missing, **self._table}

    def _stream_rows(self) -> int:
        return self.shortest_series()

    def _stream_smoothing(self) -> Smoothing | None:
        state = self.model_.metadata["smoothing"]
        return None if state is None else smoothing_from_state(state).fresh()

    def _learnt(self) -> Parts:
        smoothing = self.model_.metadata["smoothing"]
        return Parts(type(self).__name__, {}, {"smoothing": smoothing}, model=self.model_)

    def live_model(self) -> SequenceModel:
        """Return the model."""
        return self.model_

    @property
    def _rows_ahead(self) -> int:
        return self.model.horizon

    def _window_rows(self) -> int | None:
        smoothed = self.model_.metadata["smoothing"] is not None
        return None if smoothed else super()._window_rows()

    def _make_module(self, features: int) -> SequenceNetwork:
        raise ValueError("fit: a model is only trained further, with warm_start=True")

    def _going_on_from(self, model: SequenceModel) -> SequenceNetwork:
        from slidecell.training import to_module

        return to_module(model)

    def _error_statistics(self) -> Sequence[Literal["mahalanobis", "calibrated"]]:
        found = self.model.metadata["error"] or {}
        return [reduction for reduction, key in STATISTICS.items() if key in found]

    def _smooth(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        state = self.model_.metadata["smoothing"]
        if state is None:
            return scores
        smoothing = smoothing_from_state(state)
        if scores.ndim == 1:
            return smoothing.apply(scores, rows.offsets)
        return np.stack([smoothing.apply(column, rows.offsets) for column in scores.T], axis=1)

    def _train(self, rows: Rows, held: npt.NDArray[np.bool_], start: SequenceModel | None) -> None:
        super()._train(rows, held, start)
        if start is not None:
            old = start.metadata
            kept = {name: old[name] for name in ("smoothing", "threshold", "extra")}
            kept["reduction"] = start.reduction
            self.model_ = self.model_.with_metadata(**kept)

    def check_rule(self, rows: Rows) -> None:
        """Raise a ValueError if the model's rule is chosen on labels and the rows have none."""
        if isinstance(self._rule(), BestFThreshold) and rows.labels is None:
            raise ValueError("--label: the model's threshold is one that is chosen on labels")

    def fit_rule(self, rows: Rows) -> None:
        """Choose the threshold on the labels of these rows, if the model's rule is such a one."""
        rule = self._rule()
        if isinstance(rule, BestFThreshold):
            assert rows.labels is not None  # `check_rule` has seen to it
            rule.fit(self.score_rows(rows), rows.labels)
            self._keep_rule(rule)

    def _set_threshold(self, rows: Rows, held: npt.NDArray[np.bool_]) -> None:
        """Fit the model's own rule on the scores of the fitted rows."""
        scores = np.asarray(self.score_rows(rows), np.float64)
        rule = self._rule()
        if rule is not None and not isinstance(rule, BestFThreshold):  # see `fit_rule`
            self._keep_rule(fit_rule(rule, rows, scores, held, gap=self.event_gap()))
        calibrates = held if asks_for_rate(rule) and held.any() else ~held | held
        self.calibration_rows_ = rows.restore(calibrates, False)
        self.decision_scores_ = self._restored(rows, scores)
        self.scored_share_ = float((~np.isnan(scores)).mean())
        self.labels_ = rows.restore(self.flag_rows(rows, scores).astype(np.int64), 0)

    def _calibrates_each_entity(self) -> bool:
        rule = self._rule()
        return rule is not None and rule.by_entity and asks_for_rate(rule)

    def fitted_rule(self) -> Threshold | None:
        """Return the model's rule; None: no row is flagged."""
        return self._rule()

    def _rule(self) -> Threshold | None:
        state = self.model_.threshold
        return None if state is None else threshold_from_state(state)

    def _keep_rule(self, rule: Threshold) -> None:
        rule.reset()
        state = rule.state()
        self.model_ = self.model_.with_metadata(threshold=state)
        value = state.get("value")
        self.threshold_ = np.float64(np.nan if value is None else value)


def _read_as(model: SequenceModel) -> dict[str, Any]:
    """Return how the file was read that a model was trained on, as far as it remembers."""
    stored = (model.metadata.get("extra") or {}).get("detect")
    return dict(stored) if isinstance(stored, Mapping) else {}

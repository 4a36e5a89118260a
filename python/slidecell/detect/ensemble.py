"""Several detectors as one: normalised scores, weighted, with one threshold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from slidecell._arguments import as_choice
from slidecell.detect.audited_ensemble import asked_member, audited_fusion
from slidecell.detect.base import Alignment, Detector
from slidecell.detect.default_ensemble import DefaultEnsemble
from slidecell.detect.fusion.fused import as_weights, fuse
from slidecell.detect.fusion.normalisers import (
    Normaliser,
    as_normaliser,
    normaliser_from_state,
)
from slidecell.detect.fusion.search import PERCENTILES, FoundWeights, as_labels, search_weights
from slidecell.detect.member_progress import member_progress
from slidecell.detect.members import (
    checked_members,
    common_alignment,
    fit_member,
    member_folder,
    naming,
)
from slidecell.detect.shares import chosen_places, share_out, shares_of_sum
from slidecell.detect.streams.fused import FusedStream, StreamedMember
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.windowed import TooFewWindowsError
from slidecell.thresholds.constant import FixedThreshold
from slidecell.thresholds.state_values import mapping, numbers, texts

if TYPE_CHECKING:
    from slidecell._choices import Speculate
    from slidecell.detect.storage import Parts
    from slidecell.detect.streams.base import DetectorStream
    from slidecell.flags import FlagAudit
    from slidecell.thresholds import Threshold
    from slidecell.thresholds.smoothing import Smoothing

__all__ = ["Ensemble"]

E = TypeVar("E", bound="Ensemble")


class Ensemble(DefaultEnsemble):
    """Weighted sum of the normalised scores of several detectors.

    `fit` fits the members, then a normaliser for each on its training scores. Normalisers never
    clip, so that a score above all training scores keeps its place; a fused score depends on the
    rows that the members' scores depend on. It is NaN where a member with weight above 0 has no
    score; members with weight 0 are not asked.

    All members are fitted on the same rows. Where networks are among them, the one with the longest
    windows chooses the rows that all leave out, and by which all networks stop in time; without
    one, and without a `contamination`, they are the last fifth of each entity's rows. These rows
    have no part in the normalisers.

    Weights are equal, given, or chosen with the threshold by `tune` on labelled rows. What is
    reported on those rows afterwards is an optimist's figure: report on others.

    Parameters
    ----------
    members : sequence of (str, Detector)
        Names and detectors. They are cloned by `fit`, and stay as they are. Their parameters are
        parameters of the ensemble too: ``set_params(level__contamination=0.1)``.
    normaliser : {"minmax", "z", "robust", "rank"} or Normaliser
        See `slidecell.detect.fusion`; a Normaliser gives its settings.
    weights : sequence of float [M] or mapping of name to float, optional
        At least 0; they are divided by their sum. Members that a mapping leaves out have 0.
        Default: equal.
    contamination : float, optional
        Share of the fused scores of all fitted rows above the threshold, until `tune` chooses one.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`. A rate is calibrated on the fused scores of the
        rows left out.
    skip_short : bool
        A member for which the training rows have too few windows is left out, and `notes_` says so.
        By default that is an error, as it always is where no member is left.
    prefit : bool
        The members are fitted: `fit` fits the normalisers alone, on the scores that the members
        give to its rows, and the members are used as they are. ``clone`` keeps them, fitted.
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`. Members take them from here.
    progress : bool or callable
        True: on a terminal, a bar over the members on stderr, and how long training will take,
        once a network's first epoch has been timed. A callable gets each network's progress: see
        `slidecell.training.fit`.

    Attributes
    ----------
    members_ : dict of str to Detector
        The fitted members.
    notes_ : list of str
        Which members were left out, and why.
    normalisers_ : dict of str to Normaliser
    weights_ : ndarray of float64, [M]
        Sum 1.
    member_decision_scores_ : ndarray of float64, [S, M]
        Normalised scores of the training rows.
    baselines_ : ndarray of float64, [M]
        Their means over the rows that have a fused score; 0 for members with weight 0.
    tuned_ : FoundWeights or None
        What `tune` chose, on how many rows, by what; None: it was not called since `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RollingVarianceDetector, ZScoreDetector
    >>> from slidecell.detect.ensemble import Ensemble
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> X[400:430] *= 3
    >>> X[450, 1] = 9
    >>> members = [("level", ZScoreDetector()), ("burst", RollingVarianceDetector(window=8))]
    >>> ensemble = Ensemble(members, contamination=0.01).fit(X[:300])
    >>> np.flatnonzero(ensemble.predict(X[430:])) + 430
    array([450, 451, 452, 453, 454, 455, 456, 457])
    >>> y = np.zeros(500, int)
    >>> y[400:430] = y[450] = 1
    >>> found = ensemble.tune(X, y).tuned_
    >>> found.percentile, dict(zip(ensemble.members_, found.weights))
    (92.0, {'level': 0.75, 'burst': 0.25})
    """

    _earlier_parameters: ClassVar[Mapping[str, Any]] = {"skip_short": False}

    # Members treat missing values, each as it is told to.
    missing: Literal["skip", "ffill"] = "skip"

    members_: dict[str, Detector]
    normalisers_: dict[str, Normaliser]
    weights_: Floats
    member_decision_scores_: Floats
    baselines_: Floats
    tuned_: FoundWeights | None
    notes_: list[str]
    _align: Alignment  # what members' scores, normalisers and threshold belong to

    def __init__(
        self,
        members: Sequence[tuple[str, Detector]],
        normaliser: str | Normaliser = "minmax",
        weights: Sequence[float] | Mapping[str, float] | None = None,
        contamination: float | None = None,
        *,
        threshold: Threshold | str | float | None = None,
        skip_short: bool = False,
        prefit: bool = False,
        entity: Hashable | None = None,
        time: Hashable | None = None,
        progress: bool | Callable[[int, int, float, float | None], object] = False,
    ) -> None:
        self.members = members
        self.normaliser = normaliser
        self.weights = weights
        self.contamination = contamination
        self.threshold = threshold
        self.skip_short = skip_short
        self.prefit = prefit
        self.entity = entity
        self.time = time
        self.progress = progress

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; `deep`: the members by name, and theirs as ``name__parameter``.

        A parameter of the ensemble goes before a member of its name.
        """
        own: dict[str, Any] = super().get_params(deep=False)
        if not deep:
            return own
        found: dict[str, Any] = {}
        for name, member in self._pairs():
            found[name] = member
            if isinstance(member, Detector):
                found |= {f"{name}__{key}": value for key, value in member.get_params().items()}
        return found | own

    def set_params(self: E, **params: Any) -> E:
        """Set parameters by the names of `get_params`; a member's own name replaces the member."""
        own = super().get_params(deep=False)
        if "members" in params:
            self.members = params.pop("members")
        names = {name for name, _ in self._pairs() if name in params and name not in own}
        if names:
            new = {name: params.pop(name) for name in names}
            self.members = [(name, new.get(name, member)) for name, member in self._pairs()]
        super().set_params(**params)
        return self

    def __sklearn_clone__(self: E) -> E:
        """Clone; members that are used as they are stay fitted."""
        params = {name: clone(v, safe=False) for name, v in self.get_params(deep=False).items()}
        if self.prefit:
            params["members"] = self.members
        return type(self)(**params)

    def _pairs(self) -> list[tuple[str, Any]]:
        """Return the members that have a name: what else was given, `fit` refuses."""
        given: Any = self.members
        if not isinstance(given, (list, tuple)):
            return []
        pairs = [pair for pair in given if isinstance(pair, tuple) and len(pair) == 2]
        return [(name, member) for name, member in pairs if isinstance(name, str)]

    def tune(
        self: E,
        X: Any,
        y: npt.ArrayLike,
        *,
        offsets: npt.ArrayLike | None = None,
        objective: str = "f1",
        method: Literal["grid", "refine"] = "grid",
        percentiles: Sequence[float] = PERCENTILES,
        random_state: int | None = 0,
    ) -> E:
        """Choose weights and threshold together on labelled rows [S, F].

        Members and normalisers stay as they are. The rows may be those of `fit`, or others; figures
        on them are not figures for new rows. ``tuned_`` remembers what was chosen, and on what.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
            Rows that a member cannot score take no part.
        y : array_like, [S]
            1 = anomaly, else 0.
        offsets : array_like of int, [G+1], optional
        objective : {"f1", "pr_auc"}
        method : {"grid", "refine"}
            Weights 0, 0.25, ..., 1 and the percentiles; or a search that begins there and tries
            every threshold between the least and the greatest percentile: see `search_weights`.
        percentiles : sequence of float
            Of the fused scores of these rows.
        random_state : int, optional
            Of the search.

        Returns
        -------
        Ensemble
            Itself.
        """
        scores = self.member_scores(X, offsets=offsets)
        self.tuned_ = search_weights(
            scores,
            as_labels(y, len(scores), name="y"),
            objective=objective,
            method=method,
            percentiles=percentiles,
            random_state=random_state,
        )
        self._use_rule(FixedThreshold(self.tuned_.threshold))
        self._use(np.array(self.tuned_.weights))
        return self

    def predict(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Ints:
        """Rows [S, F] -> 1 where the rule flags the fused score, else 0: int64 [S].

        Where the weighted network has its parameter `speculate`, flags are audited: see
        `audited_scores`.
        """
        rows = self._known_rows(X, offsets)
        weighted = zip(self.members_.values(), self.weights_, strict=True)
        modes: list[Speculate] = [getattr(m, "speculate", "none") for m, w in weighted if w > 0.0]
        asked = [mode for mode in modes if mode != "none"]
        if not asked:
            return super().predict(X, offsets=offsets)
        filled = self._filled(rows)
        scores, _ = self.audited_scores(filled, speculate=asked[0])
        return rows.restore(self.flag_rows(filled, scores).astype(np.int64), 0)

    def audited_scores(
        self, rows: Rows, *, speculate: Speculate, audit: int = 1024
    ) -> tuple[npt.NDArray[Any], FlagAudit]:
        """Return fused scores of rows of a table [S], by which `flag_rows` raises audited flags.

        The one weighted network is asked with a threshold for each row: what the other members,
        who score exactly, leave to it. See `Detector.audited_scores`.

        Raises
        ------
        UnsupportedError
            If no network or several have a weight, or if fusion is by ranks.
        """
        return audited_fusion(self, rows, speculate=speculate, audit=audit)

    def check_audited(self) -> None:
        """Refuse an ensemble that has no audited flags: see `audited_scores`."""
        asked_member(self)

    def member_scores(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> Floats:
        """Rows [S, F] -> the members' normalised scores [S, M], weighted or not."""
        rows = self._known_rows(X, offsets)
        return self._restored(rows, self._member_scores(rows, self.members_))

    def attribution(
        self, X: Any, rows: npt.ArrayLike | None = None, *, offsets: npt.ArrayLike | None = None
    ) -> Floats:
        """Return what each member adds to the fused score of chosen rows: [n, M].

        As `slidecell.detect.attribution.member_attribution`; `rows` are all by default.
        """
        known = self._known_rows(X, offsets)
        return self._member_parts(known, chosen_places(rows, known))

    @property
    def has_feature_parts(self) -> bool:
        """Whether all weighted members have scores per feature."""
        members = zip(self.members_.values(), self.weights_, strict=True)
        return all(member.has_feature_parts for member, weight in members if weight > 0.0)

    def parts_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's part: each weighted member's part, shared out as its score is."""
        return self._shared_out(self._member_parts(rows, chosen), rows, chosen)

    def shares_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's share of what raises the scores above the usual: [n, F].

        Members that lower a score have no part in it here, so that no share is below 0.
        """
        raising = np.maximum(self._member_parts(rows, chosen), 0.0)
        return shares_of_sum(self._shared_out(raising, rows, chosen))

    def _shared_out(self, of_members: Floats, rows: Rows, chosen: Ints) -> Floats:
        """Share the parts of members [n, M] out among features: [n, F]."""
        parts = np.zeros((len(chosen), rows.num_features))
        for m, (name, member) in enumerate(self.members_.items()):
            if self.weights_[m] > 0.0:
                try:
                    shares = member.shares_at(rows, chosen)
                except ValueError as error:
                    raise ValueError(f"member {name!r}: {error}") from None
                parts += share_out(of_members[:, m], shares)
        return parts

    @property
    def alignment(self) -> Alignment:
        """That of the members; None: each looks at single rows."""
        if "_align" in self.__dict__:
            return self._align
        return common_alignment(dict(self._detectors()))

    def rows_to_stop(self) -> int | None:
        """Return the rows of the longest window by which a member stops in time."""
        lengths = [member.rows_to_stop() for _, member in self._detectors()]
        return max((length for length in lengths if length is not None), default=None)

    def held_out(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return the rows that train no member, bool [S].

        Those of the network with the longest windows; or else, without a contamination, the last
        fifth of each entity's rows.
        """
        if self.prefit:
            return np.zeros(len(rows), np.bool_)
        if self._calibrates_each_entity():
            return super().held_out(rows)
        lengths = {name: member.rows_to_stop() or 0 for name, member in self._detectors()}
        for name, member in sorted(self._detectors(), key=lambda pair: -lengths[pair[0]]):
            if lengths[name]:
                try:
                    with naming(name):
                        return member.held_out(rows)
                except TooFewWindowsError:  # the next one chooses
                    if not self.skip_short:
                        raise
        return super().held_out(rows)

    def too_large_cells(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which cells are too large for a weighted member: bool [S, F]."""
        cells = np.zeros(rows.features.shape, np.bool_)
        for member, weight in zip(self.members_.values(), self.weights_, strict=True):
            if weight > 0.0:
                cells |= member.too_large_cells(rows)
        return cells

    def _member_parts(self, rows: Rows, chosen: Ints) -> Floats:
        """Parts [n, M] of the members in the fused scores of the chosen rows."""
        parts = np.zeros((len(chosen), len(self.members_)))
        for m, (name, member) in enumerate(self.members_.items()):
            if self.weights_[m] > 0.0:
                normalised = self.normalisers_[name].apply(member._scores_at(rows, chosen))
                parts[:, m] = self.weights_[m] * (normalised - self.baselines_[m])
        # As `fuse`: infinity, whatever the others are, and else nothing where one has no score.
        infinite = np.isposinf(parts).any(axis=1, keepdims=True)
        parts[infinite & np.isnan(parts)] = 0.0
        parts[np.isnan(parts).any(axis=1)] = np.nan
        return parts

    def shortest_series(self) -> int:
        """Return the rows that the weighted member with the longest windows needs."""
        members = zip(self.members_.values(), self.weights_, strict=True)
        return max(member.shortest_series() for member, weight in members if weight > 0.0)

    def score_notes(self) -> list[str]:
        """Return which members were left out, and why, and what is to be known of the others."""
        of_members = [member.score_notes() for member in self.members_.values()]
        own = super().score_notes()
        return [*self.notes_, *own, *(note for notes in of_members for note in notes)]

    def _detectors(self) -> list[tuple[str, Detector]]:
        """Return the members that can be fitted: what else was given, `fit` refuses."""
        return [pair for pair in self._pairs() if isinstance(pair[1], Detector)]

    def make_stream(self, num_entities: int, *, fill: bool, max_bytes: int) -> DetectorStream:
        """Return a stream of this very ensemble, which must not change any more."""
        members = []
        for (name, member), weight in zip(self.members_.items(), self.weights_, strict=True):
            if weight > 0.0:
                kept = member._as_it_is()
                own = kept._fills()
                with naming(name):
                    stream = kept.make_stream(num_entities, fill=own, max_bytes=max_bytes)
                normaliser = self.normalisers_[name]
                members.append(StreamedMember(kept, stream, normaliser, float(weight)))
        return FusedStream(self, num_entities, members=members, fill=fill, max_bytes=max_bytes)

    def _refuse_stream(self) -> None:
        for (name, member), weight in zip(self.members_.items(), self.weights_, strict=True):
            if weight > 0.0:
                with naming(name):
                    member._refuse_stream()

    def fingerprint(self) -> str:
        """Return a text that this ensemble, saved and loaded or not, shares with no other one."""
        members = [member.fingerprint() for member in self.members_.values()]
        return hashlib.sha256(" ".join([super().fingerprint(), *members]).encode()).hexdigest()

    def rows_in_parts(self) -> tuple[int, Smoothing | None]:
        """Return what has to be known of the rows before a part: see `Detector.rows_in_parts`.

        It is what the weighted members need.
        """
        self._refuse_stream()
        lengths = []
        for (name, member), weight in zip(self.members_.items(), self.weights_, strict=True):
            if weight > 0.0:
                with naming(name):
                    length, smoothing = member.rows_in_parts()
                    if smoothing is not None:
                        raise ValueError("its scores are smoothed by all scores before them")
                lengths.append(length)
        return max(lengths), None

    def _window_rows(self) -> int | None:
        needed = [member.rows_needed() for member in self.members_.values()]
        known = [n for n in needed if n is not None]
        return max(known) if len(known) == len(needed) else None

    def save_into(self, folder: Path) -> None:
        """Write all parts to a folder that is there, each member to one of its own."""
        super().save_into(folder)
        for index, (name, member) in enumerate(self.members_.items()):
            with naming(name):
                member_folder(folder, index).mkdir()
                member.save_into(member_folder(folder, index))

    @classmethod
    def load_from(cls: type[E], folder: Path) -> E:
        """Read what `save_into` wrote."""
        from slidecell.detect.storage import read_folder

        ensemble = super().load_from(folder)
        try:
            members = {
                name: read_folder(member_folder(folder, index))
                for index, name in enumerate(ensemble.normalisers_)
            }
        except RecursionError:  # a folder that holds itself, by a link
            raise ValueError(f"{folder}: ensembles within each other without end") from None
        for name, member in members.items():
            if member.n_features_in_ != ensemble.n_features_in_:
                raise ValueError(
                    f"{folder}: member {name!r}: expected {ensemble.n_features_in_} features, "
                    f"got {member.n_features_in_}"
                )
        # Version 0.1 did not save it, and mixed what it liked.
        known = ensemble.alignment
        if known is not None and (aligned := common_alignment(members)) != known:
            raise ValueError(
                f"{folder}: expected members with the alignment {known!r} of the normalisers and "
                f"the threshold, got {aligned!r}"
            )
        ensemble.members, ensemble.members_ = tuple(members.items()), members
        return ensemble

    @classmethod
    def _saved_names(cls) -> set[str]:
        return super()._saved_names() - {"members", "normaliser", "weights", "progress"}

    @classmethod
    def _make(cls: type[E], parts: Parts) -> E:
        given = parts.values.get("normaliser")
        normaliser = given if isinstance(given, str) else normaliser_from_state(given)
        as_normaliser(normaliser)  # refuses another name
        given = parts.values.get("weights")
        weights = None if given is None else tuple(numbers(parts.values, "weights"))
        return cls((), normaliser, weights, **parts.params)

    def _parts(self) -> Parts:
        parts = super()._parts()
        names = list(self.members_)
        given: Any = self.weights
        if given is not None:
            if not isinstance(given, Mapping):
                given = dict(zip((name for name, _ in self._pairs()), given, strict=True))
            given = [given.get(name, 0.0) for name in names]
        unfitted = as_normaliser(self.normaliser)
        parts.values |= {
            "members": names,
            "normaliser": self.normaliser if self.normaliser == unfitted.kind else unfitted.state(),
            "weights": None if given is None else [float(weight) for weight in given],
            "align": self._align,
            "notes": self.notes_,
            "normalisers": [self.normalisers_[name].state() for name in names],
            "tuned": None if self.tuned_ is None else self.tuned_.to_dict(),
        }
        parts.arrays["weights"] = self.weights_
        parts.arrays["member_decision_scores"] = self.member_decision_scores_
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        names, states = (parts.values.get(key) for key in ("members", "normalisers"))
        if not (
            isinstance(names, list)
            and isinstance(states, list)
            and all(isinstance(name, str) for name in names)
            and len(set(names)) == len(names) == len(states) > 0
        ):
            raise ValueError("'members', 'normalisers': expected as many names, each once")
        self.normalisers_ = {
            name: normaliser_from_state(mapping(state, f"'normalisers': {name!r}"))
            for name, state in zip(names, states, strict=True)
        }
        self._align = as_choice("'align'", parts.values.get("align"), (None, "end", "cover"))
        self.notes_ = texts(parts.values, "notes")
        tuned = parts.values.get("tuned")
        self.tuned_ = None if tuned is None else FoundWeights.from_dict(tuned)
        if self.tuned_ is not None and len(self.tuned_.weights) != len(names):
            raise ValueError(f"'tuned': 'weights': expected {len(names)}, one per member")
        if self.tuned_ is not None and parts.values.get("rule") is None:  # saved by version 0.1
            self._use_rule(FixedThreshold(float(self.threshold_)))
        weights = parts.array("weights", len(names))
        as_weights(weights, names)  # refuses what can be none
        self.member_decision_scores_ = parts.array(
            "member_decision_scores", len(self.decision_scores_), len(names)
        )
        self._use(weights)

    def _fit(self, rows: Rows) -> None:
        self._learn(rows, np.zeros(len(rows), np.bool_))

    def _learn(self, rows: Rows, held: npt.NDArray[np.bool_]) -> None:
        members = checked_members(self.members, entity=self.entity, time=self.time)
        as_weights(self.weights, list(members))  # before the members take their time
        as_normaliser(self.normaliser)
        self._align = common_alignment(members)
        fitted: dict[str, Detector] = {}
        normalisers: dict[str, Normaliser] = {}
        columns = []
        self.notes_ = []
        with member_progress(not self.prefit and self.progress, members) as shown:
            for name, member in members.items():
                try:
                    with naming(name), shown.fitting(name, member) as given:
                        made, scores = fit_member(given, rows, held, prefit=self.prefit)
                        normaliser = as_normaliser(self.normaliser).fit(scores[~held])
                        if given is not member:  # it told its progress while it was fitted
                            made.set_params(progress=member.get_params(deep=False)["progress"])
                except TooFewWindowsError as error:
                    if not self.skip_short:
                        raise
                    self.notes_.append(f"{error}: left out of the ensemble")
                else:
                    fitted[name], normalisers[name] = made, normaliser
                    columns.append(normaliser.apply(scores))
        if not fitted:
            raise TooFewWindowsError("; ".join(self.notes_))
        self.members_, self.normalisers_ = fitted, normalisers
        self.member_decision_scores_ = self._restored(rows, np.column_stack(columns))

    def _set_threshold(self, rows: Rows, held: npt.NDArray[np.bool_]) -> None:
        self.tuned_ = None
        weights = self._given_weights()
        fused = fuse(self.member_decision_scores_, weights)
        if not np.isfinite(fused).any():
            raise ValueError("X: no row has a score from every weighted member")
        self.weights_ = weights
        self._calibrate(rows, fused if rows.order is None else fused[rows.order], held)
        self._use(weights)

    def _given_weights(self) -> Floats:
        """Return the weights of the fitted members, sum 1."""
        names = [name for name, _ in self._pairs()]
        weights = as_weights(self.weights, names)
        if len(self.members_) == len(names):
            return weights
        kept = weights[[names.index(name) for name in self.members_]]
        if not kept.any():
            raise TooFewWindowsError("; ".join(self.notes_) + ": no member with a weight is left")
        return np.asarray(kept / kept.sum())

    def _use(self, weights: Floats) -> None:
        """Take weights, and judge the training rows anew."""
        scores = self.member_decision_scores_
        self.weights_ = weights
        self._set_scores(fuse(scores, weights))
        scored = np.isfinite(self.decision_scores_)
        self.baselines_ = np.zeros(len(weights))
        weighted = np.flatnonzero(weights)
        if scored.any():
            self.baselines_[weighted] = scores[np.ix_(scored, weighted)].mean(axis=0)

    def _score(self, rows: Rows) -> Floats:
        asked = [n for n, w in zip(self.members_, self.weights_, strict=True) if w > 0.0]
        return fuse(self._member_scores(rows, asked), self.weights_[self.weights_ > 0.0])

    def _member_scores(self, rows: Rows, names: Iterable[str]) -> Floats:
        """Normalised scores [S, M'] of the members of these names, in the order of rows."""
        columns = []
        for name in names:
            with naming(name):
                scores = self.members_[name].score_rows(rows)
            columns.append(self.normalisers_[name].apply(scores))
        return np.column_stack(columns)

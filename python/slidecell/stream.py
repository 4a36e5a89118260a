"""Live scoring: one row at a time, with the bits of `SequenceModel.score`'s float32 kernels."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell.frames import match_features

Floats = npt.NDArray[np.float32]

__all__ = ["Stream", "StreamModel"]


class StreamModel(Protocol):
    """What a stream, and what is built on it, ask of the `SequenceModel` that made it."""

    _core: _core.SequenceModel

    @property
    def input_size(self) -> int:
        """F, features per row."""

    @property
    def horizon(self) -> int:
        """K, rows that are forecast; 0 for an autoencoder."""

    @property
    def num_targets(self) -> int:
        """Features that are predicted per row."""

    @property
    def features(self) -> list[str] | None:
        """Feature names in column order, if known."""

    @property
    def scaler(self) -> dict[str, Any] | None:
        """The scaler, if the model has one."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What the model file's JSON says."""


class Stream:
    """The unfinished windows of one or many entities; made by `SequenceModel.stream`.

    A row completes one window and advances W - 1 others. With few entities `push` answers first:
    it finishes the oldest window, whose recurrent sums are ready, and leaves the others to
    `advance` or to the next `push`. A stream keeps the ISA that was active when it was made, and is
    used by one thread at a time: a call during another thread's `push_many` raises RuntimeError
    and takes no row. A forked child has no helper thread until `set_background` starts one.

    With ``mode="carried"`` an entity has two states in the place of its windows, and `push` does
    all that its row brings.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=3))
    >>> series = np.random.default_rng(0).random((10, 2), dtype=np.float32)
    >>> stream = model.stream()
    >>> scores = [stream.push(row) for row in series]
    >>> np.array_equal(np.float32(scores), model.score(series), equal_nan=True)
    True
    """

    def __init__(
        self, model: StreamModel, compiled: _core.SequenceModel, core: _core.Stream
    ) -> None:
        self._model = model
        self._compiled = compiled
        self._core = core
        # Without a Python frame: the call is about a microsecond long.
        self.push = core.push  # type: ignore[method-assign]

    def push(self, row: npt.ArrayLike, entity: int = 0) -> float:
        """Take an entity's next row and score it.

        Parameters
        ----------
        row : array_like, [F]
            Raw where the model has a scaler. float32 and float64 arrays are read in place. NaN,
            infinity or a masked element makes the row a missing one. A Series (pandas) is
            matched by the names in its index where the model knows its features.
        entity : int
            0 .. num_entities-1.

        Returns
        -------
        float
            What `SequenceModel.score` places at this row; NaN where that is NaN.
        """
        return self._core.push(row, entity)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as the model and the bytes of the state: the copy goes on bit for bit."""
        return _from_saved_bytes, (type(self), self._model, self._core.saved_bytes())

    @property
    def num_entities(self) -> int:
        """Entities that the stream keeps apart."""
        return self._core.num_entities

    @property
    def bytes_per_entity(self) -> int:
        """Memory of one entity's state."""
        return self._core.bytes_per_entity

    def plan(self) -> dict[str, Any]:
        """Return what a push runs: ``isa``, ``kernel``, ``precision``, ``tile`` and ``threads``.

        With few entities and ``precision="medium"`` the answer's products take their weights as
        bf16; everything else runs at the highest precision. ``"low"``: all of it by 8-bit
        products, where they serve the model.
        """
        return self._core.plan()

    def rows_seen(self, entity: int = 0) -> int:
        """Rows pushed for an entity since the start or its last `reset`."""
        seen = self._core.rows_seen(entity)
        if seen < 0:
            raise ValueError(f"entity: expected 0 to {self.num_entities - 1}, got {entity}")
        return seen

    def push_many(
        self,
        entity_ids: npt.ArrayLike,
        rows: npt.ArrayLike,
        *,
        num_threads: int | None = None,
    ) -> Floats:
        """Take one row for each of n entities, [n] and [n, F], and return their scores [n].

        The same bits as pushing one by one; an entity that is named twice gets its rows in order.

        Parameters
        ----------
        entity_ids : array_like of int, [n]
            Any entities in any order.
        rows : array_like, [n, F], or DataFrame
            One row each. A DataFrame's columns are matched by name where the model knows its
            features.
        num_threads : int, optional
            Default: all that OpenMP offers.

        Returns
        -------
        ndarray, [n]

        Raises
        ------
        ValueError, TypeError
            Before any row is taken.
        """
        return self._core.push_many(
            entity_ids, match_features(rows, self._model.features, name="rows"), num_threads
        )

    def push_many_ahead(
        self,
        entity_ids: npt.ArrayLike,
        rows: npt.ArrayLike,
        *,
        num_threads: int | None = None,
    ) -> tuple[Floats, Floats]:
        """Do as `push_many`; return the scores, and the forecast that each row met.

        Returns
        -------
        tuple of ndarray
            Scores [n], and forecasts [n, K, targets]: what `predict_next` gives for a row's entity
            just before the row.

        Raises
        ------
        ValueError, TypeError
            Before any row is taken, also where the model is no forecaster.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=3))
        >>> series = np.random.default_rng(0).random((10, 2), dtype=np.float32)
        >>> scores, forecasts = model.stream().push_many_ahead([0] * 10, series)
        >>> forecasts.shape, np.array_equal(forecasts[3:], model.predict(series))
        ((10, 1, 2), True)
        """
        return self._core.push_many_ahead(
            self._compiled,
            entity_ids,
            match_features(rows, self._model.features, name="rows"),
            num_threads,
        )

    def advance(self) -> None:
        """Advance the windows that the last pushes left behind: work done before the next row."""
        self._core.advance()

    def set_background(self, on: bool) -> None:
        """Let a helper thread do what `advance` does, from the end of each push on.

        It occupies a core; the next push waits for it. Scores keep their bits. Without effect where
        a push leaves nothing behind: many entities, bidirectional models.
        """
        self._core.set_background(on)

    def audit(self, entity: int | None = None) -> dict[str, Any]:
        """Return how far the scores of a carried stream were from exact ones, at its seams.

        The window that follows a block of rows is scored twice: by the state that has been carried
        through the block, at its oldest, and by the state that takes over, which has seen that
        window alone and is exact (but for ``precision="medium"``, whose weights both have). All
        other windows are scored by younger states.

        Parameters
        ----------
        entity : int, optional
            Default: all entities together.

        Returns
        -------
        dict
            ``seams``: how many there were with finite scores, since the start or the last `reset`.
            ``carried`` and ``exact``: the two scores that lay furthest apart; NaN where there was
            no seam. A stream whose windows are exact has none.

        Raises
        ------
        ValueError, TypeError
            If there is no such entity.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=10))  # blocks of 41 rows
        >>> stream = model.stream(mode="carried")
        >>> _ = stream.push_many(np.zeros(83, int), np.random.default_rng(0).random((83, 2)))
        >>> found = stream.audit()
        >>> found["seams"], bool(abs(found["carried"] - found["exact"]) < 0.01)
        (2, True)
        """
        core = self._core
        seams, carried, exact = core.audit_all() if entity is None else core.audit(entity)
        return {"seams": seams, "carried": carried, "exact": exact}

    def predict_next(self, entity: int = 0) -> Floats:
        """Forecast the next K rows, the last pushed row included: [K, targets], raw.

        NaN before a window is complete and while a missing row is in it. A carried stream forecasts
        from its carried state.
        """
        return self._core.predict_next(self._compiled, entity)

    def reset(self, entity: int | None = None) -> None:
        """Forget an entity's rows, or all entities' rows: the next row is the first."""
        for e in range(self.num_entities) if entity is None else (entity,):
            self._core.reset(e)

    def resize(self, num_entities: int) -> None:
        """Make room for another number of entities.

        Those that stay go on bit for bit at the highest precision; those beyond the new number are
        forgotten. Afterwards a push costs what it costs in a stream made for that many.

        Parameters
        ----------
        num_entities : int

        Examples
        --------
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=3))
        >>> stream = model.stream()
        >>> _ = stream.push([0.5, 0.5])
        >>> stream.resize(20)
        >>> stream.rows_seen(0), stream.rows_seen(19)
        (1, 0)
        """
        self._core.resize(num_entities)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all state to a file, whole or not at all; `SequenceModel.stream` goes on from it.

        A symbolic link at ``path`` is replaced by the file. Several may save to one path: the last
        one stays.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        self._core.save(os.fspath(path))

    @property
    def state_bytes_size(self) -> int:
        """Bytes of what `state_bytes` returns, of any entity of any stream of the model.

        They are 88, and 4 for each float of the rows, forecasts and unfinished windows that are
        kept: about W - 1 times the sizes of the layers. Of a carried stream they hold two states
        in the place of the windows, and the audit.
        """
        return self._core.state_bytes_size

    def state_bytes(self, entity: int = 0) -> bytes:
        """Return one entity's state, for a program that keeps the states itself.

        So a stream processor (Flink, Kafka Streams, Quix) may keep it by key. `state_bytes_size`
        tells its size.

        Parameters
        ----------
        entity : int
            0 .. num_entities-1.

        Returns
        -------
        bytes
            For `restore`.

        Examples
        --------
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=3))
        >>> stream, other = model.stream(20), model.stream()
        >>> _ = stream.push([0.5, 0.5], 7)
        >>> other.restore(0, stream.state_bytes(7))
        >>> other.rows_seen(0), len(stream.state_bytes(7)) == stream.state_bytes_size
        (1, True)
        """
        return self._core.state_bytes(entity)

    def restore(self, entity: int, state: bytes) -> None:
        """Let an entity go on, bit for bit, from its state in any stream of the same model.

        Rows that it has seen here are forgotten.

        Parameters
        ----------
        entity : int
            0 .. num_entities-1.
        state : bytes
            Of `state_bytes`, with the same options and ISA.

        Raises
        ------
        ValueError
            If it is damaged, or the state of another model, of other options or of another ISA;
            UnsupportedError where this CPU lacks its ISA. The entity stays as it is.
        """
        self._core.restore(entity, state)


def _from_saved_bytes(kind: type[Stream], model: StreamModel, saved: bytes) -> Stream:
    """Return the stream that goes on from its saved bytes."""
    return kind(model, model._core, _core.Stream.from_saved_bytes(model._core, saved))

"""Random features of windows: a GRU that is never trained, and what its codes have in common."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from slidecell._arguments import whole_number
from slidecell.detect.base import Detector
from slidecell.detect.principal import mean_squared_residual, numerical_rank
from slidecell.detect.random_states import seed_of
from slidecell.detect.scales import ScalerKind, fit_rows_scaler
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.windowed import TooFewWindowsError, refuse_no_window, window_ends
from slidecell.windows import WindowPlan

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.model import SequenceModel
    from slidecell.thresholds import Threshold

__all__ = ["RandomGRUDetector"]


class RandomGRUDetector(Detector):
    """Score rows by how badly principal components explain a random GRU's code of their window.

    The GRU has random weights, the reset gate before the recurrent product, and reads each window
    on the compiled kernels. Principal components of the codes of the training windows reconstruct
    a code; the mean squared error of that is the score, at the window's last row. The first W - 1
    rows of an entity have none. Nothing is trained by gradients, so that fitting takes a second.

    Parameters
    ----------
    window : int
        W rows.
    hidden_size : int
        H, length of a code.
    n_components : int
        Principal components kept, less than H.
    scaler : {"standard", "minmax", "robust"}, optional
    random_state : int, RandomState or None
        Of the weights. The same one: the same scores.
    contamination : float, optional
        Share of the training scores above the threshold.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.
    num_threads : int, optional

    Attributes
    ----------
    model_ : SequenceModel
        Its encoder is the GRU. (A file of a model has a head, and so this one has one of zeros.)
    components_ : ndarray, [n_components, H]
    mean_ : ndarray, [H]

    Notes
    -----
    Weights are drawn as Glorot and Bengio (2010, "Understanding the difficulty of training deep
    feedforward neural networks", section 4.2) scale them, from a normal distribution: the standard
    deviation is sqrt(2 / (fan_in + fan_out)) of each gate's own matrix. Biases are zero.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RandomGRUDetector
    >>> X = np.random.default_rng(0).normal(size=(400, 3))
    >>> X[300:310] += 6.0
    >>> detector = RandomGRUDetector(window=10, random_state=0).fit(X[:250])
    >>> int(np.nanargmax(detector.score_samples(X))) in range(300, 320)
    True
    """

    model_: SequenceModel
    components_: Floats
    mean_: Floats

    def __init__(
        self,
        window: int = 50,
        hidden_size: int = 32,
        n_components: int = 4,
        scaler: ScalerKind | None = "standard",
        random_state: Any = None,
        *,
        contamination: float | None = None,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.window = window
        self.hidden_size = hidden_size
        self.n_components = n_components
        self.scaler = scaler
        self.random_state = random_state
        self.contamination = contamination
        self.threshold = threshold
        self.missing = missing
        self.entity = entity
        self.time = time
        self.num_threads = num_threads

    @property
    def network(self) -> SequenceModel:
        """The random GRU, compiled."""
        return self.model_

    def encode(self, X: Any, *, offsets: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """Rows [S, F] -> the GRU's last h of every window [N, H].

        Windows are in the order of entities (by key, where a column names them) and of time; one
        with a missing value has NaN.
        """
        rows = self._known_rows(X, offsets)
        return self._encode(self._filled(rows))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("window", self.window, least=1)
        whole_number("hidden_size", self.hidden_size, least=2)
        whole_number("n_components", self.n_components, least=1)
        if self.n_components >= self.hidden_size:
            raise ValueError(
                f"n_components: expected less than hidden_size={self.hidden_size}, because all "
                f"components leave nothing over, got {self.n_components}"
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> RandomGRUDetector:
        """Return an unfitted detector by the settings of the command line."""
        given = dict(settings)
        sizes = tuple(given.pop("hidden_size", ()))
        if len(sizes) > 1:
            got = ",".join(map(str, sizes))
            raise ValueError(
                f"--hidden-size: expected one size, because a random GRU has one layer, got {got}"
            )
        return super().from_settings({**given, **({"hidden_size": sizes[0]} if sizes else {})})

    def _window_rows(self) -> int:
        return self.model_.window

    def _row_scaler(self) -> dict[str, Any] | None:
        return self.model_.scaler

    def _fit(self, rows: Rows) -> None:
        refuse_no_window(rows, window=self.window, horizon=0)
        ends = window_ends(rows, window=self.window, horizon=0)
        if int(ends.sum()) < self.n_components + 1:
            raise TooFewWindowsError(
                f"{rows.source}: expected at least {self.n_components + 1} windows without a "
                f"missing value (n_components={self.n_components}), got {int(ends.sum())}"
            )
        generator = np.random.default_rng(seed_of(self.random_state))
        self.model_ = _encoder(
            rows.num_features,
            self.hidden_size,
            self.window,
            fit_rows_scaler(rows, self.scaler),
            generator,
        )
        codes = self._encode(rows)
        complete = codes[np.isfinite(codes).all(axis=1)].astype(np.float64)
        if len(complete) < self.n_components + 1:
            raise ValueError(
                f"{rows.source}: expected at least {self.n_components + 1} windows without a value "
                f"that float32 cannot hold, got {len(complete)}"
            )
        pca = PCA(svd_solver="full").fit(complete)
        # All directions in which codes vary would leave nothing over.
        rank = numerical_rank(pca.singular_values_, complete.shape, complete.dtype)
        kept = max(min(self.n_components, rank - 1), 0)
        self.components_ = np.array(pca.components_[:kept], np.float64)
        self.mean_ = np.array(pca.mean_, np.float64)

    def _encode(self, rows: Rows) -> npt.NDArray[np.float32]:
        refuse_no_window(rows, window=self.model_.window, horizon=0)
        return self.model_.encode(rows.features, rows.offsets, num_threads=self.num_threads)

    def _score(self, rows: Rows) -> Floats:
        codes = self._encode(rows)
        scores = np.full(len(rows), np.nan)
        ends = WindowPlan(rows.offsets, window=self.model_.window, horizon=0).rows()
        scores[ends] = mean_squared_residual(codes, self.mean_, self.components_)
        return self._mark_too_large(rows, scores)

    def score_last(self, windows: Floats, seen: Ints, *, num_threads: int | None = None) -> Floats:
        """Score the last row of windows [n, W, F]: [n]."""
        del seen  # a row that never came is a missing one
        n, window, features = windows.shape
        codes = self.model_.encode(
            windows.reshape(n * window, features),
            np.arange(0, n * window + 1, window),
            num_threads=self.num_threads if num_threads is None else num_threads,
        )
        scores = mean_squared_residual(codes, self.mean_, self.components_)
        return self._mark_too_large(Rows(windows[:, -1], np.array([0, n])), scores)

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.model = self.model_
        parts.arrays |= {"components": self.components_, "mean": self.mean_}
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        self.model_ = parts.fitted_model(features=self.n_features_in_, forecasts=False)
        self.components_ = parts.finite_array("components", None, self.model_.code_size)
        self.mean_ = parts.finite_array("mean", self.model_.code_size)


def _encoder(
    features: int,
    hidden_size: int,
    window: int,
    scaler: dict[str, Any] | None,
    generator: np.random.Generator,
) -> SequenceModel:
    """Make a model whose encoder is a random GRU; decoder and head are as small as they come."""
    from slidecell.model import SequenceModel

    layer = {
        "cell": "gru",
        "input_size": features,
        "hidden_size": hidden_size,
        "proj_size": 0,
        "bidirectional": False,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "reset_after": False,
    }
    rest = {**layer, "input_size": hidden_size, "hidden_size": 1}
    tensors = {
        "encoder.0.weight_ih_l0": _xavier(generator, hidden_size, features),
        "encoder.0.weight_hh_l0": _xavier(generator, hidden_size, hidden_size),
        "encoder.0.bias_ih_l0": np.zeros(3 * hidden_size),
        "encoder.0.bias_hh_l0": np.zeros(3 * hidden_size),
        "decoder.0.weight_ih_l0": np.zeros((3, hidden_size)),
        "decoder.0.weight_hh_l0": np.zeros((3, 1)),
        "decoder.0.bias_ih_l0": np.zeros(3),
        "decoder.0.bias_hh_l0": np.zeros(3),
        "head.weight": np.zeros((features, 1)),
        "head.bias": np.zeros(features),
    }
    metadata = {
        "window": window,
        "horizon": 0,
        "encoder": [layer],
        "decoder": [rest],
        "scaler": scaler,
    }
    return SequenceModel(metadata, tensors)


def _xavier(generator: np.random.Generator, fan_out: int, fan_in: int) -> Floats:
    """Draw the matrices of the three gates, r z n: [3H, I]."""
    deviation = np.sqrt(2.0 / (fan_in + fan_out))
    return generator.normal(0.0, deviation, (3 * fan_out, fan_in))

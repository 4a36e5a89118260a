"""Architecture search: train several networks on the same windows, keep the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from slidecell.model import SequenceModel
    from slidecell.training import Autoencoder, Forecaster, History

__all__ = [
    "INSIDER_THREAT_ARCHITECTURES",
    "ArchitectureResult",
    "ArchitectureSearch",
    "search_architectures",
]

Floats = npt.NDArray[np.float32]
Config = Mapping[str, Any]
_Parts = tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]

# The five of the insider-threat forecaster. Its "large" one also has a dropout of 0.3, which acts
# between layers only and so nowhere.
INSIDER_THREAT_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "baseline LSTM": {"cell": "lstm", "hidden_size": 64},
    "GRU": {"cell": "gru", "hidden_size": 64},
    "deep LSTM": {"cell": "lstm", "hidden_size": 64, "num_layers": 2, "dropout": 0.2},
    "light LSTM": {"cell": "lstm", "hidden_size": 16},
    "large LSTM": {"cell": "lstm", "hidden_size": 128},
}


@dataclass(frozen=True)
class ArchitectureResult:
    """One trained configuration: a row of the table.

    Parameters
    ----------
    name : str
    config : dict
        Its arguments, as given.
    parameters : int
        Weights and biases.
    train_loss, validation_loss : float
        Of the epoch with the lowest validation loss; NaN where training failed.
    epochs, best_epoch : int
        Epochs run, and the one whose weights count.
    training_windows, validation_windows : int
    seconds : float
        Wall-clock time of its training.
    history : History or None
        Its course; None where training failed.
    failure : str
        Why it has no loss; empty otherwise.
    """

    name: str
    config: dict[str, Any]
    parameters: int
    train_loss: float = math.nan
    validation_loss: float = math.nan
    epochs: int = 0
    best_epoch: int = 0
    training_windows: int = 0
    validation_windows: int = 0
    seconds: float = 0.0
    history: History | None = field(default=None, repr=False, compare=False)
    failure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the history, ready for JSON (a loss that is NaN as None)."""
        values = {name: value for name, value in vars(self).items() if name != "history"}
        for name in ("train_loss", "validation_loss"):
            values[name] = values[name] if math.isfinite(values[name]) else None
        return values


@dataclass(frozen=True)
class ArchitectureSearch:
    """All configurations, in the order given, and the model of the best one.

    Parameters
    ----------
    results : list of ArchitectureResult
    best : ArchitectureResult
        The lowest validation loss; of equal ones the first.
    model : SequenceModel
        Of `best`, with the scaler that the search was given.
    """

    results: list[ArchitectureResult]
    best: ArchitectureResult
    model: SequenceModel

    def to_frame(self) -> pd.DataFrame:
        """Return the table: one row per configuration, named by it.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect import search_architectures
        >>> found = search_architectures(
        ...     {"light": {"hidden_size": 2}}, np.random.default_rng(0).random((60, 1)),
        ...     window=4, epochs=1, progress=False,
        ... )
        >>> int(found.to_frame().loc["light", "parameters"])
        43
        """
        from slidecell._extras import require

        require("pandas", extra="detect")
        import pandas as pd

        rows = [{k: v for k, v in vars(r).items() if k != "history"} for r in self.results]
        return pd.DataFrame(rows).set_index("name")


@dataclass(frozen=True)
class _Task:
    """What every configuration is trained with."""

    series: Floats  # [S, F], scaled
    offsets: npt.ArrayLike | None
    options: dict[str, Any]  # of `fit`
    seed: int
    num_threads: int | None


def search_architectures(
    configs: Mapping[str, Config],
    series: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    keys: npt.ArrayLike | None = None,
    window: int,
    horizon: int = 1,
    scaler: Mapping[str, Any] | None = None,
    epochs: int = 50,
    batch_size: int | None = None,
    lr: float = 1e-3,
    loss: str = "mse",
    validation: float | tuple[npt.ArrayLike, npt.ArrayLike | None] = 0.2,
    patience: int | None = None,
    n_jobs: int = 1,
    num_threads: int | None = 1,
    seed: int = 0,
    progress: bool | Callable[[ArchitectureResult], object] = True,
) -> ArchitectureSearch:
    """`series` [S, F], offsets [G+1] -> every configuration trained, the best one as a model.

    All see the same training windows and the same validation windows; the lowest validation loss
    wins. A configuration whose loss becomes infinite or NaN, or whose training takes more memory
    than there is, stays in the table with its `failure` and never wins.

    Parameters
    ----------
    configs : mapping of str to mapping
        Arguments of `slidecell.training.Forecaster` by name of the configuration or, with
        ``horizon=0``, of `slidecell.training.Autoencoder`. `INSIDER_THREAT_ARCHITECTURES` is such
        a mapping.
    series : array_like, [S, F]
        Scaled rows or, with `scaler`, raw ones.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]``.
    keys : array_like, [G], optional
        Entity of each segment, where gaps cut entities into several.
    window, horizon : int
        W and K of every configuration; horizon 0 trains autoencoders.
    scaler : mapping, optional
        From `slidecell.scaling.fit_scaler`; the model carries it and takes raw rows.
    epochs, batch_size, lr, loss, validation, patience
        As for `slidecell.training.fit`.
    n_jobs : int
        Processes. Results are the same whatever it is; the script must then guard its main part
        by ``if __name__ == "__main__":``, because the processes are spawned.
    num_threads : int, optional
        Threads of torch for each training, on which the last digits depend. None: torch's own.
    seed : int
        Of initial weights, split and order of every configuration.
    progress : bool or callable
        True: a bar for each on stderr if that is a terminal, with one process. A callable gets
        each `ArchitectureResult`, as they end.

    Returns
    -------
    ArchitectureSearch

    Raises
    ------
    ValueError, TypeError
        On arguments that do not fit, the configuration named; and where no training converges.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import search_architectures
    >>> series = np.sin(np.arange(300) / 5)[:, None]
    >>> found = search_architectures(
    ...     {"LSTM 2": {"hidden_size": 2}, "GRU 16": {"cell": "gru", "hidden_size": 16}},
    ...     series, window=8, epochs=5, progress=False,
    ... )
    >>> found.best.name, found.model
    ('GRU 16', SequenceModel(1 features, gru 16, window=8, horizon=1))
    """
    from slidecell._arguments import whole_number
    from slidecell.scaling import apply_scaler

    n_jobs = whole_number("n_jobs", n_jobs, least=1)
    seed = whole_number("seed", seed, least=0)
    if num_threads is not None:
        num_threads = whole_number("num_threads", num_threads, least=1)
    rows = apply_scaler(scaler, series)
    if isinstance(validation, tuple):
        validation = (apply_scaler(scaler, validation[0]), *validation[1:])
    elif not validation > 0.0:
        raise ValueError(f"validation: expected a share above 0 to choose by, got {validation!r}")
    networks = _check_configs(configs, rows.shape[1], window=window, horizon=horizon)
    options = {
        "keys": keys,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "loss": loss,
        "validation": validation,
        "patience": patience,
    }
    task = _Task(rows, offsets, options, seed, num_threads)
    tell = progress if callable(progress) else None
    run = _in_processes if n_jobs > 1 and len(networks) > 1 else _in_this_process
    results: dict[str, ArchitectureResult] = {}
    parts: dict[str, _Parts] = {}
    for result, part in run(networks, task, n_jobs, progress is True):
        results[result.name] = result
        if part is not None:
            parts[result.name] = part
        if tell is not None:
            tell(result)
    return _pick([results[name] for name in networks], parts, scaler)


def _check_configs(
    configs: Mapping[str, Config], columns: int, *, window: int, horizon: int
) -> dict[str, dict[str, Any]]:
    """Build every network once, so that a wrong argument is known before any training."""
    if not isinstance(configs, Mapping) or not configs:
        raise ValueError("configs: expected a mapping with at least one configuration")
    networks: dict[str, dict[str, Any]] = {}
    for name, config in configs.items():
        if not isinstance(config, Mapping):
            raise TypeError(
                f"configs[{name!r}]: expected a mapping of arguments, got {type(config).__name__}"
            )
        for taken in ("input_size", "window", "horizon"):
            if taken in config:
                raise ValueError(f"configs[{name!r}]: {taken} is the same for all of them")
        arguments = {**config, "input_size": columns, "window": window, "horizon": horizon}
        try:
            _describe(name, arguments)
        except (TypeError, ValueError) as error:
            raise type(error)(f"configs[{name!r}]: {error}") from error
        networks[str(name)] = arguments
    return networks


def _build(arguments: Mapping[str, Any]) -> Forecaster | Autoencoder:
    """Return the network; the global generator stays as it was."""
    from slidecell.training import Autoencoder, Forecaster, seeded

    with seeded(0):
        if arguments["horizon"] == 0:
            return Autoencoder(**{k: v for k, v in arguments.items() if k != "horizon"})
        return Forecaster(**arguments)


def _describe(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table says of a configuration, trained or not."""
    from slidecell.training.factory import count_parameters

    own = ("input_size", "window", "horizon")
    config = {key: value for key, value in arguments.items() if key not in own}
    parameters = count_parameters(lambda: _build(arguments))
    return {"name": name, "config": config, "parameters": parameters}


def _in_this_process(
    networks: Mapping[str, dict[str, Any]], task: _Task, n_jobs: int, bar: bool
) -> Iterator[tuple[ArchitectureResult, _Parts | None]]:
    """Train one after the other, in this process."""
    del n_jobs
    for name, arguments in networks.items():
        yield _train(name, arguments, task, progress=bar)


def _in_processes(
    networks: Mapping[str, dict[str, Any]], task: _Task, n_jobs: int, bar: bool
) -> Iterator[tuple[ArchitectureResult, _Parts | None]]:
    """Train up to `n_jobs` at a time; results come in the order of the configurations."""
    del bar
    pool = ProcessPoolExecutor(
        min(n_jobs, len(networks)),
        # A forked child would inherit the locks of torch's and OpenMP's threads.
        mp_context=get_context("spawn"),
        initializer=_receive,
        initargs=(task,),
    )
    try:
        futures = {n: pool.submit(_train_received, n, a) for n, a in networks.items()}
        for name, future in futures.items():
            try:
                yield future.result()
            except BrokenProcessPool:  # those that ended before keep their results
                failure = "a training process ended without an answer, perhaps for want of memory"
                yield ArchitectureResult(**_describe(name, networks[name]), failure=failure), None
    finally:
        pool.shutdown(cancel_futures=True)


_received: list[_Task] = []  # in a spawned process: the task, sent once and not with each network


def _receive(task: _Task) -> None:
    _received.append(task)


def _train_received(
    name: str, arguments: dict[str, Any]
) -> tuple[ArchitectureResult, _Parts | None]:
    return _train(name, arguments, _received[-1], progress=False)


def _train(
    name: str, arguments: dict[str, Any], task: _Task, *, progress: bool
) -> tuple[ArchitectureResult, _Parts | None]:
    """Train one configuration: its row, and its model's parts unless that failed."""
    from slidecell.convert import to_metadata
    from slidecell.training import DivergenceError, fit, torch_threads

    known = _describe(name, arguments)
    try:
        module = _build(arguments)
        with torch_threads(task.num_threads):
            history = fit(
                module,
                task.series,
                task.offsets,
                seed=task.seed,
                progress=progress,
                **task.options,
            )
    except DivergenceError as error:
        return ArchitectureResult(**known, failure=str(error)), None
    except (MemoryError, RuntimeError) as error:  # torch's, for want of memory, has C++ calls below
        failure = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
        return ArchitectureResult(**known, failure=failure), None
    best = history.best_epoch - 1
    result = ArchitectureResult(
        **known,
        train_loss=history.train_loss[best],
        validation_loss=history.validation_loss[best],
        epochs=history.epochs,
        best_epoch=history.best_epoch,
        training_windows=history.training_windows,
        validation_windows=history.validation_windows,
        seconds=history.seconds,
        history=history,
    )
    return result, to_metadata(module)


def _pick(
    results: list[ArchitectureResult],
    parts: Mapping[str, _Parts],
    scaler: Mapping[str, Any] | None,
) -> ArchitectureSearch:
    from slidecell.model import SequenceModel

    finite = [result for result in results if math.isfinite(result.validation_loss)]
    if not finite:
        first = results[0]
        raise ValueError(f"configs: training of none converged; {first.name!r}: {first.failure}")
    best = min(finite, key=lambda result: result.validation_loss)
    model = SequenceModel(*parts[best.name])
    if scaler is not None:
        model = model.with_metadata(scaler=dict(scaler))
    return ArchitectureSearch(results, best, model)

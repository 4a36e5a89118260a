"""`score` at three precisions, on bf16 products where this CPU has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import slidecell as sc
from slidecell.config import config

torch = pytest.importorskip("torch")

from slidecell.training import Autoencoder, Forecaster  # noqa: E402

CPU = Path("/proc/cpuinfo")

NETWORKS: dict[str, Callable[[], Any]] = {
    "lstm16": lambda: Forecaster(7, 16, window=7),
    "lstm64": lambda: Forecaster(7, 64, window=7),
    "lstm128": lambda: Forecaster(7, 128, window=7),
    "lstm64x2": lambda: Forecaster(7, 64, num_layers=2, window=7),
    "gru64": lambda: Forecaster(7, 64, cell="gru", window=7),
    "gru64_before": lambda: Forecaster(7, 64, cell="gru", reset_after=False, window=7),
    "lstm64_w50": lambda: Forecaster(7, 64, window=50),
    "autoencoder": lambda: Autoencoder(7, window=10),
}


def model_of(name: str) -> sc.SequenceModel:
    torch.manual_seed(3)
    return sc.SequenceModel.from_torch(NETWORKS[name]())


def labelled_series() -> tuple[np.ndarray, np.ndarray]:
    """Rows in [0, 1) with bursts of large values, [S, 7], and their labels, [S]."""
    rng = np.random.default_rng(5)
    series = rng.random((4000, 7), dtype=np.float32)
    labels = np.zeros(len(series), int)
    for start in rng.integers(100, 3900, 40):
        labels[start : start + 5] = 1
    series[labels == 1] += rng.random((labels.sum(), 7), dtype=np.float32)
    return series, labels


def has_bf16_products(isa: str) -> bool:
    before = sc.active_isa()
    sc.set_isa(isa)
    try:
        model_of("lstm16").plan(kernel="matrix")
    except sc.UnsupportedError:
        return False
    finally:
        sc.set_isa(before)
    return True


PLAIN_ISAS = [isa for isa in sc.available_isas() if not has_bf16_products(isa)]
MATRIX_ISAS = [isa for isa in sc.available_isas() if isa not in PLAIN_ISAS]


@pytest.fixture
def restored_isa() -> Iterator[None]:
    before = sc.active_isa()
    yield
    sc.set_isa(before)


@pytest.fixture(params=MATRIX_ISAS)
def matrix_isa(request: pytest.FixtureRequest, restored_isa: None) -> str:
    """Run the test once with each instruction set that has bf16 products here; skip if none has."""
    isa: str = request.param
    sc.set_isa(isa)
    return isa


@pytest.mark.parametrize("name", NETWORKS)
def test_errors_of_scores_are_within_their_bounds(name: str, matrix_isa: str) -> None:
    model = model_of(name)
    series, labels = labelled_series()
    exact = model.score(series, kernel="fma")
    scored = np.isfinite(exact)

    for precision, bound in (("highest", 3e-7), ("high", 1e-6)):
        scores = model.score(series, precision=precision, kernel="matrix")
        np.testing.assert_array_equal(np.isfinite(scores), scored)
        limit = bound * np.maximum(1.0, exact[scored])
        assert (np.abs(scores[scored] - exact[scored]) <= limit).all()

    scores = model.score(series, precision="medium", kernel="matrix")
    np.testing.assert_array_equal(np.isfinite(scores), scored)
    high_score = np.percentile(exact[scored], 95)
    assert np.abs(scores[scored] - exact[scored]).max() <= 0.01 * high_score
    auc, exact_auc = (roc_auc_score(labels[scored], s[scored]) for s in (scores, exact))
    assert 0.6 < exact_auc < 1.0
    assert auc == pytest.approx(exact_auc, abs=1e-4)


@pytest.mark.parametrize("name", ["lstm16", "gru64_before", "autoencoder"])
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_scores_depend_on_their_own_rows_alone(name: str, precision: str, matrix_isa: str) -> None:
    model = model_of(name)
    series, _ = labelled_series()
    series = series[:700]
    options = {"precision": precision, "kernel": "matrix"}
    whole = model.score(series, num_threads=1, **options)
    np.testing.assert_array_equal(model.score(series, num_threads=3, **options), whole)
    span = model.window + model.horizon
    tail = model.score(series[333:], **options)
    np.testing.assert_array_equal(tail[span:], whole[333 + span :])


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_streams_agree_within_the_bound(precision: str, matrix_isa: str) -> None:
    model = model_of("lstm64")
    series = labelled_series()[0][:300]
    stream = model.stream(precision=precision)
    pushed = np.array([stream.push(row) for row in series])
    scores = model.score(series, precision=precision, kernel="matrix")
    bound = {"high": 2e-6, "medium": 0.01 * np.nanpercentile(scores, 95)}[precision]
    np.testing.assert_allclose(pushed, scores, rtol=1e-6, atol=bound)


def test_medium_takes_bf16_products_where_they_are_faster(matrix_isa: str) -> None:
    plan = model_of("lstm16").plan("medium")
    fast = matrix_isa == "amx" or "GenuineIntel" not in CPU.read_text(encoding="utf-8")
    assert plan["precision"] == ("medium" if fast else "highest")
    assert plan["kernel"].startswith(("bf16 ", "amx ") if fast else "fma ")
    asked = model_of("lstm16").plan("medium", kernel="matrix")
    assert asked["precision"] == "medium"
    assert asked["kernel"].startswith(("bf16 ", "amx "))
    forced = model_of("lstm16").plan("medium", kernel="fma")
    assert forced["precision"] == "highest"
    assert forced["kernel"].startswith("fma ")


def test_models_without_matrix_kernels_run_in_float32(matrix_isa: str) -> None:
    model = sc.SequenceModel.from_torch(Forecaster(3, 8, window=5, bidirectional=True))
    assert model.plan("medium")["precision"] == "highest"
    series = np.random.default_rng(0).random((50, 3), dtype=np.float32)
    np.testing.assert_array_equal(model.score(series, precision="medium"), model.score(series))
    with pytest.raises(sc.UnsupportedError, match=r"kernel: expected .* bidirectional"):
        model.score(series, kernel="matrix")


@pytest.mark.parametrize("plain_isa", PLAIN_ISAS)
def test_isas_without_bf16_products_refuse_them(plain_isa: str, restored_isa: None) -> None:
    sc.set_isa(plain_isa)
    model = model_of("lstm16")
    assert model.plan("medium")["precision"] == "highest"
    with pytest.raises(sc.UnsupportedError, match=f"kernel: .* isa '{plain_isa}' .* got 'matrix'"):
        model.score(np.zeros((20, 7)), kernel="matrix")


def test_an_unknown_kernel_is_named() -> None:
    with pytest.raises(ValueError, match="kernel: expected one of 'auto', 'fma', 'matrix'"):
        model_of("lstm16").plan(kernel="gpu")


def test_the_configuration_says_why_an_isa_is_not_there() -> None:
    found = config()
    assert not set(found["refused_isas"]) & set(found["available_isas"])
    assert all(found["refused_isas"].values())
    for isa, reason in found["refused_isas"].items():
        with pytest.raises(sc.UnsupportedError, match=f"got '{isa}': {re.escape(reason)}"):
            sc.set_isa(isa)

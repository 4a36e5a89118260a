"""SequenceModel.score, predict and encode against materialised windows: float64 and torch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

import slidecell as sc
from tests.models import FORECASTERS, MODELS, layer, output_size, random_model
from tests.reference import encode_reference, predict_reference, score_reference, window_starts
from tests.score_cases import DETERMINISTIC, all_scores, assert_close, case, truth

# Torch warns once that its projected LSTM is the slow one.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


@pytest.mark.parametrize("name", MODELS)
def test_score_equals_reference(isa: str, name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    aggregates = ("window", "last", "mean") if metadata["horizon"] == 0 else ("window",)
    for aggregate in aggregates:
        for reduction in ("mse", "mae", "mahalanobis"):
            for per_feature in (False, True) if reduction != "mahalanobis" else (False,):
                options: dict[str, Any] = {
                    "reduction": reduction,
                    "aggregate": aggregate,
                    "per_feature": per_feature,
                }
                assert_close(model.score(series, offsets, **options), truth(name, **options))


@pytest.mark.parametrize("name", ["lstm_horizon3", "gru_before", "ae_lstm", "ae_gru_before"])
@pytest.mark.parametrize("stride", [2, 7])
def test_score_stride(isa: str, name: str, stride: int) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    for aggregate in ("window", "last", "mean") if metadata["horizon"] == 0 else ("window",):
        options: dict[str, Any] = {"aggregate": aggregate, "stride": stride}
        assert_close(model.score(series, offsets, **options), truth(name, **options))
    every = model.score(series, offsets)
    some = model.score(series, offsets, stride=stride)
    scored = ~np.isnan(some)
    np.testing.assert_array_equal(some[scored], every[scored])


@functools.cache
def true_outputs(name: str) -> tuple[np.ndarray, np.ndarray]:
    return predict_reference(*case(name)), encode_reference(*case(name))


@pytest.mark.parametrize("name", MODELS)
def test_score_predict_and_encode_equal_reference(isa: str, name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    for got, want in zip(
        (model.predict(series, offsets), model.encode(series, offsets)),
        true_outputs(name),
        strict=True,
    ):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def torch_layers(
    metadata: Any, tensors: Any, part: str, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the layers of `encoder` or `decoder`, and give out [N,W,..] and the last h [N,..]."""
    h_n = x
    for n, spec in enumerate(metadata[part]):
        module: Any = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[
            spec["cell"]
        ](
            spec["input_size"],
            spec["hidden_size"],
            batch_first=True,
            bias=f"{part}.{n}.bias_ih_l0" in tensors,
            bidirectional=spec["bidirectional"],
            **({"proj_size": spec["proj_size"]} if spec["proj_size"] else {}),
        )
        prefix = f"{part}.{n}."
        module.load_state_dict(
            {
                k.removeprefix(prefix): torch.from_numpy(v)
                for k, v in tensors.items()
                if k.startswith(prefix)
            }
        )
        x, final = module(x)
        h_n = final[0] if spec["cell"] == "lstm" else final
    return x, torch.cat(list(h_n), dim=1)


def torch_score(metadata: Any, tensors: Any, series: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Windows -> torch -> mean squared error, all in float32; scores [S]."""
    W, K = metadata["window"], metadata["horizon"]
    starts = window_starts(len(series), offsets, W, K)
    rows = torch.from_numpy(np.stack([series[s : s + W + K] for s in starts]))
    head_w = torch.from_numpy(tensors["head.weight"])
    head_b = torch.from_numpy(tensors.get("head.bias", np.zeros(len(head_w), np.float32)))
    with torch.inference_mode():
        _, code = torch_layers(metadata, tensors, "encoder", rows[:, :W])
        if metadata["decoder"]:
            y, _ = torch_layers(metadata, tensors, "decoder", code[:, None].repeat(1, W, 1))
            error = y @ head_w.T + head_b - rows
        else:
            columns = metadata["targets"] or list(range(series.shape[1]))
            pred = (code @ head_w.T + head_b).reshape(len(rows), K, -1)
            error = pred - rows[:, W:, columns]
    score = np.full(len(series), np.nan, np.float32)
    score[np.array(starts) + W + K - 1] = (error * error).mean(dim=(1, 2)).numpy()
    return score


def torch_has(spec: dict[str, Any]) -> bool:
    plain = spec["activation"] == "tanh" and spec["recurrent_activation"] == "sigmoid"
    return plain and bool(spec["reset_after"])


@pytest.mark.parametrize(
    "name",
    [n for n, m in MODELS.items() if all(map(torch_has, m["encoder"] + m.get("decoder", [])))],
)
def test_score_equals_torch(isa: str, name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    got = sc.SequenceModel(metadata, tensors).score(series, offsets)
    assert_close(got, torch_score(metadata, tensors, series, offsets))


@functools.cache
def sized_case(cell: str, size: int, autoencoder: bool) -> tuple[Any, ...]:
    """Metadata, tensors, series, offsets and the true scores of one awkward size."""
    rng = np.random.default_rng(size)
    features, window = (size * 5) % 34 + 1, (size * 7) % 33 + 1
    encoder = [layer(cell, size, reset_after=size % 2 == 0)]
    decoder = [layer(cell, (size + 1) // 2)] if autoencoder else None
    metadata, tensors = random_model(rng, encoder, decoder, features=features, window=window)
    offsets = np.concatenate([[0], np.cumsum([window + 70, 3, window + 1, window])])
    series = rng.random((offsets[-1], features), dtype=np.float32)
    want = score_reference(metadata, tensors, series, offsets)
    return metadata, tensors, series, offsets, want


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("autoencoder", [False, True])
def test_score_awkward_sizes(isa: str, cell: str, size: int, autoencoder: bool) -> None:
    """Hidden sizes and features around the vector lengths, windows of 1..33 rows."""
    metadata, tensors, series, offsets, want = sized_case(cell, size, autoencoder)
    assert_close(sc.SequenceModel(metadata, tensors).score(series, offsets), want)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_score_threads(isa: str, name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    one = all_scores(model, series, offsets, num_threads=1)
    for threads in (2, 4, None):
        for got, want in zip(
            all_scores(model, series, offsets, num_threads=threads), one, strict=True
        ):
            np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(
        model.predict(series, offsets, num_threads=1), model.predict(series, offsets, num_threads=4)
    )
    np.testing.assert_array_equal(
        model.encode(series, offsets, num_threads=1), model.encode(series, offsets, num_threads=4)
    )


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_score_entity_order(isa: str, name: str, rng: np.random.Generator) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    order = rng.permutation(len(offsets) - 1)
    rows = np.concatenate([np.arange(offsets[g], offsets[g + 1]) for g in order])
    permuted = np.concatenate([[0], np.cumsum(np.diff(offsets)[order])])
    for got, want in zip(
        all_scores(model, series[rows], permuted),
        all_scores(model, series, offsets),
        strict=True,
    ):
        np.testing.assert_array_equal(got, want[rows])


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_score_of_a_part_is_part_of_the_score(
    isa: str, name: str, rng: np.random.Generator
) -> None:
    """Wherever a series is cut, a window's score, prediction and code stay as they are."""
    metadata, tensors, series, _ = case(name)
    model = sc.SequenceModel(metadata, tensors)
    need = model.window + model.horizon
    whole, pred, codes = model.score(series), model.predict(series), model.encode(series)
    cuts = [(0, need), (1, need + 1), (5, 38), (17, 18 + need), (100, len(series))]
    cuts += [tuple(sorted(rng.choice(len(series), 2, replace=False))) for _ in range(6)]
    for first, last in cuts:
        part = model.score(series[first:last])
        np.testing.assert_array_equal(part[need - 1 :], whole[first + need - 1 : last])
        assert np.isnan(part[: need - 1]).all()
        count = max(0, last - first - need + 1)
        np.testing.assert_array_equal(
            model.predict(series[first:last]), pred[first : first + count]
        )
        np.testing.assert_array_equal(
            model.encode(series[first:last]), codes[first : first + count]
        )


def test_score_out(isa: str, poisoned: Any) -> None:
    for name in ("lstm16", "ae_relu_stack"):
        metadata, tensors, series, offsets = case(name)
        model = sc.SequenceModel(metadata, tensors)
        out = poisoned(len(series))
        assert model.score(series, offsets, out=out) is out
        np.testing.assert_array_equal(out, model.score(series, offsets))
        for aggregate in ("window", "last", "mean") if model.horizon == 0 else ("window",):
            out = poisoned(*series.shape)
            options: dict[str, Any] = {"per_feature": True, "aggregate": aggregate}
            assert model.score(series, offsets, out=out, **options) is out
            np.testing.assert_array_equal(out, model.score(series, offsets, **options))


@pytest.mark.parametrize("name", ["lstm16", "lstm_targets", "ae_lstm", "ae_window1"])
@pytest.mark.parametrize("rows", [0, 1])
def test_score_hardly_any_rows(isa: str, name: str, rows: int) -> None:
    metadata, tensors, series, _ = case(name)
    model = sc.SequenceModel(metadata, tensors)
    series = series[:rows]
    targets = model.num_targets
    for offsets in (None, [0, rows], [0, 0, rows, rows]):
        scores = model.score(series, offsets)
        assert scores.shape == (rows,)
        assert_close(scores, score_reference(metadata, tensors, series, offsets))
        assert model.score(series, offsets, per_feature=True).shape == (rows, targets)
        windows = len(window_starts(rows, offsets, model.window, model.horizon))
        steps = model.horizon or model.window
        assert model.predict(series, offsets).shape == (windows, steps, targets)
        size = output_size(metadata["encoder"][-1])
        assert model.encode(series, offsets).shape == (windows, size)
    if rows == 0:
        assert model.score(series, [0]).shape == (0,)  # no entities at all


def test_score_default_offsets_are_one_entity(isa: str) -> None:
    for name in (*list(FORECASTERS)[:2], "ae_lstm"):
        metadata, tensors, series, _ = case(name)
        model = sc.SequenceModel(metadata, tensors)
        want = score_reference(metadata, tensors, series)
        assert_close(model.score(series), want)
        np.testing.assert_array_equal(model.score(series, [0, len(series)]), model.score(series))

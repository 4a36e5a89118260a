"""The main job end to end on small data: parts, threshold, metrics, files."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from dataclasses import replace

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "pyarrow", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

import slidecell as sc  # noqa: E402
from slidecell.evaluate import evaluate  # noqa: E402
from slidecell.jobs.detect import DetectOptions  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.split import held_out_rows, name_parts, past_rows  # noqa: E402
from slidecell.tables.table import make_table  # noqa: E402
from slidecell.thresholds.smoothing import TrailingMean  # noqa: E402
from tests.detect_cases import PANEL, panel, run  # noqa: E402

FILES = {
    *("detector", "events.csv", "model.safetensors", "report.json", "scores.csv", "scores.png"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    return run(folder), folder / "out"


def test_detect_job_writes_four_files_and_nothing_else(done):
    result, out = done
    assert set(os.listdir(out)) == FILES
    assert sorted(result.report["files"]) == sorted(str(out / name) for name in FILES)
    assert (out / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_detect_job_scores_file_has_the_input_rows_in_order(done):
    result, out = done
    scores = pd.read_csv(out / "scores.csv")
    frame = panel()
    assert list(scores.columns) == ["user", "day", "score", "flagged", "part"]
    assert scores["user"].tolist() == frame["user"].tolist()
    assert scores["day"].tolist() == frame["day"].dt.strftime("%Y-%m-%d").tolist()
    position = np.tile(np.arange(60), 4)
    assert scores["score"].isna().tolist() == (position < 5).tolist()  # window 5 + horizon 1
    above = scores["score"].to_numpy(np.float64) > result.threshold
    assert scores["flagged"].tolist() == above.astype(int).tolist()


def test_detect_job_parts_are_by_time_in_each_entity_and_whole_entities_validate(done):
    _, out = done
    scores = pd.read_csv(out / "scores.csv")
    for _, rows in scores.groupby("user"):
        assert (rows["part"].iloc[42:] == "test").all()  # 0.7 of 60 rows
        assert rows["part"].iloc[:42].nunique() == 1
    past = scores.groupby("user")["part"].first()
    assert sorted(past) == ["train", "train", "train", "validation"]


def test_detect_job_threshold_is_the_percentile_of_the_scores_of_fitted_rows(tmp_path):
    result, out = run(tmp_path, percentile=95.0), tmp_path / "out"
    scores = pd.read_csv(out / "scores.csv")
    fitted = scores.loc[scores["part"] != "test", "score"].dropna().astype(np.float64)
    assert result.threshold == np.percentile(fitted, 95.0)
    assert result.report["threshold"] == {
        "kind": "percentile",
        "percentile": 95.0,
        "value": result.threshold,
    }
    flagged = result.report["flagged"]
    counted = flagged["train"]["flagged"] + flagged["validation"]["flagged"]
    assert counted == (fitted > result.threshold).sum()
    assert sum(part["rows"] for part in flagged.values()) == 240


def test_detect_job_default_threshold_is_the_share_of_the_rows_held_out(done):
    result, out = done
    scores = pd.read_csv(out / "scores.csv")
    held = scores.loc[scores["part"] == "validation", "score"].dropna().astype(np.float64)
    fitted = scores.loc[scores["part"] != "test", "score"].dropna().astype(np.float64)
    # 37 scores are too few for 1 % of them: of these the highest counts.
    assert len(held) == 37
    assert result.threshold == max(held.max(), np.percentile(fitted, 99.0))
    rule = result.report["threshold"]
    assert (rule["kind"], rule["rate"], rule["gap"]) == ("rate", None, None)
    assert rule["fitted"] == {"met": "1%", "merged": 24, "per_one": 0.01, "calibrated_by": 0.37}
    normal = (scores["part"] == "test") & (panel()["label"] == 0)
    seen = int((scores.loc[normal, "score"].astype(np.float64) > result.threshold).sum())
    assert result.report["rate"] == {
        "asked": "1%",
        "unit": "rows",
        "expected": 0.01 * 70,
        "low": None,
        "high": None,
        "seen": seen,
        "rate": f"{float(f'{100 * seen / 70:.3g}'):g}%",
        "part": "the test part without its labelled rows",
    }


def test_detect_job_metrics_are_of_the_test_part_only(done):
    result, out = done
    scores = pd.read_csv(out / "scores.csv")
    test = (scores["part"] == "test").to_numpy()
    labels = panel()["label"].to_numpy()
    offsets = [0, 18, 36, 54, 72]
    expected = evaluate(
        labels[test], scores["score"][test], threshold=result.threshold, offsets=offsets
    )
    assert result.report["metrics"] == expected.to_dict()
    assert expected.rows == 4 * 18
    assert expected.positives == expected.events == 2
    assert expected.prevalence == 2 / 72
    assert expected.roc_auc > 0.9


def test_detect_job_report_tells_options_data_training_and_machine(done):
    _, out = done
    report = json.loads((out / "report.json").read_text())
    assert report["command"] == "detect"
    assert report["options"]["hidden_size"] == [8]
    assert report["options"]["time"] == "day"
    assert report["data"]["features"] == ["load", "mail"]
    assert report["data"]["entities"] == 4
    assert report["data"]["parts"] == {"train": 126, "validation": 42, "test": 72}
    assert report["training"]["epochs"] == 1
    assert report["training"]["training_windows"] == 3 * 37
    assert report["machine"]["plan"]["isa"] == sc.active_isa()
    assert report["machine"]["versions"]["slidecell"] == sc.__version__
    assert set(report["seconds"]) == {"read", "train", "score", "write", "total"}


def test_detect_job_model_scores_the_raw_rows_alike(done):
    result, out = done
    model = sc.SequenceModel.load(out / "model.safetensors")
    assert model.features == ["load", "mail"]
    assert model.threshold["value"] == result.threshold
    assert model.metadata["smoothing"] == TrailingMean(20).state()
    offsets = np.arange(5) * 60
    scores = model.score(panel(), offsets, reduction=model.reduction)
    assert np.array_equal(TrailingMean(20).apply(scores, offsets), result.scores, equal_nan=True)


def test_detect_job_scaler_is_fitted_on_the_train_part_only(done):
    result, out = done
    scores = pd.read_csv(out / "scores.csv")
    train = panel().loc[scores["part"] == "train", ["load", "mail"]]
    scaler = result.model.scaler
    assert scaler["center"] == train.min().tolist()
    assert np.allclose(
        np.add(scaler["center"], scaler["scale"]), train.max().to_numpy(), rtol=1e-15, atol=0
    )


def test_detect_job_shuffled_rows_get_the_same_scores(done, tmp_path):
    frame = panel()
    # The first row of each user stays first, so that entities keep their order of appearance.
    order = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(240), [0, 60, 120, 180]))
    order = np.concatenate([[0, 60, 120, 180], order])
    run(tmp_path, frame.iloc[order])
    straight = pd.read_csv(done[1] / "scores.csv")
    shuffled = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert shuffled.equals(straight.iloc[order].reset_index(drop=True))


def test_detect_job_same_seed_same_bytes(done, tmp_path):
    run(tmp_path)
    for name in ("scores.csv", "model.safetensors", "scores.png"):
        assert (tmp_path / "out" / name).read_bytes() == (done[1] / name).read_bytes()
    run(tmp_path, seed=1)
    assert (tmp_path / "out/scores.csv").read_bytes() != (done[1] / "scores.csv").read_bytes()


def test_detect_job_parquet_in_parquet_out(done, tmp_path):
    result = run(tmp_path, name="in.parquet")
    assert set(os.listdir(tmp_path / "out")) == FILES - {"scores.csv"} | {"scores.parquet"}
    scores = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert scores["score"].dtype == np.float64
    assert pd.api.types.is_datetime64_any_dtype(scores["day"])
    assert np.array_equal(result.scores, done[0].scores, equal_nan=True)


@pytest.mark.parametrize(
    ("changes", "first_score"),
    [
        ({"horizon": 0}, 4),
        ({"horizon": 0, "hidden_size": (8,), "layers": 2, "cell": "gru"}, 4),
        ({"horizon": 3, "cell": "gru", "hidden_size": (8, 4), "scaler": "standard"}, 7),
        ({"window": 1, "horizon": 0, "scaler": "robust", "validation": 0.0}, 0),
    ],
)
def test_detect_job_networks(tmp_path, changes, first_score):
    result = run(tmp_path, **changes)
    nan = np.isnan(result.scores).reshape(4, 60)
    assert (nan == (np.arange(60) < first_score)).all()
    assert result.report["training"]["training_windows"] > 0


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, (64,)),
        ({"layers": 2}, (64, 64)),
        ({"hidden_size": (64, 32)}, (64, 32)),
        ({"horizon": 0}, (16, 8)),
        ({"horizon": 0, "hidden_size": (32,)}, (32,)),
        ({"horizon": 0, "hidden_size": (32,), "layers": 3}, (32, 16, 8)),
        ({"horizon": 0, "hidden_size": (9, 5)}, (9, 5)),
    ],
)
def test_detect_job_layer_sizes(changes, sizes):
    module = DetectOptions("f", "o", detector="forecast", **changes).make_detector()._make_module(2)
    assert tuple(layer.hidden_size for layer in module.encoder) == sizes
    assert tuple(layer.hidden_size for layer in module.decoder) == sizes[::-1] * (
        changes.get("horizon") == 0
    )


def test_detect_job_train_until_a_date(tmp_path):
    run(tmp_path, train_until="2024-02-01", validation=0.0, percentile=95.0)
    scores = pd.read_csv(tmp_path / "out" / "scores.csv", parse_dates=["day"])
    assert ((scores["part"] == "train") == (scores["day"] < "2024-02-01")).all()
    assert ((scores["part"] == "test") == (scores["day"] >= "2024-02-01")).all()


def test_detect_job_one_series_validates_with_its_last_part(tmp_path):
    frame = panel(users=1).drop(columns=["user", "label"])
    result = run(
        tmp_path, frame, table=TableOptions(time="day"), train_until="0.5", percentile=95.0
    )
    parts = result.part.tolist()
    assert parts == sorted(parts, key=["train", "validation", "test"].index)
    assert parts.count("test") == 30
    assert parts.count("validation") == 10  # a fifth of 25 windows, and the 5 rows they start with
    assert result.report["metrics"] is None
    assert result.threshold == np.percentile(result.scores[5:30].astype(np.float64), 95.0)


def test_detect_job_train_on_everything(tmp_path):
    result = run(tmp_path, train_until="1")
    assert "test" not in result.part
    assert result.report["metrics"]["note"] == "no row has a score"


def test_detect_job_test_file(tmp_path):
    train, test = panel(), panel(users=2, days=20)
    test["load"] += 100.0
    test.to_csv(tmp_path / "later.csv", index=False)
    result = run(tmp_path, train.drop(columns="label"), test=tmp_path / "later.csv")
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert len(scores) == 240 + 40
    assert (scores["part"].iloc[240:] == "test").all()
    assert set(scores["part"].iloc[:240]) == {"train", "validation"}
    first = scores["score"].iloc[240:].isna().to_numpy().reshape(2, 20)
    assert (first == (np.arange(20) < 5)).all()  # no history from the first file
    assert result.report["flagged"]["test"]["flagged"] == 30
    assert result.report["metrics"]["positives"] == 1
    assert result.model.scaler["center"][0] < 0


def test_detect_job_train_on_normal_leaves_labelled_windows_out(tmp_path):
    frame = panel()
    frame.loc[[10, 130], ["load", "label"]] = [50.0, 1]
    changes = {"validation": 0.0, "train_until": "0.5", "percentile": 95.0}
    everything = run(tmp_path, frame, **changes)
    normal = run(tmp_path, frame, train_on="normal", **changes)
    assert everything.report["training"]["training_windows"] == 4 * 25
    # Of 30 rows with number 10 labelled, windows of 6 rows fit 5 times before and 14 after it.
    assert normal.report["training"]["training_windows"] == 2 * 25 + 2 * (5 + 14)
    assert everything.model.scaler["scale"][0] > 40 > normal.model.scaler["scale"][0]
    assert set(normal.part[:30]) == {"train"}
    assert normal.threshold < normal.scores[10]


def test_detect_job_max_gap_and_duplicates_and_missing(tmp_path):
    frame = panel(users=1)
    frame = frame.drop(index=range(20, 25))
    frame.loc[50, "load"] = np.nan
    frame = pd.concat([frame, frame.iloc[[40]]])
    table = dataclasses.replace(PANEL, max_gap="2d", duplicates="last", entity=None)
    table = dataclasses.replace(table, exclude=("user",))
    result = run(tmp_path, frame, table=table)
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert len(scores) == 56
    assert result.report["data"]["gaps"] == 1
    assert scores["score"].iloc[20:25].isna().all()  # a new segment after the gap
    assert np.isfinite(scores["score"].iloc[25])
    assert np.isnan(scores["score"].iloc[40])  # the earlier of two rows of one time is not used
    assert pd.isna(scores["part"].iloc[40])
    assert np.isfinite(scores["score"].iloc[55])
    assert scores["score"].iloc[45:51].isna().all()  # windows that touch the missing cell
    filled = run(tmp_path, frame, table=dataclasses.replace(table, missing="ffill"))
    assert np.isfinite(filled.scores[45:51]).all()


def test_detect_job_metrics_of_one_class_say_so(tmp_path):
    result = run(tmp_path, panel().assign(label=0))
    metrics = result.report["metrics"]
    assert metrics["roc_auc"] is None
    assert metrics["recall"] is None
    assert "are labelled normal: ROC-AUC and PR-AUC need both" in metrics["note"]


def test_detect_job_numbers_as_times(tmp_path):
    frame = panel().assign(day=np.tile(np.arange(60) * 10, 4))
    result = run(tmp_path, frame, train_until="300", validation=0.0, percentile=95.0)
    assert (result.part.reshape(4, 60)[:, :30] == "train").all()
    assert (result.part.reshape(4, 60)[:, 30:] == "test").all()


def test_detect_job_split_never_straddles():
    table = make_table(panel(), PANEL)
    table = replace(table, features=np.arange(240.0)[:, None])  # each row is its own number
    past = past_rows(table, train_until="0.5")
    training = table.take(past)
    held = held_out_rows(training, window=5, horizon=1, fraction=0.3, seed=3)
    part = name_parts(table, past, past, held)
    for name, mask in (("train", ~held), ("validation", held)):
        taken = training.take(mask)
        rows = taken.features[:, 0].astype(int)
        assert len(rows) > 0
        assert set(part[rows]) == {name}
        for first, last in itertools.pairwise(taken.offsets):
            assert (np.diff(rows[first:last]) == 1).all()
            assert len(set(table.entities[rows[first:last]])) == 1
    assert set(part[~past]) == {"test"}


def test_detect_job_constant_column_is_reported(tmp_path):
    result = run(tmp_path, panel().assign(idle=3.0))
    assert result.report["data"]["constant_features"] == ["idle"]
    assert np.isfinite(result.scores[5])

"""The main job end to end on small data: parts, threshold, metrics, files, interrupts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "pyarrow", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

import slidecell as sc  # noqa: E402
from slidecell.detect.job import DetectOptions, run_detect  # noqa: E402
from slidecell.detect.outputs import OutputFolder  # noqa: E402
from slidecell.detect.rescore import ScoreOptions, run_score  # noqa: E402
from slidecell.detect.split import split_table  # noqa: E402
from slidecell.detect.table import TableOptions, make_table  # noqa: E402
from slidecell.evaluate import evaluate  # noqa: E402

FILES = {"model.safetensors", "report.json", "scores.csv", "scores.png"}
PANEL = TableOptions(time="day", entity="user", label="label")


def panel(users=4, days=60) -> pd.DataFrame:
    """Users of a weekly rhythm with a labelled spike in the last days of two of them."""
    rng = np.random.default_rng(1)
    frames = []
    for user in range(users):
        day = np.arange(days)
        frame = pd.DataFrame(
            {
                "user": f"u{user}",
                "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D"),
                "load": np.sin(day / 7 * 2 * np.pi) + rng.normal(0, 0.1, days),
                "mail": rng.poisson(5, days),
                "label": 0,
            }
        )
        if user % 2:
            frame.loc[days - 5, ["load", "label"]] = [8.0, 1]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def options(file, out, **changes):
    small = {"table": PANEL, "window": 5, "hidden_size": (8,), "epochs": 1, "num_threads": 1}
    return DetectOptions(file=file, out=out, **(small | changes))


def run(tmp_path, frame=None, name="in.csv", **changes):
    file = tmp_path / name
    frame = panel() if frame is None else frame
    if name.endswith(".csv"):
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file, index=False)
    return run_detect(options(file, tmp_path / "out", **changes), progress=False)


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
    above = scores["score"].to_numpy() > result.threshold
    assert scores["flagged"].tolist() == above.astype(int).tolist()


def test_detect_job_parts_are_by_time_in_each_entity_and_whole_entities_validate(done):
    _, out = done
    scores = pd.read_csv(out / "scores.csv")
    for _, rows in scores.groupby("user"):
        assert (rows["part"].iloc[42:] == "test").all()  # 0.7 of 60 rows
        assert rows["part"].iloc[:42].nunique() == 1
    past = scores.groupby("user")["part"].first()
    assert sorted(past) == ["train", "train", "train", "validation"]


def test_detect_job_threshold_is_the_percentile_of_training_scores_only(done):
    result, out = done
    scores = pd.read_csv(out / "scores.csv", dtype={"score": np.float32})
    train = scores.loc[scores["part"] == "train", "score"].dropna().astype(np.float64)
    assert result.threshold == np.percentile(train, 95.0)
    assert result.report["threshold"] == {
        "kind": "percentile",
        "percentile": 95.0,
        "value": result.threshold,
    }
    flagged = result.report["flagged"]
    assert flagged["train"]["flagged"] == (train > result.threshold).sum()
    assert sum(part["rows"] for part in flagged.values()) == 240


def test_detect_job_metrics_are_of_the_test_part_only(done):
    result, out = done
    scores = pd.read_csv(out / "scores.csv", dtype={"score": np.float32})
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
    scores = model.score(panel(), np.arange(5) * 60)
    assert np.array_equal(scores, result.scores, equal_nan=True)


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
    assert scores["score"].dtype == np.float32
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
    assert DetectOptions(file="f", out="o", **changes).sizes == sizes


def test_detect_job_train_until_a_date(tmp_path):
    run(tmp_path, train_until="2024-02-01", validation=0.0)
    scores = pd.read_csv(tmp_path / "out" / "scores.csv", parse_dates=["day"])
    assert ((scores["part"] == "train") == (scores["day"] < "2024-02-01")).all()
    assert ((scores["part"] == "test") == (scores["day"] >= "2024-02-01")).all()


def test_detect_job_one_series_validates_with_its_last_part(tmp_path):
    frame = panel(users=1).drop(columns=["user", "label"])
    result = run(tmp_path, frame, table=TableOptions(time="day"), train_until="0.5")
    parts = result.part.tolist()
    assert parts == sorted(parts, key=["train", "validation", "test"].index)
    assert parts.count("test") == 30
    assert parts.count("validation") == 10  # a fifth of 25 windows, and the 5 rows they start with
    assert result.report["metrics"] is None
    ends = [row for row in range(5, 60) if parts[row] == "train"]
    assert result.threshold == np.percentile(result.scores[ends].astype(np.float64), 95.0)


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
    changes = {"validation": 0.0, "train_until": "0.5"}
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


def test_detect_job_interrupt_leaves_what_was_there(tmp_path):
    out = tmp_path / "out"
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def interrupt(epoch, epochs, loss, validation):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_detect(options(tmp_path / "in.csv", out, epochs=3, seed=5), progress=interrupt)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(KeyboardInterrupt):
        run_detect(options(tmp_path / "in.csv", tmp_path / "a" / "b"), progress=interrupt)
    assert not (tmp_path / "a").exists()


def test_detect_job_failure_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("slidecell.detect.results.evaluate", fail)
    with pytest.raises(OSError, match="disk full"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_detect_job_output_folder_is_checked_before_the_file_is_read(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    for out in (blocked, blocked / "below"):
        with pytest.raises(OSError, match=r"output folder .*blocked.* cannot be written"):
            run_detect(options(tmp_path / "missing.csv", out), progress=False)
    assert blocked.read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_detect_job_read_only_output_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(OSError, match=r"output folder .*locked cannot be written: Permission"):
        run_detect(options(tmp_path / "missing.csv", folder), progress=False)


def test_detect_job_output_folder_files_get_usual_rights(tmp_path):
    umask = os.umask(0o022)
    try:
        with OutputFolder(tmp_path / "new") as folder:
            folder.add("a.txt", lambda path: path.write_text("a"))
    finally:
        os.umask(umask)
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "--window: expected a whole number >= 1, got 0"),
        ({"horizon": -1}, "--horizon: expected a whole number >= 0, got -1"),
        ({"epochs": 0}, "--epochs: expected a whole number >= 1, got 0"),
        ({"num_threads": 0}, "--threads: expected a whole number >= 1, got 0"),
        ({"batch_size": 0}, "--batch-size: expected a whole number >= 1, got 0"),
        ({"hidden_size": (8, 0)}, "--hidden-size: expected sizes >= 1"),
        ({"hidden_size": (8, 4), "layers": 3}, "--layers: expected 2, the number of hidden sizes"),
        ({"percentile": 100.0}, "--percentile: expected between 0 and 100, got 100"),
        ({"lr": 0.0}, "--lr: expected a number above 0, got 0"),
        ({"validation": 1.0}, "--validation: expected 0 up to below 1, got 1"),
        ({"cell": "rnn"}, "--cell: expected lstm, gru, got 'rnn'"),
        ({"scaler": "log"}, "--scaler: expected minmax, standard, robust, got 'log'"),
        ({"train_on": "good"}, "--train-on: expected all, normal, got 'good'"),
        ({"train_on": "normal", "table": TableOptions()}, "--train-on normal: needs --label"),
        ({"test": "t.csv", "train_until": "0.5"}, "--test: .* leave --train-until out"),
    ],
)
def test_detect_job_bad_options(changes, message):
    with pytest.raises(ValueError, match=message):
        options("f.csv", "out", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 60}, "no window to train on: one takes 61 rows .* has 42; give more rows"),
        ({"train_until": "2031-01-01"}, "no row at or after 2031-01-01; times run from 2024-01-01"),
        ({"train_until": "2001-01-01"}, "no row before 2001-01-01"),
        ({"train_until": "soon"}, "--train-until: expected a date like 2024-01-31, got 'soon'"),
        (
            {"train_until": "0.5", "table": TableOptions(time="score")},
            "column 'score' has the name",
        ),
    ],
)
def test_detect_job_bad_input_leaves_no_folder(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **changes)
    assert not (tmp_path / "out").exists()


def test_detect_job_never_replaces_its_input(tmp_path):
    (tmp_path / "out").mkdir()
    panel().to_csv(tmp_path / "out" / "scores.csv", index=False)
    before = (tmp_path / "out" / "scores.csv").read_bytes()
    with pytest.raises(ValueError, match=r"--out: its scores\.csv would replace the input"):
        run_detect(options(tmp_path / "out" / "scores.csv", tmp_path / "out"), progress=False)
    assert (tmp_path / "out" / "scores.csv").read_bytes() == before


def test_detect_job_numbers_as_times(tmp_path):
    frame = panel().assign(day=np.tile(np.arange(60) * 10, 4))
    result = run(tmp_path, frame, train_until="300", validation=0.0)
    assert (result.part.reshape(4, 60)[:, :30] == "train").all()
    assert (result.part.reshape(4, 60)[:, 30:] == "test").all()


def test_detect_job_one_row_and_time_without_a_column(tmp_path):
    with pytest.raises(ValueError, match=r"in\.csv: no window to train on: one takes 6 rows"):
        run(tmp_path, pd.DataFrame({"x": [1.0]}), table=TableOptions())
    with pytest.raises(ValueError, match=r"--train-until: .*a time needs --time.*got '2024-02-01'"):
        run(tmp_path, pd.DataFrame({"x": [1.0]}), table=TableOptions(), train_until="2024-02-01")


def test_detect_job_missing_cells_everywhere(tmp_path):
    frame = panel()
    frame.loc[::4, "load"] = np.nan
    with pytest.raises(ValueError, match=r"no window to train on: .*windows touch missing cells"):
        run(tmp_path, frame)


def test_detect_job_split_never_straddles():
    table = make_table(panel(), PANEL)
    split = split_table(table, window=5, horizon=1, train_until="0.5", validation=0.3, seed=3)
    for validation in (False, True):
        rows, offsets = split.take(np.arange(240)[:, None], validation=validation)
        names = {"train", "validation", "test"} - {"validation" if validation else "train", "test"}
        assert not set(split.part[rows[:, 0]]) & names
        for first, last in itertools.pairwise(offsets):
            assert (np.diff(rows[first:last, 0]) == 1).all()
            assert len(set(table.entities[rows[first:last, 0]])) == 1


def test_detect_job_constant_column_is_reported(tmp_path):
    result = run(tmp_path, panel().assign(idle=3.0))
    assert result.report["data"]["constant_features"] == ["idle"]
    assert np.isfinite(result.scores[5])


def test_detect_job_score_with_the_saved_model(done, tmp_path):
    result, out = done
    file = tmp_path / "new.csv"
    frame = panel().rename(columns={"label": "truth"})
    frame[["truth", "mail", "user", "load", "day"]].to_csv(file, index=False)
    scored = run_score(ScoreOptions(out / "model.safetensors", file, tmp_path / "s", label="truth"))
    assert set(os.listdir(tmp_path / "s")) == {"scores.csv", "report.json", "scores.png"}
    assert np.array_equal(scored.scores, result.scores, equal_nan=True)
    assert scored.threshold == result.threshold
    assert set(scored.part) == {"test"}
    assert scored.report["metrics"]["rows"] == 4 * 55
    table = pd.read_csv(tmp_path / "s" / "scores.csv")
    assert list(table.columns) == ["user", "day", "score", "flagged", "part"]


def test_detect_job_score_overrides_columns(done, tmp_path):
    _, out = done
    model = out / "model.safetensors"
    frame = panel(users=1).rename(columns={"day": "when"}).drop(columns=["user", "label"])
    frame.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ValueError, match=r"--time: no column 'day' in .*new\.csv"):
        run_score(ScoreOptions(model, tmp_path / "new.csv", tmp_path / "s"))
    scored = run_score(
        ScoreOptions(model, tmp_path / "new.csv", tmp_path / "s", time="when", entity="")
    )
    assert pd.read_csv(tmp_path / "s" / "scores.csv").columns[0] == "when"
    assert np.isfinite(scored.scores[5:]).all()


def test_detect_job_score_names_a_missing_feature(done, tmp_path):
    _, out = done
    panel().drop(columns="mail").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ValueError, match=r"--features: no column 'mail' in .*new\.csv"):
        run_score(ScoreOptions(out / "model.safetensors", tmp_path / "new.csv", tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_detect_job_score_too_short_a_file_says_so(done, tmp_path):
    _, out = done
    panel(users=1, days=5).to_csv(tmp_path / "new.csv", index=False)
    scored = run_score(
        ScoreOptions(out / "model.safetensors", tmp_path / "new.csv", tmp_path / "s")
    )
    assert np.isnan(scored.scores).all()
    assert "no row has a score: a window takes 6 rows" in scored.report["data"]["notes"][-1]


def test_detect_job_score_without_threshold_or_names(done, tmp_path):
    result, _ = done
    result.model.with_metadata(threshold=None, features=None).save(tmp_path / "m.safetensors")
    frame = panel().drop(columns="label")
    frame.to_csv(tmp_path / "new.csv", index=False)
    scored = run_score(
        ScoreOptions(tmp_path / "m.safetensors", tmp_path / "new.csv", tmp_path / "s")
    )
    assert np.array_equal(scored.scores, result.scores, equal_nan=True)
    assert not scored.flagged.any()
    assert "the model has no threshold" in scored.report["data"]["notes"][-1]
    frame.assign(more=1.0).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ValueError, match=r"expected 2 feature columns .*got 3: load, mail, more"):
        run_score(ScoreOptions(tmp_path / "m.safetensors", tmp_path / "new.csv", tmp_path / "s"))


def test_detect_job_score_damaged_model(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"\xff" * 40)
    panel().to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ValueError, match=r"m\.safetensors"):
        run_score(ScoreOptions(tmp_path / "m.safetensors", tmp_path / "new.csv", tmp_path / "s"))

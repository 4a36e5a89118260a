"""Loaders of published sets: made-up folders, damaged files, and the real ones where at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from slidecell.datasets import (  # noqa: E402
    CARD_FEATURES,
    load_asd,
    load_card_fraud,
    load_nab,
    load_smap_msl,
    load_smd,
)

ROWS = np.arange(12.0).reshape(6, 2)
LABEL = np.array([0, 0, 1, 1, 0, 0])


def archive(path: Path, **changes: object) -> Path:
    """Write an archive of one channel; None leaves an array out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"train": ROWS[:4], "test": ROWS, "test_label": LABEL, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_loaders_archives_in_natural_order(tmp_path):
    for name in ("A-10", "A-2", "T-10"):
        archive(tmp_path / "channels" / f"{name}.npz")
    every = load_smap_msl(tmp_path)
    assert [series.name for series in every] == ["A-2", "A-10"]
    one = load_smap_msl(tmp_path, "A-2")
    np.testing.assert_array_equal(one.train, ROWS[:4])
    np.testing.assert_array_equal(one.test_label, LABEL)
    assert one.test_label.dtype == np.int64
    assert one.prevalence == pytest.approx(1 / 3)


def test_loaders_channel_without_labels_is_refused_by_name(tmp_path):
    archive(tmp_path / "channels" / "T-10.npz")
    with pytest.raises(ValueError, match="channel: T-10 has no labels"):
        load_smap_msl(tmp_path, "T-10")
    assert load_smap_msl(tmp_path) == []


def test_loaders_published_channels(tmp_path):
    for part, rows in (("train", ROWS[:3]), ("test", ROWS)):
        (tmp_path / part).mkdir()
        np.save(tmp_path / part / "P-2.npy", rows)
    table = tmp_path / "labeled_anomalies.csv"
    head = "chan_id,spacecraft,anomaly_sequences,class,num_values\n"
    line = 'P-2,SMAP,"[[{}, {}]]",[point],6\n'
    table.write_text(head + line.format(1, 2) + line.format(5, 5))
    # The last row of a span belongs to it; a channel may have several lines.
    assert load_smap_msl(tmp_path, "P-2").test_label.tolist() == [0, 1, 1, 0, 0, 1]
    table.write_text(head + 'P-2,SMAP,"[[1]]",[point],6\n')
    with pytest.raises(ValueError, match=r"channel P-2: expected anomaly_sequences .* '\[\[1\]\]'"):
        load_smap_msl(tmp_path, "P-2")
    table.write_text(head)
    with pytest.raises(ValueError, match="expected a line for channel P-2"):
        load_smap_msl(tmp_path)


def test_loaders_published_machines(tmp_path):
    for part, rows in (("train", ROWS[:3]), ("test", ROWS), ("test_label", LABEL[:, None])):
        (tmp_path / part).mkdir()
        np.savetxt(tmp_path / part / "machine-1-1.txt", rows, delimiter=",", fmt="%g")
    one = load_smd(tmp_path, "machine-1-1")
    np.testing.assert_array_equal(one.test, ROWS)
    np.testing.assert_array_equal(one.test_label, LABEL)
    for content in ("1,2\n3,oops\n", "", "1,2\n3\n"):
        (tmp_path / "train" / "machine-1-1.txt").write_text(content)
        with pytest.raises(ValueError, match=r"machine-1-1.txt: expected comma-separated numbers"):
            load_smd(tmp_path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"test_label": None}, "expected the arrays train, test, test_label, got no test_label"),
        ({"test_label": LABEL[:3]}, r"labels: expected \[6\], one per row, got \[3\]"),
        ({"test_label": LABEL * 2}, "labels: expected 0 and 1"),
        ({"train": ROWS[:, :1]}, "as many columns in train as in test, got 1 and 2"),
        ({"train": ROWS[:0]}, r"train: expected numbers \[S, F\] .* got \[0, 2\]"),
        ({"test": np.array([["a"]])}, r"test: expected numbers .* got \[1, 1\] of dtype <U1"),
        ({"test": np.array([[{}]], object)}, "expected a .npz file of plain arrays"),
    ],
)
def test_loaders_damaged_arrays(tmp_path, changes, text):
    archive(tmp_path / "omi-1.npz", **changes)
    with pytest.raises(ValueError, match=text) as caught:
        load_asd(tmp_path)
    assert "omi-1.npz" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing more", b"not an archive at all"])
def test_loaders_damaged_archive(tmp_path, content):
    (tmp_path / "omi-1.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"omi-1.npz: expected a .npz file"):
        load_asd(tmp_path, "omi-1")


def test_loaders_array_in_place_of_an_archive(tmp_path):
    np.save(tmp_path / "omi-1.npy", ROWS)
    (tmp_path / "omi-1.npy").rename(tmp_path / "omi-1.npz")
    with pytest.raises(ValueError, match="got one array without a name"):
        load_asd(tmp_path)


def test_loaders_cut_archive(tmp_path):
    path = archive(tmp_path / "omi-1.npz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"omi-1.npz: expected a .npz file"):
        load_asd(tmp_path)


@pytest.mark.parametrize("load", [load_smap_msl, load_smd, load_asd, load_nab])
def test_loaders_absent_or_empty_folder(tmp_path, load):
    with pytest.raises(FileNotFoundError, match=r"folder: expected .* not there"):
        load(tmp_path / "nowhere")
    (tmp_path.parent / f"{tmp_path.name}.csv").write_text("")
    with pytest.raises(FileNotFoundError, match=r"folder: expected .*\.csv: a file"):
        load(tmp_path.parent / f"{tmp_path.name}.csv")
    with pytest.raises(FileNotFoundError, match=r"folder: expected .* got none"):
        load(tmp_path)


def test_loaders_unknown_name(tmp_path):
    archive(tmp_path / "machine-1-6.npz")
    with pytest.raises(ValueError, match="machine: expected one of machine-1-6, got '9'"):
        load_smd(tmp_path, "9")


@pytest.fixture
def nab(tmp_path):
    (tmp_path / "data" / "made").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    times = pd.date_range("2024-01-01", periods=20, freq="5min")
    frame = pd.DataFrame({"timestamp": times, "value": np.arange(20.0)})
    frame.to_csv(tmp_path / "data" / "made" / "one.csv", index=False)
    spans = {"made/one.csv": [["2024-01-01 00:25:00.000000", "2024-01-01 00:35:00.000000"]]}
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(spans))
    return tmp_path


def test_loaders_nab_cuts_and_labels_by_time(nab):
    (series,) = load_nab(nab)
    assert (len(series.train), len(series.test)) == (3, 17)  # 15 %
    assert np.flatnonzero(series.test_label).tolist() == [2, 3, 4]
    assert series.test_time[2] == np.datetime64("2024-01-01T00:25")
    half = load_nab(nab, "made/one.csv", train_share=0.5)
    assert np.flatnonzero(half.train_label).tolist() == [5, 6, 7]
    assert half.test_label.sum() == 0


def test_loaders_nab_errors(nab):
    with pytest.raises(ValueError, match="train_share: expected between 0 and 1, got 1"):
        load_nab(nab, train_share=1.0)
    with pytest.raises(ValueError, match="too few for a training and a test part"):
        load_nab(nab, train_share=0.01)
    windows = nab / "labels" / "combined_windows.json"
    for content, text in (
        ("{", "expected JSON"),
        ("[]", "expected windows by file name, got list"),
        ("{}", "expected windows of made/one.csv, got none"),
        ('{"made/one.csv": [["soon"]]}', r"expected \[first, last\] times for one.csv"),
    ):
        windows.write_text(content)
        with pytest.raises(ValueError, match=text):
            load_nab(nab)
    (nab / "data" / "made" / "one.csv").write_text("timestamp,price\n2024-01-01,1\n")
    windows.write_text('{"made/one.csv": []}')
    with pytest.raises(ValueError, match=r"one.csv: expected timestamp,value lines"):
        load_nab(nab)


def cards(rows: int = 5) -> pd.DataFrame:
    values = np.arange(rows * 29, dtype=np.float64).reshape(rows, 29)
    frame = pd.DataFrame(values, columns=list(CARD_FEATURES))
    return frame.assign(Class=[0, 1] * (rows // 2) + [0] * (rows % 2), Time=range(rows))


@pytest.mark.parametrize("name", ["creditcard.csv", "creditcard_f32.parquet"])
def test_loaders_card_fraud_file_or_folder(tmp_path, name):
    frame = cards()
    if name.endswith("csv"):
        frame.to_csv(tmp_path / name, index=False)
    else:
        frame.to_parquet(tmp_path / name)
    for path in (tmp_path, tmp_path / name):
        rows = load_card_fraud(path)
        assert rows.columns[0] == "V1"
        assert rows.columns[28] == "Amount"
        np.testing.assert_array_equal(rows.series, frame[list(CARD_FEATURES)])
        assert rows.label.tolist() == [0, 1, 0, 1, 0]
        assert rows.time.tolist() == [0, 1, 2, 3, 4]


def test_loaders_card_fraud_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path: expected one of creditcard.csv"):
        load_card_fraud(tmp_path)
    with pytest.raises(FileNotFoundError, match="not there"):
        load_card_fraud(tmp_path / "x.csv")
    file = tmp_path / "creditcard.csv"
    cards().drop(columns=["V3", "Time"]).to_csv(file, index=False)
    with pytest.raises(ValueError, match=r"Amount, Class, but Time, V3 are missing"):
        load_card_fraud(file)
    cards()[["Time", "Amount"]].to_csv(file, index=False)
    with pytest.raises(ValueError, match="but V1, V2, V3, V4 and 25 more are missing"):
        load_card_fraud(file)
    cards().assign(Class=3).to_csv(file, index=False)
    with pytest.raises(ValueError, match="labels: expected 0 and 1"):
        load_card_fraud(file)
    cards().assign(V2="much").to_csv(file, index=False)
    with pytest.raises(ValueError, match="expected numbers, got could not convert"):
        load_card_fraud(file)
    damaged = tmp_path / "creditcard.parquet"
    damaged.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match="damaged Parquet file"):
        load_card_fraud(damaged)


_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("SLIDECELL_DATA", _BESIDE))


def real(name: str) -> Path:
    """Return the folder of a set, or skip."""
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} in {DATA}: set SLIDECELL_DATA to a folder with it")
    return DATA / name


@pytest.mark.parametrize(
    ("name", "load", "columns"),
    [("smap_msl", load_smap_msl, {25, 55}), ("smd", load_smd, {38}), ("asd", load_asd, {19})],
)
def test_loaders_real_telemetry(name, load, columns):
    every = load(real(name))
    assert {series.test.shape[1] for series in every} == columns
    assert all(0.0 < series.prevalence < 0.9 for series in every)


def test_loaders_real_channel_labels_agree_with_the_published_spans():
    folder = real("smap_msl")
    from slidecell.datasets.telemetry import _span_labels

    # E-2 and C-1 have one and two spans; P-1 three, out of order.
    for name in ("E-2", "C-1", "P-1"):
        one = load_smap_msl(folder, name)
        spans = _span_labels(folder / "labeled_anomalies.csv", name, len(one.test))
        np.testing.assert_array_equal(one.test_label, spans)


def test_loaders_real_nab():
    every = load_nab(real("nab"))
    assert all(series.train_label.sum() == 0 for series in every)
    spikes = next(series for series in every if series.name.endswith("jumpsup.csv"))
    assert len(spikes.train) + len(spikes.test) == 4032
    assert spikes.test_label.sum() == 403


def test_loaders_real_card_fraud():
    rows = load_card_fraud(real("creditcard"))
    assert rows.series.shape == (284_807, 29)
    assert rows.label.sum() == 492
    assert np.isfinite(rows.series).all()

"""The insider-threat study: source size, rhythm, roles, incidents, files."""

from __future__ import annotations

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

import slidecell as sc  # noqa: E402
from slidecell.datasets import (  # noqa: E402
    INSIDER_FEATURES,
    INSIDER_KINDS,
    inject_incidents,
    insider_threat_study,
    load_insider_study,
)
from slidecell.datasets.study import split_users  # noqa: E402


@pytest.fixture(scope="module")
def source_size():
    return insider_threat_study()


@pytest.fixture(scope="module")
def study():
    return insider_threat_study(users=150, seed=2, injected_users=12)


def test_datasets_study_has_the_windows_of_the_published_one(source_size):
    assert source_size.counts.shape == (1_394_010, 7)
    assert len(sc.WindowPlan(source_size.offsets, window=7)) == 1_366_010
    expected = {
        ("train", "validation"): (3200, 1_114_121, 1_091_721),
        ("test",): (800, 279_889, 274_289),
        ("train",): (2560, 891_296, 873_376),
        ("validation",): (640, 222_825, 218_345),
    }
    for parts, (users, rows, windows) in expected.items():
        part = source_size.select(*parts)
        assert (len(part.users), len(part.counts)) == (users, rows)
        assert len(sc.WindowPlan(part.offsets, window=7, horizon=1)) == windows == rows - 7 * users


def test_datasets_study_injects_a_tenth_of_the_test_users(source_size):
    lengths = np.diff(source_size.offsets)
    injected = np.add.reduceat(source_size.label, source_size.offsets[:-1]) > 0
    assert injected.sum() == 80
    assert set(source_size.part[injected]) == {"test"}
    assert lengths.min() > 7


def test_datasets_study_rows_are_in_order(study):
    assert study.offsets[0] == 0
    assert study.offsets[-1] == len(study.counts)
    for first, stop in zip(study.offsets[:-1], study.offsets[1:], strict=True):
        assert (np.diff(study.day[first:stop]) > np.timedelta64(0, "D")).all()
    assert len(set(study.users)) == 150
    assert study.counts.dtype == np.int32
    assert study.counts.min() >= 0


def test_datasets_study_week_has_a_rhythm(study):
    weekday = (study.day - np.datetime64("2024-01-01")).astype(int) % 7
    rows = np.bincount(weekday, minlength=7)
    assert rows[5:].max() < 0.3 * rows[:5].min()
    mail = np.bincount(weekday, study.counts[:, 6]) / rows
    assert mail[4] < 0.9 * mail[1]  # Friday, Tuesday
    assert mail[5:].max() < 0.8 * mail[:5].min()


def test_datasets_study_counts_fit_together(study):
    logins, off_hour, ops, copied = study.counts[study.label == 0, :4].T
    assert (logins >= off_hour).all()
    assert (ops >= copied).all()
    means = np.stack([
        np.add.reduceat(study.counts[:, f], study.offsets[:-1]) / np.diff(study.offsets)
        for f in range(7)
    ])  # fmt: skip
    assert (means.max(axis=1) > 4 * means.min(axis=1)).all()  # roles and habits differ


def test_datasets_study_incidents_change_labelled_rows_only():
    plain = insider_threat_study(users=60, seed=5, injected_users=0)
    assert plain.label.sum() == 0
    study = inject_incidents(plain, 6, seed=1)
    changed = (study.counts != plain.counts).any(axis=1)
    assert not changed[study.label == 0].any()
    assert changed[study.label == 1].mean() > 0.95
    np.testing.assert_array_equal(study.label, study.kind > 0)
    np.testing.assert_array_equal(study.day, plain.day)
    default = insider_threat_study(users=60, seed=5)
    np.testing.assert_array_equal(
        default.counts[default.label == 0], plain.counts[default.label == 0]
    )


def test_datasets_study_kinds_do_what_they_say(study):
    kind = np.array(INSIDER_KINDS)[study.kind]
    means = {name: study.counts[kind == name].mean(axis=0) for name in set(kind)}
    logins, off_hour, _, copied, _, uploads, mail = range(7)
    assert set(means) == set(INSIDER_KINDS[:4])
    assert means["exfiltration"][copied] > 10 * means["none"][copied]
    assert means["credential misuse"][off_hour] > 5 * means["none"][off_hour]
    assert means["credential misuse"][mail] == 0
    assert means["slow drift"][uploads] > 2 * means["none"][uploads]
    # The drift grows: what is copied in its last third is more than in its first.
    for user in range(len(study.users)):
        rows = np.arange(study.offsets[user], study.offsets[user + 1])
        rows = rows[kind[rows] == "slow drift"]
        if len(rows):
            third = len(rows) // 3
            first, last = study.counts[rows[:third]], study.counts[rows[-third:]]
            assert last[:, copied].mean() > 2 * first[:, copied].mean()
    assert means["credential misuse"][logins] > means["none"][logins]


def test_datasets_study_incidents_begin_in_the_last_three_fifths(study):
    for first, stop in zip(study.offsets[:-1], study.offsets[1:], strict=True):
        labelled = np.flatnonzero(study.label[first:stop])
        if len(labelled):
            assert labelled[0] >= 2 * (stop - first) // 5
            assert (np.diff(labelled) == 1).all()


def test_datasets_study_same_seed_same_rows(study):
    again = insider_threat_study(users=150, seed=2, injected_users=12)
    for name in ("counts", "offsets", "users", "part", "day", "label", "kind"):
        np.testing.assert_array_equal(getattr(again, name), getattr(study, name))
    other = insider_threat_study(users=150, seed=3, injected_users=12)
    assert other.counts.shape == study.counts.shape
    assert not np.array_equal(other.counts, study.counts)


@pytest.mark.parametrize("users", [5, 6, 11, 37])
def test_datasets_study_other_sizes(users):
    study = insider_threat_study(users=users)
    assert set(study.part) == {"train", "validation", "test"}
    assert len(study.counts) == pytest.approx(348.5 * users, rel=1e-3)


def test_datasets_split_spreads_groups():
    groups = np.repeat([0, 1, 2], [100, 50, 10])
    part = split_users(160, np.random.default_rng(0), groups=groups)
    assert [(part == name).sum() for name in ("train", "validation", "test")] == [102, 26, 32]
    for group, size in ((0, 100), (1, 50), (2, 10)):
        tested = (part[groups == group] == "test").sum()
        assert abs(tested - 0.2 * size) <= 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"users": 4}, "users: expected a whole number of at least 5, got 4"),
        ({"users": 10, "injected_users": 3}, r"injected_users: expected 0 to 2 \(test users\)"),
        ({"users": 10, "injected_users": -1}, "injected_users: expected a whole number"),
    ],
)
def test_datasets_study_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        insider_threat_study(**arguments)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_datasets_study_file_round_trip(tmp_path, suffix):
    study = insider_threat_study(users=10, seed=1)
    frame = study.frame().sample(frac=1.0, random_state=0)  # rows in any order
    file = tmp_path / f"behavioral_features.{suffix}"
    frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    read = load_insider_study(file)
    np.testing.assert_array_equal(read.counts, study.counts)
    np.testing.assert_array_equal(read.offsets, study.offsets)
    np.testing.assert_array_equal(read.users, study.users)
    np.testing.assert_array_equal(read.day, study.day)
    np.testing.assert_array_equal(read.label, study.label)
    assert set(read.kind[read.label == 1]) == {INSIDER_KINDS.index("other")}
    assert sorted(read.part) == ["test"] * 2 + ["train"] * 6 + ["validation"] * 2


def test_datasets_study_file_empty_cells_and_numbered_days(tmp_path):
    frame = insider_threat_study(users=5).frame()[["user", "day", *INSIDER_FEATURES]]
    frame["day"] = np.arange(len(frame))
    frame["usb_events"] = frame["usb_events"].astype(float)
    frame.loc[3, "usb_events"] = np.nan
    frame.to_csv(tmp_path / "f.csv", index=False)
    read = load_insider_study(tmp_path / "f.csv")
    assert np.isnan(read.counts).sum() == 1
    assert read.day[:3].tolist() == [0, 1, 2]
    assert read.label.sum() == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.drop(columns="usb_events"), "but usb_events is missing"),
        (lambda f: f[f["user"] == "U0001"], "expected at least 5 users to split, got 1"),
        (lambda f: f.assign(user=""), "expected a user in every row"),
        (lambda f: f.assign(file_ops="many"), "expected numbers, got could not convert"),
        (lambda f: f.assign(label=2), "labels: expected 0 and 1"),
        (lambda f: f.assign(day="soon"), "time column 'day': 'soon' in data row 1"),
    ],
)
def test_datasets_study_file_errors(tmp_path, change, text):
    change(insider_threat_study(users=5).frame()).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(ValueError, match=text) as caught:
        load_insider_study(tmp_path / "f.csv")
    assert "f.csv" in str(caught.value)

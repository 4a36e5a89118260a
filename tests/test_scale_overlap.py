"""Blocks that are scored by themselves behind carried rows: the bits of one process."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")
pytest.importorskip("sklearn")

from slidecell.detect import PCADetector, WindowPCADetector, ZScoreDetector  # noqa: E402
from slidecell.scale import score_parquet  # noqa: E402
from slidecell.scale.arrivals import UnsortedError  # noqa: E402
from slidecell.scale.overlap import CARRIED, Overlap  # noqa: E402
from slidecell.scale.sources import Batch  # noqa: E402
from slidecell.scale.table_scorer import TableScorer  # noqa: E402
from slidecell.tables.columns import NoColumnError  # noqa: E402
from slidecell.tables.row_error import RowError  # noqa: E402
from tests.scale_cases import DETECTORS, OPTIONS, fleet, write_files  # noqa: E402


def one_process(detector: Any, frame: Any, tmp_path: Path) -> Any:
    out = tmp_path / "scores.parquet"
    score_parquet(detector, write_files(tmp_path / "in", frame), out, **OPTIONS)
    return pd.read_parquet(out)


def sent(value: Any) -> Any:
    """Return a value as another process gets it: its arrays may be read-only."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


def by_blocks(detector: Any, table: Any, cuts: list[int]) -> Any:
    """Score blocks as workers do: each with its own scorer, the last one first."""
    blocks = [table.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(table)], strict=True)]
    overlap = TableScorer(sent(detector), **OPTIONS).overlap(table.schema)
    carried = []
    for block in blocks:
        overlap = sent(overlap)
        carried.append(overlap.put_before(Batch(block, "rows", 0, 0)))
    scorers = [TableScorer(sent(detector), **OPTIONS) for _ in range(2)]
    numbered = list(enumerate(carried))[::-1]
    scored = dict(sorted((n, scorers[n % 2](block)) for n, block in numbered))
    if scorers[0].decides_by_row:
        return pa.concat_tables(scored.values()).to_pandas()
    state, decided = None, []
    for n, block in scored.items():
        done, state = scorers[n % 2].decide(block, sent(state))
        decided.append(done)
    return pa.concat_tables(decided).to_pandas()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("cuts", [[], [1, 2, 3, 50, 51, 300], [0, 299, 299, 600]])
def test_blocks_have_the_bits_of_one_process(name: str, cuts: list[int], tmp_path: Path) -> None:
    frame = fleet(600)
    detector = DETECTORS[name](frame)
    want = one_process(detector, frame, tmp_path)
    got = by_blocks(detector, pa.Table.from_pandas(frame, preserve_index=False), cuts)
    assert list(got.columns) == ["id", "at", "x", "y", "score", "flagged"]
    pd.testing.assert_frame_equal(got[frame.columns], frame)
    assert got["score"].dtype == want["score"].dtype
    np.testing.assert_array_equal(got["score"], want["score"])
    assert got["flagged"].tolist() == want["flagged"].tolist()
    assert got["flagged"].sum() > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_groups_have_the_bits_of_one_process(name: str, tmp_path: Path) -> None:
    frame = fleet(600)
    detector = DETECTORS[name](frame)
    want = one_process(detector, frame, tmp_path)
    scorer = TableScorer(detector, **OPTIONS)
    for _, group in frame.groupby("id"):
        mixed = group.sample(frac=1.0, random_state=0)
        got = scorer(pa.Table.from_pandas(mixed, preserve_index=False)).to_pandas()
        np.testing.assert_array_equal(got["score"], want["score"][mixed.index])
        assert got["flagged"].tolist() == want["flagged"][mixed.index].tolist()


@pytest.mark.parametrize("name", ["zscore", "cusum", "network"])
def test_events_are_those_of_one_process(name: str, tmp_path: Path) -> None:
    frame = fleet(600)
    detector = DETECTORS[name](frame)
    out, events = tmp_path / "scores.parquet", tmp_path / "events.csv"
    score_parquet(detector, write_files(tmp_path / "in", frame), out, events=events, **OPTIONS)
    scored = pa.Table.from_pandas(pd.read_parquet(out).sample(frac=1.0, random_state=0))
    scorer = TableScorer(detector, **OPTIONS)
    parts = [
        scorer.events(scored.filter(pc.equal(scored["id"], key))) for key in frame["id"].unique()
    ]
    want = pd.read_csv(events, dtype={"id": str}).drop(columns="part")
    want = want.rename(columns={"entity": "id"}).astype({"id": str})
    for found in (pa.concat_tables(parts), scorer.events(scored)):
        got = found.to_pandas()
        assert list(got.columns) == list(want.columns)
        got = got.assign(start=got["start"].astype(str), end=got["end"].astype(str))
        got = got.sort_values(["id", "start"], ignore_index=True)
        expected = want.sort_values(["id", "start"], ignore_index=True)
        pd.testing.assert_frame_equal(got, expected, check_exact=True, check_dtype=False)
    assert len(want) > 0
    assert scorer.events(scored.slice(0, 0)).num_rows == 0
    with pytest.raises(ValueError, match="time: expected a column, got none: events are runs"):
        TableScorer(detector, entity="id", time="").events(scored)


def test_what_is_carried() -> None:
    frame = fleet(600)
    table = pa.Table.from_pandas(frame.assign(note="text"), preserve_index=False)
    overlap = TableScorer(DETECTORS["window"](frame), **OPTIONS).overlap(table.schema)
    overlap.put_before(Batch(table.slice(0, 300), "rows", 0, 0))
    found = overlap.put_before(Batch(table.slice(300, 100), "rows", 0, 0)).to_pandas()
    carried = found[found.pop(CARRIED)]
    # W - 1 rows of each entity, none behind the gap of three hours, which is at row 301
    for key, rows in carried.groupby("id"):
        before = frame[:300][frame["id"][:300] == key].tail(11)
        got = rows[frame.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(got, before.reset_index(drop=True))
    assert carried["note"].isna().all()
    assert set(carried["id"]) == set(frame["id"])
    third = overlap.put_before(Batch(table.slice(400, 100), "rows", 0, 0)).to_pandas()
    assert third[third[CARRIED]]["at"].min() > frame["at"][301] - pd.Timedelta("1h")


def test_filled_rows_are_carried_with_the_types_that_they_have() -> None:
    columns = {"id": ["a", "a", "a"], "x": [7, None, None], "y": [None, 2.5, None]}
    types = pa.schema({"id": pa.string(), "x": pa.int32(), "y": pa.float64()})
    first = pa.table(columns, schema=types)
    fitted = pd.DataFrame({"id": "a", "x": [1.0, 2, 4, 3], "y": [1.0, 3, 2, 5]})
    detector = PCADetector(entity="id", missing="ffill").fit(fitted)
    overlap = TableScorer(detector).overlap(first.schema)
    overlap.put_before(Batch(first, "rows", 0, 0))
    found = overlap.put_before(Batch(first.slice(1, 1), "rows", 0, 0))
    assert found.schema.types[:3] == first.schema.types
    assert found.column("x").to_pylist() == [7, None]
    assert found.column("y").to_pylist() == [2.5, 2.5]


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda f: f.iloc[::-1], UnsortedError, r"block 1: row \d+: .* is earlier than the row"),
        (lambda f: f.drop(columns="x"), NoColumnError, "features: no column 'x' in block 1"),
        (lambda f: f.drop(columns="id"), NoColumnError, "entity: no column 'id' in block 1"),
        (lambda f: f.assign(y="text"), ValueError, "block 1: column 'y': expected numbers, got"),
        (
            lambda f: f.assign(id=1),
            ValueError,
            "block 1: entity column 'id': expected .* got int64",
        ),
        (lambda f: f.assign(id=None), ValueError, "block 1: .* column 'id': expected .* got null"),
        (lambda f: f.assign(at=f["at"].max()), ValueError, "is the time of the row before it too"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(change: Any, kind: Any, text: str) -> None:
    frame = fleet(300)
    detector = DETECTORS["zscore"](frame)
    tables = [
        pa.Table.from_pandas(part, preserve_index=False)
        for part in (frame[:100], change(frame[100:]))
    ]
    overlap = TableScorer(detector, duplicates="error").overlap(tables[0].schema)
    overlap.put_before(Batch(tables[0], "block 0", 0, 0))
    with pytest.raises(kind, match=text) as found:
        overlap.put_before(Batch(tables[1], "block 1", 0, 0))
    assert str(sent(found.value)) == str(found.value)  # a worker sends it


def test_errors_are_sent_whole() -> None:
    error = sent(RowError("'?' in ", np.array([1]), " is no number"))
    assert str(error) == "'?' in data row 2 is no number"
    assert str(error.with_lines(np.array([2, 4]))) == "'?' in data row 2 (line 4) is no number"
    assert sent(NoColumnError("no column", "--time")).flag == "--time"


def test_tables_that_do_not_fit_are_refused() -> None:
    frame = fleet(300)
    detector = DETECTORS["zscore"](frame)
    scorer = TableScorer(detector)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pytest.raises(ValueError, match="column 'score': the scores have this name; rename it"):
        scorer(table.append_column("score", table.column("x")))
    with pytest.raises(NoColumnError, match="time: no column 'at' in the table"):
        scorer(table.drop_columns(["at"]))
    assert len(scorer(table)) == 300
    assert len(scorer(table.slice(0, 0))) == 0
    assert scorer(table.slice(0, 0)).schema == scorer(table).schema
    with pytest.raises(ValueError, match=r"entity column 'id': expected .*string as in the first"):
        scorer(table.set_column(0, "id", pa.array(np.arange(300))))
    with pytest.raises(TypeError, match="model_or_detector: expected a Detector"):
        TableScorer(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_threads: expected an integer >= 1, got 0"):
        TableScorer(detector, num_threads=0)


def test_a_detector_that_needs_later_rows_is_scored_by_groups() -> None:
    X = np.random.default_rng(0).normal(size=(200, 1))
    detector = WindowPCADetector(window=5, align="cover").fit(X)
    table = pa.table({"x": X[:, 0]})
    with pytest.raises(ValueError, match=r"align='cover': .*; score it by groups: cut='groups'"):
        TableScorer(detector).overlap(table.schema)
    got = TableScorer(detector)(table).column("score").to_numpy()
    np.testing.assert_array_equal(got, detector.score_samples(X))


def test_the_threads_of_a_scorer_are_those_of_its_detector() -> None:
    from slidecell.detect import KMeansDetector

    detector = KMeansDetector(window=3, random_state=0).fit(np.arange(200.0)[:, None] % 7)
    assert TableScorer(sent(detector), num_threads=2).detector.num_threads == 2
    assert TableScorer(sent(detector)).detector.num_threads is None


def test_rows_without_keys_are_one_series() -> None:
    options = TableScorer(ZScoreDetector().fit([[0.0], [1.0], [2.0]])).options
    overlap = Overlap(options, ["x"], {}, length=3)
    rows = pa.table({"x": [1.0, 2.0, 3.0]})
    assert len(overlap.put_before(Batch(rows, "rows", 0, 0))) == 3
    second = overlap.put_before(Batch(rows, "rows", 0, 0))
    assert second.column("x").to_pylist() == [2.0, 3.0, 1.0, 2.0, 3.0]
    assert len(overlap.put_before(Batch(rows.slice(0, 0), "rows", 0, 0))) == 0

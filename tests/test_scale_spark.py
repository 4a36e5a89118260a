"""Spark, a real one with two tasks: the bits of one process, streams that are killed, refusals."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark.sql", reason="Spark is not installed: .ci/scale has it")
pytest.importorskip("google.protobuf", reason="Spark's streams need protobuf: .ci/scale has it")
pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from pyspark.errors import PythonException, StreamingQueryException  # noqa: E402
from pyspark.sql import SparkSession, functions  # noqa: E402

from slidecell.detect import ZScoreDetector  # noqa: E402
from slidecell.scale import score_parquet  # noqa: E402
from slidecell.scale.spark import find_events, score_frame, score_stream  # noqa: E402
from slidecell.scale.table_scorer import TableScorer  # noqa: E402
from tests.scale_cases import (  # noqa: E402
    DETECTORS,
    keep_digest,
    network,
    random_cuts,
    shared_fleet,
    write_files,
)
from tests.scale_cases import fleet as any_fleet  # noqa: E402

# Spark's own sockets are not ours to close.
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[1]
OPTIONS: dict[str, Any] = {"entity": "id", "time": "at", "max_gap": "1h"}
SESSION = {
    "spark.ui.enabled": "false",
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
    # A short run: what Java would compile best and collect in parallel is never worth it.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    # An hour comes twice here every autumn.
    "spark.sql.session.timeZone": "Europe/Berlin",
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
}


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    # Two tasks at a time; one that fails is tried once more.
    builder = SparkSession.builder.master("local[2, 2]")
    for name, value in SESSION.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


def fleet(rows: int) -> Any:
    """Return rows over the night in which Berlin's clocks go back."""
    frame = any_fleet(rows)
    shift = pd.Timestamp("2024-10-26 20:00") - frame["at"].iloc[0]
    return frame.assign(
        at=(frame["at"] + shift).dt.tz_localize("UTC").astype("datetime64[us, UTC]")
    )


def one_process(model: Any, source: Path, tmp_path: Path) -> Any:
    out = tmp_path / "scores.parquet"
    score_parquet(model, source, out, duplicates="error", **OPTIONS)
    return pd.read_parquet(out)


def check(got: Any, want: Any, frame: Any) -> None:
    """Compare rows, which may be a first part, bit for bit."""
    got = got.sort_values("at", ignore_index=True)
    assert list(got.columns) == [*frame.columns, "score", "flagged"]
    size = len(got)
    assert got["at"].dt.tz_convert("UTC").tolist() == frame["at"][:size].tolist()
    assert got["id"].tolist() == frame["id"][:size].tolist()
    for name in ("x", "y"):
        np.testing.assert_array_equal(got[name].to_numpy(), frame[name].to_numpy()[:size])
    assert got["score"].dtype == want["score"].dtype
    np.testing.assert_array_equal(got["score"].to_numpy(), want["score"].to_numpy()[:size])
    assert got["flagged"].tolist() == want["flagged"][:size].tolist()
    assert got["flagged"].sum() > 0


@pytest.mark.parametrize("cut", ["groups", "blocks"])
@pytest.mark.parametrize("name", ["network", "average", "cusum"])
def test_the_bits_of_one_process(spark: Any, cut: Any, name: str, tmp_path: Path) -> None:
    frame = fleet(600)
    source = write_files(tmp_path / "in", frame)
    want = one_process(DETECTORS[name](frame), source, tmp_path)
    given: Any = DETECTORS[name](frame)
    if name == "network":
        given = tmp_path / "model.safetensors"
        network().save(given)
    mixed = spark.read.parquet(str(source)).orderBy(functions.rand(0))
    scored = score_frame(mixed, given, cut=cut, block_rows=40, duplicates="error", **OPTIONS)
    kind = "float" if name == "network" else "double"
    assert [f.dataType.simpleString() for f in scored.schema.fields[-2:]] == [kind, "tinyint"]
    check(scored.toArrow().to_pandas(), want, frame)
    if cut == "groups":
        events = find_events(scored, given, **OPTIONS).toArrow().sort_by("start")
        whole = pa.Table.from_pandas(want, preserve_index=False)
        expected = TableScorer(DETECTORS[name](frame), **OPTIONS).events(whole).sort_by("start")
        assert events.to_pydict() == expected.to_pydict()
        assert len(events) > 0


def test_the_shared_fleet_cut_anywhere(spark: Any, tmp_path: Path) -> None:
    frame = shared_fleet()
    want = one_process(network(), write_files(tmp_path / "in", frame), tmp_path)
    keep_digest("one-process-beside-spark", want)
    source = tmp_path / "cut"
    source.mkdir()
    for number, cut in enumerate(random_cuts(len(frame), 6, seed=0)):
        frame[cut].to_parquet(source / f"{number}.parquet", index=False)
    for block_rows in np.random.default_rng(1).integers(8, 200, 2):
        scored = score_frame(
            spark.read.parquet(str(source)),
            network(),
            cut="blocks",
            block_rows=int(block_rows),
            duplicates="error",
            **OPTIONS,
        )
        got = scored.toArrow().to_pandas().sort_values("at", ignore_index=True)
        check(got, want, frame)
    assert len(got) == len(frame)
    keep_digest("spark", got)


class Mortal(ZScoreDetector):
    """A detector whose first worker is killed in the middle of its work."""

    grave: Path

    def _score(self, rows: Any) -> Any:
        if len(rows) > 1 and not self.grave.exists():
            self.grave.write_text(str(os.getpid()))
            os.kill(os.getpid(), 9)
        return super()._score(rows)


def test_a_worker_that_dies_is_replaced(spark: Any, tmp_path: Path) -> None:
    frame = fleet(300)
    detector = Mortal(entity="id", time="at", contamination=0.02)
    detector.grave = tmp_path / "grave"
    detector.grave.write_text("nobody")
    detector.fit(frame)
    source = write_files(tmp_path / "in", frame)
    want = one_process(detector, source, tmp_path)
    detector.grave.unlink()
    scored = score_frame(spark.read.parquet(str(source)), detector, duplicates="error", **OPTIONS)
    check(scored.toArrow().to_pandas(), want, frame)
    assert detector.grave.read_text().isdigit()  # a worker died, which was not this process
    assert int(detector.grave.read_text()) != os.getpid()


def test_one_long_series_without_an_entity(spark: Any, tmp_path: Path) -> None:
    frame = fleet(300).drop(columns="id")
    source = write_files(tmp_path / "in", frame)
    options = {"entity": "", "time": "at", "duplicates": "error"}
    out = tmp_path / "scores.parquet"
    score_parquet(network(), source, out, **options)
    scored = score_frame(spark.read.parquet(str(source)), network(), block_rows=16, **options)
    got = scored.toArrow().to_pandas().sort_values("at")
    np.testing.assert_array_equal(got["score"], pd.read_parquet(out)["score"])
    assert len(got) == 300


def rows_of(spark: Any, source: Path, *, wait: str, files: int = 1) -> Any:
    """Return a stream of files, of which so many are a batch."""
    schema = spark.read.parquet(str(source)).schema
    read = spark.readStream.schema(schema).option("maxFilesPerTrigger", files)
    return read.parquet(str(source)).withWatermark("at", wait)


def run(scored: Any, folder: Path) -> Any:
    writer = scored.writeStream.option("checkpointLocation", str(folder / "checkpoint"))
    writer = writer.trigger(availableNow=True)
    query = writer.start(str(folder / "scores"), format="parquet", outputMode="append")
    query.awaitTermination()
    return query


def test_a_stream_whose_rows_come_out_of_order_and_too_late(spark: Any, tmp_path: Path) -> None:
    frame = fleet(400)
    want = one_process(DETECTORS["average"](frame), write_files(tmp_path / "in", frame), tmp_path)
    # Within 20 rows, which are 20 minutes, they come in any order; then two that are hours late.
    order = np.argsort(np.arange(400) + np.random.default_rng(0).uniform(0, 20, 400))
    late = frame.iloc[[3, 5]].assign(x=50.0)
    source = write_files(tmp_path / "mixed", pd.concat([frame.iloc[order], late]), files=3)
    names = sorted(source.iterdir())
    for age, name in enumerate(names):
        os.utime(name, (1e9 + age, 1e9 + age))  # Spark takes the oldest first
    scored = score_stream(
        rows_of(spark, source, wait="30 minutes"), DETECTORS["average"](frame), **OPTIONS
    )
    query = run(scored, tmp_path)
    got = spark.read.parquet(str(tmp_path / "scores")).toArrow().to_pandas()
    assert len(got) == 400 - 30  # those of the last 30 minutes wait on
    check(got, want, frame)
    dropped = [p["stateOperators"][0]["numRowsDroppedByWatermark"] for p in query.recentProgress]
    assert sum(dropped) == 2

    other = score_stream(rows_of(spark, source, wait="30 minutes"), network(), **OPTIONS)
    at = (frame["at"][:50] + pd.Timedelta("1D")).astype("datetime64[us, UTC]")
    next_day = frame[:50].assign(at=at)
    next_day.to_parquet(source / "next.parquet", index=False)
    with pytest.raises(StreamingQueryException, match="of another model, or of other options"):
        run(other, tmp_path)


KILLED = """
    import os, random, signal, sys, threading, time
    from pathlib import Path
    from pyspark.sql import SparkSession
    from slidecell.scale.spark import score_stream
    from tests.test_scale_spark import OPTIONS, SESSION, rows_of, run

    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    builder = SparkSession.builder.master("local[2]")
    for name, value in SESSION.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    java = spark.sparkContext._gateway.proc.pid

    def kill():
        # Soon after one or two more batches have made a step, each time another one.
        chance = random.Random(seed)
        steps = ["checkpoint/offsets/*", "scores/*.parquet", "checkpoint/state/**/*.zip",
                 "scores/_spark_metadata/*", "checkpoint/commits/*"]
        step = steps[seed % 5]

        def count():
            files = list(folder.glob(step))
            numbers = [int(file.name.split(".")[0]) for file in files if file.name[0].isdecimal()]
            return len(files) if "." in step else max(numbers, default=-1)

        most = count() + chance.randint(1, 2)
        while count() < most:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.1))
        os.killpg(os.getpgid(java), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    rows = rows_of(spark, folder / "in", wait="5 minutes")
    run(score_stream(rows, folder / "detector", **OPTIONS), folder)
"""


def test_a_stream_that_is_killed_goes_on(spark: Any, tmp_path: Path) -> None:
    # Each kill takes another start of Java. More of them, on request.
    kills = int(os.environ.get("SLIDECELL_TEST_KILLS", "2"))
    frame = fleet(300)
    detector = DETECTORS["cusum"](frame)
    detector.save(tmp_path / "detector")
    # A file is a batch, and a kill takes two at most. What is left is one batch.
    source = write_files(tmp_path / "in", frame, files=2 * kills + 2)
    # Of more than ten files the names are in another order than the times.
    want = one_process(detector, source, tmp_path).sort_values("at", ignore_index=True)
    for age, name in enumerate(sorted(source.iterdir(), key=lambda name: int(name.stem))):
        os.utime(name, (1e9 + age, 1e9 + age))
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done: list[int] = []  # batches that were whole at each kill
    for seed in range(kills):
        killed = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), str(seed)],
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": paths},
            start_new_session=True,
            capture_output=True,
            text=True,
            check=False,
        )
        assert killed.returncode == -9, killed.stderr
        done.append(len(list((tmp_path / "checkpoint" / "commits").glob("*"))))
    assert done == sorted(done)
    assert done[-1] < 2 * kills + 2  # it was not over
    rest = rows_of(spark, source, wait="5 minutes", files=len(frame))
    run(score_stream(rest, detector, **OPTIONS), tmp_path)
    # Files of a batch that was killed lie there too: Spark's log says which ones count.
    got = spark.read.parquet(str(tmp_path / "scores")).toArrow().to_pandas()
    assert len(got) == 300 - 5
    check(got, want, frame)


def test_what_does_not_fit_is_refused(spark: Any) -> None:
    frame = fleet(100)
    detector = DETECTORS["zscore"](frame)
    rows = spark.createDataFrame(frame)

    def refused(given: Any, text: str, **options: Any) -> None:
        with pytest.raises(ValueError, match=text):
            score_frame(given, detector, **{"duplicates": "error", **options})

    refused(rows.drop("y"), "features: no column 'y' in the DataFrame")
    refused(rows.withColumnRenamed("y", "score"), "column 'score': the scores have this name")
    refused(rows.withColumn("y", functions.lit("a")), "column 'y': expected numbers, got string")
    refused(rows, "time: expected a column, got none", time="")
    refused(rows, "duplicates: expected 'error', got 'keep'", duplicates="keep")
    refused(rows, "cut: expected one of 'groups', 'blocks', got 'rows'", cut="rows")
    refused(rows, "cut: expected 'blocks' without an entity", cut="groups", entity="")
    refused(rows, "block_rows: expected an integer >= 1, got 0", cut="blocks", block_rows=0)
    refused(rows, "expected 'groups' with missing='ffill'", cut="blocks", missing="ffill")
    text = rows.withColumn("at", functions.col("at").cast("string"))
    refused(text, "time: expected a timestamp or a number in 'at', got string", cut="blocks")
    with pytest.raises(ValueError, match="time: expected a timestamp in column 'at', got string"):
        score_stream(text, detector)
    with pytest.raises(ValueError, match="entity: expected a column for a stream, got none"):
        score_stream(rows, detector, entity="")
    twice = score_frame(rows.union(rows), detector, cut="blocks", duplicates="error")
    with pytest.raises(PythonException) as found:
        twice.collect()
    assert "is the time of the row before it too" in str(found.value)


def test_the_example_runs(spark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[1] / "python" / "examples" / "spark_frame.py"
    runpy.run_path(str(path), run_name="__main__")
    out = capsys.readouterr().out
    assert "the bits of one process: True" in out
    assert re.search(r"worst event: machine b, hours 8\d\d to 8\d\d", out), out

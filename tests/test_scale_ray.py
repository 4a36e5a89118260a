"""Ray Data, a real one with two workers: the bits of one process, and what it refuses."""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed: .ci/scale has it")
pytest.importorskip("ray.data", reason="Ray Data is not installed: .ci/scale has it")
pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from slidecell.detect import ZScoreDetector  # noqa: E402
from slidecell.scale import score_parquet  # noqa: E402
from slidecell.scale.ray import RayScorer, find_events, score_dataset  # noqa: E402
from slidecell.scale.table_scorer import TableScorer  # noqa: E402
from tests.scale_cases import (  # noqa: E402
    DETECTORS,
    OPTIONS,
    fleet,
    keep_digest,
    network,
    random_cuts,
    shared_fleet,
    write_files,
)

# Ray's own threads and files are not ours to close.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Start Ray with two CPUs for workers, and one for the tasks that read."""
    root = Path(__file__).parents[1]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Workers inherit what is set here. They give way to every other process unless told otherwise.
    settings = {"PYTHONPATH": paths, "RAY_worker_niceness": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, configure_logging=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.default_hash_shuffle_parallelism = 3
    yield
    ray.shutdown()


def one_process(model: Any, source: Path, tmp_path: Path) -> Any:
    out = tmp_path / "scores.parquet"
    score_parquet(model, source, out, **OPTIONS)
    return pd.read_parquet(out)


def check(scored: Any, want: Any, frame: Any) -> None:
    """Compare all rows, in the order of time, bit for bit."""
    blocks = pa.concat_tables(ray.get(scored.to_arrow_refs()))
    got = blocks.to_pandas().sort_values("at", ignore_index=True)
    assert list(got.columns) == [*frame.columns, "score", "flagged"]
    for name in frame.columns:
        np.testing.assert_array_equal(got[name].to_numpy(), frame[name].to_numpy())
    assert got["score"].dtype == want["score"].dtype
    np.testing.assert_array_equal(got["score"].to_numpy(), want["score"].to_numpy())
    assert got["flagged"].tolist() == want["flagged"].tolist()
    assert got["flagged"].sum() > 0


def test_a_model_file_by_blocks(tmp_path: Path) -> None:
    frame = fleet(600)
    source = write_files(tmp_path / "in", frame)
    network().save(tmp_path / "model.safetensors")
    dataset = ray.data.read_parquet(str(source)).repartition(5)
    before = dataset.context.execution_options.preserve_order
    scored = score_dataset(
        dataset, tmp_path / "model.safetensors", cut="blocks", concurrency=2, **OPTIONS
    )
    check(scored, one_process(network(), source, tmp_path), frame)
    assert scored.materialize().num_blocks() == 5
    assert dataset.context.execution_options.preserve_order == before


def test_the_shared_fleet_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = shared_fleet()
    source = write_files(tmp_path / "in", frame)
    want = one_process(network(), source, tmp_path)
    keep_digest("one-process-beside-ray", want)
    # Blocks of few rows are divided too: in four for each actor, or in pieces as long at most.
    monkeypatch.setattr("slidecell.scale.ray._LEAST_ROWS", 16)
    for seed, parts in ((0, 1), (1, 7)):
        cuts = random_cuts(len(frame), parts, seed)
        blocks = [pa.Table.from_pandas(frame[cut], preserve_index=False) for cut in cuts]
        scored = score_dataset(
            ray.data.from_arrow(blocks), network(), cut="blocks", concurrency=2, **OPTIONS
        ).materialize()
        whole = pa.concat_tables(ray.get(scored.to_arrow_refs())).to_pandas()
        whole = whole.sort_values("at", ignore_index=True)
        check(scored, want, frame)
        size = -(-len(frame) // 8)
        assert scored.num_blocks() == sum(-(-(cut.stop - cut.start) // size) for cut in cuts)
    keep_digest("ray", whole)


@pytest.mark.parametrize("cut", ["groups", "blocks"])
def test_a_detector_that_smooths_and_one_that_remembers(cut: Any, tmp_path: Path) -> None:
    name = {"groups": "average", "blocks": "cusum"}[cut]
    frame = fleet(600)
    detector = DETECTORS[name](frame)
    source = write_files(tmp_path / "in", frame, files=2)
    mixed = frame.sample(frac=1.0, random_state=0) if cut == "groups" else frame
    dataset = ray.data.from_pandas([mixed[:250], mixed[250:]])
    scored = score_dataset(dataset, detector, cut=cut, concurrency=2, **OPTIONS).materialize()
    check(scored, one_process(detector, source, tmp_path), frame)
    blocks = pa.concat_tables(ray.get(scored.to_arrow_refs()))
    want = TableScorer(detector, **OPTIONS).events(blocks).sort_by("start")
    found = find_events(scored, detector, **OPTIONS).to_arrow_refs()
    got = pa.concat_tables([block for block in ray.get(found) if len(block)]).sort_by("start")
    assert got.select(want.column_names).to_pydict() == want.to_pydict()
    assert len(want) > 0


class Mortal(ZScoreDetector):
    """A detector whose first worker is killed in the middle of its work."""

    def _score(self, rows: Any) -> Any:
        grave = Path(os.environ["SLIDECELL_TEST_GRAVE"])
        if len(rows) > 1 and not grave.exists():
            grave.write_text(str(os.getpid()))
            os.kill(os.getpid(), 9)
        return super()._score(rows)


def test_a_worker_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = fleet(300)
    source = write_files(tmp_path / "in", frame)
    grave = tmp_path / "grave"
    grave.write_text("nobody")
    monkeypatch.setenv("SLIDECELL_TEST_GRAVE", str(grave))
    detector = Mortal(entity="id", time="at", contamination=0.02).fit(frame)
    want = one_process(detector, source, tmp_path)
    grave.unlink()
    dataset = ray.data.from_pandas([frame[:100], frame[100:200], frame[200:]])
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        made = dataset.map_batches(
            RayScorer,
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=1,
            fn_constructor_args=[detector],
            fn_constructor_kwargs=OPTIONS,
            runtime_env={"env_vars": {"SLIDECELL_TEST_GRAVE": str(grave)}},
        )
        check(made, want, frame)
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert grave.read_text().isdigit()  # a worker died here, which was not this process
    assert int(grave.read_text()) != os.getpid()


def test_rows_that_do_not_fit_are_refused() -> None:
    frame = fleet(300)
    detector = DETECTORS["zscore"](frame)

    def refused(parts: Any, text: str, kind: type[Exception] = ValueError, **options: Any) -> None:
        options = {"cut": "blocks", **options}
        with pytest.raises(kind, match=text):
            score_dataset(ray.data.from_pandas(parts), detector, **options)

    refused([frame[100:], frame[:100]], "block 1: row 1: .* is earlier than the row before it of")
    other = frame[100:].assign(id=1)
    refused([frame[:100], other], r"block 1: entity column 'id': expected .*string as in .* int64")
    refused([frame[:100], frame[100:].drop(columns="y")], "no column 'y' in ")
    refused([frame.drop(columns="y")], "features: no column 'y' in the dataset", cut="groups")
    refused([frame.rename(columns={"y": "score"})], "column 'score': the scores have this name")
    refused([frame], "cut: expected one of 'groups', 'blocks', got 'rows'", cut="rows")
    refused([frame], "cut: expected 'blocks' without an entity", cut="groups", entity="")
    refused([frame], "concurrency: expected an integer >= 1, got 0", concurrency=0)
    with pytest.raises(TypeError, match=r"dataset: expected a ray\.data\.Dataset, got DataFrame"):
        score_dataset(frame, detector)


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[1] / "python" / "examples" / "ray_dataset.py"
    runpy.run_path(str(path), run_name="__main__")
    out = capsys.readouterr().out
    assert "the bits of one process: True" in out
    assert re.search(r"worst event: machine b, hours 8\d\d to 8\d\d", out), out

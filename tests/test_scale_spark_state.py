"""States of Spark's keys, without Spark: they go on in any parts, and refuse what is not theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from slidecell.detect.streams.stream_file import pack_state, unpack_state  # noqa: E402
from slidecell.scale.spark_state import KeyedState  # noqa: E402
from slidecell.scale.table_scorer import TableScorer  # noqa: E402
from tests.scale_cases import DETECTORS, random_cuts, shared_fleet  # noqa: E402

OPTIONS: dict[str, Any] = {"entity": "id", "time": "at", "max_gap": "1h", "duplicates": "keep"}


def rows(key: str = "a", **changes: Any) -> Any:
    frame = shared_fleet()
    frame = frame[frame["id"] == key].reset_index(drop=True).assign(**changes)
    return frame.assign(micros=frame["at"].astype("int64"))


def state_of(detector: Any, frame: Any, **options: Any) -> KeyedState:
    schema = pa.Schema.from_pandas(frame.drop(columns="micros"), preserve_index=False)
    scorer = TableScorer(detector, **{**OPTIONS, **options})
    return KeyedState(scorer, schema.remove_metadata(), "at", "micros")


@pytest.mark.parametrize("name", ["network", "average", "cusum"])
def test_rows_in_any_parts_have_the_bits_of_all_at_once(name: str) -> None:
    frame = rows()
    keyed = state_of(DETECTORS[name](shared_fleet()), frame)
    end = int(frame["micros"].iloc[-1]) // 1000
    whole, _, wake = keyed.go_on("a", None, [frame], end)
    assert wake is None
    state, parts, due = None, [], 0
    for cut in random_cuts(len(frame), 9, seed=3):
        watermark = int(frame["micros"].iloc[cut.start]) // 1000 - 1
        scored, state, _ = keyed.go_on("a", state, [frame[cut]], watermark)
        assert (0 if scored is None else len(scored)) == cut.start - due
        due = cut.start
        parts += [] if scored is None else [scored]
    parts.append(keyed.go_on("a", state, [], end)[0])
    got = pd.concat(parts, ignore_index=True)
    assert len(got) == len(frame)
    np.testing.assert_array_equal(got["score"], whole["score"])
    assert got["flagged"].tolist() == whole["flagged"].tolist()
    assert np.isfinite(got["score"]).any()


def test_states_of_something_else_are_refused() -> None:
    frame = rows()
    detector = DETECTORS["zscore"](shared_fleet())
    keyed = state_of(detector, frame)
    _, state, _ = keyed.go_on("a", None, [frame[:20]], 0)

    def refused(other: KeyedState, text: str, state: bytes = state) -> None:
        with pytest.raises(ValueError, match=f"the state of key 'a'.*{text}"):
            other.go_on("a", state, [], 0)

    other_model = "it is of another model, or of other options"
    refused(state_of(DETECTORS["average"](frame), frame), other_model)
    refused(state_of(detector, frame, max_gap="2h"), other_model)
    more = rows(site="north")
    columns = r"with other columns: expected .*, site \(.*string\) as the rows now, got id .*"
    refused(state_of(detector, more), columns + r"y \(double\): begin a new checkpoint")
    text, parts = unpack_state(state, source="here")
    newer = pack_state({**text, "format": 99}, parts)
    refused(keyed, r"another version of slidecell wrote it \(format 99, expected 1\)", newer)
    with pytest.raises(ValueError, match="the state of key 'a'"):
        keyed.go_on("a", state[:-3], [], 0)

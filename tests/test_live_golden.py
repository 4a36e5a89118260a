"""The whole output of a hard input, written down: it stays what it is, however lines come."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")
pytest.importorskip("pandas")

import pandas as pd

from slidecell.detect import ZScoreDetector
from slidecell.live import entities, reading
from tests.live_lines import KEYS, live_in_pieces

# Times that stand still and go back, a gap, new entities and one too many; cells that are empty,
# quoted, no numbers, infinite, too large; lines with other cells, an open quote, bytes that are no
# text; and no end of the last line. The scores are distances from 2 and 0, exact in any arithmetic.
CSV = """\ufeffnote,t,heat,host,load

x,10,2.5,a,0.5
x,10,2,b,0
x,11,9,a,0.25
x,11,"2",b,-1
x,12,8,a,
,12,nan,"b",0.5
\x20\x20
x,13,2,a,0.5
x,14,2,a,0.5
x,13,2.5,b,0.5
x,13,2.5,b,0.5
x,12,2.5,b,0.5
x,15,hot,a,0.5
x,16,2.5,a,0.5
x,14,2.5,b
x,15,2.5,b,0.5
x,17,2.5,a,0.5
x,15,2.5,,0.5
x,16,7,"b",0.5
x,18,7,a,0.5
x,17,"7,b,0.5
x,19,2.5,a,0.5
x,17,2.5,b,1e400
x,2,2.5,c,0.5
x,3,2.5,d,0.5
x,4,2.5,c,0.5
x,x,2.5,c,0.5
x,60,2.5,a,0.5
x,61,inf,a,0.5
x,18,-4,b,0.5
x,19,-4,b,0.5
x,90,2.5,b,0.5
x,62,1_0,a,0.5
x,63,2.5,a,\udcff
x,64,2.5,a,0.5
x,65,6,a,0.5
x,66,6,c,0.5
x,66,2.5,a,0.5"""

ANSWERS = """\
t,host,score,alarm,event,start,end,rows,flagged,peak,area,column_1,share_1,column_2,share_2
10,a,0.5,0,,,,,,,,,,,
10,b,0.0,0,,,,,,,,,,,
11,a,7.0,1,,,,,,,,,,,
,a,,,opened,11,11,1,1,7.0,6.0,,,,
11,b,1.0,0,,,,,,,,,,,
12,a,,0,,,,,,,,,,,
12,b,,0,,,,,,,,,,,
13,a,0.5,0,,,,,,,,,,,
,a,,,closed,11,11,1,1,7.0,6.0,heat,0.9821,load,0.0179
14,a,0.5,0,,,,,,,,,,,
13,b,0.5,0,,,,,,,,,,,
16,a,0.5,0,,,,,,,,,,,
15,b,0.5,0,,,,,,,,,,,
17,a,0.5,0,,,,,,,,,,,
16,b,5.0,1,,,,,,,,,,,
,b,,,opened,16,16,1,1,5.0,4.0,,,,
18,a,5.0,1,,,,,,,,,,,
,a,,,opened,18,18,1,1,5.0,4.0,,,,
19,a,0.5,0,,,,,,,,,,,
,a,,,closed,18,18,1,1,5.0,4.0,heat,0.95,load,0.05
17,b,inf,1,,,,,,,,,,,
2,c,0.5,0,,,,,,,,,,,
4,c,0.5,0,,,,,,,,,,,
60,a,0.5,0,,,,,,,,,,,
61,a,,0,,,,,,,,,,,
18,b,6.0,1,,,,,,,,,,,
19,b,6.0,1,,,,,,,,,,,
90,b,0.5,0,,,,,,,,,,,
,b,,,closed,16,19,5,4,inf,inf,load,1.0,,
64,a,0.5,0,,,,,,,,,,,
65,a,4.0,1,,,,,,,,,,,
,a,,,opened,65,65,1,1,4.0,3.0,,,,
66,c,4.0,1,,,,,,,,,,,
,c,,,opened,66,66,1,1,4.0,3.0,,,,
66,a,0.5,0,,,,,,,,,,,
,a,,,closed,65,65,1,1,4.0,3.0,heat,0.9375,load,0.0625
,c,,,closed,66,66,1,1,4.0,3.0,heat,0.9375,load,0.0625
"""

MISSING_FILLED = [
    ("12,a,,0,,", "12,a,6.0,1,,"),
    ("12,b,,0,,", "12,b,0.5,0,,"),
    (",a,,,closed,11,11,1,1,7.0,6.0,heat,0.9821,load,0.0179\n", ""),
    (
        "14,a,0.5,0,,,,,,,,,,,\n",
        "14,a,0.5,0,,,,,,,,,,,\n,a,,,closed,11,12,2,2,7.0,11.0,heat,0.9808,load,0.0192\n",
    ),
    ("61,a,,0,,", "61,a,0.5,0,,"),
]

_UNKNOWN = "its entity is unknown, a missing row for each of"
REPORTS = f"""\
line 13: expected a time after 13, got '13'; skipped
line 14: expected a time after 13, got '12'; skipped
line 15: column 'heat': expected a number, got 'hot'; skipped: a missing row
line 17: expected 5 cells, got 4; skipped: {_UNKNOWN} 2 from this source
line 20: column 'host': expected the row's entity, got nothing; skipped: {_UNKNOWN} 2 from this \
source
line 23: not readable as CSV: unexpected end of data; skipped: {_UNKNOWN} 2 from this source
line 27: entity 'd': there is room for 3 (--max-entities) and all are taken; skipped
line 29: expected a number or a date such as 2024-01-31 12:00:00, got 'x'; skipped: a missing row
line 35: column 'heat': expected a number, got '1_0'; skipped: a missing row
line 36: byte 0xff is not UTF-8 text; skipped: {_UNKNOWN} 3 from this source
""".splitlines()

JSON = """\
{"t": 10, "host": "a", "load": 0.5, "heat": 2.5}
{"heat": 2, "load": 0, "host": 7, "t": 10}
{"t": 11, "host": "a", "load": 0.25, "heat": 9, "more": [1, {"t": 3}]}
{"t": 11, "host": 7, "load": null, "heat": 2}

{"t": 12, "host": "a", "load": true, "heat": 2}
{"t": 12, "host": 7, "load": "0.5", "heat": 2}
{"t": 13, "host": "a", "load": 0.5}
{"t": 14, "host": "a", "load": 0.5, "heat": 2.5} {}
[1, 2]
 {"t": 15, "host": "a", "load": 0.5, "heat": 2.5}\t
{"t": 14, "host": "a", "load": 0.5, "heat": 2.5}
{"t": 15, "host": 7, "load": 1e400, "heat": -1}
{"t": 16, "host": "7", "load": Infinity, "heat": 2}
{"t": 17, "host": true, "load": 0.5, "heat": 2}
{"t": 18, "host": "\\u00e9", "load": 0.5, "heat": 2, "heat": 6}
{"t": 16, "host": "a", "load": 0.5, "heat": 2.0}
{"t": 17, "host": "a", "load": -0.5, "heat": 2.0}
"""

JSON_ANSWERS = """\
{"t": 10, "host": "a", "score": 0.5, "alarm": false}
{"t": 10, "host": 7, "score": 0.0, "alarm": false}
{"t": 11, "host": "a", "score": 7.0, "alarm": true}
{"event": "opened", "entity": "a", "start": 11, "end": 11, \
"rows": 1, "flagged": 1, "peak": 7.0, "area": 6.0}
{"t": 11, "host": 7, "score": null, "alarm": false}
{"t": 12, "host": "a", "score": 1.0, "alarm": false}
{"event": "closed", "entity": "a", "start": 11, "end": 11, \
"rows": 1, "flagged": 1, "peak": 7.0, "area": 6.0, \
"columns": [{"column": "heat", "share": 0.9821}, {"column": "load", "share": 0.0179}]}
{"t": 15, "host": "a", "score": 0.5, "alarm": false}
{"t": 15, "host": 7, "score": "Infinity", "alarm": true}
{"event": "opened", "entity": "7", "start": 15, "end": 15, \
"rows": 1, "flagged": 1, "peak": "Infinity", "area": "Infinity"}
{"t": 16, "host": "7", "score": null, "alarm": false}
{"t": 18, "host": "\\u00e9", "score": 4.0, "alarm": true}
{"event": "opened", "entity": "\\u00e9", "start": 18, "end": 18, \
"rows": 1, "flagged": 1, "peak": 4.0, "area": 3.0}
{"t": 16, "host": "a", "score": 0.5, "alarm": false}
{"t": 17, "host": "a", "score": 0.5, "alarm": false}
{"event": "closed", "entity": "7", "start": 15, "end": 15, \
"rows": 1, "flagged": 1, "peak": "Infinity", "area": "Infinity", \
"columns": [{"column": "load", "share": 1.0}]}
{"event": "closed", "entity": "\\u00e9", "start": 18, "end": 18, \
"rows": 1, "flagged": 1, "peak": 4.0, "area": 3.0, \
"columns": [{"column": "heat", "share": 0.9375}, {"column": "load", "share": 0.0625}]}
"""

JSON_REPORTS = f"""\
line 7: key 'load': expected a number or null, got "0.5"; skipped: a missing row
line 8: no key 'heat', a feature of the model (there are: t, host, load); skipped: a missing row
line 9: not readable as JSON: Extra data: line 1 column 50 (char 49); skipped: {_UNKNOWN} 2 from \
this source
line 10: expected a JSON object, got list; skipped: {_UNKNOWN} 0 from this source
line 12: expected a time after 15, got 14; skipped
line 15: key 'host': expected text or a whole number, got true; skipped: {_UNKNOWN} 2 from this \
source
11 rows, 9 scores, 3 alarms, 3 events, 3 entities; unused lines: 5 malformed, 1 out of order
""".splitlines()


def pieces_of(text: bytes, how: str) -> list[int]:
    """Return where a text is cut."""
    if how == "whole":
        return []
    if how == "lines":
        return [at + 1 for at, byte in enumerate(text[:-1]) if byte == ord("\n")]
    return list(range(int(how), len(text), int(how)))


def with_short_shares(out: bytes) -> str:
    """Return what came out with four digits of each share; no other number has more."""
    return re.sub(r"0\.\d{5,}", lambda found: f"{float(found[0]):.4f}", out.decode())


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    ZScoreDetector().fit(pd.DataFrame({"heat": [1.0, 3.0], "load": [-1.0, 1.0]})).save(
        tmp_path / "z"
    )
    return tmp_path / "z"


WAYS = [
    ("whole", 1, 64),  # (where the text is cut, lines read one by one, rows scored together first)
    ("whole", 8, 3),
    ("lines", 8, 64),
    ("5", 8, 64),
    ("97", 1, 64),
    ("333", 2, 1),
]


@pytest.mark.parametrize(("how", "few", "together"), WAYS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("missing", ["skip", "ffill"])
def test_hard_lines_of_csv_have_the_answers_that_they_had(
    detector: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    newline: str,
    how: str,
    few: int,
    together: int,
) -> None:
    monkeypatch.setattr(reading, "_FEW", few)
    monkeypatch.setattr(entities, "_FIRST_TOGETHER", together)
    text = CSV.replace("\n", newline).encode("utf-8", "surrogateescape")
    settings = {"output": "both", "event_gap": 1, "max_gap": "20", "max_entities": 3}
    out, reports = live_in_pieces(
        text,
        pieces_of(text, how),
        model=detector,
        missing=missing,
        duplicates="error",
        drift=False,
        **KEYS,
        **settings,
    )
    expected = ANSWERS
    for old, new in MISSING_FILLED if missing == "ffill" else []:
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert with_short_shares(out) == expected
    counts = "24 scores, 8 alarms" if missing == "skip" else "27 scores, 9 alarms"
    counts = f"27 rows, {counts}, 5 events, 3 entities; unused lines: 8 malformed, 2 out of order"
    assert reports == [f"slidecell stream: {line}" for line in [*REPORTS, counts]]


@pytest.mark.parametrize(("how", "few", "together"), WAYS)
def test_hard_lines_of_json_have_the_answers_that_they_had(
    detector: Path, monkeypatch: pytest.MonkeyPatch, how: str, few: int, together: int
) -> None:
    monkeypatch.setattr(reading, "_FEW", few)
    monkeypatch.setattr(entities, "_FIRST_TOGETHER", together)
    text = JSON.encode()
    out, reports = live_in_pieces(
        text,
        pieces_of(text, how),
        model=detector,
        format="jsonl",
        output="both",
        event_gap=1,
        drift=False,
        **KEYS,
    )
    assert with_short_shares(out) == JSON_ANSWERS
    assert reports == [f"slidecell stream: {line}" for line in JSON_REPORTS]

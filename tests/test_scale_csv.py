"""score_csv: the bytes that the command writes of the same file read at once."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from slidecell.detect import RidgeDetector, ZScoreDetector  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.scale import score_csv  # noqa: E402
from tests.scale_cases import DETECTORS, OPTIONS, fleet, network  # noqa: E402
from tests.scale_runs import fill_disk, kill_runs  # noqa: E402


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slidecell.scale.csv_files._PIECE_BYTES", 900)
    monkeypatch.setattr("slidecell.scale.runs._PART_BATCHES", 2)


def write_files(folder: Path, frame: Any, *, files: int = 3, suffix: str = ".csv") -> Path:
    folder.mkdir(exist_ok=True)
    for n, part in enumerate(np.array_split(np.arange(len(frame)), files)):
        frame.iloc[part].to_csv(folder / f"{n}{suffix}", index=False)
    return folder


def at_once(detector: Any, text: str, tmp_path: Path, **options: Any) -> tuple[str, Any]:
    """Return what the command writes of a file that is read at once: scores and events."""
    saved, file, out = tmp_path / "saved", tmp_path / "whole.csv", tmp_path / "at_once"
    file.write_text(text, encoding="utf-8", newline="")
    if detector.network is None:
        detector.save(saved)
    else:
        saved = tmp_path / "model.safetensors"
        detector.network.save(saved)
    run_score(ScoreOptions(saved, file, out, **options))
    return (out / "scores.csv").read_text(encoding="utf-8"), pd.read_csv(out / "events.csv")


def in_parts(detector: Any, source: Any, tmp_path: Path, **options: Any) -> tuple[str, Any]:
    out, events = tmp_path / "scores.csv", tmp_path / "events.csv"
    score_csv(detector, source, out, events=events, **options)
    assert not list(tmp_path.glob(".*"))
    return out.read_text(encoding="utf-8"), pd.read_csv(events)


def same(got: tuple[str, Any], want: tuple[str, Any]) -> None:
    assert got[0] == want[0]
    pd.testing.assert_frame_equal(got[1], want[1][list(got[1].columns)], check_exact=True)


@pytest.mark.parametrize("name", DETECTORS)
def test_same_bytes_as_read_at_once(name: str, tmp_path: Path) -> None:
    frame = fleet()
    detector = DETECTORS[name](frame)
    source = write_files(tmp_path / "in", frame)
    got = in_parts(detector, source, tmp_path, batch_rows=7, **OPTIONS)
    want = at_once(detector, frame.to_csv(index=False), tmp_path, **OPTIONS)
    same(got, want)
    assert len(got[1]) > 0


ROWS = 120


def odd_text(*, keys: bool = True) -> str:
    """Return rows with every liberty that CSV has, 120 of them."""
    rng = np.random.default_rng(5)
    lines = ["name;x;y;note" if not keys else "id;t;x;y;note"]
    for n in range(ROWS):
        key = ('"a ""b"""', "plain", '"two\nlines;"')[n % 3]
        x = ("1e400", "123456789012345678901", "NA", "", "-inf", "0x", "7")[n % 7]
        x = repr(rng.normal()) if n % 7 != 3 and x in {"0x", "7"} else x
        y = ("True", "False", "")[n % 3]
        note = ("", 'in 5" pipe', '"a;\n\n;b"', "é")[n % 4]
        lines.append(";".join([key, *([str(n)] if keys else []), x, y, note]))
        if n % 11 == 0:
            lines += ["", "  "]
    return "\n".join(lines) + "\n\n\n"


def odd_detector(**options: Any) -> Any:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "y": rng.integers(0, 2, 60)})
    return ZScoreDetector(0.1, **options).fit(frame)


@pytest.mark.parametrize("keys", [True, False])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("piece", [40, 333, 1 << 20])
def test_text_means_what_it_means_at_once(
    keys: bool, ends: str, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quotes that hold line ends or none, blank lines, numbers beyond 64 bits, a byte mark."""
    monkeypatch.setattr("slidecell.scale.csv_files._PIECE_BYTES", piece)
    text = "\ufeff" + odd_text(keys=keys).replace("\n", ends)
    file = tmp_path / "in.csv"
    file.write_text(text, encoding="utf-8", newline="")
    detector = odd_detector()
    options = {"entity": "id", "time": "t"} if keys else {}
    got = in_parts(detector, file, tmp_path, **options)
    same(got, at_once(detector, text, tmp_path, **options))
    assert got[0].count(",test") == (ROWS if keys else ROWS + 22)


def test_text_that_carriage_returns_end_and_text_in_gzip(tmp_path: Path) -> None:
    frame = fleet(200)
    detector = DETECTORS["window"](frame)
    text = frame.to_csv(index=False)
    want = at_once(detector, text, tmp_path)
    (tmp_path / "in.csv").write_text(text.replace("\n", "\r"), newline="")
    same(in_parts(detector, tmp_path / "in.csv", tmp_path), want)
    (tmp_path / "in").mkdir()
    head, *rows = text.splitlines(keepends=True)
    for n in range(2):
        part = head + "".join(rows[n * 100 : (n + 1) * 100])
        (tmp_path / "in" / f"{n}.csv.gz").write_bytes(gzip.compress(part.encode()))
    same(in_parts(detector, tmp_path / "in", tmp_path), want)
    same(in_parts(detector, tmp_path / "in" / "*.gz", tmp_path), want)
    damaged = tmp_path / "in" / "1.csv.gz"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"1\.csv\.gz: damaged gzip file"):
        in_parts(detector, tmp_path / "in", tmp_path)


def test_columns_are_matched_by_name_in_each_file(tmp_path: Path) -> None:
    frame = fleet(150)
    detector = DETECTORS["network"](frame)
    source = write_files(tmp_path / "in", frame)
    other = frame[50:100][["y", "at", "x", "id"]].assign(more="text")
    other.to_csv(source / "1.csv", index=False, sep=";")
    got = in_parts(detector, source, tmp_path, entity="id", time="at")
    same(got, at_once(detector, frame.to_csv(index=False), tmp_path, entity="id", time="at"))


def test_whole_times_beside_fractions_are_in_order(tmp_path: Path) -> None:
    times = [str(n) if n % 50 < 30 else f"{n}.5" for n in range(300)]
    frame = pd.DataFrame({"t": times, "x": np.sin(np.arange(300))})
    detector = RidgeDetector(window=4, time="t").fit(frame.astype(float))
    got = in_parts(detector, write_files(tmp_path / "in", frame), tmp_path)
    same(got, at_once(detector, frame.to_csv(index=False), tmp_path))


def changed(row: int, column: str, cell: Any) -> Any:
    frame = fleet(300).astype(object)
    frame.loc[row, column] = cell
    return frame


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (changed(270, "x", "high"), r"2\.csv: column 'x': 'high' in line 72 is no number"),
        (
            changed(270, "y", "1,5"),
            r"2\.csv: column 'y': '1,5' in line 72 is no number: write",
        ),
        (changed(270, "id", None), r"2\.csv: line 72: entity column 'id': the cell is empty"),
        (changed(270, "at", "soon"), r"2\.csv: time column 'at': 'soon' in line 72"),
        (changed(270, "at", None), r"2\.csv: time column 'at': 1 empty, the first in line 72"),
        (changed(270, "at", "05/06/2024"), r"2\.csv: time column 'at': '05/06/2024' in line 72"),
        (
            changed(270, "at", "2024-01-01 00:00:01"),
            r"2\.csv: line 72: 2024-01-01 00:00:01 is earlier than the row before it of its entity",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_its_line(
    frame: Any, text: str, tmp_path: Path
) -> None:
    source = write_files(tmp_path / "in", frame)
    with pytest.raises(ValueError, match=text):
        in_parts(DETECTORS["zscore"](fleet()), source, tmp_path, max_sorted_bytes=0)
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.replace(",x,", ",z,", 1), r"features: no column 'x' in .*1\.csv"),
        (lambda s: s.replace("id,", "key,", 1), r"entity: no column 'id' in .*1\.csv"),
        (lambda s: s + "a,b\n", r"1\.csv: line 102: expected 4 cells, got 2"),
        (lambda s: s + "a,b,c,d,e\n", r"1\.csv: line 102: expected 4 cells, got 5"),
        (lambda s: s + 'a,2024,1,"2\n', r"1\.csv: line 102: a quote is opened and never closed"),
        (lambda s: s + "a,\0,1,2\n", r"1\.csv: line 102: expected CSV text in UTF-8, got a zero"),
        (lambda s: s + "a,\udcff,1,2\n", r"1\.csv: line 102: byte 0xff is not UTF-8 text"),
        (lambda s: "", r"1\.csv: the file is empty"),
        (lambda s: "PAR1" + s, r"1\.csv: expected CSV text, got a Parquet file"),
        (
            lambda s: "0.5,3,2,9\n" + s,
            r"1\.csv: line 1: expected the names of the columns, got a r",
        ),
        (
            lambda s: (
                s.replace("2024-01-01 01:40:00", "02.01.2024 01:40:00", 1).partition("\n")[0]
                + "\n9,13.01.2024 01:40:00,1,1\n"
            ),
            r"1\.csv: line 2: time column 'at': expected dates in the format Y-m-d 24h as before",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_its_place(
    change: Any, text: str, tmp_path: Path
) -> None:
    frame = fleet(300)
    source = write_files(tmp_path / "in", frame)
    file = source / "1.csv"
    file.write_text(change(file.read_text()), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=text):
        in_parts(DETECTORS["zscore"](frame), source, tmp_path)
    assert not (tmp_path / "scores.csv").exists()


def test_true_and_false_are_so_in_all_rows(tmp_path: Path) -> None:
    frame = fleet(300).drop(columns="y").assign(y=np.arange(300) % 2)
    detector = ZScoreDetector(entity="id", time="at", contamination=0.1).fit(frame)
    words = frame.assign(y=frame["y"].astype(bool))
    got = in_parts(detector, write_files(tmp_path / "in", words), tmp_path)
    same(got, at_once(detector, words.to_csv(index=False), tmp_path))
    mixed = words.astype({"y": object})
    mixed.loc[200:, "y"] = 1
    with pytest.raises(ValueError, match=r"2\.csv: column 'y': 1 in line 2 is a number: expec"):
        in_parts(detector, write_files(tmp_path / "in", mixed), tmp_path)


def test_a_row_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slidecell.scale.csv_files._LONGEST_PIECE", 3000)
    text = fleet(300).to_csv(index=False)
    head, row, rest = text.partition("\na,")
    (tmp_path / "in.csv").write_text(head + row.replace("a", '"a') + rest)
    line = head.count("\n") + 2
    with pytest.raises(ValueError, match=r"in\.csv: line \d+: a row takes more than 0 MiB: is a q"):
        in_parts(DETECTORS["zscore"](fleet()), tmp_path / "in.csv", tmp_path)
    assert line > 1


def test_rows_out_of_order_are_sorted_while_they_fit(tmp_path: Path) -> None:
    frame = fleet(300).sample(frac=1.0, random_state=0)
    detector = DETECTORS["window"](frame)
    source = write_files(tmp_path / "in", frame)
    got = in_parts(detector, source, tmp_path)
    same(got, at_once(detector, frame.to_csv(index=False), tmp_path))


def test_a_folder_without_such_files_and_a_model_without_names(tmp_path: Path) -> None:
    frame = fleet(200)[["x", "y"]]
    model = network().with_metadata(features=None)
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match=r"expected \.csv, \.csv\.gz, \.tsv or \.tsv\.gz files in"):
        in_parts(model, tmp_path / "in", tmp_path)
    frame.to_csv(tmp_path / "in" / "1.csv")  # with an index, which has no name
    got = in_parts(model, tmp_path / "in", tmp_path)
    scores = pd.read_csv(tmp_path / "scores.csv")["score"].astype(np.float32)
    np.testing.assert_array_equal(scores, model.score(frame.to_numpy()))
    assert got[0].startswith("score,flagged,part\n")
    with pytest.raises(OSError, match=r"none\.csv: No such file"):
        in_parts(model, tmp_path / "none.csv", tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="pipe: expected a file that can be read again"):
            in_parts(network(), tmp_path / "pipe", tmp_path)
    (tmp_path / "in" / "1.csv").write_text("x,y\n")
    with pytest.raises(ValueError, match=r"1\.csv: no rows below the header"):
        in_parts(model, tmp_path / "in", tmp_path)


def test_blank_lines_are_counted_over_a_run_that_goes_on(tmp_path: Path) -> None:
    text = "id,t,x,y\n" + "".join(f"a,{n},{n % 7},0\n\n" for n in range(200))
    (tmp_path / "in.csv").write_text(text)
    detector, told = odd_detector(), []

    def stop(done: int, total: int) -> None:
        told.append(done)
        if done > 150:
            raise KeyboardInterrupt

    out, given = tmp_path / "scores.csv", {"entity": "id", "time": "t", "batch_rows": 11}
    with pytest.raises(KeyboardInterrupt):
        score_csv(detector, tmp_path / "in.csv", out, progress=stop, **given)
    found = score_csv(detector, tmp_path / "in.csv", out, **given)
    assert 0 < found.resumed < told[-1]
    assert found.rows == 200
    assert found.notes[0].startswith("199 blank line(s) were left out")
    again = score_csv(detector, tmp_path / "in.csv", tmp_path / "again.csv", **given)
    assert again.notes == found.notes
    assert out.read_bytes() == (tmp_path / "again.csv").read_bytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its children are killed by a signal")
def test_a_killed_run_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    frame = fleet(300)
    DETECTORS["cusum"](frame).save(tmp_path / "detector")
    write_files(tmp_path / "in", frame, files=2)
    packed = frame.to_csv(index=False).encode()
    (tmp_path / "in" / "3.csv.gz").write_bytes(gzip.compress(packed.replace(b"2024-", b"2025-")))
    kill_runs(tmp_path, "scores.csv", batch_rows=17, kills=6)


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of the size of files")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    frame = fleet(2000)
    network().save(tmp_path / "model.safetensors")
    write_files(tmp_path / "in", frame)
    # The first part, a later one, and the file of scores itself.
    lines = fill_disk(tmp_path, "scores.csv", [300, 3200, 30_000])
    assert all("cannot be written: " in line for line in lines[:3])
    assert [line.rpartition(": ")[2] for line in lines[:3]] == [
        "'.scores.csv.parts'",
        "'.scores.csv.parts'",
        "'scores.csv'",
    ]
    assert lines[3:] == ["2000 True"]


def command(*words: Any) -> Any:
    from typer.testing import CliRunner

    from slidecell.cli.main import app

    return CliRunner().invoke(app, ["score", *map(str, words)])


def test_the_command_scores_csv_files_in_parts(tmp_path: Path) -> None:
    frame = fleet(300)
    detector = DETECTORS["window"](frame)
    detector.save(tmp_path / "detector")
    source = write_files(tmp_path / "in", frame)
    want = at_once(detector, frame.to_csv(index=False), tmp_path)
    whole = tmp_path / "whole.csv"
    packed = tmp_path / "whole.csv.gz"
    packed.write_bytes(gzip.compress(whole.read_bytes()))
    size = whole.stat().st_size
    for given, limit in ((source, size), (source / "*.csv", size), (whole, 2400), (packed, 9)):
        out = tmp_path / f"out{given.suffix}{limit}"
        # The last limit is for what is sorted too, and nothing is.
        done = command(tmp_path / "detector", given, "--out", out, "--max-memory", limit)
        assert done.exit_code == 0, done.output
        assert (out / "scores.csv").read_text() == want[0]
        assert sorted(path.name for path in out.iterdir()) == [
            "events.csv",
            "report.json",
            "scores.csv",
        ]
    done = command(tmp_path / "detector", whole, "--out", tmp_path / "more", "--max-memory", size)
    assert (tmp_path / "more" / "scores.png").exists()  # read at once
    done = command(tmp_path / "detector", whole, "--out", tmp_path / "no", "--restart")
    assert done.exit_code != 0
    assert "--restart: " in done.output
    frame.to_parquet(source / "3.parquet")
    done = command(tmp_path / "detector", source, "--out", tmp_path / "no")
    assert done.exit_code != 0
    assert "expected Parquet files or CSV files, got both" in done.output


def test_the_command_discards_what_a_killed_run_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = fleet(300)
    detector = DETECTORS["window"](frame)
    detector.save(tmp_path / "detector")
    DETECTORS["zscore"](frame).save(tmp_path / "other")
    source, out = write_files(tmp_path / "in", frame), tmp_path / "out"
    out.mkdir()

    def stop(done: int, total: int) -> None:
        if done > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_csv(detector, source, out / "scores.csv", batch_rows=9, progress=stop)
    left = out / ".scores.csv.parts"
    assert left.exists()
    done = command(tmp_path / "other", source, "--out", out)
    assert done.exit_code != 0
    assert "a run with another detector or model stopped here" in done.output
    assert "--restart" in done.output
    done = command(tmp_path / "detector", source, "--out", out)  # its batches are larger
    assert "a run with other options stopped here" in done.output
    (left / "state").write_bytes(b"damaged")
    done = command(tmp_path / "detector", source, "--out", out)
    assert "damaged" in done.output
    assert "--restart" in done.output
    done = command(tmp_path / "detector", source, "--out", out, "--restart")
    assert done.exit_code == 0, done.output
    assert not left.exists()
    assert (out / "scores.csv").read_text() == at_once(
        detector, frame.to_csv(index=False), tmp_path
    )[0]

"""Pages: one file that loads nothing, hostile names as text, figures with words; those of jobs."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

for _module in ("jinja2", "matplotlib"):
    pytest.importorskip(_module)

from slidecell.jobs.page import write_page  # noqa: E402
from slidecell.jobs.report import Figure, Report, Section, Table  # noqa: E402
from slidecell.plots import plot_history  # noqa: E402

HOSTILE = "<script>alert('x')</script>"
BREAKOUT = '"><img src=//evil.example/x onerror=alert(1)>'
VOID = {"meta", "link", "source", "img", "br"}


class Page(HTMLParser):
    """Every tag with its attributes, the text of each kind of tag; tags must match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def cells(self) -> list[str]:
        return self.texts.get("td", [])


def assert_self_contained(page: Page) -> None:
    allowed = {"html", "head", "meta", "link", "title", "style", "body", "main", "h1", "h2", "nav"}
    allowed |= {"a", "section", "p", "div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    allowed |= {"figure", "picture", "source", "img", "figcaption", "footer"}
    assert {tag for tag, _ in page.tags} <= allowed
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), (tag, attributes)
    (style,) = page.texts["style"]
    assert not re.search(r"url\(|@import|https?:|//", style)
    policy = next(m["content"] for m in page.of("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    anchors = {f"#{section['id']}" for section in page.of("section")}
    assert {a["href"] for a in page.of("a")} <= anchors


def figure(title: str | None = None, caption: str = "") -> Figure:
    history = {"train_loss": [3.0, 2.0], "best_epoch": 2}
    return Figure(lambda: plot_history(history, title=title), caption)


def write(path: Path, title: str, sections: list[Section]) -> None:
    write_page(path, Report(title, "", sections))


def test_page_has_everything_inside(tmp_path):
    table = Table(["host", "score", "share"], [["a", "0.25", "3 %"], ["b", "-", "1,234"]], "Top")
    sections = [
        Section("First", "One.\n\nTwo.", [table], [figure("Loss", "The loss.")]),
        Section("Second", figures=[figure()]),
        Section("Third"),
    ]
    write(tmp_path / "page.html", "Title", sections)
    page = Page(tmp_path / "page.html")
    assert_self_contained(page)
    assert page.texts["title"] == page.texts["h1"] == ["Title"]
    assert page.texts["h2"] == page.texts["a"] == ["First", "Second", "Third"]
    assert page.texts["p"] == ["One.", "Two."]
    assert page.texts["caption"] == ["Top"]
    assert page.cells() == ["a", "0.25", "3 %", "b", "-", "1,234"]
    assert page.texts["figcaption"] == ["The loss."]
    first, second = page.of("img")
    assert first["alt"] == "Loss"
    assert second["alt"] == "Train loss 2 after epoch 2"
    for image in (first, second):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        png = base64.b64decode(data, validate=True)
        assert png.startswith(b"\x89PNG")
        assert b"http" not in png
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    assert "prefers-color-scheme: dark" in page.source
    assert "@media print" in page.source


def test_page_numbers_stand_at_the_right(tmp_path):
    columns = {
        "name": ["a", "b"],
        "plain": ["1", "-2.5"],
        "text": ["1", "x"],
        "units": ["1,234 ms", "0.5 s"],
        "spread": ["0.91 ± 0.02", ""],
        "power": ["1e-07", "nan"],
        "date": ["2024-01-01", "2024-01-02"],
        "nothing": ["-", ""],
    }
    table = Table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])
    right = {"plain", "units", "spread", "power"}
    assert table.numeric == [name in right for name in columns]
    write(tmp_path / "page.html", "T", [Section("S", tables=[table])])
    page = Page(tmp_path / "page.html")
    heads = zip(columns, page.of("th"), strict=True)
    assert {name for name, head in heads if head.get("class") == "number"} == right


def test_page_shows_hostile_text_as_text(tmp_path):
    table = Table([HOSTILE, BREAKOUT], [[BREAKOUT, HOSTILE]], BREAKOUT)
    picture = figure("<b>& $x$", BREAKOUT)
    sections = [Section(HOSTILE, BREAKOUT, [table], [picture])] * 3
    write(tmp_path / "page.html", HOSTILE + BREAKOUT, sections)
    page = Page(tmp_path / "page.html")
    assert_self_contained(page)
    assert page.texts["h1"] == [HOSTILE + BREAKOUT]
    assert page.texts["th"][:2] == [HOSTILE, BREAKOUT]
    assert page.cells()[:2] == [BREAKOUT, HOSTILE]
    assert page.texts["figcaption"][0] == BREAKOUT
    assert len(page.of("img")) == 3
    assert "<b>" in page.of("img")[0]["alt"]
    assert "evil.example" not in "".join(value for _, a in page.tags for value in a.values()) or (
        {name for _, a in page.tags for name, v in a.items() if "evil" in v} == {"aria-label"}
    )


def test_page_of_names_that_utf8_cannot_hold(tmp_path):
    write(tmp_path / "page.html", "a\ud800b", [Section("日本語 ✓")])
    page = Page(tmp_path / "page.html")
    assert page.texts["h1"] == ["a?b"]
    assert page.texts["h2"] == ["日本語 ✓"]


def test_page_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("before")
    broken = figure()
    monkeypatch.setattr(
        broken.drawn, "savefig", lambda *a, **k: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        write(path, "T", [Section("S", figures=[broken])])
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(OSError, match="absent"):
        write(tmp_path / "absent" / "page.html", "T", [])


def test_page_tables_refuse_rows_of_another_length():
    with pytest.raises(ValueError, match=r"rows: expected 2 cells \(columns\), got 1: \['x'\]"):
        Table(["a", "b"], [["x"]])


def test_page_without_heads_or_sections(tmp_path):
    write(tmp_path / "page.html", "T", [Section("S", "", [Table(["", ""], [["a", "b"]])])])
    page = Page(tmp_path / "page.html")
    assert not page.of("th")
    assert page.cells() == ["a", "b"]
    write(tmp_path / "page.html", "T", [])
    assert_self_contained(Page(tmp_path / "page.html"))


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A job on columns and entities with hostile names, with labels; and its model on new rows."""
    for module in ("pandas", "torch", "sklearn", "typer"):
        pytest.importorskip(module)
    import pandas as pd
    from typer.testing import CliRunner

    from slidecell.cli.main import app

    folder = tmp_path_factory.mktemp("job")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.random((160, 3)), columns=[HOSTILE, "$load$", "fan"])
    rows.insert(0, "who", np.repeat([BREAKOUT, "b"], 80))
    rows.insert(1, "day", np.tile(np.arange(80), 2))
    rows["bad"] = (np.arange(160) % 80 == 70).astype(int)
    rows.loc[rows["bad"] == 1, "fan"] = 8.0
    rows.to_csv(folder / "in.csv", index=False)
    rows.drop(columns="bad").head(80).to_csv(folder / "new.csv", index=False)
    keys = ["--time", "day", "--entity", "who", "--label", "bad"]
    small = [
        "--detector",
        "forecast",
        "--window",
        "4",
        "--hidden-size",
        "4",
        "--epochs",
        "1",
        "--threads",
        "1",
    ]
    commands = [
        ["detect", str(folder / "in.csv"), "--out", str(folder / "out"), *keys, *small, "--html"],
        ["score", str(folder / "out" / "model.safetensors"), str(folder / "new.csv")],
    ]
    commands[1] += ["--out", str(folder / "again"), "--html"]
    for command in commands:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert "report.html" in done.output.replace("\n", "")
    return folder


def picture_width(data: str) -> int:
    """Return the width in pixels that a PNG's header says."""
    header = base64.b64decode(data.removeprefix("data:image/png;base64,"))[:24]
    return int.from_bytes(header[16:20], "big")


def test_page_of_detect_tells_what_was_run_and_found(job):
    page = Page(job / "out" / "report.html")
    assert_self_contained(page)
    report = json.loads((job / "out" / "report.json").read_text())
    assert str(job / "out" / "report.html") in report["files"]
    titles = [
        "Events",
        "To be known",
        "What was run",
        "Data",
        "Threshold",
        "Scores",
        "Against the labels",
    ]
    assert page.texts["h2"] == [*titles, "Highest scores", "Training"]
    command = next(cell for cell in page.cells() if cell.startswith("slidecell detect"))
    for words in ("--time day", "--label bad", "--window 4", "--epochs 1", "--threads 1", "--html"):
        assert words in command
    assert "--lr" not in command
    cells = page.cells()
    assert f"{report['metrics']['roc_auc']:.4f}" in cells
    assert f"{report['flagged']['test']['flagged']:,}" in cells
    assert f"{report['threshold']['value']:.6g}" in " ".join(page.texts["p"])
    assert len(page.of("img")) == 6
    # Of series and scores a phone gets a picture of its own.
    (narrow,) = page.of("source")
    assert narrow["media"] == "(max-width: 40rem)"
    assert picture_width(narrow["srcset"]) == round(144 * 4.6)


def test_page_of_detect_explains_the_highest_scores(job):
    pd = pytest.importorskip("pandas")
    cells = Page(job / "out" / "report.html").cells()
    scores = pd.read_csv(job / "out" / "scores.csv")
    best = scores[scores["part"] == "test"]["score"].idxmax()
    place = cells.index(f"{best + 1:,}")
    rank, _, who, day, _, labelled, score, shares = cells[place - 1 : place + 7]
    assert rank == "1"
    assert who == scores["who"][best]
    assert day == str(scores["day"][best])
    assert score == f"{scores['score'][best]:.4g}"
    bad = pd.read_csv(job / "in.csv")["bad"]
    assert labelled == ("anomalous" if bad[best] else "normal")
    assert bad[best - 19 : best + 1].any()  # of the rows that its score is the mean of
    assert shares.startswith("fan ")


def test_page_of_score_without_labels(job):
    page = Page(job / "again" / "report.html")
    assert_self_contained(page)
    titles = [
        "Events",
        "To be known",
        "What was run",
        "Data",
        "Threshold",
        "Scores",
        "Highest scores",
    ]
    assert page.texts["h2"] == titles
    assert "labelled" not in page.texts["th"]
    assert any(cell.startswith("slidecell score ") for cell in page.cells())
    assert len(page.of("img")) == 3


def test_page_that_fails_leaves_no_other_file(job, monkeypatch):
    from slidecell.detect import ScoreOptions, run_score
    from slidecell.jobs import write_result

    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr(write_result, "write_page", fail)
    model = job / "out" / "model.safetensors"
    with pytest.raises(OSError, match="no space"):
        run_score(ScoreOptions(model, job / "new.csv", job / "never", html=True))
    assert not (job / "never").exists()


def test_report_of_a_quiet_file_lists_the_highest_rows(job):
    from dataclasses import replace

    from slidecell.detect import ScoreOptions, run_score
    from slidecell.detect.model_detector import ModelDetector
    from slidecell.jobs.result_report import result_report

    model = job / "out" / "model.safetensors"
    result = run_score(ScoreOptions(model, job / "new.csv", job / "quiet"))
    quiet = replace(
        result,
        detector=ModelDetector.of(result.model.with_metadata(threshold=None)),
        report=result.report | {"threshold": None, "rate": None},
    )
    sections = {s.title: s for s in result_report(quiet).sections}
    assert sections["Threshold"].text == "There is no threshold: no row is flagged."
    highest = sections["Highest scores"]
    assert highest.text.startswith("No row of all rows is flagged.")
    (table,) = highest.tables
    assert len(table.rows) == 20
    assert table.terminal_rows == table.rows[:5]
    scores = [float(row[table.columns.index("score")]) for row in table.rows]
    assert scores == sorted(scores, reverse=True)
    silent = replace(result, scores=np.full_like(result.scores, np.nan))
    sections = {s.title: s for s in result_report(silent).sections}
    assert sections["Highest scores"].text == "No row has a score."

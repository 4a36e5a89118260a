"""Reports as one HTML file that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from importlib import resources
from os import PathLike
from typing import TYPE_CHECKING

from slidecell._extras import require
from slidecell._whole_files import replacing
from slidecell.jobs.report import Figure, Report

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib_figure

__all__ = ["write_page"]

# Pictures are drawn in inches; twice the usual 72 points keep text sharp on a fine screen.
_DOTS_PER_INCH = 144


@dataclass(frozen=True)
class _Picture:
    """What the template needs of a figure."""

    caption: str
    alt: str
    data: str  # base64 of a PNG
    narrow: str  # of another, for narrow screens; empty: there is none
    width: int  # pixels on the page; the picture has more
    height: int


def write_page(path: str | PathLike[str], report: Report) -> None:
    """Write a report as one self-contained HTML file, whole or not at all.

    Style and pictures are inside, text is escaped, and a content policy keeps a browser from
    loading anything. It reads on a phone, on paper, and on dark screens, where figures keep their
    white ground.

    Parameters
    ----------
    path : path
    report : Report
        The page shows its title and all sections.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.jobs.page import write_page
    >>> from slidecell.jobs.report import Report, Section, Table
    >>> table = Table(["host", "score"], [["<b>", "0.25"]], "highest scores")
    >>> write_page("report.html", Report("Hosts", "", [Section("Scores", "One host.", [table])]))
    >>> "&lt;b&gt;" in Path("report.html").read_text(encoding="utf-8")
    True
    """
    require("jinja2", extra="detect")
    from jinja2 import Environment, StrictUndefined

    from slidecell import __version__

    source = resources.files("slidecell.jobs").joinpath("page.html.j2")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(source.read_text(encoding="utf-8"))
    main = [section for section in report.sections if section.main]
    others = [section for section in report.sections if not section.main]
    noted = [report.noted] if report.notes else []
    sections = [
        (section, [_picture(f) for f in section.figures]) for section in (*main, *noted, *others)
    ]
    text = template.render(title=report.title, sections=sections, version=__version__)
    with replacing(path) as temporary:
        # Half of a surrogate pair, as a damaged file's names may have, has no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="replace")


def _picture(figure: Figure) -> _Picture:
    """Return a figure as a picture; its titles are the text for those who cannot see it."""
    drawn = figure.drawn
    titles = [drawn.get_suptitle(), *(axis.get_title(loc="left") for axis in drawn.axes)]
    titles += [axis.get_title() for axis in drawn.axes]
    width, height = (round(96 * inches) for inches in drawn.get_size_inches())
    return _Picture(
        figure.caption,
        "; ".join(title for title in titles if title) or figure.caption,
        _png(drawn),
        "" if figure.narrow is None else _png(figure.narrow()),
        width,
        height,
    )


def _png(drawn: matplotlib_figure.Figure) -> str:
    """Return the base64 of a PNG."""
    stream = io.BytesIO()
    # matplotlib's own note in the file has an address in it.
    drawn.savefig(stream, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return base64.b64encode(stream.getvalue()).decode("ascii")

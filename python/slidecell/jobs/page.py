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
from slidecell.jobs.report import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

__all__ = ["write_page"]

# Pictures are drawn in inches; twice the usual 72 points keep text sharp on a fine screen.
_DOTS_PER_INCH = 144


@dataclass(frozen=True)
class _Picture:
    """What the template needs of a figure."""

    caption: str
    alt: str
    data: str  # base64 of a PNG
    width: int  # pixels on the page; the picture has more
    height: int


def write_page(path: str | PathLike[str], title: str, sections: Sequence[Section]) -> None:
    """Write one self-contained HTML file, whole or not at all.

    Style and pictures are inside, text is escaped, and a content policy keeps a browser from
    loading anything. It reads on a phone, on paper, and on dark screens, where figures keep their
    white ground.

    Parameters
    ----------
    path : path
    title : str
    sections : sequence of Section

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.jobs.page import write_page
    >>> from slidecell.jobs.report import Section, Table
    >>> table = Table(["host", "score"], [["<b>", "0.25"]], "highest scores")
    >>> write_page("report.html", "Hosts", [Section("Scores", "One host.", [table])])
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
    pictures = [[_picture(caption, figure) for caption, figure in s.figures] for s in sections]
    text = template.render(
        title=title, sections=list(zip(sections, pictures, strict=True)), version=__version__
    )
    with replacing(path) as temporary:
        # Half of a surrogate pair, as a damaged file's names may have, has no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="replace")


def _picture(caption: str, figure: Figure) -> _Picture:
    """Draw a figure; who cannot see it is told its titles."""
    stream = io.BytesIO()
    # matplotlib's own note in the file has an address in it.
    figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    titles = [figure.get_suptitle(), *(axis.get_title(loc="left") for axis in figure.axes)]
    titles += [axis.get_title() for axis in figure.axes]
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return _Picture(
        caption,
        "; ".join(title for title in titles if title) or caption,
        base64.b64encode(stream.getvalue()).decode("ascii"),
        width,
        height,
    )

"""Names from data as matplotlib may draw them."""

from __future__ import annotations

import functools

__all__ = ["number", "plain"]


def plain(text: object, most: int | None = None) -> str:
    r"""Return a text that is drawn as it stands, cut in the middle to ``most`` letters.

    A pair of ``$`` would otherwise be read as mathematics and may raise, a first ``_`` would hide
    a name from legends, and a letter that the font lacks would warn: it becomes ``?``.

    Examples
    --------
    >>> from slidecell.plots.text import plain
    >>> plain("a$b$"), plain("a_long_name_12", 9), plain("two\nlines")
    ('a\\$b\\$', 'a_long…12', 'two lines')
    """
    known = _letters(_font())
    letters = [
        " " if letter.isspace() else letter if ord(letter) in known else "?" for letter in str(text)
    ]
    if most is not None and len(letters) > most:
        tail = (most - 1) // 3
        letters = [*letters[: most - 1 - tail], "…", *letters[len(letters) - tail :]]
    drawn = "".join(letters).replace("$", r"\$")
    return f" {drawn}" if drawn.startswith("_") else drawn


def number(value: float) -> str:
    """Return a number in three digits, or all of a whole one.

    Examples
    --------
    >>> from slidecell.plots.text import number
    >>> number(0.123456), number(12345.0), number(2e-7)
    ('0.123', '12,345', '2e-07')
    """
    if abs(value) < 1e7 and value == round(value):
        return f"{int(value):,}"
    return f"{value:.3g}"


def _font() -> str:
    """Return the path of the font that names are drawn in, which a user's settings may change."""
    from matplotlib.font_manager import FontProperties, findfont

    return str(findfont(FontProperties()))


@functools.lru_cache(maxsize=4)
def _letters(font: str) -> frozenset[int]:
    """Return the code points of the letters of a font."""
    from matplotlib.font_manager import get_font

    return frozenset(get_font(font).get_charmap())

"""Texts of rows, CSV and JSON lines, that are right but for some places."""

from __future__ import annotations

import json
from random import Random

from tests.fuzz.changes import any_value, change_text

__all__ = ["TIMES", "WORDS", "csv_text", "json_lines"]

WORDS = (
    "", "nan", "NaN", "inf", "-Infinity", "null", "NA", "true", "1e400", "-1e400", "1e-400",
    "0x10", "1_000",
    "1,5", "12%", "3 kW", "\u00a07", "٣", "--", "'", '"', '""', '"a', "\x00", "\ufeff", "é",
    "9" * 400, "=1+1",
    "1e5", "0.1", "-3", "+2", ".5", "5.", "1e", "\ud83d\ude00",
)  # fmt: skip
TIMES = (
    "0", "1", "-5", "1e3", "2020-01-01", "2020-01-01 00:00:01", "2020-01-01T00:00:00Z",
    "01/02/2020",
    "2020-01-01 00:00+02:00", "now", "today", "NaT", "1700000000000000000", "99999-01-01",
    "0001-01-01",
    "9" * 401, "18446744073709551615", "2020-13-01", "12:00 AM", "1e400", "", "nan",
    "-292277026596-01-01",
)  # fmt: skip


def _time(number: int, dates: bool) -> str:
    return f"2020-01-01 00:00:{number:02}" if dates else str(number)


def csv_text(random: Random, rows: int = 12) -> str:
    """Return a table of the columns t, host, load and heat, changed here and there."""
    comma = random.choice(",,,;\t|")
    end = random.choice(("\n", "\n", "\n", "\r\n", "\r"))
    dates = random.random() < 0.5
    lines = [["t", "host", "load", "heat"]]
    for n in range(rows):
        lines.append([_time(n, dates), f"h{n % 2}", f"{random.random():.3f}", f"{n / 7:.3f}"])
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        line = random.choice(lines)
        what = random.randrange(12)
        if not line:
            continue
        place = random.randrange(len(line))
        if what < 5:
            line[place] = random.choice(TIMES if place == 0 else WORDS)
        elif what == 5:
            del line[place]
        elif what == 6:
            line.insert(place, random.choice(WORDS))
        elif what == 7:
            line[place] = f'"{line[place]}{random.choice(("", comma, end, chr(34) * 2))}"'
        elif what == 8:
            lines.insert(
                random.randrange(len(lines) + 1), random.choice(([], [""], ["#"], list(line)))
            )
        elif what == 9:
            lines.remove(line)
        elif what == 10:
            line[1:] = line[1:] * random.choice((2, 20))
        else:
            line[place] = line[place] * random.choice((2, 500))
    text = end.join(comma.join(line) for line in lines) + random.choice(("", end))
    if random.random() < 0.1:
        text = random.choice(("\ufeff", "sep=;\n", "\n", "#")) + text
    return change_text(text, random) if random.random() < 0.15 else text


def json_lines(random: Random, rows: int = 12) -> str:
    """Return lines of JSON with the same columns, changed here and there."""
    lines = []
    for n in range(rows):
        row = {"t": n, "host": f"h{n % 2}", "load": random.random(), "heat": n / 7}
        if random.random() < 0.15:
            key = random.choice(list(row))
            row[key] = random.choice(
                (any_value(random), random.choice(TIMES), random.choice(WORDS))
            )
        if random.random() < 0.05:
            del row[random.choice(list(row))]
        text = json.dumps(row)
        if random.random() < 0.05:
            text = change_text(text, random)
        if random.random() < 0.02:
            depth = random.choice((2, 900, 5000, 50_000))
            text = text.replace(": ", ": " + "[" * depth, 1)
        lines.append(text)
    return "\n".join(lines) + random.choice(("", "\n"))

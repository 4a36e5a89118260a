"""Files of an output folder appear together, or none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from slidecell.jobs.outputs import OutputFolder


def test_a_folder_in_the_place_of_a_file_leaves_all_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    (tmp_path / "scores.csv").write_text("earlier")

    def write() -> None:
        with OutputFolder(tmp_path) as out:
            out.add("scores.csv", lambda path: path.write_text("new"))
            out.add("report.json", lambda path: path.write_text("{}"))

    with pytest.raises(OSError, match=r"report\.json cannot be written: there is a folder"):
        write()
    assert (tmp_path / "scores.csv").read_text() == "earlier"
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "scores.csv"}

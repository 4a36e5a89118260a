"""``python -m slidecell`` and the command ``slidecell``."""

from __future__ import annotations

import io
import os
import sys

_OPTIONAL = {"typer", "rich", "pandas"}


def main() -> int:
    """Run the command line; say what to install where it cannot run."""
    _fill_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a column's name shows a question mark and the job goes on.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run()
    except KeyboardInterrupt:  # before a command has begun
        return 130


def _fill_standard_descriptors() -> None:
    """Open what the caller has closed of 0, 1 and 2: else the next file would get that number.

    What a library prints would go into that file. `sys.stdin` and the like stay None.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free


def _run() -> int:
    if sys.argv[1:2] == ["bench"]:  # which needs numpy alone
        from slidecell.jobs.own_bench import bench

        return bench(sys.argv[2:])
    try:
        import pandas  # noqa: F401  # an error comes here, not after the command has begun

        from slidecell.cli.main import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _OPTIONAL:
            raise
        sys.stderr.write(
            f"error: the command line needs {error.name}: pip install 'slidecell[detect]'\n"
        )
        return 1
    app(prog_name="slidecell")
    return 0


if __name__ == "__main__":
    sys.exit(main())

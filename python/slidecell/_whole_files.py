"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def temporary_beside(target: Path) -> Path:
    """Create an empty file in the target's folder, with its suffix, open to whom a new file is.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_files import temporary_beside
    >>> temporary_beside(Path("report.json").absolute()).suffix
    '.json'
    """
    descriptor, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix
    )
    os.close(descriptor)
    # mkstemp's files are private; the umask can only be read by setting it.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    return Path(name)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file that takes the place of ``path`` if the block ends without an error.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_files import replacing
    >>> with replacing("a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> Path("a.txt").read_text()
    'whole'
    """
    target = Path(path).absolute()
    temporary = temporary_beside(target)
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

"""The CUDA C++ source: where it lies, and the one text that a compiler gets."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_INCLUDE = re.compile(r'^#include "([\w./-]+)"$', re.MULTILINE)


def source_dir() -> Path:
    """Folder of the ``.cuh`` files: inside the package, or in the source tree of an editable one.

    Examples
    --------
    >>> from slidecell.cuda.source import source_dir
    >>> (source_dir() / "kernels.cuh").is_file()
    True
    """
    import slidecell

    here = Path(__file__).resolve()
    # In a source tree the sources themselves come before copies that an editable install made.
    candidates = [here.parents[3] / "csrc" / "cuda", here.parent / "source"]
    candidates += [Path(root) / "cuda" / "source" for root in slidecell.__path__]
    for folder in candidates:
        if (folder / "kernels.cuh").is_file():
            return folder
    raise FileNotFoundError(f"slidecell was installed without its CUDA source in {here.parent}")


def _inline(path: Path, folders: tuple[Path, ...], seen: set[Path]) -> str:
    if path in seen:
        return ""
    seen.add(path)

    def replace(found: re.Match[str]) -> str:
        for folder in (path.parent, *folders):
            if (folder / found[1]).is_file():
                return _inline(folder / found[1], folders, seen)
        raise FileNotFoundError(f"{path}: no {found[1]}")

    return _INCLUDE.sub(replace, path.read_text().replace("#pragma once\n", ""))


@functools.cache
def kernel_source(platform: Path | None = None) -> str:
    """All kernels as one text without includes of their own.

    One text, because CuPy's cache of compiled kernels on disk knows the text it was given and not
    the files that it includes: after an upgrade it would go on with the old ones.

    Parameters
    ----------
    platform : Path, optional
        Folder of ``platform.cuh``; default: that of GPUs.

    Examples
    --------
    >>> from slidecell.cuda.source import kernel_source
    >>> '#include "' in kernel_source()
    False
    """
    folder = source_dir()
    return _inline(folder / "kernels.cuh", (folder, platform or folder / "device"), set())

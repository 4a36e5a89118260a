"""Where the wheel keeps the C and C++ interface: headers, library and CMake package."""

from __future__ import annotations

from pathlib import Path

from slidecell import _core


def _installed(*parts: str) -> str:
    # Beside the compiled module, which an editable install keeps apart from the Python files.
    path = Path(_core.__file__).parent.joinpath(*parts)
    if not path.is_dir():
        msg = f"{path}: no such folder; this slidecell was installed without its C++ interface"
        raise OSError(msg)
    return str(path)


def get_cmake_dir() -> str:
    """Folder of the CMake package, for a C or C++ project that uses the library.

    With ``-DCMAKE_PREFIX_PATH=$(python -c 'import slidecell; print(slidecell.get_cmake_dir())')``
    CMake's ``find_package(slidecell CONFIG)`` finds the library inside the Python package.

    Returns
    -------
    str
        An absolute path.

    Raises
    ------
    OSError
        If the package was installed without the library.

    Examples
    --------
    >>> from pathlib import Path
    >>> import slidecell as sc
    >>> sorted(path.name for path in Path(sc.get_cmake_dir()).glob("*config.cmake"))
    ['slidecell-config.cmake']
    """
    return _installed("lib", "cmake", "slidecell")


def get_include() -> str:
    """Folder of the headers: ``#include <slidecell/slidecell.hpp>`` with it as ``-I``.

    Returns
    -------
    str
        An absolute path.

    Raises
    ------
    OSError
        If the package was installed without the headers.

    Examples
    --------
    >>> from pathlib import Path
    >>> import slidecell as sc
    >>> Path(sc.get_include(), "slidecell", "slidecell.h").is_file()
    True
    """
    return _installed("include")

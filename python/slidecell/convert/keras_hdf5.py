"""Variables in HDF5 files, read by name alone: nothing but plain arrays that lie in the file."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.graph import refuse
from slidecell.convert.keras_attributes import TextReader
from slidecell.convert.keras_layer import SOURCE
from slidecell.convert.keras_stores import Store, Variables

__all__ = ["FileStore", "Hdf5File", "OldStore", "RefusedFileError", "damage_refused"]

_MOST_VARIABLES = 64  # of one layer


class RefusedFileError(ValueError):
    """A file that says what no file of Keras says; its text lacks the file's name."""


@contextmanager
def damage_refused() -> Iterator[None]:
    """Make a `RefusedFileError` of whatever zipfile and h5py raise at damaged files."""
    try:
        yield
    except (RefusedFileError, MemoryError):
        raise
    except Exception as error:
        raise RefusedFileError(f"it is damaged: {type(error).__name__}: {error}") from error


class Hdf5File:
    """An HDF5 file in memory, of which datasets and texts are read by name.

    Parameters
    ----------
    data : bytes
    """

    def __init__(self, data: bytes) -> None:
        import h5py

        self._h5py = h5py
        self._size = len(data)
        self._texts = TextReader(data)
        self._left = len(data)  # bytes of variables: more than the file holds are not read
        with damage_refused():
            self._file = h5py.File(io.BytesIO(data), "r")

    def has_group(self, path: Sequence[str]) -> bool:
        """Return whether there is a group of that name."""
        with damage_refused():
            return self._find(path, self._h5py.Group) is not None

    def array(self, path: Sequence[str]) -> npt.NDArray[Any] | None:
        """Return a dataset of floats; None if there is none of that name."""
        with damage_refused():
            found = self._find(path, self._h5py.Dataset)
            return None if found is None else self._read("/".join(path), found)

    def _find(self, path: Sequence[str], kind: type) -> Any:
        """Follow hard links alone: soft and external ones lead anywhere."""
        found: Any = self._file
        for place, part in enumerate(path):
            link = found.get(part, getlink=True)
            if link is None:
                return None
            where = "/".join(path[: place + 1])
            if not isinstance(link, self._h5py.HardLink):
                raise RefusedFileError(f"expected {where!r} in the file itself, got a link")
            found = found[part]
            expected = kind if place == len(path) - 1 else self._h5py.Group
            if not isinstance(found, expected):
                raise RefusedFileError(f"expected {where!r} to be a {expected.__name__}")
        return found

    def _read(self, name: str, dataset: Any) -> npt.NDArray[Any]:
        """Return the numbers of a dataset, once their place in the file holds so many."""
        h5py = self._h5py
        plan = dataset.id.get_create_plist()
        if plan.get_layout() != h5py.h5d.CONTIGUOUS or plan.get_external_count() != 0:
            raise RefusedFileError(
                f"expected {name!r} as one plain array in the file, got one that is chunked, "
                "compressed, virtual or external"
            )
        kind = dataset.id.get_type()
        if kind.get_class() not in (h5py.h5t.FLOAT, h5py.h5t.INTEGER) or kind.get_size() > 8:
            raise RefusedFileError(f"expected floats in {name!r}, got another type")
        shape = dataset.shape
        if shape is None or len(shape) > 4:
            raise RefusedFileError(f"expected an array of at most 4 axes in {name!r}, got {shape}")
        count = math.prod(shape) * kind.get_size()
        place = dataset.id.get_offset()
        stored = dataset.id.get_storage_size()
        if place is None or stored != count or place + count > self._size:
            raise RefusedFileError(
                f"expected {count} bytes for {list(shape)} numbers in {name!r}, got {stored} in a "
                f"file of {self._size}"
            )
        self._left -= count
        if self._left < 0:
            raise RefusedFileError("expected variables that do not overlap, got more than it holds")
        return np.asarray(dataset[()])

    def text(self, name: str) -> str | None:
        """Return a text of the whole file; None if there is none of that name."""
        with damage_refused():
            texts = self._texts.texts(self._address(self._file)).get(name, [])
        return texts[0] if len(texts) == 1 else None

    def names(self, path: Sequence[str], name: str) -> list[str]:
        """Return the list of texts of a group, which Keras may have cut into several."""
        with damage_refused():
            group = self._find(path, self._h5py.Group)
            if group is None:
                raise RefusedFileError(f"expected {'/'.join(path)!r} in it")
            found = self._texts.texts(self._address(group))
            if name in found:
                return found[name]
            pieces = [found[f"{name}{n}"] for n in range(len(found)) if f"{name}{n}" in found]
            return [text for piece in pieces for text in piece]

    def _address(self, group: Any) -> int:
        return int(self._h5py.h5o.get_info(group.id).addr)


class FileStore:
    """The variables of a layer in ``model.weights.h5``, by its place there.

    Parameters
    ----------
    file : Hdf5File
    path : tuple of str
        Of the layer's group.
    """

    def __init__(self, file: Hdf5File, path: tuple[str, ...] = ()) -> None:
        self.file = file
        self.path = path

    def variables(self) -> Variables:
        """Return the layer's own variables, which have numbers for names.

        Newer files say the layer's name beside them. That text is left unread: HDF5 keeps it in a
        heap, which a hostile file can make without end.
        """
        place = (*self.path, "vars")
        if not self.file.has_group(place):
            return []
        found: list[npt.NDArray[Any]] = []
        while len(found) <= _MOST_VARIABLES:
            array = self.file.array((*place, str(len(found))))
            if array is None:
                break
            found.append(array)
        return found

    def child(self, attribute: str) -> FileStore:
        """Return the store of a layer inside this one."""
        return FileStore(self.file, (*self.path, attribute))

    def layers(self, layers: Sequence[Mapping[str, Any]]) -> Sequence[Store]:
        """Return the stores of a model's layers, which are named after their classes."""
        counts: dict[str, int] = {}
        stores: list[Store] = []
        for layer in layers:
            kind = _snake_case(str(layer.get("class_name")))
            number = counts.get(kind, -1) + 1
            counts[kind] = number
            group = kind if number == 0 else f"{kind}_{number}"
            stores.append(FileStore(self.file, (*self.path, "layers", group)))
        return stores


def _snake_case(name: str) -> str:
    """Return a class's name as Keras writes it in its files: `TimeDistributed`, time_distributed.

    >>> from slidecell.convert.keras_hdf5 import _snake_case
    >>> _snake_case("SimpleRNN"), _snake_case("LeakyReLU")
    ('simple_rnn', 'leaky_re_lu')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class OldStore:
    """The variables of a layer in an ``.h5`` file of a whole model: a list without structure.

    Parameters
    ----------
    file : Hdf5File
    name : str or None
        Of the layer; None for the model.
    part : slice
        Which of the layer's variables these are.
    """

    def __init__(self, file: Hdf5File, name: str | None = None, half: int | None = None) -> None:
        self.file = file
        self.name = name
        self.half = half

    def variables(self) -> Variables:
        """Return the layer's variables, those of layers inside it as well."""
        path = ("model_weights", str(self.name))
        names = self.file.names(path, "weight_names")
        if len(names) > 2 * _MOST_VARIABLES:
            raise RefusedFileError(f"expected at most {2 * _MOST_VARIABLES} names in {self.name!r}")
        if self.half is not None:
            middle = len(names) // 2
            names = names[middle:] if self.half else names[:middle]
        found: list[npt.NDArray[Any]] = []
        for name in names:
            array = self.file.array((*path, *name.split("/")))
            if array is None:
                raise RefusedFileError(f"expected {name!r} in it, which {self.name!r} names")
            found.append(array)
        return found

    def child(self, attribute: str) -> OldStore:
        """Return the store of a layer inside this one."""
        halves = {"forward_layer": 0, "backward_layer": 1}
        return OldStore(self.file, self.name, halves.get(attribute, self.half))

    def layers(self, layers: Sequence[Mapping[str, Any]]) -> Sequence[Store]:
        """Return the stores of a model's layers, which are named as they are."""
        if self.name is not None:
            refuse(
                SOURCE,
                self.name,
                "is a model inside the model, whose variables an .h5 file mixes",
                "save it as .keras",
            )
        return [OldStore(self.file, layer["config"].get("name")) for layer in layers]

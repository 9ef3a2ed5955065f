"""Files of triples as tables of text, whatever their format: what every format does, and how it is found."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place
from tracin_dask.triples.delimited import find_delimited
from tracin_dask.triples.lines import BLOCK_BYTES, InvalidLines, Table
from tracin_dask.triples.opening import OnBytes, head_of
from tracin_dask.triples.parts import WHOLE, Part
from tracin_dask.triples.records import PARQUET, find_json_lines, find_parquet
from tracin_dask.triples.shape import PLAIN, ROLES, Shape

_HEAD_BYTES = 64 << 10
_DOCUMENTS = (b"[", b"{", b"[{", b'{"')


@runtime_checkable
class TableFormat(Protocol):
    """How a file is read as columns of text."""

    @property
    def description(self) -> str:
        """What a store records of it: "" for three columns between tabs."""
        ...

    def tables(
        self, invalid: InvalidLines, *, block_bytes: int = BLOCK_BYTES, on_bytes: OnBytes | None = None
    ) -> Iterator[Table]:
        """Read the file in bounded memory; rows that cannot be used go to `invalid`.

        Rows are numbered from 0 in `line_index`. `on_bytes` is given all bytes of the file, in order.
        """
        ...

    @property
    def is_lines(self) -> bool:
        """Whether parts of the file can be read on their own, where it is not compressed."""
        ...

    def at(self, path: Place, part: Part = WHOLE) -> "TableFormat":
        """Read the same file by another path to it, or a part of it."""
        ...

    def refuse_other_count(self, num_lines: int) -> None:
        """Refuse a file, read part by part, that announces another number of lines.

        Raises
        ------
        TriplesError
            With both numbers.
        """
        ...


def find_format(
    path: Place, shape: Shape = PLAIN, *, num_columns: int = len(ROLES), allow_spaces: bool = False
) -> TableFormat:
    """Find out how a file is read, from what is stated and from its beginning.

    Raises
    ------
    TriplesError
        If the file has another shape than stated; the message says what was found and which options read it.
    """
    if is_parquet(path):
        return find_parquet(path, shape)
    head = head_of(path, _HEAD_BYTES)
    first = head[: head.find(b"\n") + 1 or None].strip()
    found = find_json_lines(path, first, shape) if first.startswith(b"{") else None
    if found is not None:
        return found
    if first in _DOCUMENTS[:2] or first.startswith(_DOCUMENTS[2:]):
        raise TriplesError(
            f"{path}: a JSON document; expected one object per line: `jq -c '.[]'` writes the members of an array so, "
            "`jq -c '.edges[]'` the edges of a KGX file"
        )
    return find_delimited(path, head, shape, num_columns=num_columns, allow_spaces=allow_spaces)


def is_parquet(path: Place) -> bool:
    """Tell whether a file is one of Parquet, by its first bytes; not where it cannot be read."""
    try:
        with path.open() as file:
            return file.read(len(PARQUET)) == PARQUET
    except OSError:
        return False  # opened again, the error is explained

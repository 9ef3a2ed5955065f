"""Id maps: the labels of entities or relations in the order of their ids, and the files that hold them."""

import difflib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, SupportsIndex, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from tracin_dask.errors import TriplesError
from tracin_dask.places.files import write_bytes
from tracin_dask.places.place import AnyPath
from tracin_dask.triples.digests import lines_of
from tracin_dask.triples.lines import Table, read_table

Kind = Literal["entity", "relation"]
NOT_AN_INTEGER = -1
UNKNOWN = -1
AMBIGUOUS_NAME = -4
"""In place of the id: nothing has this label or name, or several ids have this name."""
_OTHER_LENGTH = 3
"""Largest difference in length between an unknown label and a suggestion."""
MapColumns = Literal["label,id", "id,label"]
"""The order of the two columns of a file."""
LABEL_FIRST: MapColumns = "label,id"
ID_FIRST: MapColumns = "id,label"
_BARE_INTEGER = "^(0|[1-9][0-9]{0,17})$"


def say_nothing(_: str) -> None:
    """Say nothing."""


@runtime_checkable
class Lookup(Protocol):
    """Looks up the ids of texts: an id map, or labels and names together."""

    def __len__(self) -> int:
        """Return the number of ids."""

    def ids(self, labels: pa.StringArray | pa.ChunkedArray | list[str]) -> Int64[np.ndarray, " row"]:
        """Look up ids; a negative number says why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdMap:
    """The labels of all entities, or of all relations, in id order."""

    labels: pa.StringArray

    @classmethod
    def of(cls, labels: Iterable[str]) -> "IdMap":
        """Make a map from labels in id order."""
        return cls(labels=pa.array(list(labels), pa.string()))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.labels)

    def label(self, id: SupportsIndex) -> str:  # noqa: A002 - an id is what it is
        """Return the label of an id."""
        label: str = self.labels[int(id)].as_py()
        return label

    def other_integer(self) -> tuple[str, int] | None:
        """Find a label that is a bare integer but not its own id, with its id; None if there is none."""
        numbers = bare_integers(self.labels)
        found = np.flatnonzero((numbers >= 0) & (numbers != np.arange(len(self))))
        return (self.label(found[0]), int(found[0])) if len(found) else None

    def ids(self, labels: pa.StringArray | pa.ChunkedArray | list[str]) -> Int64[np.ndarray, " row"]:
        """Look up the ids of labels; unknown ones are -1."""
        values = pa.array(labels, pa.string()) if isinstance(labels, list) else labels
        found = self._few(values) if len(values) < len(self) else pc.index_in(values, value_set=self.labels)
        ids: np.ndarray = pc.fill_null(found.cast(pa.int64()), -1).to_numpy()
        return ids

    def _few(self, values: pa.StringArray | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Look up few labels: first find which labels of the map occur, since a table of them all takes longer."""
        occurring = pc.indices_nonzero(pc.is_in(self.labels, value_set=values))
        return occurring.take(pc.index_in(values, value_set=self.labels.take(occurring)))

    def like(self, label: str) -> list[str]:
        """Suggest up to three labels for an unknown one, the most similar first.

        Only labels of about its length that share its first letter, in either case, are compared.
        """
        initial = pc.equal(pc.utf8_lower(pc.utf8_slice_codeunits(self.labels, 0, 1)), label[:1].lower())
        length = pc.less_equal(pc.abs(pc.subtract(pc.utf8_length(self.labels), len(label))), _OTHER_LENGTH)
        near = {other.lower(): other for other in self.labels.filter(pc.and_(initial, length)).to_pylist()}
        return [near[other] for other in difflib.get_close_matches(label.lower(), near, cutoff=0.75)]


def bare_integers(values: pa.StringArray) -> Int64[np.ndarray, " row"]:
    """Read non-negative integers without sign, spaces or leading zeros; anything else gives -1.

    Leading zeros are refused so that an id has one spelling: `00260881` is a label.
    """
    is_integer = pc.match_substring_regex(values, pattern=_BARE_INTEGER)
    numbers: np.ndarray = pc.if_else(is_integer, values, str(NOT_AN_INTEGER)).cast(pa.int64()).to_numpy()
    return numbers


def read_id_map(
    path: AnyPath,
    kind: Kind = "entity",
    *,
    columns: MapColumns | None = None,
    say: Callable[[str], object] = say_nothing,
) -> IdMap:
    """Read a file of `label TAB id` lines, no quoting, UTF-8; the ids are 0 to n-1, each once, in any order.

    Lines of `id TAB label` are recognised where only the first column has the integers 0 to n-1, and a header where one
    of its two words is `id`. `say` gets a message about both; `columns` states the order.

    The first line may be their number alone, as in the files of OpenKE; the file may be compressed.

    Raises
    ------
    TriplesError
        If a line has not two fields, an id is not an integer, a label or an id appears twice, or an id is missing; the
        message names file, line and text. If either column could be the ids.
    """
    table, header = _without_header(read_table(path, 2, expected=f"{kind} label TAB id", allow_count=True))
    numbers = [bare_integers(column) for column in table.columns]
    order = columns or header or _order(path, table, numbers)
    if header is not None:
        say(f"{path}: the first line is a header, for the columns {header}")
    if order == ID_FIRST and header is None:
        say(f"{path}: read as lines of `id TAB {kind} label`")
    place = order.split(",").index("id")
    labels, ids = table.columns[1 - place], numbers[place]
    refuse = partial(_refuse, path, table)
    refuse(
        ids < 0, f"the id is not an integer ≥ 0; expected `{order.replace(',', ' TAB ')}`; a header has the word `id`"
    )
    refuse(_repeats(pa.array(ids)), f"this {kind} id appears a second time; ids must be unique")
    refuse(_repeats(labels), f"this {kind} label appears a second time; labels must be unique")
    refuse(ids >= len(ids), f"the {len(ids):,} ids must be 0 to {len(ids) - 1:,} without a gap, but this id is larger")
    return IdMap(labels=labels.take(pa.array(np.argsort(ids))))


def write_id_map(path: AnyPath, id_map: IdMap) -> None:
    """Write `label TAB id` lines in id order; the file appears whole or not at all."""
    write_bytes(path, id_map_bytes(id_map))


def id_map_bytes(id_map: IdMap) -> bytes:
    """Return the bytes of a file for `read_id_map`."""
    return "".join(f"{label}\t{number}\n" for number, label in enumerate(id_map.labels.to_pylist())).encode()


def needs_map_columns(id_map: IdMap) -> bool:
    """Tell whether a file of a map has to be read with its order of columns stated, because both could be the ids."""
    numbers, ids = bare_integers(id_map.labels), np.arange(len(id_map))
    return np.array_equal(np.sort(numbers), ids) and not np.array_equal(numbers, ids)


def id_maps_sha256(entities: IdMap, relations: IdMap) -> str:
    """Hash all labels in id order, to identify the maps of a checkpoint or a store.

    The bytes hashed are, for the entities and then for the relations: `entities N\\n` or `relations N\\n` and each
    label in UTF-8 followed by a newline.
    """
    digest = hashlib.sha256()
    for name, id_map in (("entities", entities), ("relations", relations)):
        digest.update(f"{name} {len(id_map)}\n".encode())
        digest.update(lines_of(id_map.labels))
    return digest.hexdigest()


def _without_header(table: Table) -> tuple[Table, MapColumns | None]:
    """Take off a first line of two words, one of which is `id`; it says the order of the columns."""
    first = [column[0].as_py() for column in table.columns]
    is_id = [word.lower() == "id" for word in first]
    if len(table.line_index) < 2 or sum(is_id) != 1 or first[is_id.index(False)].isdecimal():
        return table, None
    rest = Table(columns=tuple(column.slice(1) for column in table.columns), line_index=table.line_index[1:])
    return rest, ID_FIRST if is_id[0] else LABEL_FIRST


def _order(path: AnyPath, table: Table, numbers: Sequence[Int64[np.ndarray, " row"]]) -> MapColumns:
    """Find the column of the ids: the only one with the integers 0 to n-1.

    Raises
    ------
    TriplesError
        If both columns have them, in different orders.
    """
    first, second = (np.array_equal(np.sort(column), np.arange(len(column))) for column in numbers)
    if not first:
        return LABEL_FIRST
    if not second:
        return ID_FIRST
    either = (
        f"either could be the id, because both columns have the integers 0 to {len(numbers[0]) - 1:,}; say which it "
        f"is: --map-columns {LABEL_FIRST} or --map-columns {ID_FIRST}"
    )
    _refuse(path, table, numbers[0] != numbers[1], either)
    return LABEL_FIRST


def _repeats(values: pa.Array) -> np.ndarray:
    """Mark every value that appeared before."""
    first: np.ndarray = pc.index_in(values, value_set=values).to_numpy()
    repeats: np.ndarray = first != np.arange(len(values))
    return repeats


def _refuse(path: AnyPath, table: Table, wrong: np.ndarray, reason: str) -> None:
    """Raise for the first row that is wrong, with its line."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TriplesError(f"{path}, line {table.line_index[row] + 1}: {table.text(row)!r}: {reason}")

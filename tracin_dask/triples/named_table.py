"""A file of two columns, names and the ids or labels of what they name, in an order that is found from the file."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place
from tracin_dask.triples.idmap import IdMap, bare_integers
from tracin_dask.triples.lines import Table, read_table
from tracin_dask.triples.nodes import has_nodes, read_nodes

_NAME_WORDS = frozenset({"name", "names", "entity_name", "node_name", "readable name", "readable_name"})
_ID_WORDS = frozenset({"id", "entity_id", "node_id"})
"""The column may then have ids or, as KGX calls them, labels."""
_LABEL_WORDS = frozenset({"label", "entity", "entity_label", "node", "curie", "identifier"})
_CLEARLY = 10
"""So many times more lines fit the reading that is taken than the other, where none fits all lines."""
KeyKind = Literal["ids", "labels"]
Reading = tuple[int, KeyKind]
"""The column of the ids or labels, and which of the two they are."""
_USUAL_COLUMN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTable:
    """The two columns without a header."""

    table: Table
    key_column: int
    are_ids: bool

    @property
    def keys(self) -> pa.StringArray:
        """The ids or labels."""
        return self.table.columns[self.key_column]

    @property
    def names(self) -> pa.StringArray:
        """The names."""
        return self.table.columns[1 - self.key_column]


def read_named_table(path: Place, entities: IdMap, *, labels: bool, ids: bool) -> NamedTable:
    """Read a file and find which column has the ids or labels of entities.

    `labels` and `ids` state what integers are, where they could be either.

    Raises
    ------
    TriplesError
        If a line is malformed, or the columns could be read in two ways.
    """
    if has_nodes(path):
        return _of_nodes(path, entities)
    table, key_column, is_label = _without_header(read_table(path, 2, expected="name TAB id, or name TAB label"))
    fits = {
        (column, kind): number
        for (column, kind), number in _fits(table, entities).items()
        if key_column in {None, column} and not (kind == "ids" and is_label)
    }
    stated: KeyKind | None = "labels" if labels else "ids" if ids else None
    column, kind = _reading(path, fits, table, entities, stated)
    return NamedTable(table=table, key_column=column, are_ids=kind == "ids")


def _of_nodes(path: Place, entities: IdMap) -> NamedTable:
    """Take the named nodes: their ids are labels of the graph, or else all of them are integers."""
    nodes = [node for node in read_nodes(path) if node[1]]
    columns = tuple(pa.array([node[part] for node in nodes], pa.string()) for part in (0, 1))
    table = Table(columns=columns, line_index=np.array([line - 1 for _, _, line in nodes], np.int64))
    is_any_label = bool((entities.ids(columns[0]) >= 0).any())
    are_integers = len(nodes) > 0 and bool((bare_integers(columns[0]) >= 0).all())
    return NamedTable(table=table, key_column=0, are_ids=are_integers and not is_any_label)


def _without_header(table: Table) -> tuple[Table, int | None, bool]:
    """Take off a first line such as `name TAB id`; give the column of the key, and whether it is called a label."""
    words = [column[0].as_py().strip().lower() for column in table.columns]
    for key, name in ((0, 1), (1, 0)):
        if words[name] in _NAME_WORDS and words[key] in _ID_WORDS | _LABEL_WORDS and len(table.line_index) > 1:
            rest = tuple(column.slice(1) for column in table.columns)
            return Table(columns=rest, line_index=table.line_index[1:]), key, words[key] in _LABEL_WORDS
    return table, None, False


def _fits(table: Table, entities: IdMap) -> dict[Reading, int]:
    """Count the lines that fit each reading."""
    found: dict[Reading, int] = {}
    for column, values in enumerate(table.columns):
        numbers = bare_integers(values)
        found[column, "ids"] = int(((numbers >= 0) & (numbers < len(entities))).sum())
        found[column, "labels"] = int((entities.ids(values) >= 0).sum())
    return found


def _reading(path: Place, fits: dict[Reading, int], table: Table, entities: IdMap, stated: KeyKind | None) -> Reading:
    """Choose the reading that fits clearly more lines than any other."""
    order = sorted(fits, key=lambda one: (-fits[one], one[1] != (stated or "ids"), one[0] != _USUAL_COLUMN))
    best, number = order[0], len(table.line_index)
    for other in order[1:]:
        is_clear = fits[other] < number if fits[best] == number else fits[other] * _CLEARLY <= fits[best]
        is_stated = stated == best[1] and other[0] == best[0]
        is_refused_later = best[1] == "ids" and fits[best] < number  # with the line whose id does not exist
        if not (is_clear or is_stated or is_refused_later or _says_the_same(best, other, table, entities)):
            _refuse(path, best, other)
    return best


def _says_the_same(one: Reading, other: Reading, table: Table, entities: IdMap) -> bool:
    """Tell whether two readings give the same names to the same entities."""
    if one[0] != other[0]:
        return bool(pc.all(pc.equal(*table.columns)).as_py()) and one[1] == other[1]
    numbers = bare_integers(table.columns[one[0]])
    return bool(np.array_equal(numbers, entities.ids(table.columns[one[0]])))


def _refuse(path: Place, one: Reading, other: Reading) -> None:
    if one[0] == other[0]:
        raise TriplesError(
            f"{path}: are its integers ids or labels? They could be either, and mean different entities; give --ids or "
            "--labels, or a first line such as `name TAB label`"
        )
    raise TriplesError(
        f"{path}: either column could be the names, because both have ids or labels of the graph; add a first line "
        "that says which is which: `name TAB id`, `id TAB name`, `name TAB label` or `label TAB name`"
    )

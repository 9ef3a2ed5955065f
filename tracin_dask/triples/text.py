"""Files of triples as blocks of integer ids."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.stream import input_place
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.formats import TableFormat, find_format, is_parquet
from tracin_dask.triples.idmap import AMBIGUOUS_NAME, NOT_AN_INTEGER, IdMap, Kind, Lookup, bare_integers
from tracin_dask.triples.integers import are_ids, maps_of
from tracin_dask.triples.lines import BLOCK_BYTES, SHOWN_LINES, InvalidLine, InvalidLines, Table
from tracin_dask.triples.opening import OnBytes, head_of
from tracin_dask.triples.shape import PLAIN, ROLES, Shape

_UNKNOWN_LABEL, _OUT_OF_RANGE = -2, -3
_FAULTS = {
    NOT_AN_INTEGER: "{} is not an integer id",
    _UNKNOWN_LABEL: "unknown {} label",
    AMBIGUOUS_NAME: "ambiguous {} name",
    _OUT_OF_RANGE: "{} id out of range",
}
_DETECTION_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TripleText:
    """A file of triples and how to read it: labels to look up, or bare ids."""

    path: Place
    format: TableFormat
    has_ids: bool
    block_bytes: int = BLOCK_BYTES

    def tables(self, invalid: InvalidLines, on_bytes: OnBytes | None = None) -> Iterator[Table]:
        """Read the three columns as text, block by block; malformed lines go to `invalid`."""
        return self.format.tables(invalid, block_bytes=self.block_bytes, on_bytes=on_bytes)

    def blocks(
        self,
        entities: Lookup,
        relations: Lookup,
        *,
        invalid: InvalidLines,
        on_bytes: OnBytes | None = None,
    ) -> Iterator[TripleBlock]:
        """Read ids, block by block; lines that are malformed or not of this graph go to `invalid`."""
        for table in self.tables(invalid, on_bytes):
            yield known_triples(table, entities, relations, has_ids=self.has_ids, invalid=invalid)

    def refuse(
        self, invalid: InvalidLines, *, hint: str = "", explain: Callable[[InvalidLine], str] | None = None
    ) -> None:
        """Raise if there are invalid lines; `explain` adds to those that are shown.

        Raises
        ------
        TriplesError
            With the first few lines, the total by kind, and what to do.
        """
        if not invalid.counts:
            return
        advice = ["Correct the file or the id maps" + hint]
        if invalid.counts.total() == 1 and invalid.first[0].number == 1 and not invalid.lines_before:
            advice.append("if the first line is a header, pass --header")
        if any("out of range" in kind or "integer" in kind for kind in invalid.counts):
            advice.append(
                "the file was taken for one of ids, because it starts with integers only: "
                "if these are labels, pass --labels"
            )
        raise TriplesError(f"{invalid.describe(self.path, explain)}\n{'; '.join(advice)}.")


def open_triples(
    path: AnyPath,
    maps: Mapping[Kind, IdMap] | None = None,
    *,
    labels: bool = False,
    ids: bool = False,
    shape: Shape = PLAIN,
    allow_spaces: bool = False,
) -> TripleText:
    """Find out how a file of triples is read, and what its integers are; raises as `find_format` and `are_ids`.

    Bare integers are what is stated, `labels` or `ids`, or else ids, where those `maps` leave no doubt in which labels
    would be looked up. With `allow_spaces` a line without a tab is split at its spaces.
    """
    place = input_place(path)
    found = find_format(place, shape, allow_spaces=allow_spaces)
    has_ids = are_ids(partial(holds_ids, found), maps or {}, labels=labels, ids=ids, where=place)
    return TripleText(path=place, format=found, has_ids=has_ids)


def read_triples(
    path: AnyPath,
    entities: IdMap,
    relations: IdMap,
    *,
    labels: bool = False,
    ids: bool = False,
    shape: Shape = PLAIN,
) -> Int64[np.ndarray, "row 3"]:
    """Read a small file of triples into memory, in the order of its lines.

    Bare integers are what is stated, `labels` or `ids`, or else ids.

    Raises
    ------
    TriplesError
        If integers could be ids or labels and nothing is stated, any line is malformed or names something that the id
        maps do not know, or there is no line at all.
    """
    text = open_triples(path, maps_of(entities, relations), labels=labels, ids=ids, shape=shape)
    invalid = InvalidLines()
    block = concatenate(text.blocks(entities, relations, invalid=invalid))
    text.refuse(invalid)
    if not len(block):
        raise TriplesError(f"{text.path}: the file has no triples; expected lines of `head TAB relation TAB tail`")
    return block.triples


def has_sets(path: AnyPath, shape: Shape = PLAIN) -> bool:
    """Tell whether the first line of a file has a fourth column, between tabs; not where its columns are stated."""
    place = input_place(path)
    if shape.columns or shape.delimiter or is_parquet(place):
        return False
    head = head_of(place, _DETECTION_BYTES)
    return head.split(b"\n", 1)[0].count(b"\t") == len(ROLES)


def holds_ids(found: TableFormat) -> bool:
    """Tell whether the well-formed rows at the start of a file hold nothing but bare integers."""
    table = next(found.tables(InvalidLines(), block_bytes=_DETECTION_BYTES), None)
    columns = table.columns[: len(ROLES)] if table is not None else ()
    return all(len(column) and (bare_integers(column) >= 0).all() for column in columns) and bool(columns)


def known_triples(
    table: Table, entities: Lookup, relations: Lookup, *, has_ids: bool, invalid: InvalidLines
) -> TripleBlock:
    """Turn three columns into ids; lines that are not of this graph go to `invalid`."""
    if has_ids:
        triples = integer_triples(table, (len(entities), len(relations), len(entities)))
    else:
        triples = _labelled_triples(table, entities, relations)
    return _keep_valid(table, triples, invalid)


def integer_triples(table: Table, limits: tuple[int, int, int]) -> Int64[np.ndarray, "row 3"]:
    """Read fields as ids below the three limits; a negative number says what is wrong with a field."""
    columns = []
    for column, limit in zip(table.columns, limits, strict=True):
        ids = bare_integers(column)
        columns.append(np.where(ids >= limit, _OUT_OF_RANGE, ids))
    return np.stack(columns, axis=1)


def _labelled_triples(table: Table, entities: Lookup, relations: Lookup) -> Int64[np.ndarray, "row 3"]:
    head, relation, tail = table.columns
    both = entities.ids(pa.chunked_array([head, tail]))  # the lookup table is made once per call, so one call for both
    triples = np.stack([both[: len(head)], relations.ids(relation), both[len(head) :]], axis=1)
    triples[(triples < 0) & (triples != AMBIGUOUS_NAME)] = _UNKNOWN_LABEL
    return triples


def _keep_valid(table: Table, triples: np.ndarray, invalid: InvalidLines) -> TripleBlock:
    """Drop the rows with a negative number, and count each by the first of them."""
    is_bad = triples < 0
    bad_rows = np.flatnonzero(is_bad.any(axis=1))
    if not len(bad_rows):
        return TripleBlock(triples=triples, train_index=table.line_index)
    bad_column = is_bad[bad_rows].argmax(axis=1)
    fault = triples[bad_rows, bad_column]
    for column, name in enumerate(ROLES):
        for code, kind in _FAULTS.items():
            rows = bad_rows[(bad_column == column) & (fault == code)]
            if len(rows):
                shown = [table.text(row) for row in rows[:SHOWN_LINES].tolist()]
                invalid.add(kind.format(name), table.line_index[rows].tolist(), shown)
    good = np.delete(np.arange(len(triples)), bad_rows)
    return TripleBlock(triples=triples[good], train_index=table.line_index[good])

"""Text files of triples, head TAB relation TAB tail, as blocks of integer ids."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.idmap import NOT_AN_INTEGER, IdMap, bare_integers
from tracin_dask.triples.integers import are_ids, maps_of
from tracin_dask.triples.lines import (
    BLOCK_BYTES,
    SHOWN_LINES,
    InvalidLine,
    InvalidLines,
    Table,
    read_blocks,
    read_columns,
)

COLUMNS = ("head", "relation", "tail")
_UNKNOWN_LABEL, _OUT_OF_RANGE = -2, -3
_FAULTS = {
    NOT_AN_INTEGER: "{} is not an integer id",
    _UNKNOWN_LABEL: "unknown {} label",
    _OUT_OF_RANGE: "{} id out of range",
}
_DETECTION_BYTES = 64 << 10
_BARE_INTEGER = re.compile(rb"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TripleText:
    """A text file of triples and how to read it: labels to look up, or bare ids."""

    path: Place
    has_ids: bool
    allow_spaces: bool = False
    block_bytes: int = BLOCK_BYTES

    def tables(self, invalid: InvalidLines, on_bytes: Callable[[bytes], object] | None = None) -> Iterator[Table]:
        """Read the three columns as text, block by block; malformed lines go to `invalid`."""
        for block in read_blocks(self.path, block_bytes=self.block_bytes, on_bytes=on_bytes):
            yield read_columns(block, len(COLUMNS), invalid, allow_spaces=self.allow_spaces)

    def blocks(
        self,
        entities: IdMap,
        relations: IdMap,
        *,
        invalid: InvalidLines,
        on_bytes: Callable[[bytes], object] | None = None,
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
        if any("out of range" in kind or "integer" in kind for kind in invalid.counts):
            advice.append(
                "the file was taken for one of ids, because it starts with integers only: "
                "if these are labels, pass --labels"
            )
        raise TriplesError(f"{invalid.describe(self.path, explain)}\n{'; '.join(advice)}.")


def holds_ids(path: AnyPath) -> bool:
    """Tell whether the well-formed lines at the start of a file hold nothing but bare integers."""
    block = next(read_blocks(path, block_bytes=_DETECTION_BYTES), None)
    lines = block.data.splitlines() if block else []
    rows = [fields for line in lines if len(fields := line.split()) == len(COLUMNS)]
    return bool(rows) and all(_BARE_INTEGER.fullmatch(field) for fields in rows for field in fields)


def read_triples(
    path: AnyPath,
    entities: IdMap,
    relations: IdMap,
    *,
    labels: bool = False,
    ids: bool = False,
    allow_spaces: bool = False,
) -> Int64[np.ndarray, "row 3"]:
    """Read a small file of triples into memory, in the order of its lines.

    Bare integers are what is stated, `labels` or `ids`, or else ids. With `allow_spaces` a line without a tab is split
    at its spaces.

    Raises
    ------
    TriplesError
        If integers could be ids or labels and nothing is stated, any line is malformed or names something that the id
        maps do not know, or there is no line at all.
    """
    path = place_of(path)
    looks = partial(holds_ids, path)
    has_ids = are_ids(looks, maps_of(entities, relations), labels=labels, ids=ids, where=path)
    text = TripleText(path=path, has_ids=has_ids, allow_spaces=allow_spaces)
    invalid = InvalidLines()
    block = concatenate(text.blocks(entities, relations, invalid=invalid))
    text.refuse(invalid)
    if not len(block):
        raise TriplesError(f"{path}: the file has no triples; expected lines of `head TAB relation TAB tail`")
    return block.triples


def has_sets(path: AnyPath) -> bool:
    """Tell whether the first line of a file has a fourth column."""
    block = next(read_blocks(path, block_bytes=_DETECTION_BYTES), None)
    lines = block.data.splitlines() if block else []
    return bool(lines) and lines[0].count(b"\t") == len(COLUMNS)


def starts_with_ids(path: AnyPath) -> bool:
    """Tell whether the first three columns at the start of a file hold nothing but bare integers."""
    block = next(read_blocks(path, block_bytes=_DETECTION_BYTES), None)
    rows = [line.split(b"\t")[: len(COLUMNS)] for line in (block.data.splitlines() if block else [])]
    return bool(rows) and all(_BARE_INTEGER.fullmatch(field) for fields in rows for field in fields)


def known_triples(
    table: Table, entities: IdMap, relations: IdMap, *, has_ids: bool, invalid: InvalidLines
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


def _labelled_triples(table: Table, entities: IdMap, relations: IdMap) -> Int64[np.ndarray, "row 3"]:
    head, relation, tail = table.columns
    both = entities.ids(pa.chunked_array([head, tail]))  # the lookup table is made once per call, so one call for both
    triples = np.stack([both[: len(head)], relations.ids(relation), both[len(head) :]], axis=1)
    triples[triples < 0] = _UNKNOWN_LABEL
    return triples


def _keep_valid(table: Table, triples: np.ndarray, invalid: InvalidLines) -> TripleBlock:
    """Drop the rows with a negative number, and count each by the first of them."""
    is_bad = triples < 0
    bad_rows = np.flatnonzero(is_bad.any(axis=1))
    if not len(bad_rows):
        return TripleBlock(triples=triples, train_index=table.line_index)
    bad_column = is_bad[bad_rows].argmax(axis=1)
    fault = triples[bad_rows, bad_column]
    for column, name in enumerate(COLUMNS):
        for code, kind in _FAULTS.items():
            rows = bad_rows[(bad_column == column) & (fault == code)]
            if len(rows):
                shown = [table.text(row) for row in rows[:SHOWN_LINES].tolist()]
                invalid.add(kind.format(name), table.line_index[rows].tolist(), shown)
    good = np.delete(np.arange(len(triples)), bad_rows)
    return TripleBlock(triples=triples[good], train_index=table.line_index[good])

"""Id maps made from the triples, for graphs without id maps."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.triples.idmap import IdMap, Kind
from tracin_dask.triples.lines import InvalidLines, Table
from tracin_dask.triples.text import TripleText, integer_triples

_NO_LIMIT = 1 << 62
_MOST_UNUSED_IDS = 10_000_000
_LEAST_SHARED = 3
"""Relation labels that are entities, too, from which on columns seem to stand in another order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What id maps are made from: all labels of a text, or its largest ids."""

    entities: pa.StringArray = field(default_factory=lambda: pa.array([], pa.string()))
    relations: pa.StringArray = field(default_factory=lambda: pa.array([], pa.string()))
    num_rows: int = 0
    largest: tuple[int, int, int] = (-1, -1, -1)
    """Of heads, relations and tails, in a text of ids."""
    num_lines: int = 0

    def joined(self, others: "Iterable[Found]") -> "Found":
        """Join what was found in other parts of the text."""
        found = [self, *others]
        return Found(
            entities=pc.unique(pa.chunked_array([one.entities for one in found])),
            relations=pc.unique(pa.chunked_array([one.relations for one in found])),
            num_rows=sum(one.num_rows for one in found),
            largest=(
                max(one.largest[0] for one in found),
                max(one.largest[1] for one in found),
                max(one.largest[2] for one in found),
            ),
            num_lines=sum(one.num_lines for one in found),
        )


def discover_id_maps(text: TripleText, on_bytes: Callable[[bytes], object] | None = None) -> tuple[IdMap, IdMap]:
    """Make the maps of entities and relations; malformed lines are ignored.

    Labels get their ids in the order of the text (by code point), so the same triples in any order give the same maps.
    A file of ids gets 0 to the largest id, labelled by the ids as text.

    Raises
    ------
    TriplesError
        If the ids of a file are so large that most would be unused.
    """
    return id_maps_of(text, find(text, on_bytes))


def find(text: TripleText, on_bytes: Callable[[bytes], object] | None = None) -> Found:
    """Find the labels or the largest ids of a text, or of a part of it."""
    invalid, found = InvalidLines(), Found()
    for table in text.tables(invalid, on_bytes):
        found = found.joined([_ids_of(table) if text.has_ids else _labels_of(table)])
    return replace(found, num_lines=invalid.num_lines)


def id_maps_of(text: TripleText, found: Found) -> tuple[IdMap, IdMap]:
    """Make the maps of entities and relations from all that was found; raises as `discover_id_maps`."""
    if not text.has_ids:
        return _sorted_map(found.entities), _sorted_map(found.relations)
    head, relation, tail = found.largest
    numbers: dict[Kind, int] = {"entity": max(head, tail) + 1, "relation": relation + 1}
    for kind, number in numbers.items():
        if number > 2 * found.num_rows + _MOST_UNUSED_IDS:
            raise TriplesError(
                f"{text.path}: the largest {kind} id is {number - 1:,} in a file of {found.num_rows:,} triples; "
                f"give the ids a map (--{kind}-to-id), or pass --labels if the numbers are labels"
            )
    return _numbered_map(numbers["entity"]), _numbered_map(numbers["relation"])


def say_if_swapped(path: AnyPath, entities: IdMap, relations: IdMap, say: Callable[[str], object]) -> None:
    """Ask about the order of the columns, if most labels of relations, apart from integers, are labels of entities."""
    words = relations.labels.filter(pc.match_substring_regex(relations.labels, r"\D"))
    shared = pc.sum(pc.is_in(entities.labels, words)).as_py() or 0  # this way round, only few labels are hashed
    if shared >= _LEAST_SHARED and 2 * shared > len(words):
        say(
            f"{path}: {shared:,} of {len(relations):,} relation labels are entities, too; are the columns head, "
            "relation and tail? --columns states another order"
        )


def _labels_of(table: Table) -> Found:
    head, relation, tail = table.columns
    return Found(entities=pc.unique(pa.chunked_array([head, tail])), relations=pc.unique(relation))


def _ids_of(table: Table) -> Found:
    triples = integer_triples(table, (_NO_LIMIT,) * 3)
    valid = triples[(triples >= 0).all(axis=1)]
    head, relation, tail = valid.max(axis=0, initial=-1).tolist()
    return Found(num_rows=len(valid), largest=(head, relation, tail))


def _sorted_map(labels: pa.StringArray) -> IdMap:
    return IdMap(labels=labels.take(pc.sort_indices(labels)))


def _numbered_map(number: int) -> IdMap:
    return IdMap(labels=pa.array(np.arange(number)).cast(pa.string()))

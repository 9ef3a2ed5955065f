"""Id maps made from the triples, for graphs without id maps."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.errors import TriplesError
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.lines import InvalidLines
from tracin_dask.triples.text import TripleText, integer_triples

_NO_LIMIT = 1 << 62
_MOST_UNUSED_IDS = 10_000_000


def discover_id_maps(text: TripleText, on_bytes: Callable[[bytes], object] | None = None) -> tuple[IdMap, IdMap]:
    """Make the maps of entities and relations; malformed lines are ignored.

    Labels get their ids in the order of the text (by code point), so the same triples in any order give the same maps.
    A file of ids gets 0 to the largest id, labelled by the ids as text.

    Raises
    ------
    TriplesError
        If the ids of a file are so large that most would be unused.
    """
    return _from_ids(text, on_bytes) if text.has_ids else _from_labels(text, on_bytes)


def _from_labels(text: TripleText, on_bytes: Callable[[bytes], object] | None) -> tuple[IdMap, IdMap]:
    entities = relations = pa.array([], pa.string())
    for table in text.tables(InvalidLines(), on_bytes):
        head, relation, tail = table.columns
        entities = pc.unique(pa.chunked_array([entities, head, tail]))
        relations = pc.unique(pa.chunked_array([relations, relation]))
    return _sorted_map(entities), _sorted_map(relations)


def _sorted_map(labels: pa.StringArray) -> IdMap:
    return IdMap(labels=labels.take(pc.sort_indices(labels)))


def _from_ids(text: TripleText, on_bytes: Callable[[bytes], object] | None) -> tuple[IdMap, IdMap]:
    num_rows, largest = 0, np.full(3, -1)
    for table in text.tables(InvalidLines(), on_bytes):
        triples = integer_triples(table, (_NO_LIMIT,) * 3)
        valid = triples[(triples >= 0).all(axis=1)]
        num_rows += len(valid)
        largest = np.maximum(largest, valid.max(axis=0, initial=-1))
    num_entities, num_relations = int(max(largest[0], largest[2])) + 1, int(largest[1]) + 1
    for kind, number in (("entity", num_entities), ("relation", num_relations)):
        if number > 2 * num_rows + _MOST_UNUSED_IDS:
            raise TriplesError(
                f"{text.path}: the largest {kind} id is {number - 1:,} in a file of {num_rows:,} triples; "
                f"give the ids a map (--{kind}-to-id), or pass --labels if the numbers are labels"
            )
    return _numbered_map(num_entities), _numbered_map(num_relations)


def _numbered_map(number: int) -> IdMap:
    return IdMap(labels=pa.array(np.arange(number)).cast(pa.string()))

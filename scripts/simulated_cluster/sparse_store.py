"""A store of any number of rows without its rows: all that is known of them is stated, and none of them can be read."""

from pathlib import Path

import numpy as np

from tracin_dask.places.registry import place_of
from tracin_dask.triples.digests import num_chunks
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.store import Source, TripleStore, open_store
from tracin_dask.triples.tally import Tallied
from tracin_dask.triples.write import StoreTexts, create_rows, finish_store, start_store

TRIPLES_PER_HEAD, TRIPLES_PER_PAIR = 60, 6
"""Rows of a head, and of a pair of head and relation, on the average."""


def sparse_store(path: Path, *, num_triples: int, num_entities: int, num_relations: int) -> TripleStore:
    """Write a store whose shards are missing: enough for a plan, and refused by whatever reads a row."""
    texts = StoreTexts(
        entities=IdMap.of(f"entity {number}" for number in range(num_entities)),
        relations=IdMap.of(f"relation {number}" for number in range(num_relations)),
    )
    group = start_store(place_of(path), texts)
    create_rows(group, num_triples, texts)
    finish_store(group, texts, _stated(num_triples, num_entities), source=_SOURCE, skipped={})
    return open_store(path)


_SOURCE = Source(name="none", size_bytes=0, sha256="", read_as="nothing: the rows are missing")


def _stated(num_triples: int, num_entities: int) -> Tallied:
    rows = np.full(num_entities, max(1, num_triples // num_entities))
    return Tallied(
        num_triples=num_triples,
        num_distinct_heads=max(1, num_triples // TRIPLES_PER_HEAD),
        num_distinct_head_relations=max(1, num_triples // TRIPLES_PER_PAIR),
        num_duplicates=0,
        num_self_loops=0,
        num_unused_relations=0,
        heads=rows,
        tails=rows,
        row_digests=np.zeros(num_chunks(num_triples), np.int64),
        sha256=("", ""),
    )

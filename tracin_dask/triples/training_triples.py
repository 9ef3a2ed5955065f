"""Training triples that are listed in a file or by a caller: found in the store by halving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.group_ingest import NOT_A_TRAINING_TRIPLE
from tracin_dask.triples.integers import maps_of
from tracin_dask.triples.key_ranges import layout_of, rows_in_ranges
from tracin_dask.triples.lines import SHOWN_LINES, InvalidLines
from tracin_dask.triples.named import named_ids
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.suggestions import meant_in
from tracin_dask.triples.text import open_triples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingTriples:
    """Some training triples of a store, in the order in which they were listed.

    A triple that stands several times in the training file has all its rows here, by `train_index`; one that was
    listed several times stands at its first place.
    """

    triples: Int64[ndarray, "row 3"]
    train_index: Int64[ndarray, " row"]
    rows: Int64[ndarray, " row"]
    """Where they stand in the store."""
    store_fingerprint: str
    source: str = ""
    """The name of the file that lists them, where there is one."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Lines of the file that were left out, by what is wrong with them."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)


ListedTriples: TypeAlias = TrainingTriples | ndarray | Sequence[Sequence[int]] | Sequence[Sequence[str]]
"""Training triples as a caller lists them: found already, or as ids or labels."""


def find_training_triples(
    store: TripleStore, triples: Int64[ndarray, "listed 3"]
) -> tuple[TrainingTriples, Int64[ndarray, " missing"]]:
    """Find triples in a store; gives also the places of those that are not training triples.

    A few triples take a few reads each; many take at most two passes over the store.
    """
    keys, first, key_of_place = np.unique(layout_of(store).pack(triples), return_index=True, return_inverse=True)
    found, key_of_row, rows = _search(store, keys)
    order = np.lexsort((rows, first[key_of_row]))
    training = TrainingTriples(
        triples=found.triples[order],
        train_index=found.train_index[order],
        rows=rows[order],
        store_fingerprint=store.info.fingerprint,
    )
    return training, np.flatnonzero(~np.isin(key_of_place, key_of_row))


def read_training_triples(
    path: AnyPath, store: TripleStore, *, labels: bool = False, ids: bool = False, skip_invalid: bool = False
) -> TrainingTriples:
    """Read a file of training triples: ids, labels or unique names, in any order, tabs or spaces between them.

    Bare integers are what is stated, `labels` or `ids`, or else ids. With `skip_invalid`, lines
    that are malformed or no training triple are left out and counted.

    Raises
    ------
    TriplesError
        If there are such lines, or no line is left; or if integers could be ids or labels.
    """
    maps, invalid = maps_of(store.entities, store.relations), InvalidLines()
    text = open_triples(path, maps, labels=labels, ids=ids, allow_spaces=True)
    listed = concatenate(text.blocks(*named_ids(store), invalid=invalid))
    found, missing = find_training_triples(store, listed.triples)
    if len(missing):
        shown = [_words(store, triple, has_ids=text.has_ids) for triple in listed.triples[missing[:SHOWN_LINES]]]
        invalid.add(NOT_A_TRAINING_TRIPLE, listed.train_index[missing].tolist(), shown)
    if not skip_invalid:
        hint = ", or pass --skip-invalid to leave such lines out"
        text.refuse(invalid, hint=hint, explain=partial(meant_in, store))
    if not len(found):
        raise TriplesError(f"{text.path}: no line is a training triple; expected lines of `head TAB relation TAB tail`")
    return TrainingTriples(
        triples=found.triples,
        train_index=found.train_index,
        rows=found.rows,
        store_fingerprint=found.store_fingerprint,
        source=text.path.name,
        skipped=dict(invalid.counts),
    )


def _words(store: TripleStore, triple: Int64[ndarray, "3"], *, has_ids: bool) -> str:
    """Write a triple as its file does."""
    if has_ids:
        return "\t".join(map(str, triple.tolist()))
    maps = (store.entities, store.relations, store.entities)
    return "\t".join(labels.label(part) for labels, part in zip(maps, triple, strict=True))


def _search(store: TripleStore, keys: ndarray) -> tuple[TripleBlock, Int64[ndarray, " row"], Int64[ndarray, " row"]]:
    """Find ascending, distinct keys: the rows that have them, the place of each row's key, and where the row stands."""
    found = list(rows_in_ranges(store, keys, keys))
    places, rows = (
        np.concatenate([np.empty(0, np.int64), *parts])
        for parts in ([one.place for one in found], [one.rows for one in found])
    )
    return concatenate(one.block for one in found), places, rows

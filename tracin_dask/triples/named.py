"""Ids looked up by labels and, for texts that are no label, by readable names that only one id has."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from tracin_dask.triples.idmap import AMBIGUOUS_NAME, NOT_AN_INTEGER, UNKNOWN, IdMap, bare_integers
from tracin_dask.triples.store import TripleStore


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedIds:
    """Looks up ids: a label first, then a readable name. Names are read only if a text is no label."""

    labels: IdMap
    read_names: Callable[[], pa.StringArray | None]

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.labels)

    def ids(self, labels: pa.StringArray | pa.ChunkedArray | list[str]) -> Int64[np.ndarray, " row"]:
        """Look up the ids of labels and names; unknown ones are -1, and names of several ids `AMBIGUOUS_NAME`."""
        found = self.labels.ids(labels)
        missing = np.flatnonzero(found < 0)
        names = self.read_names() if len(missing) else None
        if names is None:
            return found
        values = pa.array(labels, pa.string()) if isinstance(labels, list) else labels
        found = found.copy()
        found[missing] = ids_by_name(values.take(pa.array(missing)), names)
        return found


def named_ids(store: TripleStore) -> tuple[NamedIds, NamedIds]:
    """Give what looks up the entities and the relations of a store."""
    return (
        NamedIds(labels=store.entities, read_names=lambda: store.entity_names),
        NamedIds(labels=store.relations, read_names=lambda: store.relation_names),
    )


def ids_by_name(texts: pa.StringArray | pa.ChunkedArray, names: pa.StringArray) -> Int64[np.ndarray, " row"]:
    """Look up names, by one pass over all of them; a bare integer is an id or a label, and never a name."""
    chosen = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    is_name = pc.and_(pc.not_equal(chosen, ""), pa.array(bare_integers(chosen) == NOT_AN_INTEGER))
    places = pc.indices_nonzero(pc.is_in(names, value_set=chosen.filter(is_name)))
    found = names.take(places)
    first = pc.index_in(chosen, value_set=found)
    times = np.bincount(pc.index_in(found, value_set=found).to_numpy(zero_copy_only=False), minlength=1)
    rows = pc.fill_null(first, 0).to_numpy(zero_copy_only=False)
    if not len(found):
        return np.full(len(chosen), UNKNOWN)
    ids = np.where(times[rows] > 1, AMBIGUOUS_NAME, places.to_numpy(zero_copy_only=False)[rows].astype(np.int64))
    is_found = pc.and_(pc.is_valid(first), is_name).to_numpy(zero_copy_only=False)
    return np.where(is_found, ids, UNKNOWN)

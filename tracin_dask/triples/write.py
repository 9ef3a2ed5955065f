"""Writes the triple store: one writer, one whole shard at a time."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zarr
from jaxtyping import Int64
from zarr.codecs import Crc32cCodec, ZstdCodec

from tracin_dask.places.place import Place
from tracin_dask.triples.block import TripleBlock, regroup
from tracin_dask.triples.digests import ROW_DIGEST, RowDigester, numbers_sha256, texts_sha256
from tracin_dask.triples.idmap import IdMap, id_maps_sha256
from tracin_dask.triples.sort import SortedTriples
from tracin_dask.triples.store import (
    CHUNK_ROWS,
    DUPLICATES,
    MISSING_ID,
    SELF_LOOPS,
    SHARD_ROWS,
    UNUSED,
    UNUSED_ENTITIES,
    UNUSED_RELATIONS,
    Source,
    StoreInfo,
)
from tracin_dask.triples.texts import ENDS, MISSING_BYTE

_OF_BYTES = (2**20, 2**24)
"""Bytes of a chunk and of a shard of texts."""
WHOLE = (2**18, 2**18)
"""The same for what is read whole: one number per text, or per entity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTexts:
    """The labels of a graph, and readable names where they are known."""

    entities: IdMap
    relations: IdMap
    entity_names: pa.StringArray | None = None
    relation_names: pa.StringArray | None = None

    def arrays(self) -> dict[str, pa.StringArray]:
        """Name the string arrays of the store."""
        texts = {
            "entity_label": self.entities.labels,
            "relation_label": self.relations.labels,
            "entity_name": self.entity_names,
            "relation_name": self.relation_names,
        }
        return {name: values for name, values in texts.items() if values is not None}


def smallest_integer_type(largest: int) -> np.dtype[Any]:
    """Choose the smallest signed integer type that holds the ids 0 to `largest`."""
    return next(np.dtype(name) for name in ("int8", "int16", "int32", "int64") if largest <= np.iinfo(name).max)


def write_store(
    folder: Place,
    triples: SortedTriples,
    texts: StoreTexts,
    *,
    source: Source,
    skipped: Mapping[str, int],
    on_rows: Callable[[int], object],
) -> StoreInfo:
    """Fill an empty directory with a store; `on_rows` gets the number of rows of each written shard."""
    group = zarr.create_group(folder.zarr_store(), zarr_format=3)
    for name, values in texts.arrays().items():
        write_texts(group, name, values)
    tally = _write_rows(group, triples, texts, on_rows)
    unused, of_rows = tally.unused_entities(), tally.row_digests()
    _write_unused(group, unused)
    write_row_digests(group, of_rows)
    maps_sha256 = id_maps_sha256(texts.entities, texts.relations)
    content = [triples.num_triples, len(texts.entities), len(texts.relations), maps_sha256, *tally.sha256()]
    info = StoreInfo(
        num_triples=triples.num_triples,
        num_entities=len(texts.entities),
        num_relations=len(texts.relations),
        num_distinct_heads=tally.num_distinct_heads,
        num_distinct_head_relations=tally.num_distinct_head_relations,
        skipped=dict(skipped),
        source=source,
        id_maps_sha256=maps_sha256,
        fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        counts=tally.counts(),
        digests={name: texts_sha256(values) for name, values in texts.arrays().items()}
        | {ROW_DIGEST: numbers_sha256(of_rows), UNUSED: numbers_sha256(unused)},
    )
    group.attrs.put(info.attributes())
    return info


def write_texts(group: zarr.Group, name: str, values: pa.StringArray) -> None:
    """Write an array of texts, as `read_texts` reads it."""
    contents = np.frombuffer("".join(values.to_pylist()).encode(), np.uint8)
    create_array(group, name, contents.shape, contents.dtype, fill_value=MISSING_BYTE, chunks=_OF_BYTES)[:] = contents
    ends = np.cumsum(pc.binary_length(values).to_numpy(), dtype=np.int64)
    create_array(group, name + ENDS, ends.shape, ends.dtype, fill_value=MISSING_ID, chunks=WHOLE)[:] = ends


def _write_unused(group: zarr.Group, ids: Int64[np.ndarray, " entity"]) -> None:
    if len(ids):
        id_type = smallest_integer_type(int(ids[-1]))
        create_array(group, UNUSED, ids.shape, id_type, fill_value=MISSING_ID)[:] = ids.astype(id_type)


def write_row_digests(group: zarr.Group, digests: Int64[np.ndarray, " chunk"]) -> None:
    """Write the digests of all chunks of rows."""
    create_array(group, ROW_DIGEST, digests.shape, digests.dtype, fill_value=MISSING_ID)[:] = digests


def _write_rows(
    group: zarr.Group, triples: SortedTriples, texts: StoreTexts, on_rows: Callable[[int], object]
) -> "_Tally":
    id_type = smallest_integer_type(max(len(texts.entities), len(texts.relations)) - 1)
    ids = create_array(group, "triples", (triples.num_triples, 3), id_type, fill_value=MISSING_ID)
    train_index = create_array(group, "train_index", (triples.num_triples,), np.dtype(np.int64), fill_value=MISSING_ID)
    tally = _Tally(num_entities=len(texts.entities), num_relations=len(texts.relations))
    starts = itertools.count(step=SHARD_ROWS)
    for start, block in zip(starts, regroup(triples.blocks, SHARD_ROWS), strict=False):
        ids[start : start + len(block)] = block.triples.astype(id_type)
        train_index[start : start + len(block)] = block.train_index
        tally.add(block)
        on_rows(len(block))
    return tally


def create_array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    fill_value: int,
    chunks: tuple[int, int] | None = None,
) -> zarr.Array[Any]:
    """Make a sharded array with a checksum in every chunk, which detects flipped bits.

    `chunks` are the rows of a chunk and of a shard; those of triples unless stated.
    """
    chunk, shard = chunks or (CHUNK_ROWS, SHARD_ROWS)
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        shards=(shard, *shape[1:]),
        chunks=(chunk, *shape[1:]),
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        fill_value=fill_value,
    )


class _Tally:
    """Counts and hashes of the rows, updated block by block in store order."""

    def __init__(self, *, num_entities: int, num_relations: int) -> None:
        self._is_used_entity = np.zeros(num_entities, dtype=bool)
        self._is_used_relation = np.zeros(num_relations, dtype=bool)
        self._num_duplicates = 0
        self._num_self_loops = 0
        self.num_distinct_heads = 0
        self.num_distinct_head_relations = 0
        self._last = np.full((1, 3), MISSING_ID)
        self._triples_sha256 = hashlib.sha256()
        self._train_index_sha256 = hashlib.sha256()
        self._digester = RowDigester()

    def add(self, block: TripleBlock) -> None:
        rows = np.concatenate([self._last, block.triples])
        is_new = rows[1:] != rows[:-1]
        self.num_distinct_heads += int(is_new[:, 0].sum())
        self.num_distinct_head_relations += int(is_new[:, :2].any(axis=1).sum())
        self._num_duplicates += int((~is_new.any(axis=1)).sum())
        self._last = rows[-1:]
        heads, relations, tails = block.triples.T
        self._num_self_loops += int((heads == tails).sum())
        self._is_used_entity[heads] = self._is_used_entity[tails] = True
        self._is_used_relation[relations] = True
        self._triples_sha256.update(np.ascontiguousarray(block.triples, dtype="<i8").data)
        self._train_index_sha256.update(np.ascontiguousarray(block.train_index, dtype="<i8").data)
        self._digester.add(block.triples, block.train_index)

    def row_digests(self) -> Int64[np.ndarray, " chunk"]:
        """Return the digests of all chunks of rows."""
        return self._digester.finish()

    def unused_entities(self) -> Int64[np.ndarray, " entity"]:
        """Give the entities that no triple has."""
        return np.flatnonzero(~self._is_used_entity)

    def counts(self) -> dict[str, int]:
        """Count what a user may want to know of the triples."""
        return {
            DUPLICATES: self._num_duplicates,
            SELF_LOOPS: self._num_self_loops,
            UNUSED_ENTITIES: len(self.unused_entities()),
            UNUSED_RELATIONS: int((~self._is_used_relation).sum()),
        }

    def sha256(self) -> tuple[str, str]:
        """Return the hashes of the content, which do not depend on the blocks."""
        return self._triples_sha256.hexdigest(), self._train_index_sha256.hexdigest()

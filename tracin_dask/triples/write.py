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
from tracin_dask.triples.arrays import find_array
from tracin_dask.triples.block import TripleBlock, regroup
from tracin_dask.triples.digests import ROW_DIGEST, numbers_sha256, texts_sha256
from tracin_dask.triples.idmap import IdMap, id_maps_sha256
from tracin_dask.triples.sort import KeyLayout, SortedTriples
from tracin_dask.triples.store import (
    CHUNK_ROWS,
    ENTITY_LABEL,
    MISSING_ID,
    RELATION_LABEL,
    SHARD_ROWS,
    TRAIN_INDEX,
    TRIPLES,
    UNUSED,
    Source,
    StoreInfo,
)
from tracin_dask.triples.tally import Tallied, Tally
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
            ENTITY_LABEL: self.entities.labels,
            RELATION_LABEL: self.relations.labels,
            "entity_name": self.entity_names,
            "relation_name": self.relation_names,
        }
        return {name: values for name, values in texts.items() if values is not None}

    @property
    def key_layout(self) -> KeyLayout:
        """How triples of this graph are packed into keys."""
        return KeyLayout(num_entities=len(self.entities), num_relations=len(self.relations))

    def tally(self) -> Tally:
        """Begin to count the rows of this graph."""
        return Tally(num_entities=len(self.entities), num_relations=len(self.relations))


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
) -> tuple[StoreInfo, Tallied]:
    """Fill an empty directory with a store; `on_rows` gets the number of rows of each written shard."""
    group = start_store(folder, texts)
    create_rows(group, triples.num_triples, texts)
    tally, starts = texts.tally(), itertools.count(step=SHARD_ROWS)
    for start, block in zip(starts, regroup(triples.blocks, SHARD_ROWS), strict=False):
        write_rows(group, start, block)
        tally.add(block)
        on_rows(len(block))
    tallied = tally.finish()
    return finish_store(group, texts, tallied, source=source, skipped=skipped), tallied


def start_store(folder: Place, texts: StoreTexts) -> zarr.Group:
    """Make the group of a store in an empty directory, and write its texts."""
    group = zarr.create_group(folder.zarr_store(), zarr_format=3)
    for name, values in texts.arrays().items():
        write_texts(group, name, values)
    return group


def create_rows(group: zarr.Group, num_triples: int, texts: StoreTexts) -> None:
    """Make the arrays of all rows, which hold nothing yet."""
    id_type = smallest_integer_type(max(len(texts.entities), len(texts.relations)) - 1)
    create_array(group, TRIPLES, (num_triples, 3), id_type, fill_value=MISSING_ID)
    create_array(group, TRAIN_INDEX, (num_triples,), np.dtype(np.int64), fill_value=MISSING_ID)


def write_rows(group: zarr.Group, start: int, block: TripleBlock) -> None:
    """Write a whole shard of rows, or the last rows; no other process may write the same shard."""
    for name, rows in ((TRIPLES, block.triples), (TRAIN_INDEX, block.train_index)):
        array = find_array(group, name)
        assert array is not None, "the arrays are made first"  # noqa: S101 - an impossible state
        array[start : start + len(block)] = rows.astype(array.dtype)


def finish_store(
    group: zarr.Group, texts: StoreTexts, tallied: Tallied, *, source: Source, skipped: Mapping[str, int]
) -> StoreInfo:
    """Write what is known of the rows, now that all of them are there."""
    unused = tallied.unused_entities
    _write_unused(group, unused)
    write_row_digests(group, tallied.row_digests)
    maps_sha256 = id_maps_sha256(texts.entities, texts.relations)
    content = [tallied.num_triples, len(texts.entities), len(texts.relations), maps_sha256, *tallied.sha256]
    info = StoreInfo(
        num_triples=tallied.num_triples,
        num_entities=len(texts.entities),
        num_relations=len(texts.relations),
        num_distinct_heads=tallied.num_distinct_heads,
        num_distinct_head_relations=tallied.num_distinct_head_relations,
        skipped=dict(sorted(skipped.items())),
        source=source,
        id_maps_sha256=maps_sha256,
        fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        counts=tallied.counts(),
        digests={name: texts_sha256(values) for name, values in texts.arrays().items()}
        | {ROW_DIGEST: numbers_sha256(tallied.row_digests), UNUSED: numbers_sha256(unused)},
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

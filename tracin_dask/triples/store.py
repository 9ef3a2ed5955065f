"""The triple store on disk (Zarr v3): layout, opening and reading."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from jaxtyping import Int64

from tracin_dask.errors import StoreError
from tracin_dask.places.files import exists
from tracin_dask.places.part import PART_SUFFIX
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.triples.arrays import Arrays, damage_explained, open_group
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.digests import (
    ROW_DIGEST,
    chunk_range,
    first_other,
    is_as_written,
    num_chunks,
    numbers_sha256,
    texts_sha256,
    with_digest,
)
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.texts import count_texts, read_texts

FORMAT_VERSION = 3
"""Version 1 had no digests of its parts, and version 2 had Zarr's own arrays of texts; both can still be read."""
FORMAT_NAME = "tracin-dask triples"
SORT_ORDER = "head, relation, tail, train_index"
SHARD_ROWS = 262_144
CHUNK_ROWS = 32_768
TRIPLES, TRAIN_INDEX = "triples", "train_index"
ENTITY_LABEL, RELATION_LABEL = "entity_label", "relation_label"
UNUSED = "unused_entity"
DUPLICATES, SELF_LOOPS = "duplicates", "self-loops"
UNUSED_ENTITIES, UNUSED_RELATIONS = "unused entities", "unused relations"
"""Names of counts: rows that repeat another one, rows whose head is their tail, and labels that no row has."""
MISSING_ID = -1
"""A fill value that no id can equal: a missing shard or chunk reads as this, and is refused."""
AGAIN = "ingest the text file again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text file that a store was made from."""

    name: str
    size_bytes: int
    sha256: str
    read_as: str = ""
    """How the file was read; "" for three columns between tabs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """The attributes of a store."""

    num_triples: int
    num_entities: int
    num_relations: int
    num_distinct_heads: int
    num_distinct_head_relations: int
    skipped: Mapping[str, int]
    source: Source
    id_maps_sha256: str
    fingerprint: str
    sort_order: str = SORT_ORDER
    counts: Mapping[str, int] = field(default_factory=dict)
    """What a user may want to know of the triples, by what is counted; empty in stores of earlier versions."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """The digest of each array of texts, and of the digests of the rows; none in a store of version 1."""

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the Zarr group."""
        return with_digest({"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **asdict(self)})

    @classmethod
    def parse(cls, attributes: Mapping[str, Any], path: str) -> "StoreInfo":
        """Read the attributes of the Zarr group at `path`.

        Raises
        ------
        StoreError
            If this is not a store of triples, or one of another format version, or an attribute is missing.
        """
        if attributes.get("format") != FORMAT_NAME:
            raise StoreError(f"{path}: a Zarr group, but not a tracin-dask store; make one with `tracin-dask ingest`")
        version = attributes.get("format_version")
        if version not in {1, 2, FORMAT_VERSION}:
            raise StoreError(
                f"{path}: format version {version}, but this tracin-dask reads versions up to {FORMAT_VERSION}; {AGAIN}"
            )
        if version != 1 and not is_as_written(attributes):
            raise StoreError(f"{path}: damaged attributes: they are not as they were written; {AGAIN}")
        given = {"digests": {}, **attributes} if version == 1 else attributes
        try:
            values = {name: given[name] for name in _NAMES if name in given or name != "counts"}
            return cls(**values | {"source": Source(**values["source"])})
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path}: damaged attributes ({error}); {AGAIN}") from error


_NAMES = tuple(each.name for each in fields(StoreInfo))


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property keeps what was read
class TripleStore:
    """A store of sorted training triples, open for reading; pickles as its path and attributes."""

    path: str
    info: StoreInfo

    def __repr__(self) -> str:
        """Say in one line where the store lies, and how large it is."""
        info = self.info
        counts = f"{len(self):,} training triples, {info.num_entities:,} entities, {info.num_relations:,} relations"
        return f"TripleStore({self.path!r}: {counts})"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without open arrays and labels."""
        return {"path": self.path, "info": self.info}

    def __len__(self) -> int:
        """Return the number of training triples."""
        return self.info.num_triples

    @property
    def is_far(self) -> bool:
        """Whether the store lies elsewhere than in the file system, where each request takes its time."""
        return place_of(self.path).local_path() is None

    def read(self, start: int, stop: int) -> TripleBlock:
        """Read the rows start ≤ row < stop.

        Raises
        ------
        StoreError
            If the rows do not exist, a shard is missing or damaged, or an id is not one of the graph's.
        """
        if not 0 <= start <= stop <= len(self):
            raise StoreError(f"{self.path}: rows {start}:{stop} of a store with {len(self):,} rows")
        first, last = chunk_range(start, stop, len(self))
        whole = TripleBlock(
            triples=self._arrays.read(TRIPLES, first, last).astype(np.int64),
            train_index=self._arrays.read(TRAIN_INDEX, first, last),
        )
        if self._row_digests is None:
            self._check_ids(whole, first)
        else:
            self._refuse_foreign(self._row_digests, whole, first)
        return whole[start - first : stop - first]

    def verify(self) -> None:
        """Read everything once.

        Raises
        ------
        StoreError
            If a part is missing, damaged or of another store.
        """
        for name in self._text_names():
            self._texts(name)
        _ = self.unused_entities
        for start in range(0, len(self), SHARD_ROWS):
            self.read(start, min(start + SHARD_ROWS, len(self)))

    @cached_property
    def entities(self) -> IdMap:
        """The labels of the entities."""
        return IdMap(labels=self._texts(ENTITY_LABEL))

    @cached_property
    def relations(self) -> IdMap:
        """The labels of the relations."""
        return IdMap(labels=self._texts(RELATION_LABEL))

    @cached_property
    def entity_names(self) -> pa.StringArray | None:
        """Readable names in id order, "" for an entity without one; None if the store holds no names."""
        return self._texts("entity_name") if "entity_name" in self._text_names() else None

    @cached_property
    def relation_names(self) -> pa.StringArray | None:
        """Readable relations in id order, "" for a relation without one; None if the store holds no names."""
        return self._texts("relation_name") if "relation_name" in self._text_names() else None

    @cached_property
    def unused_entities(self) -> Int64[np.ndarray, " entity"] | None:
        """The ids of entities that no training triple has, ascending; None if an earlier version wrote the store."""
        if UNUSED_ENTITIES not in self.info.counts:
            return None
        number = self.info.counts[UNUSED_ENTITIES]
        ids = self._arrays.read(UNUSED, 0, number).astype(np.int64) if number else np.empty(0, np.int64)
        if (ids < 0).any():
            raise StoreError(f"{self.path}: a part of {UNUSED} is missing; {AGAIN}")
        if self.info.digests:
            self._refuse_other(UNUSED, numbers_sha256(ids))
        return ids

    @cached_property
    def _arrays(self) -> Arrays:
        """The arrays, after a check that `info` describes them."""
        group, info = _open(self.path)
        if info != self.info:
            raise StoreError(f"{self.path}: the store was replaced by another one since it was opened; open it again")
        return Arrays(group=group, path=self.path, remedy=AGAIN)

    @cached_property
    def _row_digests(self) -> Int64[np.ndarray, " chunk"] | None:
        """The digests of all chunks of rows; None in a store of version 1."""
        if ROW_DIGEST not in self.info.digests:
            return None
        digests = self._arrays.read(ROW_DIGEST, 0, num_chunks(len(self))).astype(np.int64)
        self._refuse_other(ROW_DIGEST, numbers_sha256(digests))
        return digests

    def _text_names(self) -> list[str]:
        """Name the arrays of texts; names of entities and relations are optional."""
        names = [ENTITY_LABEL, RELATION_LABEL, "entity_name", "relation_name"]
        if self.info.digests:
            return [name for name in names if name in self.info.digests]
        with damage_explained(self.path, "damaged", AGAIN):
            return [name for name in names if name.endswith("label") or name in self._arrays.group]

    def _texts(self, name: str) -> pa.StringArray:
        count = self.info.num_entities if name.startswith("entity") else self.info.num_relations
        texts = read_texts(self._arrays, name, count)
        if self.info.digests:
            self._refuse_other(name, texts_sha256(texts))
        return texts

    def _refuse_other(self, name: str, digest: str) -> None:
        if self.info.digests[name] != digest:
            raise StoreError(f"{self.path}: {name} is damaged, or belongs to another store; {AGAIN}")

    def _refuse_foreign(self, digests: Int64[np.ndarray, " chunk"], block: TripleBlock, start: int) -> None:
        """Refuse rows that are not those that were ingested."""
        row = first_other(digests, start, block.triples, block.train_index)
        if row is not None:
            self._check_ids(block, start)  # says more
            raise StoreError(
                f"{self.path}: the rows from {row:,} on are not those that were ingested: a shard "
                f"is damaged, or belongs to another store; {AGAIN}"
            )

    def _check_ids(self, block: TripleBlock, start: int) -> None:
        limits = (self.info.num_entities, self.info.num_relations, self.info.num_entities)
        is_bad = ((block.triples < 0) | (block.triples >= limits)).any(axis=1) | (block.train_index < 0)
        if is_bad.any():
            row = int(is_bad.argmax())
            raise StoreError(
                f"{self.path}: row {start + row} holds {block.triples[row].tolist()} with train_index "
                f"{block.train_index[row]}; expected ids from 0 below {list(limits)}: a shard is missing or damaged; "
                f"{AGAIN}"
            )

    def check_shapes(self) -> None:
        """Refuse arrays whose lengths are not what the attributes say.

        Raises
        ------
        StoreError
            If a length differs, or an array is missing.
        """
        info, arrays = self.info, self._arrays
        expected = {
            TRIPLES: (info.num_triples, 3),
            TRAIN_INDEX: (info.num_triples,),
            ENTITY_LABEL: (info.num_entities,),
            RELATION_LABEL: (info.num_relations,),
            "entity_name": (info.num_entities,),
            "relation_name": (info.num_relations,),
        }
        found = {name: arrays.open(name).shape for name in (TRIPLES, TRAIN_INDEX)}
        found |= {name: (count_texts(arrays, name),) for name in self._text_names()}
        for name, shape in found.items():
            if shape != expected[name]:
                raise StoreError(
                    f"{self.path}: {name} has the shape {shape}, but the attributes say {expected[name]}; {AGAIN}"
                )


def open_store(path: AnyPath) -> TripleStore:
    """Open a store for reading; cheap: reads its attributes, no triples.

    Raises
    ------
    StoreError
        If there is no store, its ingest was interrupted, it has another format version or contradicts itself.
    """
    name = str(place_of(path))
    store = TripleStore(path=name, info=_open(name)[1])
    store.check_shapes()
    return store


def _open(path: str) -> tuple[zarr.Group, StoreInfo]:
    try:
        group = open_group(path, "not a Zarr store that can be read", AGAIN)
    except FileNotFoundError as error:
        raise StoreError(_why_missing(place_of(path))) from error
    with damage_explained(path, "damaged attributes", AGAIN):
        return group, StoreInfo.parse(group.attrs.asdict(), path)


def _why_missing(path: Place) -> str:
    if path.is_file():
        return f"{path}: a file, not a tracin-dask store; make a store of a text file with `tracin-dask ingest`"
    part = path.parent / f"{path.name}{PART_SUFFIX}"
    if exists(part):
        return f"{path}: its ingest was interrupted or is still running ({part} exists); ingest again"
    if path.is_folder():
        return f"{path}: a directory, but not a tracin-dask store; make one with `tracin-dask ingest`"
    return f"{path}: no such store; check the path, or make one with `tracin-dask ingest`"

"""The triple store on disk (Zarr v3): layout, opening and reading."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zarr
from jaxtyping import Int64

from tracin_dask.errors import StoreError
from tracin_dask.places.files import exists
from tracin_dask.places.part import PART_SUFFIX
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.triples.arrays import find_array
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.idmap import IdMap

FORMAT_VERSION = 1
FORMAT_NAME = "tracin-dask triples"
SORT_ORDER = "head, relation, tail, train_index"
SHARD_ROWS = 262_144
CHUNK_ROWS = 32_768
DUPLICATES, SELF_LOOPS = "duplicates", "self-loops"
UNUSED_ENTITIES, UNUSED_RELATIONS = "unused entities", "unused relations"
"""Names of counts: rows that repeat another one, rows whose head is their tail, and labels that no row has."""
MISSING_ID = -1
MISSING_TEXT = "\n"
"""Fill values that no data can equal: a missing shard or chunk reads as these, and is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text file that a store was made from."""

    name: str
    size_bytes: int
    sha256: str


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

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the Zarr group."""
        return {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **asdict(self)}

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
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path}: format version {version}, but this tracin-dask reads version {FORMAT_VERSION}; "
                "ingest the text file again"
            )
        try:
            values = {name: attributes[name] for name in _NAMES if name in attributes or name != "counts"}
            return cls(**values | {"source": Source(**values["source"])})
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path}: damaged attributes ({error}); ingest the text file again") from error


_NAMES = tuple(each.name for each in fields(StoreInfo))


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property keeps what was read
class TripleStore:
    """A store of sorted training triples, open for reading; pickles as its path and attributes."""

    path: str
    info: StoreInfo

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without open arrays and labels."""
        return {"path": self.path, "info": self.info}

    def __len__(self) -> int:
        """Return the number of training triples."""
        return self.info.num_triples

    def read(self, start: int, stop: int) -> TripleBlock:
        """Read the rows start ≤ row < stop.

        Raises
        ------
        StoreError
            If the rows do not exist, a shard is missing or damaged, or an id is not one of the graph's.
        """
        if not 0 <= start <= stop <= len(self):
            raise StoreError(f"{self.path}: rows {start}:{stop} of a store with {len(self):,} rows")
        block = TripleBlock(
            triples=self._read("triples", start, stop).astype(np.int64),
            train_index=self._read("train_index", start, stop),
        )
        self._check_ids(block, start)
        return block

    @cached_property
    def entities(self) -> IdMap:
        """The labels of the entities."""
        return IdMap(labels=self._texts("entity_label"))

    @cached_property
    def relations(self) -> IdMap:
        """The labels of the relations."""
        return IdMap(labels=self._texts("relation_label"))

    @cached_property
    def entity_names(self) -> pa.StringArray | None:
        """Readable names in id order, "" for an entity without one; None if the store holds no names."""
        return self._texts("entity_name") if "entity_name" in self._group else None

    @cached_property
    def relation_names(self) -> pa.StringArray | None:
        """Readable relations in id order, "" for a relation without one; None if the store holds no names."""
        return self._texts("relation_name") if "relation_name" in self._group else None

    @cached_property
    def unused_entities(self) -> Int64[np.ndarray, " entity"] | None:
        """The ids of entities that no training triple has, ascending; None if an earlier version wrote the store."""
        if UNUSED_ENTITIES not in self.info.counts:
            return None
        number = self.info.counts[UNUSED_ENTITIES]
        ids = self._read("unused_entity", 0, number).astype(np.int64) if number else np.empty(0, np.int64)
        if len(ids) != number or (ids < 0).any():
            raise StoreError(f"{self.path}: a part of unused_entity is missing; ingest the text file again")
        return ids

    @cached_property
    def _group(self) -> zarr.Group:
        """The Zarr group, after a check that `info` describes it."""
        group = _open_group(self.path)
        if StoreInfo.parse(group.attrs, self.path) != self.info:
            raise StoreError(f"{self.path}: the store was replaced by another one since it was opened; open it again")
        return group

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        try:
            values = self._array(name)[start:stop]
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"{self.path}: {name}[{start}:{stop}] is damaged ({error}); ingest the text file again"
            ) from error
        return np.asarray(values)

    def _array(self, name: str) -> zarr.Array[Any]:
        array = find_array(self._group, name)
        if array is None:
            raise StoreError(f"{self.path}: the array {name} is missing; ingest the text file again")
        return array

    def _texts(self, name: str) -> pa.StringArray:
        count = self.info.num_entities if name.startswith("entity") else self.info.num_relations
        texts = pa.array(self._read(name, 0, count).astype(object), pa.string())
        if pc.any(pc.equal(texts, MISSING_TEXT)).as_py():
            raise StoreError(f"{self.path}: a part of {name} is missing; ingest the text file again")
        return texts

    def _check_ids(self, block: TripleBlock, start: int) -> None:
        limits = (self.info.num_entities, self.info.num_relations, self.info.num_entities)
        is_bad = ((block.triples < 0) | (block.triples >= limits)).any(axis=1) | (block.train_index < 0)
        if is_bad.any():
            row = int(is_bad.argmax())
            raise StoreError(
                f"{self.path}: row {start + row} holds {block.triples[row].tolist()} from line "
                f"{block.train_index[row]}; expected ids from 0 below {list(limits)}: a shard is missing or damaged; "
                "ingest the text file again"
            )

    def check_shapes(self) -> None:
        """Refuse arrays whose lengths are not what the attributes say.

        Raises
        ------
        StoreError
            If a length differs, or an array is missing.
        """
        info = self.info
        expected = {
            "triples": (info.num_triples, 3),
            "train_index": (info.num_triples,),
            "entity_label": (info.num_entities,),
            "relation_label": (info.num_relations,),
            "entity_name": (info.num_entities,),
            "relation_name": (info.num_relations,),
        }
        for name, shape in expected.items():
            if name.endswith("_name") and name not in self._group:
                continue  # names are optional
            found = self._array(name).shape
            if found != shape:
                raise StoreError(
                    f"{self.path}: {name} has the shape {found}, but the attributes say {shape}; "
                    "ingest the text file again"
                )


def open_store(path: AnyPath) -> TripleStore:
    """Open a store for reading; cheap: reads its attributes, no triples.

    Raises
    ------
    StoreError
        If there is no store, its ingest was interrupted, it has another format version or contradicts itself.
    """
    name = str(place_of(path))
    store = TripleStore(path=name, info=StoreInfo.parse(_open_group(name).attrs, name))
    store.check_shapes()
    return store


def _open_group(path: str) -> zarr.Group:
    try:
        return zarr.open_group(place_of(path).zarr_store(), mode="r", zarr_format=3)
    except FileNotFoundError as error:
        raise StoreError(_why_missing(place_of(path))) from error
    except (ValueError, OSError) as error:
        raise StoreError(f"{path}: not a Zarr store that can be read ({error}); ingest the text file again") from error


def _why_missing(path: Place) -> str:
    if path.is_file():
        return f"{path}: a file, not a tracin-dask store; make a store of a text file with `tracin-dask ingest`"
    if path.is_folder():
        return f"{path}: a directory, but not a tracin-dask store; make one with `tracin-dask ingest`"
    part = path.parent / f"{path.name}{PART_SUFFIX}"
    if exists(part):
        return f"{path}: its ingest was interrupted or is still running ({part} exists); ingest again"
    return f"{path}: no such store; check the path, or make one with `tracin-dask ingest`"

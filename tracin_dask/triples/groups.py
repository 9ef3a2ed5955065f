"""The store of groups on disk (Zarr v3): the group of every training triple, its layout, opening and reading."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from jaxtyping import Int64

from tracin_dask.errors import StoreError
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of
from tracin_dask.triples.arrays import Arrays, damage_explained, open_group
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
from tracin_dask.triples.store import Source
from tracin_dask.triples.texts import read_texts

FORMAT_VERSION = 3
"""Version 2 had Zarr's own array of texts; it can still be read."""
FORMAT_NAME = "tracin-dask groups"
LABELS = "group_label"
AGAIN = "delete it and make it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """The attributes of a store of groups."""

    num_triples: int
    num_groups: int
    store_fingerprint: str
    """Fingerprint of the store whose rows are grouped."""
    skipped: Mapping[str, int]
    source: Source
    fingerprint: str
    digests: Mapping[str, str]
    """The digest of the labels, and of the digests of the rows."""

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the Zarr group."""
        return with_digest({"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **asdict(self)})

    @classmethod
    def parse(cls, attributes: Mapping[str, Any], path: str) -> "GroupInfo":
        """Read the attributes of the Zarr group at `path`.

        Raises
        ------
        StoreError
            If these are not groups, or of another format version, or an attribute is missing.
        """
        if attributes.get("format") != FORMAT_NAME or attributes.get("format_version") not in {2, FORMAT_VERSION}:
            raise StoreError(
                f"{path}: no groups of training triples (format version {FORMAT_VERSION}); make them of a text file of "
                "`head TAB relation TAB tail TAB group`"
            )
        if not is_as_written(attributes):
            raise StoreError(f"{path}: damaged attributes: they are not as they were written; {AGAIN}")
        try:
            values = {name: attributes[name] for name in (field.name for field in fields(cls))}
            return cls(**values | {"source": Source(**values["source"])})
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path}: damaged attributes ({error}); {AGAIN}") from error


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property keeps what was read
class GroupStore:
    """The group of every row of a store, open for reading; pickles as its path and attributes."""

    path: str
    info: GroupInfo

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without open arrays and labels."""
        return {"path": self.path, "info": self.info}

    def __len__(self) -> int:
        """Return the number of groups."""
        return self.info.num_groups

    def read(self, start: int, stop: int) -> Int64[np.ndarray, " row"]:
        """Read the numbers of the groups of the rows start ≤ row < stop.

        Raises
        ------
        StoreError
            If a shard is missing or damaged, or this was replaced since it was opened.
        """
        first, last = chunk_range(start, stop, self.info.num_triples)
        groups = self._arrays.read("group", first, last).astype(np.int64)
        if ((groups < 0) | (groups >= len(self))).any():
            raise StoreError(f"{self.path}: group[{first}:{last}] is missing or damaged; {AGAIN}")
        row = first_other(self._row_digests, first, groups)
        if row is not None:
            raise StoreError(
                f"{self.path}: the groups of the rows from {row:,} on are not those that were written: "
                f"a shard is damaged, or belongs to other groups; {AGAIN}"
            )
        return groups[start - first : stop - first]

    def verify(self) -> None:
        """Read everything once.

        Raises
        ------
        StoreError
            If a part is missing, damaged or of other groups.
        """
        _ = self.labels
        self.read(0, self.info.num_triples)

    @cached_property
    def labels(self) -> IdMap:
        """The labels of the groups."""
        labels = read_texts(self._arrays, LABELS, len(self))
        self._refuse_other(LABELS, texts_sha256(labels))
        return IdMap(labels=labels)

    @cached_property
    def _arrays(self) -> Arrays:
        """The arrays, after a check that `info` describes them."""
        group, info = _open(self.path)
        if info != self.info:
            raise StoreError(f"{self.path}: the groups were replaced by others since they were opened; open them again")
        return Arrays(group=group, path=self.path, remedy=AGAIN)

    @cached_property
    def _row_digests(self) -> Int64[np.ndarray, " chunk"]:
        """The digests of all chunks of rows."""
        digests = self._arrays.read(ROW_DIGEST, 0, num_chunks(self.info.num_triples)).astype(np.int64)
        self._refuse_other(ROW_DIGEST, numbers_sha256(digests))
        return digests

    def _refuse_other(self, name: str, digest: str) -> None:
        if self.info.digests.get(name) != digest:
            raise StoreError(f"{self.path}: {name} is damaged, or belongs to other groups; {AGAIN}")


def open_groups(path: AnyPath) -> GroupStore:
    """Open groups for reading; cheap: reads their attributes.

    Raises
    ------
    StoreError
        If there are none, or of another format version.
    """
    name = str(place_of(path))
    return GroupStore(path=name, info=_open(name)[1])


def _open(path: str) -> tuple[zarr.Group, GroupInfo]:
    try:
        group = open_group(path, "no groups that can be read", AGAIN)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no groups that can be read ({error}); make them again") from error
    with damage_explained(path, "damaged attributes", AGAIN):
        return group, GroupInfo.parse(group.attrs.asdict(), path)

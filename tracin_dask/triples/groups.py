"""The store of groups on disk (Zarr v3): the group of every training triple, its layout, opening and reading."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zarr
from jaxtyping import Int64

from tracin_dask.errors import StoreError
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of
from tracin_dask.triples.arrays import find_array
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.store import MISSING_TEXT, Source

FORMAT_VERSION = 1
FORMAT_NAME = "tracin-dask groups"


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

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the Zarr group."""
        return {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def parse(cls, attributes: Mapping[str, Any], path: str) -> "GroupInfo":
        """Read the attributes of the Zarr group at `path`.

        Raises
        ------
        StoreError
            If these are not groups, or of another format version, or an attribute is missing.
        """
        if attributes.get("format") != FORMAT_NAME or attributes.get("format_version") != FORMAT_VERSION:
            raise StoreError(
                f"{path}: no groups of training triples (format version {FORMAT_VERSION}); make them of a text file of "
                "`head TAB relation TAB tail TAB group`"
            )
        try:
            values = {name: attributes[name] for name in (field.name for field in fields(cls))}
            return cls(**values | {"source": Source(**values["source"])})
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path}: damaged attributes ({error}); delete it and make it again") from error


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
        groups = self._read("group", start, stop).astype(np.int64)
        if len(groups) != stop - start or ((groups < 0) | (groups >= len(self))).any():
            raise StoreError(f"{self.path}: group[{start}:{stop}] is missing or damaged; delete it and make it again")
        return groups

    @cached_property
    def labels(self) -> IdMap:
        """The labels of the groups."""
        labels = pa.array(self._read("group_label", 0, len(self)).astype(object), pa.string())
        if pc.any(pc.equal(labels, MISSING_TEXT)).as_py():
            raise StoreError(f"{self.path}: a part of group_label is missing; delete it and make it again")
        return IdMap(labels=labels)

    @cached_property
    def _group(self) -> zarr.Group:
        """The Zarr group, after a check that `info` describes it."""
        group = _open_group(self.path)
        if GroupInfo.parse(group.attrs, self.path) != self.info:
            raise StoreError(f"{self.path}: the groups were replaced by others since they were opened; open them again")
        return group

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        array = find_array(self._group, name)
        if array is None:
            raise StoreError(f"{self.path}: the array {name} is missing; delete it and make it again")
        try:
            return np.asarray(array[start:stop])
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"{self.path}: {name}[{start}:{stop}] is damaged ({error}); delete it and make it again"
            ) from error


def open_groups(path: AnyPath) -> GroupStore:
    """Open groups for reading; cheap: reads their attributes.

    Raises
    ------
    StoreError
        If there are none, or of another format version.
    """
    name = str(place_of(path))
    return GroupStore(path=name, info=GroupInfo.parse(_open_group(name).attrs, name))


def _open_group(path: str) -> zarr.Group:
    try:
        return zarr.open_group(place_of(path).zarr_store(), mode="r", zarr_format=3)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: no groups that can be read ({error}); make them again") from error

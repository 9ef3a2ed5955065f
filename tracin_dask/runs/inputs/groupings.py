"""By which groups a run adds influences up: relations, heads, tails, or the groups of a file."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.triples.groups import GroupStore
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.store import TripleStore

Part = Literal["head", "relation", "tail"]
PARTS: tuple[Part, ...] = ("head", "relation", "tail")


@runtime_checkable
class Grouping(Protocol):
    """Groups of training triples, numbered from 0; a training triple is in one of them."""

    @property
    def num_groups(self) -> int:
        """Count the groups."""
        ...

    @property
    def name(self) -> str:
        """What results call the grouping."""
        ...

    @property
    def path(self) -> str | None:
        """Where workers read the groups, if these do not follow from the triples."""
        ...

    @property
    def identity(self) -> str:
        """What the totals depend on, for the records of finished work."""
        ...

    def numbers(self, triples: Int[ndarray, "row 3"], first_row: int) -> Int[ndarray, " row"]:
        """Give the groups of neighbouring rows of the store; raises as `GroupStore.read`."""
        ...

    def texts(self, store: TripleStore) -> tuple[IdMap, pa.StringArray | None]:
        """Give the labels of the groups, and their readable names if there are any."""
        ...

    def about(self) -> dict[str, Any]:
        """Say what the groups are, for the result."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PartGroups:
    """The training triples of one head, relation or tail each."""

    part: Part
    num_groups: int

    @property
    def name(self) -> str:
        """The part of a triple."""
        return self.part

    @property
    def path(self) -> None:
        """Nothing: the groups follow from the triples."""
        return

    @property
    def identity(self) -> str:
        """The part of a triple."""
        return self.part

    def numbers(self, triples: Int[ndarray, "row 3"], first_row: int) -> Int[ndarray, " row"]:  # noqa: ARG002 - any row
        """Give the groups of some rows."""
        return triples[:, PARTS.index(self.part)]

    def texts(self, store: TripleStore) -> tuple[IdMap, pa.StringArray | None]:
        """Give the labels and readable names of relations, or of entities."""
        if self.part == "relation":
            return store.relations, store.relation_names
        return store.entities, store.entity_names

    def about(self) -> dict[str, Any]:
        """Say what the groups are, for the result."""
        return {"group_by": self.part}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroups:
    """The groups of a file."""

    store: GroupStore

    @property
    def num_groups(self) -> int:
        """Count the groups."""
        return len(self.store)

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.store.info.source.name

    @property
    def path(self) -> str:
        """Where workers read the groups."""
        return self.store.path

    @property
    def identity(self) -> str:
        """The fingerprint of the groups."""
        return self.store.info.fingerprint

    def numbers(self, triples: Int[ndarray, "row 3"], first_row: int) -> Int[ndarray, " row"]:
        """Read the groups of neighbouring rows of the store; raises as `GroupStore.read`."""
        return self.store.read(first_row, first_row + len(triples))

    def texts(self, store: TripleStore) -> tuple[IdMap, pa.StringArray | None]:  # noqa: ARG002 - the groups have their own
        """Give the labels of the groups; they have no readable names."""
        return self.store.labels, None

    def about(self) -> dict[str, Any]:
        """Say what the groups are, for the result."""
        info = self.store.info
        return {"group_by": self.name, "sha256": info.source.sha256, "skipped_lines": dict(info.skipped)}


def identity_and_name(by: Part | GroupStore) -> tuple[str, str]:
    """Tell groupings of one run apart, before there is a store of triples."""
    if by in PARTS:
        return str(by), str(by)
    groups = FileGroups(store=cast(GroupStore, by))
    return groups.identity, groups.name


def grouping_of(store: TripleStore, by: Part | GroupStore) -> Grouping:
    """Count the groups, and refuse those of another store's rows.

    Raises
    ------
    ConfigError
        If they are of another store.
    """
    if by in PARTS:
        num_groups = store.info.num_relations if by == "relation" else store.info.num_entities
        return PartGroups(part=by, num_groups=num_groups)
    groups = cast(GroupStore, by)
    if groups.info.store_fingerprint != store.info.fingerprint:
        raise ConfigError(
            f"{groups.path} has the groups of another store than {store.path}; make them again for this one"
        )
    return FileGroups(store=groups)

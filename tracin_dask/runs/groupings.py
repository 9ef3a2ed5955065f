"""By which groups a run adds influences up: relations, heads, tails, or the groups of a file."""

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.triples.groups import GroupStore
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.store import TripleStore

Part = Literal["head", "relation", "tail"]
PARTS: tuple[Part, ...] = ("head", "relation", "tail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Groups of training triples, numbered from 0; a training triple is in one of them."""

    by: Part | GroupStore
    num_groups: int

    @property
    def name(self) -> str:
        """The part of a triple, or the file's name."""
        return self.by.info.source.name if isinstance(self.by, GroupStore) else self.by

    @property
    def path(self) -> str | None:
        """Where workers read the groups, if these do not follow from the triples."""
        return self.by.path if isinstance(self.by, GroupStore) else None

    def numbers(self, triples: Int[ndarray, "row 3"], first_row: int) -> Int[ndarray, " row"]:
        """Give the groups of neighbouring rows of the store; raises as `GroupStore.read`."""
        if isinstance(self.by, GroupStore):
            return self.by.read(first_row, first_row + len(triples))
        return triples[:, PARTS.index(self.by)]

    def texts(self, store: TripleStore) -> tuple[IdMap, pa.StringArray | None]:
        """Give the labels of the groups, and their readable names if there are any."""
        if isinstance(self.by, GroupStore):
            return self.by.labels, None
        if self.by == "relation":
            return store.relations, store.relation_names
        return store.entities, store.entity_names

    def about(self) -> dict[str, Any]:
        """State what the groups are, for the result."""
        if not isinstance(self.by, GroupStore):
            return {"group_by": self.by}
        info = self.by.info
        return {"group_by": self.name, "sha256": info.source.sha256, "skipped_lines": dict(info.skipped)}

    @property
    def identity(self) -> str:
        """What the totals depend on, for the records of finished work."""
        return self.by.info.fingerprint if isinstance(self.by, GroupStore) else self.by

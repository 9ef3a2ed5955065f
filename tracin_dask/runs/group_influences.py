"""What a run found of groups of training triples: tables by test triple, largest first."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.reductions.group_totals import GroupTotals
from tracin_dask.influence.reductions.topk import RankBy
from tracin_dask.runs.groupings import Grouping
from tracin_dask.triples.groups import GroupStore
from tracin_dask.triples.store import TripleStore

LISTED_GROUPS = 100
"""Groups of each grouping that a JSON result lists; the table has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfluences:
    """The totals of one grouping, and what its groups are called."""

    grouping: Grouping
    totals: GroupTotals = field(repr=False)
    store: TripleStore = field(repr=False)

    def table(self, test_index: int, rank_by: RankBy = "absolute", *, most: int | None = None) -> pa.Table:
        """List the groups that have training triples, or the largest of them.

        Largest first: by |net influence|, or by the positive or negative one where only one side is wanted; ties go
        to the lower number.
        """
        positive, negative = self.totals.positive(test_index), self.totals.negative(test_index)
        net = self.totals.net(test_index)
        size = {"absolute": np.abs(net), "proponents": positive, "opponents": -negative}[rank_by]
        order = np.argsort(-size, kind="stable")[:most]
        numbers = self.totals.groups[order]
        labels, names = self._texts(numbers)
        return pa.table(
            {
                "group": numbers,
                "group_label": labels,
                "group_name": names,
                "num_training_triples": self.totals.num_triples[order],
                "positive_influence": positive[order],
                "negative_influence": negative[order],
                "net_influence": net[order],
            }
        )

    def to_dict(self, test_index: int, rank_by: RankBy) -> dict[str, Any]:
        """Give the largest groups in the shape of the JSON result; names stand where they are known."""
        rows = self.table(test_index, rank_by, most=LISTED_GROUPS).to_pylist()
        groups = [{key: value for key, value in row.items() if value is not None} for row in rows]
        return {"group_by": self.grouping.name, "num_groups": len(self.totals), "groups": groups}

    def _texts(self, numbers: Int[ndarray, " group"]) -> tuple[pa.StringArray, pa.StringArray]:
        """Give the labels of groups, and their readable names, null where there are none."""
        by, store, chosen = self.grouping.by, self.store, pa.array(numbers)
        if isinstance(by, GroupStore):
            return by.labels.labels.take(chosen), pa.nulls(len(numbers), pa.string())
        labels, names = store.entities.labels, store.entity_names
        if by == "relation":
            labels, names = store.relations.labels, store.relation_names
        found = pa.nulls(len(numbers), pa.string()) if names is None else names.take(chosen)
        return labels.take(chosen), pc.if_else(pc.equal(found, ""), None, found)

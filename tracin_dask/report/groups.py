"""What a run found for groups of training triples: the totals of every group, as tables by test triple."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError

if TYPE_CHECKING:
    from tracin_dask.report.result import InfluenceResult

LISTED_GROUPS = 100
"""Groups of each grouping that a JSON result lists; a file beside it has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfluences:
    """The totals of one grouping: of each group that has training triples, by test triple.

    Attributes
    ----------
    group_by
        `head`, `relation`, `tail`, or the name of the file that says the groups.
    num_groups
        How many groups have training triples. More than are here only in what was read from a JSON file alone.
    groups, labels, names
        Numbers, ascending; what they are called; readable names, null where none is known.
    num_triples
        How many training triples each group has.
    positive, negative, net
        Sums of the positive, the negative and all influences. NaN where a JSON file alone, which lists the largest
        groups of its test triple, does not say.
    """

    group_by: str
    num_groups: int
    groups: Int[ndarray, " group"] = field(repr=False)
    labels: pa.StringArray = field(repr=False)
    names: pa.StringArray = field(repr=False)
    num_triples: Int[ndarray, " group"] = field(repr=False)
    positive: Float64[ndarray, "test group"] = field(repr=False)
    negative: Float64[ndarray, "test group"] = field(repr=False)
    net: Float64[ndarray, "test group"] = field(repr=False)

    def table(self, test_index: int, rank_by: str = "absolute", *, most: int | None = None) -> pa.Table:
        """List the groups, or the largest of them.

        Largest first: by |net influence|, or by the positive or negative one where only `proponents` or `opponents`
        are wanted; ties go to the lower number.
        """
        positive, negative, net = (sums[test_index] for sums in (self.positive, self.negative, self.net))
        size = {"absolute": np.abs(net), "proponents": positive, "opponents": -negative}[rank_by]
        order = np.argsort(-size, kind="stable")  # NaN comes last
        order = order[: np.count_nonzero(~np.isnan(size))][:most]
        return pa.table(
            {
                "group": self.groups[order],
                "group_label": self.labels.take(pa.array(order)),
                "group_name": self.names.take(pa.array(order)),
                "num_training_triples": self.num_triples[order],
                "positive_influence": positive[order],
                "negative_influence": negative[order],
                "net_influence": net[order],
            }
        )


def group_tables(result: "InfluenceResult", tests: Sequence[int] | None = None) -> Iterator[pa.Table]:
    """Give the groups of some test triples (by default all), by each grouping, so that only one table is in memory.

    The largest group comes first. A row is a group that has training triples: `test_index` and the ids `test_head`,
    `test_relation` and `test_tail` (null for self-influence), `group_by`, and what `GroupInfluences.table` gives.

    Raises
    ------
    ConfigError
        If the run had no groupings.
    """
    if not result.groups:
        raise ConfigError("the run added up no groups; ask for some with group_by")
    for test_index in range(len(result.rankings)) if tests is None else tests:
        has_triple = result.test_triples is not None and result.sets is None
        triple = result.question(test_index)[0] if has_triple else [None] * 3
        names = ("test_index", "test_head", "test_relation", "test_tail")
        for found in result.groups:
            table = found.table(test_index, result.run["rank_by"])
            size = len(table)
            test = {
                name: pa.repeat(pa.scalar(value, pa.int64()), size)
                for name, value in zip(names, [test_index, *triple], strict=True)
            }
            by = {"group_by": pa.repeat(found.group_by, size)}
            yield pa.table({**test, **by, **{name: table[name] for name in table.column_names}})

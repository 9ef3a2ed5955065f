"""What a run found for groups of training triples: the totals of every group, as tables by test triple."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.report.arrow import number_array, repeated, table_of, text_array
from tracin_dask.report.equal import EqualByParts
from tracin_dask.report.labels import ROLES

if TYPE_CHECKING:
    from tracin_dask.report.result import InfluenceResult

LISTED_GROUPS = 100
"""Groups of each grouping that a JSON result lists; a separate file has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupInfluences(EqualByParts):
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
        chosen = number_array(order)
        return table_of(
            {
                "group": number_array(self.groups[order]),
                "group_label": self.labels.take(chosen),
                "group_name": self.names.take(chosen),
                "num_training_triples": number_array(self.num_triples[order]),
                "positive_influence": number_array(positive[order]),
                "negative_influence": number_array(negative[order]),
                "net_influence": number_array(net[order]),
            }
        )


def group_tables(result: "InfluenceResult", tests: Sequence[int] | None = None) -> Iterator[pa.Table]:
    """Give the groups of some test triples (by default all), by each grouping, so that only one table is in memory.

    The largest group comes first. A row is a group that has training triples: `test_index` and the ids `test_head`,
    `test_relation` and `test_tail` (null for self-influence, and for sets, which have a `test_set`), `group_by`, and
    what `GroupInfluences.table` gives.

    Raises
    ------
    ConfigError
        If the run had no groupings.
    """
    if not result.groups:
        raise ConfigError("the run added up no groups; ask for some with group_by")
    for test_index in range(len(result.rankings)) if tests is None else tests:
        test = _test_columns(result, test_index)
        for found in result.groups:
            table = found.table(test_index, result.run["rank_by"])
            row = test | {"group_by": text_array([found.group_by])}
            columns = {name: repeated(column, len(table)) for name, column in row.items()}
            yield table_of(columns | {name: table[name] for name in table.column_names})


def _test_columns(result: "InfluenceResult", test_index: int) -> dict[str, pa.Array]:
    """Say in one row which answer it is: by the test triple, or by the name of a set of them."""
    row = {"test_index": number_array(np.array([test_index]))}
    has_triple = result.test_triples is not None and result.sets is None
    if has_triple:
        ids = np.array([result.question(test_index)[0]])
        row |= {f"test_{role}": number_array(ids[:, place]) for place, role in enumerate(ROLES)}
    else:
        row |= {f"test_{role}": pa.nulls(1, pa.int64()) for role in ROLES}
    return row if result.sets is None else row | {"test_set": text_array([result.sets.names[test_index]])}

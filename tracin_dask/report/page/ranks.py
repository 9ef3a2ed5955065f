"""The training triples whose exact ranks were asked for, as the rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracin_dask.report.page.names import NamedTriple, named_triples
from tracin_dask.report.page.numbers import Scale
from tracin_dask.report.ranks import NO_INFLUENCE, NOT_RANKED, TIES_OF_ZERO
from tracin_dask.report.result import InfluenceResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """A training triple with its rank among all that are ranked."""

    triple: NamedTriple
    rank: str
    percentile: str
    """Empty where it is not ranked."""
    is_tied: bool
    """Whether it has no influence, as all others that it ties with."""
    influence: str
    value: float
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRows:
    """The table of ranks."""

    rows: Sequence[RankRow]
    unit: str
    remark: str
    """On those that have no influence; empty where there are none."""


def rank_rows(result: InfluenceResult, index: int) -> RankRows | None:
    """Give the ranks of the listed training triples; None where none were asked for."""
    ranks = result.ranks
    if ranks is None:
        return None
    influence, percentile = ranks.influence[index].tolist(), ranks.percentile(index).tolist()
    scale = Scale.of(influence)
    rows = []
    for row, triple in enumerate(named_triples(result.labels, ranks.triples)):
        rank = int(ranks.rank[index, row])
        is_tied = rank != NOT_RANKED and influence[row] == 0
        share = NO_INFLUENCE if is_tied else f"{percentile[row]:.2f}"
        rows.append(
            RankRow(
                triple=triple,
                rank="not ranked" if rank == NOT_RANKED else f"{rank:,}",
                percentile="" if rank == NOT_RANKED else share,
                is_tied=is_tied,
                influence=scale.signed(influence[row]),
                value=influence[row],
                line=int(ranks.train_index[row]) + 1,
            )
        )
    return RankRows(rows=rows, unit=scale.unit, remark=TIES_OF_ZERO if any(row.is_tied for row in rows) else "")

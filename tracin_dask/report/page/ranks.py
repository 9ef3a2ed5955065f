"""The training triples whose exact ranks were asked for, as the rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracin_dask.report.page.names import NamedTriple, named_triples
from tracin_dask.report.page.numbers import Scale
from tracin_dask.report.ranks import NOT_RANKED
from tracin_dask.report.result import InfluenceResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """A training triple with its rank among all that are ranked."""

    triple: NamedTriple
    rank: str
    percentile: str
    influence: str
    unit: str
    value: float
    line: int


def rank_rows(result: InfluenceResult, index: int) -> Sequence[RankRow]:
    """Give the ranks of the listed training triples; empty where none were asked for."""
    ranks = result.ranks
    if ranks is None:
        return ()
    influence, percentile = ranks.influence[index].tolist(), ranks.percentile(index).tolist()
    scale = Scale.of(influence)
    return [
        RankRow(
            triple=triple,
            rank="not ranked" if rank == NOT_RANKED else f"{rank:,}",
            percentile="" if rank == NOT_RANKED else f"{percentile[row]:.2f}",
            influence=scale.signed(influence[row]),
            unit=scale.unit,
            value=influence[row],
            line=int(ranks.train_index[row]) + 1,
        )
        for row, (triple, rank) in enumerate(
            zip(named_triples(result.labels, ranks.triples), ranks.rank[index].tolist(), strict=True)
        )
    ]

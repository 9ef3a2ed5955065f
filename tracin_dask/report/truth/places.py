"""Where the known training triples of a test triple stand in one ranking: its list, listed ranks, or all influences."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from tracin_dask.report.ranks import NOT_RANKED, ListedRanks
from tracin_dask.report.result import RankedTriples
from tracin_dask.report.truth.comparisons import Comparison, Counts, compare_counts, compare_values

ABSOLUTE, SIGNED, OPPONENTS = "absolute", "signed", "opponents"
ORDERS = {
    ABSOLUTE: "by |influence|, the largest first",
    SIGNED: "by influence, the strongest proponents first",
    OPPONENTS: "by influence, the strongest opponents first",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrueRanks:
    """The known training triples of one test triple in one ranking."""

    ranks: Int[ndarray, " true"]
    """From 1, ascending; those that the ranking does not hold are missing."""
    num_ranked: int
    num_known: int | None
    """Known training triples in the training set; None where nobody counted them."""
    area: float | None = None
    """Under the ROC curve, against all other ranked training triples; None where the ranking is cut off."""
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)


def order_of(rank_by: str) -> str:
    """Name the order of a run."""
    return SIGNED if rank_by == "proponents" else rank_by


def in_order(influence: Float[ndarray, " entry"], order: str) -> Float[ndarray, " entry"]:
    """Give numbers of which the largest comes first."""
    sorting = {ABSOLUTE: np.abs, SIGNED: np.positive, OPPONENTS: np.negative}[order]
    found: Float[ndarray, " entry"] = sorting(influence)
    return found


def in_list(
    ranking: RankedTriples,
    is_true: Bool[ndarray, " entry"],
    *,
    order: str,
    num_known: int | None = None,
    is_whole: bool = False,
) -> TrueRanks:
    """Look into a list of training triples; `is_whole` says that it holds all of them."""
    ahead = np.argsort(-in_order(ranking.influence, order), kind="stable")
    ranks = np.flatnonzero(is_true[ahead]) + 1
    comparisons = compare_values(ranking.influence, is_true)
    area = compare_values(in_order(ranking.influence, order), is_true)["influence"].area if is_whole else None
    known = len(ranks) if is_whole else num_known
    return TrueRanks(ranks=ranks, num_ranked=len(ranking), num_known=known, area=area, comparisons=comparisons)


def in_listed_ranks(
    listed: ListedRanks, is_true: Bool[ndarray, " listed"], test_index: int, *, num_known: int | None = None
) -> TrueRanks:
    """Take exact ranks; those that the options of the run leave out are known and not found."""
    ranks = np.sort(listed.rank[test_index][is_true])
    found, number = ranks[ranks != NOT_RANKED], int(listed.num_ranked[test_index])
    others = number - len(found)
    area = None
    if len(found) and others:
        behind = (number - found) - np.arange(len(found))[::-1]
        area = float(behind.sum() / (len(found) * others))
    known = int(is_true.sum()) if num_known is None else num_known
    return TrueRanks(ranks=found, num_ranked=number, num_known=known, area=area)


def in_counts(counts: Counts, order: str) -> TrueRanks:
    """Take what was counted among all influences."""
    ranks = np.sort(counts.ranks(order))
    comparisons = compare_counts(counts)
    return TrueRanks(
        ranks=ranks,
        num_ranked=counts.num_ranked,
        num_known=len(ranks),
        area=counts.area(order),
        comparisons=comparisons,
    )

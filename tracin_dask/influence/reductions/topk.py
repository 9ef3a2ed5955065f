"""The k best proponents and opponents of each test triple: a value that is made from scores, merged, and finished.

Ties go to the lower `train_index`, so that the outcome depends neither on the order of rows nor on how they were cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.reductions.base import Arrays

_MOST_PADDING = 8
"""Entries of very uneven numbers by test triple are sorted without a table that would be padded more than so often."""

NAME = "top_k"
RankBy = Literal["absolute", "proponents", "opponents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Influences on many test triples in one list, ordered by test triple, then from the best to the worst."""

    test_index: Int[ndarray, " entry"]
    influence: Float[ndarray, " entry"]
    train_index: Int[ndarray, " entry"]
    triples: Int[ndarray, "entry 3"]

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.influence)

    def take(self, chosen: ndarray | slice) -> "Ranking":
        """Keep the chosen entries (a mask, a slice, or indices in the wanted order)."""
        return Ranking(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """The `k` highest and the `k` lowest influences on every test triple, ordered by test triple.

    Fewer where fewer rows were seen, or where others were known to surpass the rest. There may be `k` of each relation:
    they are ordered by relation, too.
    """

    k: int
    highest: Ranking
    lowest: Ranking
    num_relations: int = 0
    """Relations that have `k` entries each; 0 where all have them together."""


def empty(k: int, num_relations: int = 0) -> TopK:
    """Make the TopK of no rows, the neutral element of `merge`."""
    nothing = Ranking(
        test_index=np.empty(0, np.int64),
        influence=np.empty(0, np.float64),
        train_index=np.empty(0, np.int64),
        triples=np.empty((0, 3), np.int64),
    )
    return TopK(k=k, highest=nothing, lowest=nothing, num_relations=num_relations)


def merge(parts: Sequence[TopK]) -> TopK:
    """Merge TopKs of the same test triples over different rows; associative and commutative."""
    k, number = parts[0].k, parts[0].num_relations
    return TopK(
        k=k,
        highest=best_of(joined([part.highest for part in parts]), k, sign=1, num_relations=number),
        lowest=best_of(joined([part.lowest for part in parts]), k, sign=-1, num_relations=number),
        num_relations=number,
    )


def ranked(top: TopK, test_index: int, rank_by: RankBy) -> Ranking:
    """List the best k of one test triple: by |influence|, or proponents (> 0) or opponents (< 0) only.

    The k largest |influence| lie in the union of the k highest and the k lowest. Where every relation has k, all
    relations are in one list, from the best to the worst.
    """
    high, low = (_of_test(side, test_index) for side in (top.highest, top.lowest))
    if rank_by == "proponents":
        return _in_order(high.take(high.influence > 0))
    if rank_by == "opponents":
        return _in_order(low.take(low.influence < 0))
    both = joined([high, low])
    both = _in_order(both.take(np.unique(both.train_index, return_index=True)[1]))
    if top.num_relations == 0:
        return both.take(slice(top.k))
    relation = both.triples[:, 1]
    order = np.argsort(relation, kind="stable")
    return both.take(np.sort(order[_place(relation[order]) < top.k]))


def _in_order(entries: Ranking) -> Ranking:
    """Order entries of one test triple by the size of their influence."""
    return entries.take(np.lexsort((entries.train_index, -np.abs(entries.influence))))


def _place(lists: Int[ndarray, " entry"]) -> Int[ndarray, " entry"]:
    """Count the entries before each one in its list; entries of one list are neighbours, and lists ascend."""
    return np.arange(len(lists)) - np.searchsorted(lists, lists, side="left")


def lists_of(entries: Ranking, num_relations: int) -> Int[ndarray, " entry"]:
    """Number the list that each entry belongs to: of its test triple, or of the relation of its test triple."""
    if num_relations == 0:
        return entries.test_index
    return np.asarray(entries.test_index * num_relations + entries.triples[:, 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The k-th best entry of each list among rows that were seen: what comes behind it is not wanted.

    There is a list for each test triple, or for each relation of each test triple.
    """

    signed_influence: Float[ndarray, " list"]
    """Negated for the lowest; -inf where fewer than k rows were seen."""
    train_index: Int[ndarray, " list"]


def bounds(top: TopK, num_tests: int) -> tuple[Bounds, Bounds]:
    """Give the bounds that a TopK sets, of the highest and of the lowest, for every list."""
    number = num_tests * max(1, top.num_relations)
    nothing = Bounds(signed_influence=np.full(number, -np.inf), train_index=np.full(number, np.iinfo(np.int64).max))
    high, low = (
        raised(nothing, side, top.k, sign=sign, num_relations=top.num_relations)
        for side, sign in ((top.highest, 1), (top.lowest, -1))
    )
    return high, low


def raised(known: Bounds, best: Ranking, k: int, *, sign: int, num_relations: int = 0) -> Bounds:
    """Replace the bounds of the lists that have k entries in a ranking, none of which is behind the bound."""
    lists, every = lists_of(best, num_relations), np.arange(len(known.train_index))
    first, stop = (np.searchsorted(lists, every, side=side) for side in ("left", "right"))
    full = np.flatnonzero(stop - first >= k)
    signed_influence, train_index = known.signed_influence.copy(), known.train_index.copy()
    signed_influence[full] = sign * best.influence[stop[full] - 1]
    train_index[full] = best.train_index[stop[full] - 1]
    return Bounds(signed_influence=signed_influence, train_index=train_index)


def _of_test(side: Ranking, test_index: int) -> Ranking:
    first, stop = np.searchsorted(side.test_index, [test_index, test_index + 1])
    return side.take(slice(int(first), int(stop)))


def pack(top: TopK) -> Arrays:
    """Give each column of both sides."""
    sides = {"highest": top.highest, "lowest": top.lowest}
    return {"k": np.array(top.k), "num_relations": np.array(top.num_relations)} | {
        f"{side}_{field.name}": getattr(entries, field.name)
        for side, entries in sides.items()
        for field in fields(Ranking)
    }


def unpack(arrays: Arrays) -> TopK:
    """Put the columns together."""
    high, low = (
        Ranking(**{field.name: arrays[f"{side}_{field.name}"] for field in fields(Ranking)})
        for side in ("highest", "lowest")
    )
    return TopK(k=int(arrays["k"]), highest=high, lowest=low, num_relations=int(arrays["num_relations"]))


def joined(parts: Sequence[Ranking]) -> Ranking:
    """Put some lists behind others."""
    return Ranking(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Ranking)})


def best_of(entries: Ranking, k: int, *, sign: int, num_relations: int = 0) -> Ranking:
    """Order entries by list, then from the best to the worst, and keep k of each list."""
    entries = entries.take(_reach_kth(lists_of(entries, num_relations), sign * entries.influence, k))
    lists = lists_of(entries, num_relations)
    order = np.lexsort((entries.train_index, -sign * entries.influence, lists))
    return entries.take(order[_place(lists[order]) < k])


def _reach_kth(lists: Int[ndarray, " entry"], signed: Float[ndarray, " entry"], k: int) -> ndarray:
    """Tell which entries are no worse than the k-th best of their list: cheaper than to sort them all."""
    if len(lists) == 0:
        return np.ones(0, dtype=bool)
    order = np.argsort(lists, kind="stable")
    grouped = lists[order]
    place = _place(grouped)
    width, num_lists = int(place.max()) + 1, int(grouped[-1]) + 1
    if width <= k or num_lists * width > _MOST_PADDING * len(order):
        return np.ones(len(order), dtype=bool)
    table = np.full((num_lists, width), -np.inf)
    table[grouped, place] = signed[order]
    kth = np.partition(table, width - k, axis=1)[:, width - k]
    reaches: ndarray = signed >= kth[lists]
    return reaches


def top_k_bytes(k: int, num_tests: int) -> int:
    """Bound the bytes of both sides' best and waiting entries, twice while they are ranked."""
    entry = 3 * 8 + 3 * 8
    return 2 * 2 * (3 * k * num_tests + 4096) * entry

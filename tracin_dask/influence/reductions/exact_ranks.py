"""The exact ranks of listed training triples among all: counted in the pass, without sorting all influences.

Every influence is compared with those of the listed training triples, which the same engine computed in the same
batches before. So the ranks are those in the sorted list of all influences, ties by `train_index`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from numpy import ndarray
from torch import Tensor

from tracin_dask.identity import Json
from tracin_dask.influence import devices
from tracin_dask.influence.batch import send
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.reductions.base import Arrays, Held, Needs, RowIds, ScoredBatch, Sizes, Start
from tracin_dask.influence.reductions.topk import RankBy

NAME = "rank_of"
RANKS_REMEDY = "fewer training triples in --rank-of, or fewer test triples at a time"
ELEMENTS_AT_A_TIME = 1 << 20
"""Influences that are compared at a time."""
ON_DEVICE = 1 << 24
"""The same on a device that the host does not wait for, where each operator is a launch."""
ELEMENT_BYTES = 48
"""Of each while it is compared: its size twice, and where it falls."""
LISTED_BYTES = 80
"""Of each influence of a listed training triple: sorted, with its order, its count and its ties."""
ROW_BYTES = 8
"""Of each row of a batch: its place among the listed ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCounts:
    """Of each listed training triple: its influence, and how many rows are not behind it, itself included."""

    influence: Float[ndarray, "listed column"]
    not_behind: Int64[ndarray, "listed column"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExactRanksReduction:
    """Counts the training triples that are not behind each of the listed ones."""

    rows: Int[ndarray, " listed"]
    """Where the listed training triples stand in the store; all are distinct."""
    train_index: Int[ndarray, " listed"]
    rank_by: RankBy

    @property
    def name(self) -> str:
        """The name of the outcome."""
        return NAME

    @property
    def identity(self) -> Json:
        """What the outcome depends on."""
        return [self.rank_by, hashlib.sha256(self.rows.astype("<i8").tobytes()).hexdigest()]

    @property
    def needs(self) -> Needs:
        """Only what is ranked, and the influences of the listed training triples before the pass."""
        return Needs(ranked=True, influences_of=self.rows, index=self.places.index)

    @property
    def places(self) -> "ListedPlaces":
        """Where listed training triples stand in the store, to look for them among others."""
        return ListedPlaces(rows=np.sort(self.rows), order=np.argsort(self.rows), train_index=np.sort(self.train_index))

    def held(self, sizes: Sizes) -> Held:
        """Count what is known of the listed training triples, and the influences that are compared at a time."""
        listed = len(self.rows) * sizes.num_columns
        stream, on_device = (
            LISTED_BYTES * listed
            + ROW_BYTES * sizes.batch_size
            + ELEMENT_BYTES * min(sizes.batch_size * sizes.num_columns, max(elements, sizes.num_columns))
            for elements in (ELEMENTS_AT_A_TIME, ON_DEVICE)
        )
        return Held(stream=stream, on_device=on_device, outcome=16 * listed, what="the ranks", remedy=RANKS_REMEDY)

    def start(self, given: Start[RankCounts]) -> "RankStream":
        """Start on the rows of a task."""
        assert given.influences is not None  # noqa: S101 - asked for
        return RankStream(self, given.influences)

    def merge(self, outcomes: Sequence[RankCounts]) -> RankCounts:
        """Add up the counts of different rows."""
        counted = np.sum([outcome.not_behind for outcome in outcomes], axis=0)
        return RankCounts(influence=outcomes[0].influence, not_behind=counted)

    def pack(self, outcome: RankCounts) -> Arrays:
        """Give both arrays."""
        return {"influence": outcome.influence, "not_behind": outcome.not_behind}

    def unpack(self, arrays: Arrays) -> RankCounts:
        """Take both arrays."""
        return RankCounts(influence=arrays["influence"], not_behind=arrays["not_behind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class RankIndex:
    """What the place and the `train_index` of some rows say of listed training triples."""

    tie: IndexArray
    """How many of the listed ones have a lower `train_index` than each row: [row]."""
    place: IndexArray
    """The rows that are listed, ascending: [found]."""
    listed: IndexArray
    """The listed training triple of each: [found]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPlaces:
    """The listed training triples, sorted."""

    rows: Int[ndarray, " listed"]
    order: Int[ndarray, " listed"]
    """The listed one that stands at each of these rows."""
    train_index: Int[ndarray, " listed"]

    def index(self, ids: RowIds, arrays: IndexArrays) -> RankIndex:
        """Look for them among some rows, in any thread."""
        place = np.flatnonzero(np.isin(ids.rows, self.rows))
        listed = self.order[np.searchsorted(self.rows, ids.rows[place])]
        tie = np.searchsorted(self.train_index, ids.train_index)
        return RankIndex(tie=arrays.put(tie), place=arrays.put(place), listed=arrays.put(listed))


class RankStream:
    """Finds between which listed training triples each row falls, column by column, and counts.

    The listed ones of a column, in their order, cut the list of all rows into intervals. A row falls into one of them
    by its influence, and by its `train_index` where it equals the influence of a listed one.
    """

    def __init__(self, listed: ExactRanksReduction, influence: Float[ndarray, "listed column"]) -> None:
        """Start with no rows; takes the influences of the listed training triples."""
        self._listed, self._influence = listed, influence
        self._sorted = _sorted(_cost(torch.from_numpy(influence), listed.rank_by).numpy(), listed.train_index)
        self._places = listed.places
        self._known: Tensor | None = None
        self._device: _OnDevice | None = None

    def add(self, batch: ScoredBatch) -> None:
        """Count the rows of a batch."""
        num_columns, device = batch.influences.shape[1], batch.influences.device
        if self._device is None:
            self._device = _OnDevice(self._sorted, device)
        indexed = batch.indexed_by(self._places.index)
        step = max(1, (ON_DEVICE if devices.computes_ahead(device) else ELEMENTS_AT_A_TIME) // num_columns)
        for start in range(0, len(batch), step):
            rows = slice(start, start + step)
            cost = self._costs(batch.influences[rows], indexed, start)
            self._device.count(
                cost, indexed.tie.tensor[rows], None if batch.is_ranked is None else batch.is_ranked[rows].T
            )

    def finish(self) -> RankCounts:
        """Count for each listed training triple what falls before it."""
        shape = self._sorted.cost.shape
        by_place = np.zeros(shape[::-1], np.int64) if self._device is None else self._device.not_behind().T
        counted = np.empty_like(by_place)
        np.put_along_axis(counted, self._sorted.order, by_place, axis=0)
        return RankCounts(influence=self._influence, not_behind=counted)

    def _costs(
        self, influences: Float[Tensor, "row column"], indexed: "RankIndex", start: int
    ) -> Float[Tensor, "column row"]:
        """Take the known influences of listed training triples: on a GPU a sum may differ in its last bit."""
        some = slice(*np.searchsorted(indexed.place.host, [start, start + len(influences)]).tolist())
        if some.start < some.stop:
            if self._known is None:
                self._known = send(self._influence, influences.device).to(influences.dtype)
            known = self._known.index_select(0, indexed.listed.tensor[some])
            influences = influences.index_copy(0, indexed.place.tensor[some] - start, known)
        return _cost(influences, self._listed.rank_by).T.contiguous()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorted:
    """The listed training triples of each column in their order: the smallest cost first, ties by `train_index`."""

    order: Int64[ndarray, "listed column"]
    cost: Float[ndarray, "column listed"]
    tie: Int64[ndarray, "column listed"]
    """The place of the first one of equal cost, and after it that of the `train_index` among those of all listed."""


def _sorted(cost: Float[ndarray, "listed column"], train_index: Int[ndarray, " listed"]) -> _Sorted:
    index_place = np.argsort(np.argsort(train_index))
    order = np.lexsort((np.broadcast_to(index_place[:, None], cost.shape), cost), axis=0)
    ascending = np.take_along_axis(cost, order, axis=0)
    place = np.arange(len(cost))[:, None]
    is_first = np.ones(cost.shape, dtype=bool)
    is_first[1:] = ascending[1:] != ascending[:-1]
    first = np.maximum.accumulate(np.where(is_first, place, 0), axis=0)
    tie = first * (len(cost) + 1) + index_place[order]
    return _Sorted(order=order, cost=np.ascontiguousarray(ascending.T), tie=np.ascontiguousarray(tie.T))


class _OnDevice:
    """The sorted costs, and how many rows fall between them, where influences are."""

    def __init__(self, listed: _Sorted, device: torch.device) -> None:
        num_columns, number = listed.cost.shape
        self._cost, ties = send(listed.cost, device), send(listed.tie, device)
        self._column = torch.arange(num_columns, device=device)[:, None]
        self._number = number
        self._ties_per_column = (number + 1) * (number + 1)
        self._ties = (ties + self._column * self._ties_per_column).flatten()
        self._counts = torch.zeros(num_columns * (number + 1), dtype=torch.int64, device=device)

    def count(
        self,
        cost: Float[Tensor, "column row"],
        tie: Int64[Tensor, " row"],
        is_ranked: Bool[Tensor, "column row"] | None,
    ) -> None:
        """Count the rows in their intervals; the device is not waited for."""
        place = torch.searchsorted(self._cost, cost)
        is_tie = self._cost.gather(1, place.clamp(max=self._number - 1)) == cost
        if devices.computes_ahead(cost.device):
            place = torch.where(is_tie, self._places_of_ties(self._column, place, tie), place)
        elif is_tie.any():
            column, row = is_tie.nonzero(as_tuple=True)
            place[column, row] = self._places_of_ties(column, place[column, row], tie[row])
        interval = place.add_(self._column * (self._number + 1)).view(-1)
        one = torch.ones((), dtype=torch.int64, device=cost.device).expand(len(interval))
        self._counts.index_add_(0, interval, one if is_ranked is None else is_ranked.flatten().long())

    def not_behind(self) -> Int64[ndarray, "column listed"]:
        """Count for each listed training triple, in order, the rows that are not behind it."""
        counts = self._counts.view(-1, self._number + 1)
        return counts[:, :-1].cumsum(dim=1).cpu().numpy()

    def _places_of_ties(self, column: Tensor, place: Tensor, tie: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
        """Find the intervals of influences that equal those of listed training triples, by their `train_index`."""
        code = column * self._ties_per_column + place * (self._number + 1) + tie
        found: Tensor = torch.searchsorted(self._ties, code) - column * self._number
        return found


def _cost(influences: Tensor, rank_by: RankBy) -> Tensor:
    """Give what is smallest for the first."""
    if rank_by == "absolute":
        return torch.neg(influences.abs())
    return influences if rank_by == "opponents" else torch.neg(influences)

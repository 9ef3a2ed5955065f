"""A batch of triples and what its ids say, found out on the host: the device is never asked and waited for."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Shaped
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.index_arrays import IndexArray, IndexArrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Neighbouring rows of equal ids: in a sorted store, each run is all there is of its id in a batch."""

    of_row: Int[ndarray, " row"]
    """The run of each row."""
    starts: Int[ndarray, " run"]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First row, and the row after the last, of each run."""
        return list(itertools.pairwise([*self.starts.tolist(), len(self.of_row)]))

    @property
    def lengths(self) -> Int[ndarray, " run"]:
        """Rows of each run."""
        return np.diff(self.starts, append=len(self.of_row))


def runs(*ids: Int[ndarray, " row"]) -> Runs:
    """Cut rows where any of the ids changes."""
    is_first = np.zeros(len(ids[0]), dtype=bool)
    is_first[:1] = True
    for column in ids:
        is_first[1:] |= column[1:] != column[:-1]
    return Runs(of_row=np.cumsum(is_first) - 1, starts=np.flatnonzero(is_first))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationKeys:
    """The distinct relations of a batch."""

    keys: IndexArray
    """(-1, relation) of each, ascending: [relation, 2]."""
    of_pair: IndexArray
    """The one of each pair: [pair]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Triples with their runs of (head, relation) and of heads: found on the host, and used on the device.

    Equal pairs that do not stand together are runs of their own: they are computed twice, and the sums are the same.
    """

    ids: Int[ndarray, "batch 3"]
    """The triples on the host."""
    host_pairs: Int[ndarray, "pair 2"]
    """The pairs on the host."""
    pair_runs: Runs
    head_runs: Runs
    """Of the triples, not of the pairs."""
    triples_array: IndexArray
    pairs_array: IndexArray
    pair_array: IndexArray
    heads_array: IndexArray
    """(head, -1) of each run of heads: [head, 2]."""
    head_of_pair_array: IndexArray
    relations: RelationKeys | None
    """None where no region's part of the forward pass is made by relation."""

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.ids)

    @property
    def triples(self) -> Int[Tensor, "batch 3"]:
        """The triples on the device."""
        return self.triples_array.tensor

    @property
    def pairs(self) -> Int[Tensor, "pair 2"]:
        """The pairs on the device."""
        return self.pairs_array.tensor

    @property
    def pair(self) -> Int[Tensor, " batch"]:
        """The pair of each triple, on the device."""
        return self.pair_array.tensor

    @property
    def heads(self) -> Int[Tensor, "head 2"]:
        """(head, -1) of each run of heads, on the device."""
        return self.heads_array.tensor

    @property
    def head_of_pair(self) -> Int[Tensor, " pair"]:
        """The run of heads of each pair, on the device."""
        return self.head_of_pair_array.tensor


def index_batch(
    ids: Int[ndarray, "batch 3"], arrays: IndexArrays, *, shares_pairs: bool = True, by_relation: bool = True
) -> Batch:
    """Find the runs of a batch, and its relations if something is computed by relation.

    Unless it `shares_pairs`, the pair of every triple is a run of its own.
    """
    every = np.arange(len(ids))
    pair_runs = runs(ids[:, 0], ids[:, 1]) if shares_pairs else Runs(of_row=every, starts=every)
    head_runs = runs(ids[:, 0])
    pairs, heads = ids[pair_runs.starts, :2], ids[head_runs.starts, 0]
    return Batch(
        ids=ids,
        host_pairs=pairs,
        pair_runs=pair_runs,
        head_runs=head_runs,
        triples_array=arrays.put(ids),
        pairs_array=arrays.put(pairs),
        pair_array=arrays.put(pair_runs.of_row),
        heads_array=arrays.put(np.stack([heads, np.full_like(heads, -1)], axis=1)),
        head_of_pair_array=arrays.put(head_runs.of_row[pair_runs.starts]),
        relations=_relation_keys(pairs, arrays) if by_relation else None,
    )


def _relation_keys(pairs: Int[ndarray, "pair 2"], arrays: IndexArrays) -> RelationKeys:
    relations, of_pair = np.unique(pairs[:, 1], return_inverse=True)
    keys = np.stack([np.full_like(relations, -1), relations], axis=1)
    return RelationKeys(keys=arrays.put(keys), of_pair=arrays.put(of_pair))


def send(values: Shaped[ndarray, "..."], device: torch.device) -> Tensor:
    """Put an array on a device; to a GPU it is copied from pinned memory while the GPU computes."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)

"""A batch of triples and what its ids say, found out on the host: the device is never asked and waited for."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Shaped
from numpy import ndarray
from torch import Tensor


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
class Batch:
    """Triples on the device, with their runs of (head, relation) and of heads.

    Equal pairs that do not stand together are runs of their own: they are computed twice, and the sums are the same.
    """

    triples: Int[Tensor, "batch 3"]
    pairs: Int[Tensor, "pair 2"]
    pair: Int[Tensor, " batch"]
    """The pair of each triple."""
    heads: Int[Tensor, " head"]
    head_of_pair: Int[Tensor, " pair"]
    ids: Int[ndarray, "batch 3"]
    """The triples on the host."""
    host_pairs: Int[ndarray, "pair 2"]
    """The pairs on the host."""
    pair_runs: Runs
    head_runs: Runs
    """Of the triples, not of the pairs."""

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.triples)


def index_batch(ids: Int[ndarray, "batch 3"], device: torch.device, *, shares_pairs: bool = True) -> Batch:
    """Find the runs of a batch and send all of it to a device, without waiting for its arrival.

    Unless it `shares_pairs`, the pair of every triple is a run of its own.
    """
    every = np.arange(len(ids))
    pair_runs = runs(ids[:, 0], ids[:, 1]) if shares_pairs else Runs(of_row=every, starts=every)
    head_runs = runs(ids[:, 0])
    pairs = ids[pair_runs.starts, :2]
    return Batch(
        triples=send(ids, device),
        pairs=send(pairs, device),
        pair=send(pair_runs.of_row, device),
        heads=send(ids[head_runs.starts, 0], device),
        head_of_pair=send(head_runs.of_row[pair_runs.starts], device),
        ids=ids,
        host_pairs=pairs,
        pair_runs=pair_runs,
        head_runs=head_runs,
    )


def distinct_relations(batch: Batch) -> tuple[Int[ndarray, " relation"], Int[ndarray, " pair"]]:
    """Find a batch's relations, ascending, and which each pair has."""
    return np.unique(batch.host_pairs[:, 1], return_inverse=True)


def send(values: Shaped[ndarray, "..."], device: torch.device) -> Tensor:
    """Put an array on a device; to a GPU it is copied from pinned memory while the GPU computes."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor

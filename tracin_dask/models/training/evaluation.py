"""Filtered ranks of the tails of triples under a model, and the usual metrics of them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.ranking.counts import Known, rank_counts

HITS_AT = (1, 3, 5, 10)
SCORE_BYTES = {"cpu": 64 * 2**20, "cuda": 2**30}
"""Bytes that a block of scores may take, by device: a GPU has the memory, and each block costs it some calls."""
FEATURE_BYTES = {"cpu": 2**30, "cuda": 4 * 2**30}
"""Bytes that the model's activations of a block may take: they are more than the scores where entities are few."""
FEATURE_COPIES = 2
"""Arrays of the feature maps' size that a block holds at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTails:
    """The distinct true tails of every (head, relation): those of `keys[i]` are `tails[starts[i]:starts[i+1]]`."""

    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    tails: NDArray[np.int64]
    num_relations: int

    @classmethod
    def from_triples(cls, triples: Int[np.ndarray, "row 3"], num_relations: int) -> "KnownTails":
        """Group triples (at least one; duplicates allowed) by head and relation."""
        pairs = triples[:, 0] * num_relations + triples[:, 1]
        distinct = np.unique(np.column_stack([pairs, triples[:, 2]]), axis=0)
        keys, starts = np.unique(distinct[:, 0], return_index=True)
        return cls(
            keys=keys, starts=np.append(starts, len(distinct)), tails=distinct[:, 1], num_relations=num_relations
        )

    def positions(self, triples: Int[np.ndarray, "batch 3"]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the (row, tail) of every known triple that shares head and relation with a row of `triples`."""
        pairs = triples[:, 0] * self.num_relations + triples[:, 1]
        group = np.searchsorted(self.keys, pairs)
        found = np.flatnonzero(self.keys[np.minimum(group, len(self.keys) - 1)] == pairs)
        first = self.starts[group[found]]
        counts = self.starts[group[found] + 1] - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(found, counts), self.tails[np.repeat(first, counts) + within]


def tail_ranks(
    model: ConvE, triples: Int[np.ndarray, "row 3"], known: KnownTails, *, block_rows: int | None = None
) -> Int[np.ndarray, " row"]:
    """Rank each triple's tail among all entities that are no other known tail.

    The rank counts every entity whose score is not below the tail's, so ties (and NaN) count against the model:
    one that scores all entities alike gets the worst rank, not the best. The host waits for the device once.

    Parameters
    ----------
    model
        In eval mode.
    triples
        At least one.
    known
        All true triples, those that are ranked among them or not.
    block_rows
        Triples that are ranked at a time; by default as many as `rows_per_block` gives.
    """
    size = block_rows or rows_per_block(model.config, model.device)
    with torch.inference_mode():
        blocks = [_block_ranks(model, triples[start : start + size], known) for start in range(0, len(triples), size)]
        ranks: NDArray[np.int64] = torch.cat(blocks).cpu().numpy()
    return ranks


def rows_per_block(config: ConvEConfig, device: torch.device) -> int:
    """Count the triples that are ranked at a time, at least one: their scores and activations are bounded."""
    itemsize = torch.float32.itemsize
    by_scores = SCORE_BYTES[device.type] // (itemsize * config.num_entities)
    by_features = FEATURE_BYTES[device.type] // (itemsize * FEATURE_COPIES * config.num_features)
    return max(1, min(by_scores, by_features))


def _block_ranks(model: ConvE, triples: NDArray[np.int64], known: KnownTails) -> Int[Tensor, " row"]:
    """Rank some triples by as many operators as there are for one, and wait for none of them."""
    rows, tails = known.positions(triples)
    sent = _send(np.concatenate([triples.ravel(), rows, tails]), model.device)
    asked, known_rows, known_tails = torch.split(sent, [triples.size, len(rows), len(tails)])
    head, relation, tail = asked.view(-1, 3).unbind(dim=1)
    scores: Float[Tensor, "row entity"] = model(head, relation)
    return rank_counts(scores, tail).without(Known(rows=known_rows, entities=known_tails), scores, tail).pessimistic


def _send(array: NDArray[np.int64], device: torch.device) -> Tensor:
    """Copy an array to a device, to a GPU while it computes."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def ranking_metrics(ranks: Int[np.ndarray, " row"]) -> dict[str, float]:
    """Summarise ranks under the names of the known result files: mean_rank, mean_reciprocal_rank, hits@k."""
    metrics = {"mean_rank": float(ranks.mean()), "mean_reciprocal_rank": float((1.0 / ranks).mean())}
    return metrics | {f"hits@{k}": float((ranks <= k).mean()) for k in HITS_AT}

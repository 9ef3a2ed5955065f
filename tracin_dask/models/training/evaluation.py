"""Filtered ranks of the tails of triples under a model, and the usual metrics of them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.ranking.counts import Known, rank_counts

HITS_AT = (1, 3, 5, 10)
SCORE_BYTES = 64 * 2**20
"""Bytes that one batch of scores may take."""


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
    model: ConvE, triples: Int[np.ndarray, "row 3"], known: KnownTails, *, score_bytes: int = SCORE_BYTES
) -> Int[np.ndarray, " row"]:
    """Rank each triple's tail among all entities that are no other known tail.

    The rank counts every entity whose score is not below the tail's, so ties (and NaN) count against the model:
    one that scores all entities alike gets the worst rank, not the best.

    Parameters
    ----------
    model
        In eval mode.
    triples
        At least one.
    known
        All true triples, those that are ranked among them or not.
    score_bytes
        Bound on the bytes of the scores held at a time, at least one row's.
    """
    num_rows = max(1, score_bytes // (4 * model.config.num_entities))
    batches = (triples[start : start + num_rows] for start in range(0, len(triples), num_rows))
    with torch.inference_mode():
        return np.concatenate([_batch_ranks(model, batch, known) for batch in batches])


def _batch_ranks(model: ConvE, triples: NDArray[np.int64], known: KnownTails) -> NDArray[np.int64]:
    device = model.entity_embeddings.weight.device
    head, relation, tail = torch.as_tensor(triples, device=device).unbind(dim=1)
    scores: Float[Tensor, "batch entity"] = model(head, relation)
    rows, tails = (torch.as_tensor(index, device=device) for index in known.positions(triples))
    counts = rank_counts(scores, tail).without(Known(rows=rows, entities=tails), scores, tail)
    ranks: NDArray[np.int64] = counts.pessimistic.cpu().numpy()
    return ranks


def ranking_metrics(ranks: Int[np.ndarray, " row"]) -> dict[str, float]:
    """Summarise ranks under the names of the known result files: mean_rank, mean_reciprocal_rank, hits@k."""
    metrics = {"mean_rank": float(ranks.mean()), "mean_reciprocal_rank": float((1.0 / ranks).mean())}
    return metrics | {f"hits@{k}": float((ranks <= k).mean()) for k in HITS_AT}

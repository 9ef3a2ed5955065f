"""The loss of training by negative sampling, of the scores of a triple and of corrupted ones."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.identity import changes
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES, LossPart, Reads
from tracin_dask.influence.losses.cross_entropy import binary_cross_entropy
from tracin_dask.influence.losses.own_score import LabelledScore
from tracin_dask.seed import check_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class SLCWA:
    """Binary cross-entropy with logits of the triple (label 1) and of n corrupted triples (label 0), averaged.

    Negative sampling under the stochastic local closed-world assumption, as in PyKEEN. In each corrupted triple the
    head or the tail is replaced by another entity, both drawn uniformly by a hash of the seed and the triple: every
    worker and every repeat draws the same, and equal triples are corrupted equally.
    """

    name: ClassVar[str] = "slcwa"
    reads: ClassVar[Reads] = CORRUPTED_TRIPLES
    num_negatives: int = field(default=1, metadata=changes("scores"))
    seed: int = field(default=0, metadata=changes("scores"))

    def __post_init__(self) -> None:
        """Refuse to corrupt nothing.

        Raises
        ------
        ConfigError
            If there are no negatives, or the seed is no whole number of 64 bits.
        """
        if self.num_negatives < 1:
            raise ConfigError(f"num_negatives must be at least 1, not {self.num_negatives}")
        check_seed("the seed of the negatives", self.seed)

    @property
    def settings(self) -> dict[str, int]:
        """What the result states of the loss."""
        return {"num_negatives": self.num_negatives, "seed": self.seed}

    def value(self, scores: Float[Tensor, "batch one_and_negatives"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score, in the first column, and those of its corrupted triples."""
        labels = torch.zeros_like(scores)
        labels[:, 0] = 1
        return binary_cross_entropy(scores, labels).mean(dim=1)

    def parts(self, triples: Int[ndarray, "batch 3"], num_entities: int) -> tuple[LossPart, ...]:
        """Give the share of each triple's own score, then those of its corrupted triples; raises as `corrupted`."""
        weight = 1 / (1 + self.num_negatives)
        positive, negative = (LabelledScore(is_positive=label, weight=weight) for label in (True, False))
        corrupted = self.corrupted(triples, num_entities)
        return (
            LossPart(triples=triples, loss=positive),
            *(LossPart(triples=some, loss=negative) for some in corrupted),
        )

    def corrupted(self, triples: Int[ndarray, "batch 3"], num_entities: int) -> Int[ndarray, "negative batch 3"]:
        """Draw the corrupted triples.

        Raises
        ------
        ConfigError
            If there is no other entity to put in.
        """
        if num_entities < 2:
            raise ConfigError("slcwa needs at least two entities: a corrupted triple has another one in a place")
        drawn = _hashed(self.seed, triples, self.num_negatives)
        column = np.where(drawn & np.uint64(1), 2, 0)
        found = np.repeat(triples[None], self.num_negatives, axis=0)
        replaced = np.take_along_axis(found, column[:, :, None], axis=2)[:, :, 0]
        other = ((drawn >> np.uint64(1)) % np.uint64(num_entities - 1)).astype(found.dtype)
        np.put_along_axis(found, column[:, :, None], (other + (other >= replaced))[:, :, None], axis=2)
        return found


def _hashed(seed: int, triples: Int[ndarray, "batch 3"], count: int) -> ndarray:
    """Draw 64 bits for each number below `count` and each triple, by the mixing function of splitmix64 [1]_.

    .. [1] Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    state = np.full((count, len(triples)), seed, dtype=np.uint64)
    for values in (*triples.T.astype(np.uint64), np.arange(count, dtype=np.uint64)[:, None]):
        state = (state ^ values) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state

"""The terms of ⟨∇score_i, ∇score_j⟩, each written once; the influence is their sum times δ_i δ_j.

Most terms are inner products of stacked vectors, of all pairs of two batches or of rows with themselves. The rows of
embedding tables meet only where an id occurs on both sides.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.folded import CONVOLUTION_TENSORS
from tracin_dask.influence.conve.gradient_factors import OutputFactors
from tracin_dask.influence.tensors import dot_rows

ENTITIES = "entity_embeddings.weight"
RELATIONS = "relation_embeddings.weight"
ENTITY_BIAS = "entity_bias"
CONVOLUTION = frozenset(CONVOLUTION_TENSORS)
BELOW_PROJECTION = CONVOLUTION | {ENTITIES, RELATIONS}
"""The tensors whose gradients need the pass back through the projection."""
FC_WEIGHT = "fc.weight"
FC = frozenset({FC_WEIGHT, "fc.bias"})


def linear_factors(
    tracked: frozenset[str], output: OutputFactors, moments: Float[Tensor, "row moment"] | None
) -> Float[Tensor, "row width"] | None:
    """Put the factors side by side that enter by their inner products alone; None if none is tracked."""
    factors = []
    if "bn2.bias" in tracked:
        factors.append(output.at_bn2)
    if "bn2.weight" in tracked:
        factors.append(output.at_bn2_weight)
    if moments is not None:
        factors.append(moments)
    return torch.cat(factors, dim=1) if factors else None


def weigh_overlap(tracked: frozenset[str], overlap: Float[Tensor, "*row"] | None) -> Float[Tensor, "*row"] | float:
    """Give the factor of ⟨d_i, d_j⟩: ⟨features_i, features_j⟩ for fc.weight, 1 for fc.bias."""
    bias = float("fc.bias" in tracked)
    return bias if overlap is None else overlap + bias


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRows:
    """The rows of the embedding tables that some triples' scores depend on, and their gradients."""

    triples: Int[Tensor, "row 3"]
    head: Float[Tensor, "row dim"]
    relation: Float[Tensor, "row dim"]
    tail: Float[Tensor, "row dim"]
    """x(h, r): the score is linear in the tail's row."""
    tail_bias: Float[Tensor, " row"]
    """1, if there are biases or not."""


def embedding_self_terms(tracked: frozenset[str], own: EmbeddingRows, along: EmbeddingRows) -> Float[Tensor, " row"]:
    """Add up the terms of the embedding tables for each triple with itself: of its gradient, and P times that."""
    total = torch.zeros_like(own.tail_bias)
    if RELATIONS in tracked:
        total += dot_rows(own.relation, along.relation)
    if ENTITIES in tracked:
        total += dot_rows(own.head, along.head)
        total += dot_rows(own.tail, along.tail)
        total += 2 * dot_rows(own.head, along.tail) * (own.triples[:, 0] == own.triples[:, 2])
    if ENTITY_BIAS in tracked:
        total += own.tail_bias * along.tail_bias
    return total

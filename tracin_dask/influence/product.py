"""The terms of ⟨∇score_i, ∇score_j⟩, each written once; the influence is their sum times δ_i δ_j.

Most terms are inner products of stacked vectors, of all pairs of two batches or of rows with themselves. The rows of
embedding tables meet only where an id occurs on both sides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.factors import OutputFactors

Dot = Callable[[Tensor, Tensor], Tensor]
"""All inner products of two stacks of vectors, [n, m]; or those of rows of the same number, [n]."""

ENTITIES = "entity_embeddings.weight"
RELATIONS = "relation_embeddings.weight"
ENTITY_BIAS = "entity_bias"
EMBEDDING_TENSORS = frozenset({ENTITIES, RELATIONS, ENTITY_BIAS})


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRows:
    """The rows of the embedding tables that some triples' scores depend on, and their gradients."""

    triples: Int[Tensor, "row 3"]
    head: Float[Tensor, "row dim"]
    relation: Float[Tensor, "row dim"]
    tail: Float[Tensor, "row dim"]
    """x(h, r): the score is linear in the tail's row."""


def rowwise(left: Float[Tensor, "batch width"], right: Float[Tensor, "batch width"]) -> Float[Tensor, " batch"]:
    """Multiply each row with the row of the same number."""
    return (left * right).sum(dim=1)


def output_terms(
    tracked: frozenset[str], left: OutputFactors, right: OutputFactors, overlap: Tensor, dot: Dot
) -> Iterator[Tensor]:
    """Give the terms of fc and bn2; `overlap` holds the inner products of the features."""
    if tracked & {"fc.weight", "fc.bias"}:
        along = dot(left.at_projection, right.at_projection)
        if "fc.weight" in tracked:
            yield along * overlap
        if "fc.bias" in tracked:
            yield along
    if "bn2.bias" in tracked:
        yield dot(left.at_bn2, right.at_bn2)
    if "bn2.weight" in tracked:
        yield dot(left.at_bn2_weight, right.at_bn2_weight)


def add_embedding_terms(
    total: Float[Tensor, "batch test"],
    tracked: frozenset[str],
    rows: Int[Tensor, " row"],
    left: EmbeddingRows,
    right: EmbeddingRows,
) -> None:
    """Add the terms of the embedding tables for the `rows` of `total` that `left` stands for, in place."""
    h, r, t = left.triples.unbind(dim=1)
    test_h, test_r, test_t = right.triples.unbind(dim=1)
    if RELATIONS in tracked:
        add_where_equal(total, rows, (r, left.relation), (test_r, right.relation))
    if ENTITIES in tracked:
        add_where_equal(total, rows, (h, left.head), (test_h, right.head))
        add_where_equal(total, rows, (h, left.head), (test_t, right.tail))
        add_where_equal(total, rows, (t, left.tail), (test_h, right.head))
        add_where_equal(total, rows, (t, left.tail), (test_t, right.tail))
    if ENTITY_BIAS in tracked:
        add_where_equal(
            total, rows, (t, torch.ones_like(left.tail[:, :1])), (test_t, torch.ones_like(right.tail[:, :1]))
        )


def embedding_self_terms(tracked: frozenset[str], own: EmbeddingRows) -> Iterator[Float[Tensor, " row"]]:
    """Give the terms of the embedding tables for each triple with itself."""
    if RELATIONS in tracked:
        yield rowwise(own.relation, own.relation)
    if ENTITIES in tracked:
        yield rowwise(own.head, own.head)
        yield rowwise(own.tail, own.tail)
        yield 2 * rowwise(own.head, own.tail) * (own.triples[:, 0] == own.triples[:, 2])
    if ENTITY_BIAS in tracked:
        yield torch.ones_like(own.tail[:, 0])


def rows_that_meet(
    tracked: frozenset[str], triples: Int[Tensor, "batch 3"], test_triples: Int[Tensor, "test 3"]
) -> Int[Tensor, " row"]:
    """Find the triples that share a tracked embedding row with any test triple."""
    meets = torch.zeros(len(triples), dtype=torch.bool, device=triples.device)
    if RELATIONS in tracked:
        meets |= torch.isin(triples[:, 1], test_triples[:, 1])
    if ENTITIES in tracked:
        meets |= torch.isin(triples[:, [0, 2]], test_triples[:, [0, 2]]).any(dim=1)
    elif ENTITY_BIAS in tracked:
        meets |= torch.isin(triples[:, 2], test_triples[:, 2])
    return meets.nonzero()[:, 0]


def add_where_equal(
    total: Float[Tensor, "batch test"],
    rows: Int[Tensor, " row"],
    left: tuple[Int[Tensor, " row"], Float[Tensor, "row width"]],
    right: tuple[Int[Tensor, " test"], Float[Tensor, "test width"]],
) -> None:
    """Add the inner products of (id, vector) rows where the ids are equal, in place.

    Only rows and columns whose id occurs on the other side enter the product: its cost follows the matches.
    """
    (left_ids, left_vectors), (right_ids, right_vectors) = left, right
    mine = torch.isin(left_ids, right_ids).nonzero()[:, 0]
    theirs = torch.isin(right_ids, left_ids).nonzero()[:, 0]
    equal = left_ids[mine, None] == right_ids[None, theirs]
    block = (left_vectors[mine] @ right_vectors[theirs].T).mul_(equal)
    total[rows[mine, None], theirs[None, :]] += block

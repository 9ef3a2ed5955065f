"""Forward mode: the derivative of each pair's output x(h, r) along the gradients of the test triples.

The influence of training triple i on test triple j is δ_i δ_j times ⟨ẋ_j(h_i, r_i), E[t_i]⟩ plus what the tail's row
gives, where ẋ_j moves all parameters along the gradient of test triple j's score. ẋ depends on what a region sees (a
head, a relation, or a pair), not on the triple.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_backward import RegionPass, cut_patches, pass_of
from tracin_dask.influence.conve.pair_product import ENTITIES, RELATIONS, EmbeddingRows
from tracin_dask.influence.conve.regions import Region, Sees
from tracin_dask.influence.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMoves:
    """How the projection's output moves where a test triple's gradient moves the embedding that a region sees alone.

    The region's features depend on that embedding only, so this is known before any batch: a training triple i of the
    same head, say, adds ⟨d_i, `head` of j⟩, with d_i its gradient at the projection's output. Zero where no region sees
    one embedding alone.
    """

    head: Float[Tensor, "test dim"]
    """Of the head h_j, along its own gradient."""
    tail: Float[Tensor, "test dim"]
    """Of the tail t_j where it is a head, along its own gradient."""
    relation: Float[Tensor, "test dim"]


def own_moves(model: FoldedConvE, test: EmbeddingRows, precision: Precision) -> OwnMoves:
    """Compute the moves of all test triples."""
    h, r, t = test.triples.unbind(dim=1)
    return OwnMoves(
        head=_own_move(model, Sees.HEAD, h, test.head, precision),
        tail=_own_move(model, Sees.HEAD, t, test.tail, precision),
        relation=_own_move(model, Sees.RELATION, r, test.relation, precision),
    )


def _own_move(
    model: FoldedConvE, sees: Sees, ids: Int[Tensor, " test"], vectors: Float[Tensor, "test dim"], precision: Precision
) -> Float[Tensor, "test dim"]:
    region = model.region(sees)
    if region is None:
        return torch.zeros_like(vectors)
    part = pass_of(model, region, torch.stack([ids, ids], dim=1), None)
    source = torch.cat([vectors, vectors.new_zeros(len(ids), 1)], dim=1)
    moved = (cut_patches(region, source) @ model.kernel).flatten(start_dim=1)
    is_open = part.activations(model)[1].sign()
    return precision.product(precision.operand(moved * is_open), model.projection[:, region.features].T)


def moved_projection(
    model: FoldedConvE,
    part: RegionPass,
    moments: Float[Tensor, "test moment"],
    precision: Precision,
    images: "MovedImages | None" = None,
) -> Iterator[Float[Tensor, "key dim"]]:
    """Move one region's features along one test triple's gradient after the other, and project them: W ȧ."""
    patches, features = part.activations(model)
    weight = model.projection[:, part.region.features].T
    is_open = features.sign()
    flat = patches.view(-1, patches.shape[2])
    for test, kernel in enumerate(moments.view(len(moments), -1, patches.shape[2]).mT):
        moved = (flat @ kernel).view(features.shape)
        for pair, image in images[test] if images is not None else ():
            moved[pair] += image
        yield precision.product(precision.operand(moved.mul_(is_open)), weight)


MovedImages = list[list[tuple[Tensor, Tensor]]]
"""By test triple: the pairs of which an embedding is moved, and the move of bn1's output there [1, region_feature]."""


def moved_images(
    model: FoldedConvE,
    region: Region,
    batch: Batch,
    ids: Int[ndarray, "test 3"],
    test: EmbeddingRows,
    *,
    tracked: frozenset[str],
) -> MovedImages:
    """Find the pairs whose head or relation is moved by a test triple's gradient, for the region that sees both."""
    dim, (heads, relations) = model.config.embedding_dim, batch.host_pairs.T
    found: MovedImages = []
    for number, (h, r, t) in enumerate(ids.tolist()):
        touched = []
        if ENTITIES in tracked:
            touched += [(heads == h, test.head, slice(0, dim)), (heads == t, test.tail, slice(0, dim))]
        if RELATIONS in tracked:
            touched += [(relations == r, test.relation, slice(dim, 2 * dim))]
        found.append([])
        for is_touched, vectors, place in touched:
            if is_touched.any():
                source = model.kernel.new_zeros(1, 2 * dim + 1)
                source[0, place] = vectors[number]
                image = (cut_patches(region, source) @ model.kernel).flatten(start_dim=1)
                found[number].append((send(np.flatnonzero(is_touched), model.device), image))
    return found

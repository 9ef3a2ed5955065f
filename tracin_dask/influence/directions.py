"""Forward mode: the derivative of each pair's output x(h, r) along the gradients of the test triples.

The influence of training triple i on test triple j is δ_i δ_j times ⟨ẋ_j(h_i, r_i), E[t_i]⟩ plus what the tail's row
gives, where ẋ_j moves all parameters along the gradient of test triple j's score. ẋ depends on what a region sees (a
head, a relation, or a pair), not on the triple.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, distinct_relations, send
from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.jacobians import RelationTable
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.passes import RegionPass, cut_patches
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.product import ENTITIES, RELATIONS, EmbeddingRows


def moved_projection(
    model: FoldedConvE,
    part: RegionPass,
    moments: Float[Tensor, "test moment"],
    images: "MovedImages",
    precision: Precision,
) -> Iterator[Float[Tensor, "key dim"]]:
    """Move one region's features along one test triple's gradient after the other, and project them: W ȧ."""
    patches, features = part.activations(model)
    weight = model.projection[:, part.region.features].T
    is_open = features.sign()
    flat = patches.view(-1, patches.shape[2])
    for test, kernel in enumerate(moments.view(len(moments), -1, patches.shape[2]).mT):
        moved = (flat @ kernel).view(features.shape)
        for key, image in images[test]:
            moved[key] += image
        yield precision.product(precision.operand(moved.mul_(is_open)), weight)


MovedImages = list[list[tuple[Tensor, Tensor]]]
"""By test triple: the keys whose own embedding row it moves, and the move of bn1's output there."""


def moved_images(
    model: FoldedConvE,
    part: RegionPass,
    batch: Batch,
    ids: Int[ndarray, "test 3"],
    embeddings: EmbeddingRows,
    tracked: frozenset[str],
) -> MovedImages:
    """Find where a key's own embedding row is one that a test triple's gradient touches."""
    pairs = batch.host_pairs
    sees = part.region.sees
    heads = None if sees is Sees.RELATION else pairs[:, 0]
    relations = None if sees is Sees.HEAD else pairs[:, 1]
    if sees is Sees.HEAD:
        heads = batch.ids[batch.head_runs.starts, 0]
    elif sees is Sees.RELATION:
        relations = distinct_relations(batch)[0]
    dim = model.config.embedding_dim
    of_relation = slice(dim, 2 * dim) if sees is Sees.BOTH else slice(0, dim)
    found: MovedImages = []
    for test, (h, r, t) in enumerate(ids.tolist()):
        touched = []
        if ENTITIES in tracked and heads is not None:
            touched += [(heads == h, embeddings.head, slice(0, dim)), (heads == t, embeddings.tail, slice(0, dim))]
        if RELATIONS in tracked and relations is not None:
            touched += [(relations == r, embeddings.relation, of_relation)]
        found.append([])
        for is_touched, vectors, place in touched:
            if is_touched.any():
                source = model.kernel.new_zeros(1, part.source.shape[1])
                source[0, place] = vectors[test]
                image = (cut_patches(part.region, source) @ model.kernel).flatten(start_dim=1)
                found[test].append((send(np.flatnonzero(is_touched), model.device), image))
    return found


def relation_directions(
    table: RelationTable,
    moments: Float[Tensor, "test moment"],
    embeddings: EmbeddingRows,
    tracked: frozenset[str],
) -> Float[Tensor, "test relation dim"]:
    """Give W ȧ of the relation's region for every relation, from its Jacobians."""
    num_moments = moments.shape[1]
    jacobian = table.jacobian.to(moments.dtype)
    found = torch.stack([jacobian[:, :, :num_moments] @ direction for direction in moments])
    if RELATIONS in tracked:
        for test, relation in enumerate(embeddings.triples[:, 1].tolist()):
            found[test, relation] += jacobian[relation, :, num_moments:] @ embeddings.relation[test]
    return found

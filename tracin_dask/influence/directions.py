"""Forward mode: how the projection's output moves along each test triple's gradient, for one region of the feature map.

The part of ⟨∇score_i, ∇score_j⟩ that passes through the feature map is ⟨d_i, W ȧ_j⟩, where d_i is training triple i's
gradient at the projection's output and ȧ_j the derivative of the features along test triple j's gradient. ȧ_j depends
on what the region sees (a head, a relation, or a pair), not on the triple: where few of these meet many triples, or
there are few test triples, this is cheaper than a backward pass per training triple.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.passes import RegionPass
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.product import ENTITIES, RELATIONS, EmbeddingRows

MOVED_BYTES = 32 * 2**20
"""Moved features that are held at a time: as many test triples as fit, at least one."""


def projected_directions(
    model: FoldedConvE,
    part: RegionPass,
    moments: Float[Tensor, "test moment"],
    embeddings: EmbeddingRows,
    *,
    tracked: frozenset[str],
    precision: Precision,
) -> Float[Tensor, "test key dim"]:
    """Move one region's features along every test triple's gradient and project them, W ȧ."""
    patches, features = part.activations(model)
    weight = model.projection[:, part.region.features].T
    images = list(moved_images(model, part, embeddings, tracked))
    step = max(1, MOVED_BYTES // max(1, features.numel() * features.element_size()))
    made = []
    for start in range(0, len(moments), step):
        kernels = moments[start : start + step].view(-1, *model.kernel.shape)
        moved = torch.matmul(patches.flatten(end_dim=1), kernels).view(len(kernels), *features.shape)
        for test, key, image in images:
            here = (test >= start) & (test < start + step)
            moved[test[here] - start, key[here]] += image[here]
        moved.mul_(features > 0)
        projected = precision.product(moved.flatten(end_dim=1), weight)
        made.append(projected.view(len(kernels), len(features), weight.shape[1]))
    return torch.cat(made)


def moved_images(
    model: FoldedConvE, part: RegionPass, embeddings: EmbeddingRows, tracked: frozenset[str]
) -> Iterator[tuple[Int[Tensor, " match"], Int[Tensor, " match"], Float[Tensor, "match region_feature"]]]:
    """Give (test, key, move of bn1's output) where a key's own embedding row is touched by a test triple's gradient."""
    dim = model.config.embedding_dim
    h, r, t = embeddings.triples.unbind(dim=1)
    heads, relations = part.keys.unbind(dim=1)
    of_relation = slice(dim, 2 * dim) if part.region.sees is Sees.BOTH else slice(0, dim)
    touched = []
    if ENTITIES in tracked:
        touched += [(heads, h, embeddings.head, slice(0, dim)), (heads, t, embeddings.tail, slice(0, dim))]
    if RELATIONS in tracked:
        touched += [(relations, r, embeddings.relation, of_relation)]
    for keys, rows, vectors, place in touched:
        test, key = (rows[:, None] == keys[None, :]).nonzero(as_tuple=True)
        source = model.kernel.new_zeros(len(test), part.source.shape[1])
        source[:, place] = vectors[test]
        patches = source[:, part.region.patch_index]
        yield test, key, (patches @ model.kernel).flatten(start_dim=1)


def along_rows(
    directions: Float[Tensor, "test pair dim"], pair: Int[Tensor, " batch"], at_projection: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch test"]:
    """Multiply each training triple's gradient with the directions at its (head, relation): ⟨d_i, W ȧ_j⟩."""
    return (directions[:, pair] * at_projection).sum(dim=2).T

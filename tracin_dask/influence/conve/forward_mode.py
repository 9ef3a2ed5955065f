"""Forward mode through the feature map: how the features of each region move along the gradients of the test triples.

The influence of training triple i on test triple j is δ_i δ_j times ⟨ẋ_j(h_i, r_i), E[t_i]⟩ plus the terms of the
tail's row, where ẋ_j is the derivative of x along the gradient of test triple j's score. A region's part of ẋ depends
on the head, the relation or the pair that the region sees, not on the triple.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import RegionPass, cut_patches, relu_derivative
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows
from tracin_dask.influence.conve.regions import Region
from tracin_dask.influence.conve.tensor_names import ENTITIES, RELATIONS
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.terms import COLUMN, RowTerm, counted

MOVED_EMBEDDINGS: tuple[RowTerm, ...] = (
    RowTerm(name="head moves along test head", tensors={ENTITIES}, train="head", test="head"),
    RowTerm(name="head moves along test tail", tensors={ENTITIES}, train="head", test="tail"),
    RowTerm(name="relation moves along test relation", tensors={RELATIONS}, train="relation", test="relation"),
)
"""The embeddings of a pair that a test triple's gradient moves, in the region that sees both."""

MovedImages: TypeAlias = list[list[tuple[Tensor, Tensor]]]
"""For each test triple: pairs with a moved embedding, and how bn1's output moves there [1, region_feature]."""


def moved_projection(
    model: FoldedConvE,
    part: RegionPass,
    moments: Float[Tensor, "test moment"],
    precision: Precision,
    images: MovedImages | None = None,
) -> Iterator[Float[Tensor, "key dim"]]:
    """Move one region's features along one test triple's gradient after the other, and project them: W ȧ."""
    patches, features = part.activations(model)
    weight = model.projection[:, part.region.features].T
    is_open = relu_derivative(features)
    flat = patches.view(-1, patches.shape[2])
    for test, kernel in enumerate(moments.view(len(moments), -1, patches.shape[2]).mT):
        moved = (flat @ kernel).view(features.shape)
        for pair, image in images[test] if images is not None else ():
            moved[pair] += image
        yield precision.product(precision.operand(moved.mul_(is_open)), weight)


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
    dim, gradients = model.config.embedding_dim, test.by_row()
    found: MovedImages = [[] for _ in ids]
    for term in counted(MOVED_EMBEDDINGS, tracked):
        place = slice(COLUMN[term.train] * dim, (COLUMN[term.train] + 1) * dim)
        for number, wanted in enumerate(ids[:, COLUMN[term.test]].tolist()):
            is_moved = batch.host_pairs[:, COLUMN[term.train]] == wanted
            if is_moved.any():
                source = model.kernel.new_zeros(1, 2 * dim + 1)
                source[0, place] = gradients[term.test][number]
                image = (cut_patches(region, source) @ model.kernel).flatten(start_dim=1)
                found[number].append((send(np.flatnonzero(is_moved), model.device), image))
    return found

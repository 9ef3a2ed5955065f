"""Forward mode through the feature map: how the features of each region move along the gradients of the test triples.

The influence of training triple i on test triple j is δ_i δ_j times ⟨ẋ_j(h_i, r_i), E[t_i]⟩ plus the terms of the
tail's row, where ẋ_j is the derivative of x along the gradient of test triple j's score. A region's part of ẋ depends
on the head, the relation or the pair that the region sees, not on the triple.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward, RegionPass, cut_patches, relu_derivative
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES, RELATIONS
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.terms import COLUMN, RowTerm, counted

MOVED_EMBEDDINGS: tuple[RowTerm, ...] = (
    RowTerm(name="head moves along test head", tensors={ENTITIES}, train="head", test="head"),
    RowTerm(name="head moves along test tail", tensors={ENTITIES}, train="head", test="tail"),
    RowTerm(name="relation moves along test relation", tensors={RELATIONS}, train="relation", test="relation"),
)
"""The embeddings of a pair that a test triple's gradient moves, in the region that sees both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedImages:
    """How bn1's output moves in the region that sees both images, in pairs with an embedding that moves."""

    term: RowTerm
    outputs: Float[Tensor, "test region_feature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingRegion:
    """One region of a batch, whose features move."""

    part: RegionPass
    patches: Float[Tensor, "key position tap_and_one"]
    is_open: Float[Tensor, "key region_feature"]
    """1 where a feature is open, else 0."""


def moving_region(model: FoldedConvE, part: RegionPass) -> MovingRegion:
    """Find what moves."""
    patches, features = part.activations(model)
    return MovingRegion(part=part, patches=patches, is_open=relu_derivative(features))


def moved_images(model: FoldedConvE, test: EmbeddingRows, tracked: frozenset[str]) -> list[MovedImages]:
    """Move the embeddings of the test triples along their gradients, once for all batches."""
    region, dim, gradients = model.region(Sees.BOTH), model.config.embedding_dim, test.by_row()
    found: list[MovedImages] = []
    for term in counted(MOVED_EMBEDDINGS, tracked):
        if region is not None:
            place = COLUMN[term.train] * dim
            source = model.kernel.new_zeros(len(test.triples), 2 * dim + 1)
            source[:, place : place + dim] = gradients[term.test]
            outputs = (cut_patches(region, source) @ model.kernel).flatten(start_dim=1)
            found.append(MovedImages(term=term, outputs=outputs))
    return found


def pieces_of_tests(model: FoldedConvE, ahead: Forward, num_tests: int) -> Iterator[slice]:
    """Cut test triples so that what a batch moves along the gradients of some takes no more than it may."""
    dim, channels = model.config.embedding_dim, model.config.output_channels
    widest = len(ahead.batch) * dim
    for part in ahead.passes:
        widest = max(widest, max(len(part.source), dim) * part.region.num_positions * channels)
    step = max(1, model.tiling.move_bytes // max(1, widest * model.dtype.itemsize))
    for start in range(0, num_tests, step):
        yield slice(start, min(start + step, num_tests))


def moved_outputs(
    region: MovingRegion, moments: Float[Tensor, "some_test moment"]
) -> Float[Tensor, "some_test key region_feature"]:
    """Move bn1's output along the gradients of bn0, conv1 and bn1."""
    patches, num_tests = region.patches.flatten(end_dim=1), len(moments)
    kernels = moments.view(num_tests, -1, patches.shape[1]).mT
    return torch.bmm(patches.expand(num_tests, -1, -1), kernels).view(num_tests, *region.is_open.shape)


def moved_projection(
    model: FoldedConvE,
    region: MovingRegion,
    outputs: Float[Tensor, "some_test key region_feature"],
    precision: Precision,
) -> Float[Tensor, "some_test key dim"]:
    """Carry moves of bn1's output, which change, through the ReLU and the projection: W ȧ."""
    features = precision.operand(outputs.mul_(region.is_open).flatten(end_dim=1))
    moved = precision.product(features, model.rounded_projection[:, region.part.region.features].T)
    return moved.view(*outputs.shape[:2], moved.shape[1])

"""The gradients of a batch of triples as small factors: nothing here is as large as a parameter tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.passes import Forward, RegionPass, backward
from tracin_dask.influence.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFactors:
    """The upper part of each score's gradient: all that needs no pass back through the projection."""

    at_bn2: Float[Tensor, "batch dim"]
    """Gradient at bn2's output, e; also that of bn2.bias."""
    at_bn2_weight: Float[Tensor, "batch dim"]
    """Gradient of bn2.weight, e ∘ (the value before bn2's affine map)."""
    at_projection: Float[Tensor, "batch dim"]
    """Gradient at the projection's output, d; also that of fc.bias. fc.weight's is d ⊗ features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerFactors:
    """The lower part of each score's gradient, below the projection."""

    moments: Float[Tensor, "batch moment"]
    """(G, S): the gradients of bn0, conv1 and bn1 are fixed linear maps of them."""
    head: Float[Tensor, "row dim"]
    """Gradient of the head's embedding as an input."""
    relation: Float[Tensor, "row dim"]
    """Gradient of the relation's embedding."""


def output_factors(model: FoldedConvE, ahead: Forward) -> OutputFactors:
    """Differentiate the scores down to the projection's output."""
    at_bn2 = model.entities[ahead.triples[:, 2]] * ahead.is_open[ahead.pair]
    return OutputFactors(
        at_bn2=at_bn2,
        at_bn2_weight=at_bn2 * ahead.normalised[ahead.pair],
        at_projection=at_bn2 * (model.bn2_weight * model.bn2_inverse_std),
    )


def lower_factors(
    model: FoldedConvE,
    ahead: Forward,
    at_projection: Float[Tensor, "batch dim"],
    *,
    parts: Sequence[RegionPass],
    rows: Int[Tensor, " row"],
    precision: Precision,
) -> LowerFactors:
    """Carry the gradient below the projection: the moments of every triple, the embeddings' gradients of some rows.

    Only these regions' parts are summed.
    """
    config = model.config
    moments = model.kernel.new_zeros(len(ahead.triples), model.kernel.numel())
    image = model.kernel.new_zeros(len(rows), config.image_height, config.image_width)
    for gradient in backward(model, ahead, at_projection, parts=parts, precision=precision):
        moments += gradient.moments()
        gradient.add_to_image(model, rows, image)
    head, relation = image.chunk(2, dim=2 if config.stacking == "width" else 1)
    return LowerFactors(moments=moments, head=head.flatten(start_dim=1), relation=relation.flatten(start_dim=1))

"""Jacobians of the projection's output by the folded kernel and by the image, for one key of a region.

With the training triple's gradient d at the projection's output, d · J is its gradient by the kernel, (G, S), and by
the image: one Jacobian serves every triple of a head, relation or pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.passes import Known, RegionPass, backward, pass_of
from tracin_dask.influence.precision import Precision

CHUNK_BYTES = 8 * 2**20
"""Jacobians that are held at a time, at least one."""


def key_chunks(model: FoldedConvE, num_keys: int) -> Iterator[slice]:
    """Cut keys so that the Jacobians of a chunk stay small."""
    step = max(1, CHUNK_BYTES // (model.kernel.numel() * model.config.embedding_dim * model.kernel.element_size()))
    for start in range(0, num_keys, step):
        yield slice(start, min(start + step, num_keys))


def kernel_jacobians(
    model: FoldedConvE, part: RegionPass, precision: Precision, keys: slice = slice(None)
) -> Float[Tensor, "key moment dim"]:
    """Compute the Jacobians by the kernel of some keys.

    J[key, (c, k), :] = Σ_p W[:, (p, c)] · [feature (p, c) is open] · patch[p, k]: for each channel one matrix product
    over all keys.
    """
    patches, features = (values[keys] for values in part.activations(model))
    taps, channels, dim = patches.shape[2], model.config.output_channels, model.config.embedding_dim
    weight = model.projection[:, part.region.features].view(dim, -1, channels).permute(2, 1, 0)
    is_open = features.sign().view(len(patches), -1, channels).permute(2, 0, 1)
    seen = precision.operand(patches).transpose(1, 2)
    masked = seen * is_open[:, :, None].to(seen.dtype)
    made = precision.product(masked.flatten(start_dim=1, end_dim=2), weight)
    return made.view(channels, -1, taps, dim).transpose(0, 1).reshape(-1, channels * taps, dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationTable:
    """The relation region, which every batch meets, computed once for all relations."""

    projected: Float[Tensor, "relation dim"]
    """Its part of the projection's output."""
    features: Float[Tensor, "relation region_feature"]
    jacobian: Float[Tensor, "relation dim moment_and_image"]
    """By the kernel, then by the relation's embedding."""

    def known(self, test_features: Float[Tensor, "test region_feature"] | None, precision: Precision) -> Known:
        """Give its part of the forward pass."""
        overlap = None if test_features is None else precision.product(self.features, test_features.T)
        return Known(projected=self.projected, overlap=overlap)


def relation_table(model: FoldedConvE, precision: Precision) -> RelationTable | None:
    """Compute the table of all relations; None for a model in which no region sees the relation alone.

    The rows of a Jacobian are the gradients of the projection's outputs, one backward pass for each.
    """
    region = next((region for region in model.regions if region.sees is Sees.RELATION), None)
    if region is None:
        return None
    dim, config = model.config.embedding_dim, model.config
    unit = precision.operand(torch.eye(dim, device=model.device, dtype=model.dtype))
    projected, features, jacobian = [], [], []
    for number in range(len(model.relations)):
        part = pass_of(model, region, torch.tensor([[-1, number]], device=model.device), None)
        gradient = backward(model, part, torch.zeros(dim, dtype=torch.long, device=model.device), unit, precision)
        image = model.kernel.new_zeros(dim, config.image_height, config.image_width)
        gradient.add_to_image(model, None, image)
        seen = precision.operand(part.activations(model)[1])
        projected.append(precision.product(seen, model.projection[:, region.features].T))
        features.append(seen)
        jacobian.append(torch.cat([gradient.moments(), relation_half(model, image)], dim=1))
    return RelationTable(
        projected=torch.cat(projected), features=torch.cat(features), jacobian=precision.operand(torch.stack(jacobian))
    )


def table_bytes(num_relations: int, dim: int, num_moments: int, num_features: int, itemsize: int) -> int:
    """Count the bytes of a relation table."""
    return itemsize * num_relations * (dim + num_features + dim * (num_moments + dim))


def head_half(model: FoldedConvE, image: Float[Tensor, "row height width"]) -> Float[Tensor, "row dim"]:
    """Cut the head's image out of the stacked image."""
    return image.chunk(2, dim=2 if model.config.stacking == "width" else 1)[0].flatten(start_dim=1)


def relation_half(model: FoldedConvE, image: Float[Tensor, "row height width"]) -> Float[Tensor, "row dim"]:
    """Cut the relation's image out of the stacked image."""
    return image.chunk(2, dim=2 if model.config.stacking == "width" else 1)[1].flatten(start_dim=1)



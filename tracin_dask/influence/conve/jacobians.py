"""Jacobians of the projection's output by the folded kernel, for one key of a region.

With a training triple's gradient d at the projection's output, J d is its gradient by the kernel, the moments (G, S):
one Jacobian serves every triple of a head, relation or pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import RegionPass, RelationSums, pass_of, relu_derivative
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.precision import Precision

TABLE_BYTES_AT_A_TIME = 8 * 2**20
"""Bytes of the Jacobians of relations that are made at a time, once for all batches."""


def key_chunks(model: FoldedConvE, num_keys: int, num_bytes: int | None = None) -> Iterator[slice]:
    """Cut keys so that the Jacobians of a chunk take no more than so many bytes, or than a piece of a batch may."""
    one = model.kernel.numel() * model.config.embedding_dim * model.kernel.element_size()
    step = max(1, (num_bytes or model.tiling.jacobian_bytes) // one)
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
    weight = model.projection_by_channel[part.region.number]
    is_open = relu_derivative(features).view(len(patches), -1, channels).permute(2, 0, 1).contiguous()
    seen = precision.operand(patches).transpose(1, 2).contiguous()
    masked = seen * is_open[:, :, None].to(seen.dtype)
    made = precision.product(masked.flatten(start_dim=1, end_dim=2), weight)
    return made.view(channels, -1, taps, dim).transpose(0, 1).reshape(-1, channels * taps, dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationTable:
    """The region that sees only the relation, computed once for all relations: every batch needs it."""

    projected: Float[Tensor, "relation dim"]
    """Its part of the projection's output."""
    features: Float[Tensor, "relation region_feature"]
    jacobian: Float[Tensor, "relation moment dim"]

    def sums(self, test_features: Float[Tensor, "test region_feature"] | None, precision: Precision) -> RelationSums:
        """Give its part of the sums of the forward pass."""
        overlap = None if test_features is None else precision.product(self.features, test_features.T)
        return RelationSums(projected=self.projected, overlap=overlap)


def relation_table(model: FoldedConvE, precision: Precision) -> RelationTable | None:
    """Compute the table of all relations; None for a model in which no region sees the relation alone."""
    region = model.region(Sees.RELATION)
    if region is None:
        return None
    numbers = torch.arange(len(model.relations), device=model.device)
    part = pass_of(model, region, torch.stack([torch.full_like(numbers, -1), numbers], dim=1), None)
    features = part.activations(model)[1]
    chunks = key_chunks(model, len(numbers), TABLE_BYTES_AT_A_TIME)
    made = [kernel_jacobians(model, part, precision, keys) for keys in chunks]
    return RelationTable(
        projected=features @ model.projection[:, region.features].T,
        features=precision.operand(features),
        jacobian=precision.operand(torch.cat(made)),
    )


def table_bytes(num_relations: int, dim: int, num_moments: int, num_features: int, itemsize: int) -> int:
    """Count the bytes of a relation table."""
    return itemsize * num_relations * (dim + num_features + dim * num_moments)

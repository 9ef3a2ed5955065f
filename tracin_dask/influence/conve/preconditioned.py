"""P times the factors of ConvE's gradients, where P is the diagonal preconditioner.

Each factor here is the gradient of one tensor. What is an outer product, fc.weight's gradient and those of entity
tables that lie in all rows, meets P in products of their own.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.gradient_factors import EmbeddingRows, OutputFactors
from tracin_dask.influence.conve.regions import feature_order
from tracin_dask.influence.conve.tensor_names import (
    BN2_BIAS,
    BN2_WEIGHT,
    CONVOLUTION_TENSORS,
    ENTITIES,
    ENTITY_BIAS,
    FC_BIAS,
    FC_WEIGHT,
    RELATIONS,
)
from tracin_dask.influence.preconditioners.base import Layout, Preconditioner
from tracin_dask.models.conve.model import ConvEConfig

LAYOUTS: dict[str, Callable[[Tensor, ConvEConfig], Tensor]] = {
    FC_WEIGHT: lambda scale, config: scale.T.index_select(0, feature_order(config)),
    "conv1.weight": lambda scale, config: scale.view(config.output_channels, config.num_taps).T.flatten(),
    ENTITY_BIAS: lambda scale, _: scale[:, None],
}
"""Brings P of a tensor from its shape as a parameter into the order of its gradients; see `FoldedConvE`."""


def layout_of(config: ConvEConfig, device: torch.device | str = "cpu") -> Layout:
    """Give what brings P of a tensor, in its shape as a parameter, into the order of its gradients on a device."""

    def laid_out(name: str, scale: Tensor) -> Tensor:
        ordered = LAYOUTS[name](scale, config) if name in LAYOUTS else scale
        return ordered.to(device).contiguous()

    return laid_out


def times_output(preconditioner: Preconditioner, output: OutputFactors) -> OutputFactors:
    """Multiply the gradients of bn2 and of fc.bias."""
    return OutputFactors(
        at_bn2=preconditioner.times(BN2_BIAS, output.at_bn2),
        at_bn2_weight=preconditioner.times(BN2_WEIGHT, output.at_bn2_weight),
        at_projection=preconditioner.times(FC_BIAS, output.at_projection),
    )


def times_convolution(
    preconditioner: Preconditioner, tracked: frozenset[str], gradients: Float[Tensor, "row parameter"]
) -> Float[Tensor, "row parameter"]:
    """Multiply the gradients of the tracked tensors of bn0, conv1 and bn1, side by side."""
    scales = [preconditioner.diagonal(n) for n in CONVOLUTION_TENSORS if n in tracked and n in preconditioner]
    return gradients * torch.cat(scales) if scales else gradients


def times_rows(preconditioner: Preconditioner, rows: EmbeddingRows) -> EmbeddingRows:
    """Multiply the gradients of rows of embedding tables."""
    heads, relations, tails = rows.triples.unbind(dim=1)
    return replace(
        rows,
        head=preconditioner.times(ENTITIES, rows.head, heads),
        relation=preconditioner.times(RELATIONS, rows.relation, relations),
        tail=preconditioner.times(ENTITIES, rows.tail, tails),
        tail_bias=preconditioner.times(ENTITY_BIAS, rows.tail_bias[:, None], tails)[:, 0],
    )

"""How numbers of a model's tensors are laid out next to their gradients: tables row by row, others flattened."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tracin_dask.influence.preconditioners.base import Layout
from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner
from tracin_dask.models.scoring import ScoringConfig


def layout_of(config: ScoringConfig, device: torch.device | str = "cpu") -> Layout:
    """Give what brings P of a tensor, in its shape as a parameter, into the order of its gradients on a device."""
    tables = {table.name for table in config.tables}

    def laid_out(name: str, scale: Tensor) -> Tensor:
        return (scale.reshape(len(scale), -1) if name in tables else scale.flatten()).to(device)

    return laid_out


def flatten_scales(
    scales: Mapping[str, Tensor], config: ScoringConfig, *, device: torch.device | str = "cpu"
) -> DiagonalPreconditioner:
    """Bring P of tensors, in their shapes as parameters, into the order of their gradients."""
    layout = layout_of(config, device)
    return DiagonalPreconditioner(scales={name: layout(name, scale) for name, scale in scales.items()})

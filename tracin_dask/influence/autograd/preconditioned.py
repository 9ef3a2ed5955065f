"""How numbers of a model's tensors are laid out next to their gradients: tables row by row, others flattened."""

import torch
from torch import Tensor

from tracin_dask.influence.preconditioners.base import Layout
from tracin_dask.models.scoring import ScoringConfig


def layout_of(config: ScoringConfig, device: torch.device | str = "cpu") -> Layout:
    """Give what brings P of a tensor, in its shape as a parameter, into the order of its gradients on a device."""
    tables = {table.name for table in config.tables}

    def laid_out(name: str, scale: Tensor) -> Tensor:
        return (scale.reshape(len(scale), -1) if name in tables else scale.flatten()).to(device)

    return laid_out

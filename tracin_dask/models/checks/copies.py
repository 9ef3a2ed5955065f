"""Copies of a model with other values in all tensors, on which its gradients are compared.

At the values of a trained model a mistake can be invisible: a table of zeros that is not named as one changes no
score. So the copies have random values that are not zero, and large tables keep only their first rows. The model
itself is never called, since a call can leave something in it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tracin_dask.models.rowwise import RowwiseModel

_MOST_NUMBERS = 2**18
"""Numbers of a table in a copy, unless that is less than `_FEWEST_ROWS`."""
_FEWEST_ROWS = 1024
_MOST_IN_DOUBLE = 2**20
"""Numbers of a model that is copied in float64, in which rounding hides nothing."""
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the tensors of a copy hold."""

    are_near_own: bool
    """Whether parameters keep the signs and sizes of the model's own, which some models need to be defined."""
    is_double: bool
    is_random: bool = True


OWN = Values(are_near_own=True, is_double=False, is_random=False)
"""The values of the model itself."""
KINDS = (
    Values(are_near_own=False, is_double=True),
    Values(are_near_own=True, is_double=True),
    Values(are_near_own=False, is_double=False),
    Values(are_near_own=True, is_double=False),
    OWN,
)
"""The values in the order in which they are tried: those with which a model gives finite scores are taken."""


def kinds_for(model: RowwiseModel) -> tuple[Values, ...]:
    """Give the values to try; a large model is not copied in float64."""
    size = sum(tensor.numel() for name, tensor in model.tensors().items() if name not in model.tables)
    return tuple(kind for kind in KINDS if not kind.is_double or size <= _MOST_IN_DOUBLE)


def copy_with(model: RowwiseModel, values: Values) -> RowwiseModel:
    """Copy a model with other values, always the same ones; random ones only for the first rows of large tables.

    Raises
    ------
    CheckpointError
        If it cannot be copied.
    """
    generator, rows = torch.Generator().manual_seed(_SEED), _rows_kept(model) if values.is_random else None
    instead: dict[int, object] = {}
    for name, tensor in model.own_tensors().items():
        kept, is_parameter = tensor.detach(), isinstance(tensor, nn.Parameter)
        filled = _filled(kept[:rows] if name in model.tables else kept, values, generator, is_parameter=is_parameter)
        instead[id(tensor)] = nn.Parameter(filled, requires_grad=tensor.requires_grad) if is_parameter else filled
    return model.copied(instead)


def _rows_kept(model: RowwiseModel) -> int:
    """Tell how many rows of its tables the copies of a model keep."""
    tensors = model.tensors()
    widest = max((tensors[name][0].numel() for name in model.tables), default=1)
    return max(_FEWEST_ROWS, _MOST_NUMBERS // max(1, widest))


def _filled(own: Tensor, values: Values, generator: torch.Generator, *, is_parameter: bool) -> Tensor:
    """Give a tensor like `own` with other values."""
    if own.is_complex():
        parts = _filled(torch.view_as_real(own), values, generator, is_parameter=is_parameter)
        return torch.view_as_complex(parts.contiguous())
    if not values.is_random or (values.are_near_own and not own.is_floating_point()) or own.numel() == 0:
        return own.clone()
    if not own.is_floating_point():
        return _chosen(own, generator)
    fill = _near if values.are_near_own or not is_parameter else _random
    filled = fill(own, generator)
    return filled.to(torch.float64 if values.is_double else own.dtype)


def _random(own: Tensor, generator: torch.Generator) -> Tensor:
    """Draw numbers of any sign that are not near 0, and that keep sums over a row or a layer's input of size 1."""
    summed = own.numel() // len(own) if own.dim() > 1 else 1
    signs = 2.0 * torch.randint(2, own.shape, generator=generator) - 1
    size: float = max(1, summed) ** -0.5
    return (signs * _factors(own, generator) * size).to(own.device)


def _near(own: Tensor, generator: torch.Generator) -> Tensor:
    """Scale numbers by random factors: a variance stays positive; in place of 0 come positive numbers."""
    sizes = own.abs().mean()
    base = torch.where(own == 0, sizes if sizes > 0 else torch.ones_like(sizes), own)
    return base * _factors(own, generator).to(own.device)


def _chosen(own: Tensor, generator: torch.Generator) -> Tensor:
    """Draw whole numbers from those that are there: ids stay ids, and rows that are alike become different."""
    different: Tensor = torch.unique(own)
    drawn = torch.randint(len(different), own.shape, generator=generator)
    return different[drawn.to(own.device)]


def _factors(like: Tensor, generator: torch.Generator) -> Tensor:
    return 0.5 + torch.rand(like.shape, generator=generator, dtype=torch.float64)

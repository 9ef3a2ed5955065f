"""The diagonal P in ⟨∇loss_i, P ∇loss_j⟩: what an optimiser multiplies each parameter's step with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.preconditioners.base import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagonalPreconditioner:
    """P by parameter tensor; without any it is the identity."""

    scales: Mapping[str, Float[Tensor, "..."]] = field(default_factory=dict)
    """In the order that an engine holds gradients in."""

    def check_covers(self, tracked: frozenset[str]) -> None:
        """Refuse to be the preconditioner of some tracked tensors only.

        Raises
        ------
        ConfigError
            Naming the others.
        """
        others = tracked - self.scales.keys()
        if self.scales and others:
            raise ConfigError(f"the preconditioner has nothing for {', '.join(sorted(others))}, which are tracked")

    def __contains__(self, name: str) -> bool:
        """Tell whether a tensor has a P other than the identity."""
        return name in self.scales

    def is_diagonal(self, name: str) -> bool:  # noqa: ARG002 - all of it is
        """Tell whether P of a tensor is diagonal."""
        return True

    def diagonal(self, name: str) -> Float[Tensor, "..."]:
        """Give P of a tensor that has one, for products that it enters."""
        return self.scales[name]

    def times(
        self, name: str, gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"] | None = None
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of a tensor, or of the rows `ids` of one."""
        if name not in self.scales:
            return gradients
        scale = self.diagonal(name)
        return gradients * (scale if ids is None else scale.index_select(0, ids))

    def times_side_by_side(
        self, names: Sequence[str], gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"]
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of the rows `ids` of several tables, side by side."""
        scales = [self.diagonal(name).index_select(0, ids) for name in names if name in self.scales]
        return gradients * torch.cat(scales, dim=1) if scales else gradients

    def times_tensor(self, name: str, gradient: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Multiply the gradient of a tensor, in its shape as a parameter; this must be made without a layout."""
        return gradient * self.scales[name].to(gradient.dtype) if name in self.scales else gradient

    def squares(self, name: str, gradients: Float[Tensor, "row parameter"]) -> Float[Tensor, " row"]:
        """Compute ⟨∇, P ∇⟩ of each gradient of a tensor, flattened, in one pass: they can be large."""
        if name in self.scales:
            return gradients.square() @ self.diagonal(name)
        lengths: Tensor = torch.linalg.vector_norm(gradients, dim=1)
        return lengths.square()

    def matrices(self, name: str) -> Float[Tensor, "row width width"]:
        """Refuse: P is diagonal.

        Raises
        ------
        AssertionError
            Always.
        """
        raise AssertionError(f"P of {name} is diagonal")


def laid_out(numbers: Mapping[str, Tensor], layout: Layout) -> DiagonalPreconditioner:
    """Make a diagonal P from a number for each parameter, in the shapes of their tensors."""
    return DiagonalPreconditioner(scales={name: layout(name, values) for name, values in numbers.items()})


IDENTITY = DiagonalPreconditioner()
"""P of plain gradient descent."""

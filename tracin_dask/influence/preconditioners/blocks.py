"""P of embedding tables that is a matrix for each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.tiling import tiling_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The matrices of some rows of one table, on the device of the gradients."""

    ids: Int[Tensor, " known"]
    """Of the rows, ascending."""
    matrices: Float[Tensor, "known width width"]
    """Symmetric, in float64."""

    def times(self, gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"]) -> Float[Tensor, "row width"]:
        """Multiply gradients of the rows `ids`, all of them known."""
        slots = torch.searchsorted(self.ids, ids.contiguous())
        at_a_time = max(1, tiling_of(ids.device).score_bytes // (8 * self.matrices.shape[-1] ** 2))
        parts = [
            torch.bmm(self.matrices.index_select(0, some), one.double()[:, :, None])[:, :, 0]
            for some, one in zip(torch.split(slots, at_a_time), torch.split(gradients, at_a_time), strict=True)
        ]
        return torch.cat(parts).to(gradients.dtype) if parts else gradients


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPreconditioner:
    """P of tables, row by row; other tensors cannot be tracked with it."""

    tables: Mapping[str, Blocks]

    def check_covers(self, tracked: frozenset[str]) -> None:
        """Refuse to be the preconditioner of some tracked tensors only.

        Raises
        ------
        ConfigError
            Naming the others.
        """
        others = tracked - self.tables.keys()
        if others:
            raise ConfigError(f"the curvature by rows has nothing for {', '.join(sorted(others))}, which are tracked")

    def __contains__(self, name: str) -> bool:
        """Tell whether a tensor has a P other than the identity."""
        return name in self.tables

    def times(
        self, name: str, gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"] | None = None
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of the rows `ids` of a table, or of all its known rows in order; other tensors stay."""
        if name not in self.tables:
            return gradients
        blocks = self.tables[name]
        return blocks.times(gradients, blocks.ids if ids is None else ids)

    def times_side_by_side(
        self, names: Sequence[str], gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"]
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of the rows `ids` of several tables, side by side."""
        widths = [self.tables[name].matrices.shape[-1] for name in names]
        parts = zip(names, torch.split(gradients, widths, dim=1), strict=True) if names else ()
        multiplied = [self.times(name, part, ids) for name, part in parts]
        return torch.cat(multiplied, dim=1) if multiplied else gradients

    def times_tensor(self, name: str, gradient: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Multiply the gradient of a table, sparse or not; gives 0 at rows that are not known."""
        if gradient.is_sparse:
            one = gradient.coalesce()
            (ids,), values = one.indices(), one.values()
            return torch.sparse_coo_tensor(ids[None], self._known(name, values, ids), one.shape, check_invariants=False)
        return self._known(name, gradient, torch.arange(len(gradient), device=gradient.device))

    def _known(self, name: str, gradients: Float[Tensor, "row *shape"], ids: Int[Tensor, " row"]) -> Tensor:
        """Multiply gradients of those of some rows that are known, and give 0 for the others."""
        found, place = torch.zeros_like(gradients), torch.isin(ids, self.tables[name].ids)
        known = gradients[place]
        found[place] = self.times(name, known[:, None].flatten(start_dim=1), ids[place]).view_as(known)
        return found

    def squares(self, name: str, gradients: Float[Tensor, "row parameter"]) -> Float[Tensor, " row"]:
        """Compute squared lengths of gradients of a tensor that is no table: P is the identity there."""
        assert name not in self.tables, f"{name} is a table"  # noqa: S101 - engines hold tables row by row
        return gradients.square().sum(dim=1)

    def is_diagonal(self, name: str) -> bool:
        """Tell whether the rows of a table are single numbers, all of them known."""
        return self.tables[name].matrices.shape[-1] == 1

    def diagonal(self, name: str) -> Float[Tensor, "row 1"]:
        """Give the numbers of a table with such rows."""
        assert self.is_diagonal(name), f"P of {name} has a matrix for each row"  # noqa: S101 - engines ask before
        return self.tables[name].matrices[:, :, 0]

    def matrices(self, name: str) -> Float[Tensor, "row width width"]:
        """Give the matrices of a table, all of whose rows are known."""
        return self.tables[name].matrices

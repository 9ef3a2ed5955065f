"""The terms of gradients' products with themselves, and with other gradients of the same triple."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.autograd.derivatives import DENSE, ENTITY, RELATION, RowGradients
from tracin_dask.influence.id_join import products_where_equal
from tracin_dask.influence.preconditioners.base import Preconditioner
from tracin_dask.influence.tensors import dot_rows
from tracin_dask.influence.terms import COLUMN, Row, Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """The gradients of some scores."""

    kinds: frozenset[str]
    """What the tracked tensors are."""
    preconditioner: Preconditioner
    rows: RowGradients
    along: RowGradients
    """P times the rows' gradients."""
    dense: Mapping[str, Float[Tensor, "batch _"]]
    """By the tensors that all scores share, flattened."""


def _add_dense_squares(total: Float[Tensor, " batch"], of: Gradients) -> None:
    for name, gradient in of.dense.items():
        total += of.preconditioner.squares(name, gradient)


AddSquares: TypeAlias = Callable[[Tensor, Gradients], object]
SQUARES: tuple[Term[AddSquares], ...] = (
    Term(
        name="head row", tensors={ENTITY}, function=lambda total, of: total.add_(dot_rows(of.rows.head, of.along.head))
    ),
    Term(
        name="tail row", tensors={ENTITY}, function=lambda total, of: total.add_(dot_rows(of.rows.tail, of.along.tail))
    ),
    Term(
        name="relation row",
        tensors={RELATION},
        function=lambda total, of: total.add_(dot_rows(of.rows.relation, of.along.relation)),
    ),
    Term(name="dense tensors", tensors={DENSE}, function=_add_dense_squares),
)
"""Of each gradient with P times itself; head and tail are never the same row: see `RowGradients`."""


def squares(of: Gradients) -> Float[Tensor, " batch"]:
    """Multiply each gradient with P times itself."""
    total = torch.zeros_like(of.rows.scores)
    for term in counted(SQUARES, of.kinds):
        term.function(total, of)
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The gradients of several triples' scores for each of some triples."""

    ids: Int[Tensor, "triple gradient 3"]
    gradients: Gradients

    def apart(self, values: Float[Tensor, "batch width"]) -> Float[Tensor, "triple gradient width"]:
        """Cut gradients into those of each triple."""
        return values.view(*self.ids.shape[:2], values.shape[1])

    def gram(
        self, values: Float[Tensor, "batch width"], along: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply each triple's gradients with each other."""
        return self.apart(values) @ self.apart(along).transpose(1, 2)

    def meet(self, left: Row, right: Row) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply rows' gradients where both are of one row."""
        rows, along = self.gradients.rows.by_row(), self.gradients.along.by_row()
        left_ids, right_ids = (self.ids[:, :, COLUMN[row]] for row in (left, right))
        return products_where_equal(self.apart(rows[left]), self.apart(along[right]), left_ids, right_ids)


def _add_dense_products(total: Float[Tensor, "triple gradient gradient"], groups: Groups) -> None:
    of = groups.gradients
    for name, gradient in of.dense.items():
        own = gradient.to(total.dtype)
        total += groups.gram(own, of.preconditioner.times(name, own))


AddProducts: TypeAlias = Callable[[Tensor, Groups], object]
PRODUCTS_WITHIN: tuple[Term[AddProducts], ...] = (
    Term(
        name="relation rows",
        tensors={RELATION},
        function=lambda total, groups: total.add_(groups.meet("relation", "relation")),
    ),
    Term(
        name="head rows that are tail rows",
        tensors={ENTITY},
        function=lambda total, groups: total.add_(groups.meet("head", "tail")),
    ),
    Term(
        name="tail rows that are head rows",
        tensors={ENTITY},
        function=lambda total, groups: total.add_(groups.meet("head", "tail").transpose(1, 2)),
    ),
    Term(name="head rows", tensors={ENTITY}, function=lambda total, groups: total.add_(groups.meet("head", "head"))),
    Term(name="tail rows", tensors={ENTITY}, function=lambda total, groups: total.add_(groups.meet("tail", "tail"))),
    Term(name="dense tensors", tensors={DENSE}, function=_add_dense_products),
)
"""Of the gradients of several triples with each other, P between them."""


def products_within(groups: Groups) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the gradients of each triple with each other."""
    total = groups.gradients.rows.scores.new_zeros(*groups.ids.shape[:2], groups.ids.shape[1])
    for term in counted(PRODUCTS_WITHIN, groups.gradients.kinds):
        term.function(total, groups)
    return total

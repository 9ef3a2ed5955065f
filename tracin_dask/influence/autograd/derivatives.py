"""The derivatives of any model's scores: by the rows that triples read, and by the tensors that all scores share.

Triples do not depend on each other and read rows of their own copies, so one backward pass gives the rows' gradients
of a whole batch. Tensors that are shared take forward mode, or gradients of each triple by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import grad_and_value, jvp, vmap

from tracin_dask.influence.terms import Row
from tracin_dask.models.rowwise import RowwiseModel, TableRows
from tracin_dask.models.scoring import Role

ENTITY, RELATION, DENSE = "entity", "relation", "dense"
"""What a tensor is: a table of either role, or a tensor that all scores share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGradients:
    """Scores, and their gradients by the tracked tables' rows, side by side.

    Where head and tail are the same row, its gradient is in `head`, and `tail` is zero.
    """

    scores: Float[Tensor, " batch"]
    head: Float[Tensor, "batch entity_row"]
    relation: Float[Tensor, "batch relation_row"]
    tail: Float[Tensor, "batch entity_row"]

    def by_row(self) -> dict[Row, Float[Tensor, "batch _"]]:
        """Give the gradients by the row that they are of."""
        return {"head": self.head, "relation": self.relation, "tail": self.tail}


class Derivatives:
    """A model's scores, differentiated by its tracked tensors: `tables` by role, and `dense` ones, that are none."""

    def __init__(self, model: RowwiseModel, tracked: frozenset[str], *, is_mapped: bool = True) -> None:
        """Tell the tensors apart; `is_mapped` says whether gradients of several triples are made in one call."""
        self._model, self._is_mapped = model, is_mapped
        self.tables: dict[Role, list[str]] = {"entity": [], "relation": []}
        for table in model.config.tables:
            if table.name in tracked:
                self.tables[table.role].append(table.name)
        tables = {table.name for table in model.config.tables}
        shared = {name: tensor.detach() for name, tensor in model.tensors().items() if name not in tables}
        self.dense = {name: tensor for name, tensor in shared.items() if name in tracked}
        self._fixed = {name: tensor for name, tensor in shared.items() if name not in tracked}

    @property
    def kinds(self) -> frozenset[str]:
        """What the tracked tensors are."""
        dense = {DENSE} if self.dense else set()
        return frozenset({role for role, names in self.tables.items() if names} | dense)

    def by_rows(self, triples: Int[Tensor, "batch 3"]) -> RowGradients:
        """Differentiate by the rows of the tracked tables."""
        rows = self._model.rows(triples)
        tracked = {name: rows[name].requires_grad_() for names in self.tables.values() for name in names}
        with torch.enable_grad():
            scores = self._score(rows, self.dense, triples)
            found = _gradients(scores, tracked)
        gradients = dict(zip(tracked, found, strict=True))
        head = self._side_by_side(gradients, "entity", 0, scores)
        tail = self._side_by_side(gradients, "entity", 1, scores)
        head, tail = in_one_place(head, tail, triples)
        relation = self._side_by_side(gradients, "relation", 0, scores)
        return RowGradients(scores=scores.detach(), head=head, relation=relation, tail=tail)

    def along(
        self, triples: Int[Tensor, "batch 3"], directions: Float[Tensor, "test dense"], at_a_time: int
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch test"]]:
        """Give scores, and their derivatives along directions in the dense tensors (forward mode), some at a time."""
        rows = self._model.rows(triples)

        def moved(direction: Tensor) -> tuple[Tensor, Tensor]:
            one = {name: part.view_as(self.dense[name]) for name, part in self._apart(direction).items()}
            scores, derivative, *_ = jvp(lambda dense: self._score(rows, dense, triples), (self.dense,), (one,))
            return scores, derivative

        some = torch.split(directions, at_a_time)
        scores, parts = zip(*(vmap(moved)(part) for part in some), strict=True)
        return scores[0][0], torch.cat([part.T for part in parts], dim=1)

    def of_each(
        self, triples: Int[Tensor, "batch 3"]
    ) -> tuple[Float[Tensor, " batch"], dict[str, Float[Tensor, "batch _"]]]:
        """Give scores, and the gradient of each by every dense tensor, flattened."""

        def score(dense: dict[str, Tensor], rows: TableRows, triple: Tensor) -> Tensor:
            return self._model.score_one(self._fixed | dense, rows, triple)

        rows = self._model.rows(triples)
        if self._is_mapped:
            gradients, scores = vmap(grad_and_value(score), in_dims=(None, 0, 0))(self.dense, rows, triples)
        else:
            gradients, scores = self._one_by_one(rows, triples)
        return scores, {name: gradient.reshape(len(scores), -1) for name, gradient in gradients.items()}

    def _one_by_one(self, rows: TableRows, triples: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Differentiate the score of one triple after the other by plain autograd, where `vmap` cannot."""
        scores, found = [], {name: tensor.new_empty(len(triples), *tensor.shape) for name, tensor in self.dense.items()}
        variables = {name: tensor.clone().requires_grad_() for name, tensor in self.dense.items()}
        for row in range(len(triples)):
            own = {name: table[row : row + 1] for name, table in rows.items()}
            with torch.enable_grad():
                score = self._score(own, variables, triples[row : row + 1])
                gradients = _gradients(score, variables)
            for part, gradient in zip(found.values(), gradients, strict=True):
                part[row] = gradient
            scores.append(score.detach())
        return found, torch.cat(scores)

    def products(
        self, gradients: Mapping[str, Float[Tensor, "batch _"]], directions: Float[Tensor, "test dense"]
    ) -> Float[Tensor, "batch test"]:
        """Multiply gradients of each with directions."""
        parts = self._apart(directions)
        first, *others = (gradient @ parts[name].T for name, gradient in gradients.items())
        for product in others:
            first += product
        return first

    def _score(self, rows: TableRows, dense: dict[str, Tensor], triples: Tensor) -> Tensor:
        return self._model.score_rows(rows, self._fixed | dense, triples)

    def _apart(self, directions: Tensor) -> dict[str, Tensor]:
        """Cut directions [..., dense] into the parts of each dense tensor."""
        sizes = [tensor.numel() for tensor in self.dense.values()]
        return dict(zip(self.dense, torch.split(directions, sizes, dim=-1), strict=True))

    def _side_by_side(self, gradients: dict[str, Tensor], role: Role, place: int, like: Tensor) -> Tensor:
        parts = [gradients[name][:, place].reshape(len(like), -1) for name in self.tables[role]]
        return torch.cat(parts, dim=1) if parts else like.new_empty(len(like), 0)


def _gradients(scores: Tensor, variables: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Differentiate the sum of scores by tensors, which scores may not read."""
    inputs = list(variables.values())
    if not scores.requires_grad:
        return tuple(map(torch.zeros_like, inputs))
    return torch.autograd.grad(scores.sum(), inputs, allow_unused=True, materialize_grads=True)


def in_one_place(
    head: Float[Tensor, "batch entity_row"], tail: Float[Tensor, "batch entity_row"], triples: Int[Tensor, "batch 3"]
) -> tuple[Float[Tensor, "batch entity_row"], Float[Tensor, "batch entity_row"]]:
    """Add the tail's gradient to the head's, and leave 0, where both are of one row."""
    is_one_row = (triples[:, 0] == triples[:, 2])[:, None]
    return torch.where(is_one_row, head + tail, head), torch.where(is_one_row, 0, tail)

"""Gradients of some triples' scores in the ways that are compared: of the whole model, and of the rows read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import grad_and_value, jvp, vmap

from tracin_dask.errors import CheckpointError
from tracin_dask.models.rowwise import RowwiseModel

Gradients: TypeAlias = Mapping[str, Tensor]
"""By trained tensor, in its shape, whole tables included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Triples, and what the score of each is weighed by in the sum that is differentiated."""

    triples: Int[Tensor, "batch 3"]
    weights: Float[Tensor, " batch"]

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.triples)

    def at(self, place: slice) -> "Asked":
        """Give some of the triples."""
        return Asked(triples=self.triples[place], weights=self.weights[place])

    def flipped(self) -> "Asked":
        """Give the triples in the other order."""
        return Asked(triples=self.triples.flip(0), weights=self.weights.flip(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Scores, and the gradients of their weighed sum."""

    scores: Float[Tensor, " batch"]
    gradients: Gradients

    def flipped(self) -> "Found":
        """Give the scores in the other order."""
        return Found(scores=self.scores.flip(0), gradients=self.gradients)

    @property
    def is_finite(self) -> bool:
        """Whether there is no NaN and no infinity."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in (self.scores, *self.gradients.values()))


def of_whole_model(model: RowwiseModel, asked: Asked) -> Found:
    """Differentiate the scores that a model gives by all its trained tensors, as any program would.

    Raises
    ------
    CheckpointError
        If the scores are not one real number per triple, or have no gradients.
    """
    own = {name: tensor for name, tensor in model.own_tensors().items() if tensor.requires_grad}
    with torch.enable_grad():
        scores = scores_of(model, asked.triples)
        if not scores.requires_grad:
            raise CheckpointError(
                f"{model.face.name}: its scores have no gradients in eval mode; compute them from the parameters "
                "themselves, without torch.no_grad, detach or numbers kept from an earlier call"
            )
        found = torch.autograd.grad(
            _weighed(scores, asked), list(own.values()), allow_unused=True, materialize_grads=True
        )
    parts = (torch.view_as_real(part.resolve_conj()) if part.is_complex() else part for part in found)
    return Found(scores=scores.detach(), gradients=dict(zip(own, parts, strict=True)))


def of_rows(model: RowwiseModel, asked: Asked, *, by_dense: bool = True) -> Found:
    """Differentiate scores from copies of the rows that triples read, and add up what falls on the same row.

    Without `by_dense` the tensors that are no tables are constants, and have no gradients.
    """
    trained = {name: tensor.detach() for name, tensor in model.trained().items()}
    rows = model.rows(asked.triples)
    dense = {name: tensor.clone() for name, tensor in trained.items() if name not in model.tables}
    by = {name: tensor.requires_grad_() for name, tensor in dense.items()} if by_dense else {}
    variables = by | {name: part.requires_grad_() for name, part in rows.items() if name in trained}
    with torch.enable_grad():
        scores = model.score_rows(rows, dense, asked.triples)
        total = _weighed(scores, asked) + sum(0 * part.sum() for part in variables.values())  # also what is not read
        gradients = dict(zip(variables, torch.autograd.grad(total, list(variables.values())), strict=True))
    for name in trained.keys() & model.tables.keys():
        ids = model.row_ids(model.tables[name], asked.triples).flatten()
        gradients[name] = torch.zeros_like(trained[name]).index_add_(0, ids, gradients[name].flatten(0, 1))
    return Found(scores=scores.detach(), gradients=gradients)


def scores_mapped(model: RowwiseModel, asked: Asked) -> Float[Tensor, " batch"]:
    """Score triples one by one in one call."""
    found: Tensor = vmap(model.score_one, in_dims=(None, 0, 0))(_dense(model), model.rows(asked.triples), asked.triples)
    return found


def of_each_mapped(model: RowwiseModel, asked: Asked) -> Found:
    """Differentiate by the dense tensors, triple by triple in one call, and add the gradients up."""
    dense = _dense(model)
    each = vmap(grad_and_value(model.score_one), in_dims=(None, 0, 0))
    gradients, scores = each(dense, model.rows(asked.triples), asked.triples)
    return Found(
        scores=scores,
        gradients={name: torch.tensordot(asked.weights, part, dims=1) for name, part in gradients.items()},
    )


def along(model: RowwiseModel, asked: Asked, directions: Gradients) -> Float[Tensor, "direction batch"]:
    """Differentiate scores along directions in the dense tensors, in forward mode."""
    dense, rows = _dense(model), model.rows(asked.triples)

    def moved(direction: Gradients) -> Tensor:
        _, derivative, *_ = jvp(lambda at: model.score_rows(rows, at, asked.triples), (dense,), (direction,))
        found: Tensor = derivative
        return found

    mapped: Tensor = vmap(moved)(directions)
    return mapped


def scores_of(model: RowwiseModel, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    """Score triples with the whole model.

    Raises
    ------
    CheckpointError
        If that does not give one real number per triple.
    """
    scores, number = model.called(triples, model.face.score), len(triples)
    match scores:
        case Tensor() if scores.numel() == number and scores.is_floating_point():
            return scores.reshape(number)
        case Tensor() if scores.numel() == number:
            found = f"numbers of the type {scores.dtype}"
        case Tensor():
            found = f"the shape {tuple(scores.shape)}"
        case _:
            found = f"a {type(scores).__name__}"
    raise CheckpointError(
        f"{model.face.name}: score must return one real number per triple; for {number} triples it gave {found}"
    )


def _dense(model: RowwiseModel) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in model.trained().items() if name not in model.tables}


def _weighed(scores: Tensor, asked: Asked) -> Tensor:
    return (scores.reshape(len(asked)) * asked.weights.to(scores.dtype)).sum()

"""The scores of all entities as the tail of (head, relation), by a model that gives them in one call.

They must be those that the model gives triple by triple: that is checked when a loss needs them. So are the derivatives
by all tensors but the tables of relations. A RotatE may rotate heads in one method, and tails back in the other: equal
for relations of length 1, as training keeps them, but not in the derivatives by their lengths.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from jaxtyping import Int
from torch import Tensor
from torch.func import jvp, vjp, vmap

Tensors: TypeAlias = Mapping[str, Tensor]
_RAISED = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)
"""What `torch.func` raises, and code of a model that it calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TailCheck:
    """The comparison of a model's scores of all tails with its scores of single triples."""

    trained: Tensors
    score: Callable[[Tensors, Tensor], Tensor]
    """Gives triples [batch, 3] their scores, with these tensors."""
    score_tails: Callable[[Tensors, Tensor], Tensor]
    """Gives pairs (head, relation) [batch, 2] the scores of all entities as their tail [batch, entity]."""
    num_entities: int
    relation_tables: frozenset[str]
    tolerance: float
    """The largest difference that is rounding, as a part of the largest value (or of 1)."""

    def problem(self, triples: Int[Tensor, "batch 3"]) -> str:
        """Say how the scores of these pairs and tails, or their derivatives, differ; an empty text if not."""
        trained, generator = self.trained, torch.Generator().manual_seed(0)
        direction = {name: self._direction(name, tensor, generator) for name, tensor in trained.items()}
        try:
            scores, along = _along(lambda tensors: self._all_tails(tensors, triples), trained, direction)
            if scores.shape != (len(triples), self.num_entities):
                return f"gives the shape {tuple(scores.shape)}, not {(len(triples), self.num_entities)}"
            expected, expected_along = _along(lambda own: self._one_by_one(own, triples), trained, direction)
            weights = _like(scores, generator)
            (gradients,) = vjp(lambda tensors: self._all_tails(tensors, triples), trained)[1](weights)
        except _RAISED as error:
            return f"cannot be differentiated with torch.func: {error}"
        tails = triples[:, 2]
        if not self._are_equal(scores[:, tails], expected):
            return "gives other scores than single triples have"
        back = sum(((gradients[name] * direction[name]).sum() for name in trained), torch.zeros(()))
        is_adjoint = self._are_equal(back, (weights * along).sum(), scale=float((weights * along).abs().sum()))
        if not is_adjoint or not self._are_equal(along[:, tails], expected_along):
            return "gives scores with other derivatives than those of single triples"
        return ""

    def are_mapped(self, triples: Int[Tensor, "batch 3"]) -> bool:
        """Tell whether gradients of several pairs can be made in one call (`torch.func.vmap`)."""

        def back(pair: Tensor, weights: Tensor) -> Tensors:
            (found,) = vjp(lambda tensors: self.score_tails(tensors, pair[None])[0], self.trained)[1](weights)
            return cast(Tensors, found)

        pairs, generator = triples[:, :2], torch.Generator().manual_seed(0)
        with torch.no_grad():
            scores = self.score_tails(self.trained, pairs)
        weights = _like(scores, generator)
        try:
            found = vmap(back)(pairs, weights)
        except _RAISED:
            return False
        alone = [back(*one) for one in zip(pairs, weights, strict=True)]
        return all(self._are_equal(part, torch.stack([one[name] for one in alone])) for name, part in found.items())

    def _direction(self, name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
        return torch.zeros_like(tensor) if name in self.relation_tables else _like(tensor, generator)

    def _all_tails(self, tensors: Tensors, triples: Tensor) -> Tensor:
        return self.score_tails(tensors, triples[:, :2])

    def _one_by_one(self, tensors: Tensors, triples: Tensor) -> Tensor:
        """Score each pair with each of the tails."""
        number = len(triples)
        crossed = torch.cat(
            [triples[:, None, :2].expand(-1, number, -1), triples[None, :, 2:].expand(number, -1, -1)], dim=2
        )
        return self.score(tensors, crossed.reshape(-1, 3)).reshape(number, number)

    def _are_equal(self, found: Tensor, expected: Tensor, *, scale: float | None = None) -> bool:
        largest = float(expected.abs().max()) if scale is None else scale
        return torch.allclose(found, expected, rtol=0, atol=self.tolerance * (1 + largest), equal_nan=True)


def _along(function: Callable[[Tensors], Tensor], at: Tensors, direction: Tensors) -> tuple[Tensor, Tensor]:
    """Give a function's value and its derivative along a direction."""
    found = jvp(function, (at,), (direction,))
    return found[0], found[1]


def _like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Draw normal numbers in the shape of a tensor."""
    return torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype).to(tensor.device)

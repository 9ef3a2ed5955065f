"""The terms of the tensors that every score shares: fc, and bn0, conv1, bn1 and bn2.

fc's are ⟨d_i, d_j⟩ times ⟨features_i, features_j⟩ for the weight and times 1 for the bias, where d is the gradient at
the projection's output. The other tensors' factors enter by their inner products alone, and stand side by side.
"""

from collections.abc import Callable
from functools import reduce
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.conve.gradient_factors import OutputFactors
from tracin_dask.influence.conve.tensor_names import (
    BESIDE_FC,
    BN2_BIAS,
    BN2_WEIGHT,
    CONVOLUTION,
    FC,
    FC_BIAS,
    FC_WEIGHT,
)
from tracin_dask.influence.conve.terms.fc_weight import WeightTerms
from tracin_dask.influence.terms import Term, counted

Weight: TypeAlias = Callable[[Tensor], Tensor]
PROJECTION_WEIGHTS: tuple[Term[Weight], ...] = (
    Term(name="fc.weight", tensors={FC_WEIGHT}, function=lambda overlap: overlap),
    Term(name="fc.bias", tensors={FC_BIAS}, function=lambda overlap: overlap.new_ones(len(overlap), 1)),
)
"""The factors of ⟨d_i, d_j⟩, from the overlap ⟨features_i, features_j⟩."""

Factor: TypeAlias = Callable[[OutputFactors, Tensor], Tensor]
SIDE_BY_SIDE: tuple[Term[Factor], ...] = (
    Term(name="bn2.bias", tensors={BN2_BIAS}, function=lambda output, _: output.at_bn2),
    Term(name="bn2.weight", tensors={BN2_WEIGHT}, function=lambda output, _: output.at_bn2_weight),
    Term(name="bn0, conv1 and bn1", tensors=CONVOLUTION, function=lambda _, moments: moments),
)
"""The factors of the other tensors, from the output factors and the moments."""

Constant: TypeAlias = Callable[[FoldedConvE, OutputFactors], Tensor]
CONSTANTS: tuple[Term[Constant], ...] = (
    Term(name="bn2.bias", tensors={BN2_BIAS}, function=lambda _, output: output.at_bn2),
    Term(name="fc.bias", tensors={FC_BIAS}, function=lambda model, output: model.bn2_scale * output.at_projection),
)
"""How bn2's output moves along the gradient of a score, the same for every pair."""


def projection_weight(tracked: frozenset[str], overlap: Float[Tensor, "row test"]) -> Float[Tensor, "row _"]:
    """Add up the factors of ⟨d_i, d_j⟩; the overlap is 0 where fc.weight has a term of its own."""
    weights = [term.function(overlap) for term in counted(PROJECTION_WEIGHTS, tracked)]
    return reduce(torch.add, weights or [overlap.new_zeros(len(overlap), 1)])


def side_by_side(
    tracked: frozenset[str], output: OutputFactors, moments: Float[Tensor, "row moment"]
) -> Float[Tensor, "row width"]:
    """Put the other tensors' factors side by side."""
    factors = [term.function(output, moments) for term in counted(SIDE_BY_SIDE, tracked)]
    return torch.cat([output.at_bn2[:, :0], *factors], dim=1)


def constant_direction(tracked: frozenset[str], model: FoldedConvE, output: OutputFactors) -> Float[Tensor, "test dim"]:
    """Add up how bn2's output moves, the same for every pair."""
    total = torch.zeros_like(output.at_bn2)
    for term in counted(CONSTANTS, tracked):
        total += term.function(model, output)
    return total


class DenseTerms:
    """The test triples' side of these terms."""

    def __init__(self, engine: PairEngine, own: TestFactors, along: TestFactors) -> None:
        """Take the test triples' gradients, and P times these with rows of zeros up to the columns of the sums."""
        operand, self._tracked, self._precision = engine.precision.operand, engine.tracked, engine.precision
        has_scale = FC_WEIGHT in engine.preconditioner
        self.weights = WeightTerms(engine, own) if FC_WEIGHT in engine.tracked and has_scale else None
        self.features = operand(along.features) if FC_WEIGHT in engine.tracked and not has_scale else None
        self._at_projection = operand(along.output.at_projection)
        self._side_by_side = operand(side_by_side(engine.tracked, along.output, along.moments))
        self._num_tests = len(own)

    def products(
        self, ahead: Forward, output: OutputFactors, moments: Float[Tensor, "batch moment"]
    ) -> Float[Tensor, "batch test"]:
        """Multiply the gradients of a batch with those of the test triples."""
        precision, tracked, pair = self._precision, self._tracked, ahead.batch.pair
        total = output.at_projection.new_empty(len(pair), len(self._at_projection))
        if tracked & FC:
            precision.write_product(total, precision.operand(output.at_projection), self._at_projection.T)
            overlap = ahead.x.new_zeros(len(ahead.x), 1) if ahead.overlap is None else ahead.overlap
            total *= projection_weight(tracked, overlap).index_select(0, pair)
        else:
            total.zero_()
        if tracked & BESIDE_FC:
            mine = side_by_side(tracked, output, moments)
            precision.add_product(total, precision.operand(mine), self._side_by_side.T)
        total = total[:, : self._num_tests]
        self.add_weights(total, ahead, output)
        return total

    def add_weights(self, total: Float[Tensor, "batch test"], ahead: Forward, output: OutputFactors) -> None:
        """Add the term of fc.weight where it goes through a preconditioner, in place."""
        if self.weights is not None:
            self.weights.add(total, ahead, output.at_projection)

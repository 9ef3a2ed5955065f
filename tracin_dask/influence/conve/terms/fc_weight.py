"""The term of fc.weight where a preconditioner P stands between two gradients, d_i ⊗ a_i and d_j ⊗ a_j.

⟨d_i ⊗ a_i, P ∘ (d_j ⊗ a_j)⟩ = ⟨d_i, d_j ∘ P (a_i ∘ a_j)⟩: for each test triple, the features a of every head, relation
or (head, relation) go through P as they go through the projection, and rows of one (head, relation) share that. Only
features that are open in a_j enter.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_pass import Forward, RegionPass
from tracin_dask.influence.conve.regions import Region, Sees
from tracin_dask.influence.conve.tensor_names import FC_WEIGHT
from tracin_dask.influence.tensors import dot_rows
from tracin_dask.influence.terms import Term


@dataclass(frozen=True, slots=True, kw_only=True)
class _SharedFeatures:
    """The features that a batch shares with one test triple after the other, carried through P."""

    relation: Int[Tensor, " pair"]
    parts: list[tuple[RegionPass, Iterator[Float[Tensor, "key dim"]]]]
    """Each region of the forward pass, with the features for the next test triple."""
    of_relations: Float[Tensor, "test relation dim"] | None
    """The features of the relation table, whose region the forward pass leaves out."""


def _add_regions(total: Float[Tensor, "pair dim"], shared: _SharedFeatures, _: int) -> None:
    for part, through in shared.parts:
        total += part.by_pair(next(through))


def _add_relations(total: Float[Tensor, "pair dim"], shared: _SharedFeatures, test: int) -> None:
    if shared.of_relations is not None:
        total += shared.of_relations[test].index_select(0, shared.relation)


AddFeatures: TypeAlias = Callable[[Tensor, _SharedFeatures, int], None]
SHARED_FEATURES: tuple[Term[AddFeatures], ...] = (
    Term(name="features of the forward pass", tensors={FC_WEIGHT}, function=_add_regions),
    Term(name="features of the relation table", tensors={FC_WEIGHT}, function=_add_relations),
)


class WeightTerms:
    """The test triples' side of this term."""

    def __init__(self, engine: PairEngine, test: TestFactors) -> None:
        """Take all a_j and d_j; the features of a relation table go through P here."""
        self._model, self._precision, self._at_projection = engine.model, engine.precision, test.output.at_projection
        self._scale = engine.precision.operand(engine.preconditioner.diagonal(FC_WEIGHT))
        regions = engine.model.regions
        self._open = {r.number: [_open_features(theirs) for theirs in test.features[:, r.features]] for r in regions}
        self._of_relations: Tensor | None = None
        region = engine.model.region(Sees.RELATION)
        if engine.relations is not None and region is not None:
            through = self._through(engine.relations.features.to(test.features.dtype), region)
            self._of_relations = torch.stack(list(through))

    def moves(self, ahead: Forward) -> Iterator[Float[Tensor, "pair dim"]]:
        """Give d_j ∘ P (a ∘ a_j) of every pair, for one test triple after the other.

        That is how the projection's output moves where fc.weight moves along P ∇loss_j.
        """
        shared = _SharedFeatures(
            relation=ahead.batch.pairs[:, 1],
            parts=[(p, self._through(p.activations(self._model)[1], p.region)) for p in ahead.passes],
            of_relations=self._of_relations,
        )
        for test, at_projection in enumerate(self._at_projection):
            total = torch.zeros_like(ahead.x)
            for term in SHARED_FEATURES:
                term.function(total, shared, test)
            yield total.mul_(at_projection)

    def add(
        self, total: Float[Tensor, "batch test"], ahead: Forward, at_projection: Float[Tensor, "batch dim"]
    ) -> None:
        """Add the term of a batch with gradients d_i `at_projection`, in place."""
        for test, move in enumerate(self.moves(ahead)):
            total[:, test] += dot_rows(at_projection, move.index_select(0, ahead.batch.pair))

    def _through(
        self, features: Float[Tensor, "key region_feature"], region: Region
    ) -> Iterator[Float[Tensor, "key dim"]]:
        """Carry a ∘ a_j of one region through P, for one test triple after the other."""
        scale = self._scale[region.features]
        for place, values in self._open[region.number]:
            met = self._precision.operand(features.index_select(1, place).mul_(values))
            yield self._precision.product(met, scale.index_select(0, place))


def _open_features(features: Float[Tensor, " region_feature"]) -> tuple[Int[Tensor, " open"], Float[Tensor, " open"]]:
    """Find the features of a test triple that are not 0, and their values."""
    place = features.nonzero()[:, 0]
    return place, features[place]

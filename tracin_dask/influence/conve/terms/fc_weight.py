"""The term of fc.weight where a preconditioner P stands between two gradients, d_i ⊗ a_i and d_j ⊗ a_j.

⟨d_i ⊗ a_i, P ∘ (d_j ⊗ a_j)⟩ = ⟨d_i, d_j ∘ P (a_i ∘ a_j)⟩: for each test triple, the features a of every head, relation
or (head, relation) go through P as they go through the projection, and rows of one (head, relation) share that. Only
features that are open in a_j enter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_mode import pieces_of_tests
from tracin_dask.influence.conve.forward_pass import Forward, RegionPass
from tracin_dask.influence.conve.regions import Region, Sees
from tracin_dask.influence.conve.tensor_names import FC_WEIGHT
from tracin_dask.influence.tensors import select_rows
from tracin_dask.influence.terms import Term


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFeatures:
    """The features that a batch shares with test triples."""

    relation: Int[Tensor, " pair"]
    parts: Sequence[tuple[RegionPass, Float[Tensor, "_ _"]]]
    """Each region of the forward pass, with its features."""


def _add_regions(
    total: Float[Tensor, "some_test pair dim"], weights: "WeightTerms", shared: SharedFeatures, tests: slice
) -> None:
    for part, features in shared.parts:
        total += part.by_pair(weights.through(features, part.region, tests))


def _add_relations(
    total: Float[Tensor, "some_test pair dim"], weights: "WeightTerms", shared: SharedFeatures, tests: slice
) -> None:
    if weights.of_relations is not None:
        total += select_rows(weights.of_relations[tests], shared.relation)


AddFeatures: TypeAlias = Callable[[Tensor, "WeightTerms", SharedFeatures, slice], None]
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
        self._open = {r.number: open_features(test.features[:, r.features]) for r in engine.model.regions}
        self.of_relations: Float[Tensor, "test relation dim"] | None = None
        """The features of the relation table, whose region the forward pass leaves out, carried through P."""
        region = engine.model.region(Sees.RELATION)
        if engine.relations is not None and region is not None:
            features, every = engine.relations.features.to(test.features.dtype), range(len(test))
            self.of_relations = torch.cat([self.through(features, region, slice(j, j + 1)) for j in every])

    def share(self, ahead: Forward) -> SharedFeatures:
        """Take the features of a batch."""
        parts = [(part, part.activations(self._model)[1]) for part in ahead.passes]
        return SharedFeatures(relation=ahead.batch.pairs[:, 1], parts=parts)

    def moves(self, shared: SharedFeatures, tests: slice) -> Float[Tensor, "some_test pair dim"]:
        """Give d_j ∘ P (a ∘ a_j) of every pair, for some test triples.

        That is how the projection's output moves where fc.weight moves along P ∇loss_j.
        """
        at_projection = self._at_projection[tests, None]
        total = at_projection.new_zeros(len(at_projection), len(shared.relation), at_projection.shape[2])
        for term in SHARED_FEATURES:
            term.function(total, self, shared, tests)
        return total.mul_(at_projection)

    def add(
        self, total: Float[Tensor, "batch test"], ahead: Forward, at_projection: Float[Tensor, "batch dim"]
    ) -> None:
        """Add the term of a batch with gradients d_i `at_projection`, in place."""
        shared, pair = self.share(ahead), ahead.batch.pair
        for tests in pieces_of_tests(self._model, ahead, total.shape[1]):
            total[:, tests] += products_by_row(at_projection, self.moves(shared, tests), pair)

    def through(
        self, features: Float[Tensor, "key region_feature"], region: Region, tests: slice
    ) -> Float[Tensor, "some_test key dim"]:
        """Carry a ∘ a_j of one region through P, for some test triples."""
        place, values = self._open[region.number].of(tests)
        met = features.index_select(1, place.flatten()).view(len(features), *place.shape).mul_(values)
        scale = self._scale[region.features]
        scales = scale.index_select(0, place.flatten()).view(*place.shape, scale.shape[1])
        return self._precision.product(self._precision.operand(met).transpose(0, 1), scales)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFeatures:
    """The features of test triples that are not 0, filled up with zeros where others have more."""

    place: Int[Tensor, "test open"]
    values: Float[Tensor, "test open"]
    numbers: Sequence[int]
    """How many each test triple has."""

    def of(self, tests: slice) -> tuple[Int[Tensor, "some_test some_open"], Float[Tensor, "some_test some_open"]]:
        """Give the places and values of some test triples, no more than the largest of them has."""
        most = max(self.numbers[tests], default=0)
        return self.place[tests, :most], self.values[tests, :most]


def open_features(features: Float[Tensor, "test region_feature"]) -> OpenFeatures:
    """Find the open features of test triples in a region."""
    places = [theirs.nonzero()[:, 0] for theirs in features]
    place = pad_sequence(places, batch_first=True)
    values = pad_sequence([theirs[at] for theirs, at in zip(features, places, strict=True)], batch_first=True)
    return OpenFeatures(place=place, values=values, numbers=[len(at) for at in places])


def products_by_row(
    rows: Float[Tensor, "batch dim"], moves: Float[Tensor, "some_test pair dim"], pair: Int[Tensor, " batch"]
) -> Float[Tensor, "batch some_test"]:
    """Multiply a vector of each triple with the moves of its pair."""
    return select_rows(moves, pair).mul_(rows).sum(dim=2).T

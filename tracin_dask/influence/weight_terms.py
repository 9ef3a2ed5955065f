"""The term of fc.weight where a preconditioner P stands between two gradients, d_i ⊗ a_i and d_j ⊗ a_j.

⟨d_i ⊗ a_i, P ∘ (d_j ⊗ a_j)⟩ = ⟨d_i, d_j ∘ P (a_i ∘ a_j)⟩: for each test triple, the features a of every head, relation
or (head, relation) go through P as they go through the projection, and rows of one (head, relation) share that. Only
features that are open in a_j enter. These products are made in the working dtype: the numbers in P span more than short
formats can hold.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.jacobians import RelationTable
from tracin_dask.influence.layout import Region, Sees
from tracin_dask.influence.passes import Forward, dot_rows


class WeightTerms:
    """The test triples' side of these terms."""

    def __init__(
        self,
        model: FoldedConvE,
        scale: Float[Tensor, "feature dim"],
        features: Float[Tensor, "test feature"],
        at_projection: Float[Tensor, "test dim"],
        relations: RelationTable | None = None,
    ) -> None:
        """Take P, all a_j and d_j; what a table of `relations` takes out of the forward pass is computed here."""
        self._model, self._scale, self._at_projection = model, scale, at_projection
        self._open = {r.number: [_open_features(theirs) for theirs in features[:, r.features]] for r in model.regions}
        self._of_relations: Tensor | None = None
        region = model.region(Sees.RELATION)
        if relations is not None and region is not None:
            through = self._through(relations.features.to(scale.dtype), region)
            self._of_relations = torch.stack(list(through))

    def moves(self, ahead: Forward) -> Iterator[Float[Tensor, "pair dim"]]:
        """Give d_j ∘ P (a ∘ a_j) of every pair, for one test triple after the other.

        That is how the projection's output moves where fc.weight moves along P ∇loss_j.
        """
        relation = ahead.batch.pairs[:, 1]
        parts = [(part, self._through(part.activations(self._model)[1], part.region)) for part in ahead.passes]
        for test, at_projection in enumerate(self._at_projection):
            total = torch.zeros_like(ahead.x)
            for part, through in parts:
                total += part.by_pair(next(through))
            if self._of_relations is not None:
                total += self._of_relations[test].index_select(0, relation)
            yield total.mul_(at_projection)

    def add(
        self, total: Float[Tensor, "batch test"], ahead: Forward, at_projection: Float[Tensor, "batch dim"]
    ) -> None:
        """Add the terms of a batch with gradients d_i `at_projection`, in place."""
        for test, move in enumerate(self.moves(ahead)):
            total[:, test] += dot_rows(at_projection, move.index_select(0, ahead.batch.pair))

    def _through(
        self, features: Float[Tensor, "key region_feature"], region: Region
    ) -> Iterator[Float[Tensor, "key dim"]]:
        """Carry a ∘ a_j of one region through P, for one test triple after the other."""
        scale = self._scale[region.features]
        for place, values in self._open[region.number]:
            yield features.index_select(1, place).mul_(values) @ scale.index_select(0, place)


def _open_features(features: Float[Tensor, " region_feature"]) -> tuple[Int[Tensor, " open"], Float[Tensor, " open"]]:
    """Find the features of a test triple that are not 0, and their values."""
    place = features.nonzero()[:, 0]
    return place, features[place]


def weight_self_terms(
    model: FoldedConvE, scale: Float[Tensor, "feature dim"], ahead: Forward, at_projection: Float[Tensor, "batch dim"]
) -> Float[Tensor, " batch"]:
    """Compute the same of each triple with itself; the forward pass must hold all regions."""
    total = torch.zeros_like(ahead.x)
    for part in ahead.passes:
        features = part.activations(model)[1]
        total += part.by_pair(features.square() @ scale[part.region.features])
    return dot_rows(at_projection.square(), total.index_select(0, ahead.batch.pair))

"""The pair-product engine: exact influences of batches of training triples on prepared test triples."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError, NonFiniteError
from tracin_dask.influence.directions import along_rows, projected_directions
from tracin_dask.influence.factors import OutputFactors, lower_factors, output_factors
from tracin_dask.influence.folded import CONVOLUTION_TENSORS, FoldedConvE
from tracin_dask.influence.layout import Region
from tracin_dask.influence.losses import Loss, derivative
from tracin_dask.influence.modes import Modes
from tracin_dask.influence.parameters import parameter_names
from tracin_dask.influence.passes import FeatureProduct, Forward, RegionPass, forward, scores
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.product import (
    EMBEDDING_TENSORS,
    EmbeddingRows,
    add_embedding_terms,
    embedding_self_terms,
    output_terms,
    rows_that_meet,
    rowwise,
)
from tracin_dask.influence.relation_table import RelationTable, relation_table
from tracin_dask.influence.tensors import concatenate, leaves

BELOW_PROJECTION = frozenset(CONVOLUTION_TENSORS) | EMBEDDING_TENSORS
"""The tensors whose gradients need the pass back through the projection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientFactors:
    """The gradients of the test triples as small factors."""

    scale: Float[Tensor, " test"]
    """learning_rate · δ."""
    features: Float[Tensor, "test feature"]
    output: OutputFactors
    moments: Float[Tensor, "test moment"]
    """L Lᵀ (G, S), where L maps moments to the tracked gradients of bn0, conv1 and bn1."""
    embeddings: EmbeddingRows


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTest:
    """What one engine needs of the test triples: computed once, then broadcast."""

    factors: GradientFactors
    relations: RelationTable | None

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self.factors.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEngine:
    """Scores training triples against test triples by the product of their gradients' factors.

    `tracked` names the parameter tensors whose gradients count. With `recompute`, activations are computed again in
    the backward pass instead of kept (gradient checkpointing).
    """

    model: FoldedConvE
    tracked: frozenset[str]
    loss: Loss
    learning_rate: float
    precision: Precision = Precision.FULL
    recompute: bool = False
    modes: Modes = field(default_factory=Modes)

    def __post_init__(self) -> None:
        """Refuse to track nothing, or what the model does not have."""
        names = parameter_names(self.model.config)
        if not self.tracked or not self.tracked <= set(names):
            wrong = ", ".join(sorted(self.tracked - set(names))) or "no parameter tensor at all"
            raise ConfigError(f"cannot track {wrong}; the model has: {', '.join(names)}")

    def prepare(self, test_triples: Int[Tensor, "test 3"], *, batch_size: int) -> PreparedTest:
        """Compute the factors of the test triples, `batch_size` at a time.

        Raises
        ------
        NonFiniteError
            If a factor is NaN or infinite; the test triple is named.
        """
        made = concatenate([self._prepare_batch(batch) for batch in torch.split(test_triples, batch_size)])
        table = None
        if self.modes.relation_table:
            table = relation_table(
                self.model,
                made.features,
                made.moments,
                made.embeddings,
                tracked=self.tracked,
                precision=self.precision,
            )
        return PreparedTest(factors=made, relations=table)

    def score(self, triples: Int[Tensor, "batch 3"], test: PreparedTest) -> Float[Tensor, "batch test"]:
        """Compute learning_rate · ⟨∇loss_i, ∇loss_j⟩ for every training triple i and test triple j.

        Raises
        ------
        NonFiniteError
            If an influence is NaN or infinite; the training triple is named.
        """

        def dot(left: Tensor, right: Tensor) -> Tensor:
            return self.precision.product(left, right.T)

        def overlap(region: Region, features: Tensor) -> Tensor:
            return dot(features, factors.features[:, region.features])

        factors = test.factors
        ahead, output = self._output(triples, overlap, test.relations)
        total = self.model.kernel.new_zeros(len(triples), len(test))
        for term in output_terms(self.tracked, output, factors.output, _of_rows(ahead), dot):
            total += term
        if self.tracked & BELOW_PROJECTION:
            self._add_lower_terms(total, ahead, output.at_projection, test)
        total *= self._delta(ahead)[:, None] * factors.scale
        _refuse_non_finite(triples, total, what="training")
        return total

    def self_influence(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute learning_rate · ‖∇loss_i‖² for every triple i.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite; the triple is named.
        """

        def squares(_: Region, features: Tensor) -> Tensor:
            return rowwise(features, features)

        ahead, output = self._output(triples, squares)
        total = self.model.kernel.new_zeros(len(triples))
        for term in output_terms(self.tracked, output, output, _of_rows(ahead), rowwise):
            total += term
        if self.tracked & BELOW_PROJECTION:
            moments, embeddings = self._lower(ahead, output.at_projection, _every_row(triples), ahead.passes)
            convolution = moments @ self._jacobian()
            total += rowwise(convolution, convolution)
            for term in embedding_self_terms(self.tracked, embeddings):
                total += term
        total *= self.learning_rate * self._delta(ahead).square()
        _refuse_non_finite(triples, total[:, None], what="training")
        return total

    def _add_lower_terms(
        self,
        total: Float[Tensor, "batch test"],
        ahead: Forward,
        at_projection: Float[Tensor, "batch dim"],
        test: PreparedTest,
    ) -> None:
        """Add what passes through the feature map, each region in its mode, and the rows of the embedding tables."""
        factors, triples = test.factors, ahead.triples
        if test.relations is not None:
            total += test.relations.along_rows(triples[:, 1], at_projection, precision=self.precision)
        forward_parts = [part for part in ahead.passes if part.region.sees in self.modes.forward]
        backward_parts = [part for part in ahead.passes if part.region.sees not in self.modes.forward]
        if forward_parts:
            total += self._along_directions(ahead, forward_parts, at_projection, factors)
        rows = rows_that_meet(self.tracked, triples, factors.embeddings.triples)
        moments, embeddings = self._lower(ahead, at_projection, rows, backward_parts)
        if backward_parts:
            total += self.precision.product(moments, factors.moments.T)
        add_embedding_terms(total, self.tracked, rows, embeddings, factors.embeddings)

    def _along_directions(
        self,
        ahead: Forward,
        parts: Sequence[RegionPass],
        at_projection: Float[Tensor, "batch dim"],
        factors: GradientFactors,
    ) -> Float[Tensor, "batch test"]:
        """Move the features of some regions along the test triples' gradients: ⟨d_i, W ȧ_j⟩."""
        found = [
            projected_directions(
                self.model,
                part,
                factors.moments,
                factors.embeddings,
                tracked=self.tracked,
                precision=self.precision,
            )[:, part.key_of_pair]
            for part in parts
        ]
        return along_rows(sum(found[1:], start=found[0]), ahead.pair, at_projection)

    def _prepare_batch(self, triples: Int[Tensor, "batch 3"]) -> GradientFactors:
        ahead, output = self._output(triples, None)
        moments, embeddings = self._lower(ahead, output.at_projection, _every_row(triples), ahead.passes)
        jacobian = self._jacobian()
        features = [part.activations(self.model)[1][part.key_of_pair[ahead.pair]] for part in ahead.passes]
        prepared = GradientFactors(
            scale=self.learning_rate * self._delta(ahead),
            features=torch.cat(features, dim=1),
            output=output,
            moments=moments @ jacobian @ jacobian.T,
            embeddings=embeddings,
        )
        sums = [tensor.reshape(len(triples), -1).sum(dim=1, dtype=torch.float64) for tensor in leaves(prepared)]
        _refuse_non_finite(triples, torch.stack(sums, dim=1), what="test")
        return prepared

    def _output(
        self,
        triples: Int[Tensor, "batch 3"],
        feature_product: FeatureProduct | None,
        known: RelationTable | None = None,
    ) -> tuple[Forward, OutputFactors]:
        ahead = forward(
            self.model,
            triples,
            precision=self.precision,
            recompute=self.recompute,
            feature_product=feature_product if "fc.weight" in self.tracked else None,
            known=known.known if known is not None else None,
        )
        return ahead, output_factors(self.model, ahead)

    def _lower(
        self,
        ahead: Forward,
        at_projection: Float[Tensor, "batch dim"],
        rows: Int[Tensor, " row"],
        parts: Sequence[RegionPass],
    ) -> tuple[Float[Tensor, "batch moment"], EmbeddingRows]:
        """Go back through some regions: the moments of all triples, the embeddings' gradients of some rows."""
        lower = lower_factors(self.model, ahead, at_projection, parts=parts, rows=rows, precision=self.precision)
        return lower.moments, EmbeddingRows(
            triples=ahead.triples[rows],
            head=lower.head,
            relation=lower.relation,
            tail=ahead.x[ahead.pair[rows]],
        )

    def _delta(self, ahead: Forward) -> Float[Tensor, " batch"]:
        return derivative(self.loss, scores(self.model, ahead))

    def _jacobian(self) -> Float[Tensor, "moment parameter"]:
        """Put the maps from the moments to the tracked gradients of bn0, conv1 and bn1 side by side (L)."""
        maps = [self.model.convolution_jacobian[name] for name in CONVOLUTION_TENSORS if name in self.tracked]
        return torch.cat([self.model.kernel.new_zeros(self.model.kernel.numel(), 0), *maps], dim=1)


def _of_rows(ahead: Forward) -> Tensor:
    """Give the feature product of each triple's (head, relation)."""
    return ahead.product[ahead.pair] if ahead.product.dim() else ahead.product


def _every_row(triples: Int[Tensor, "batch 3"]) -> Int[Tensor, " batch"]:
    return torch.arange(len(triples), device=triples.device)


def _refuse_non_finite(triples: Int[Tensor, "batch 3"], values: Float[Tensor, "batch value"], *, what: str) -> None:
    """Raise if any value is NaN or infinite (their sum is, then; that is cheaper to look at)."""
    if torch.isfinite(values.sum()):
        return
    wrong = (~torch.isfinite(values)).any(dim=1).nonzero()[:, 0]
    if len(wrong):
        head, relation, tail = triples[wrong[0]].tolist()
        raise NonFiniteError(
            f"the influence of {len(wrong)} {what} triple(s) is NaN or infinite, first of all of (head {head}, "
            f"relation {relation}, tail {tail}); look at the checkpoint's weights for these ids"
        )

"""The pair-product engine: what it tracks, the factors of the test triples, and self-influence."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.all_scores import AtScores, Reader, all_scores_self_terms
from tracin_dask.influence.batch import Batch, index_batch
from tracin_dask.influence.factors import LowerFactors, OutputFactors, Wanted, lower_factors, output_factors
from tracin_dask.influence.finite import refuse_non_finite, refuse_non_finite_factors
from tracin_dask.influence.folded import CONVOLUTION_TENSORS, FoldedConvE
from tracin_dask.influence.jacobians import RelationTable
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.losses import SLCWA, AnyLoss, OneToAll, derivative
from tracin_dask.influence.modes import Modes
from tracin_dask.influence.parameters import parameter_names
from tracin_dask.influence.passes import Forward, Known, dot_rows, forward, scores
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.product import (
    CONVOLUTION,
    EmbeddingRows,
    embedding_self_terms,
    linear_factors,
    weigh_overlap,
)
from tracin_dask.influence.tensors import concatenate


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFactors:
    """The gradients of the test triples as small factors: computed once, then broadcast."""

    __test__ = False  # no test class of pytest's

    scale: Float[Tensor, " test"]
    """learning_rate · δ."""
    features: Float[Tensor, "test feature"]
    output: OutputFactors
    moments: Float[Tensor, "test moment"]
    """L Lᵀ (G, S), where L maps moments to the tracked gradients of bn0, conv1 and bn1."""
    embeddings: EmbeddingRows
    all_scores: Bool[Tensor, " test"]
    """Whether it is the gradient of a loss of all scores."""

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The upper factors of a batch of gradients: those of the losses are these times `scale`."""

    output: OutputFactors
    scale: Float[Tensor, " batch"]
    """δ; or 1, where the loss looks at all scores, and the factors hold all of it."""
    at_scores: AtScores | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEngine:
    """Computes gradients of triples as factors, and their products.

    `tracked` names the parameter tensors whose gradients count. The `model` is folded in the same `precision`. With
    `recompute`, activations are computed again in the backward pass instead of kept (gradient checkpointing).
    """

    model: FoldedConvE
    tracked: frozenset[str]
    loss: AnyLoss
    learning_rate: float
    precision: Precision = Precision.FULL
    recompute: bool = False
    modes: Modes = field(default_factory=Modes)
    relations: RelationTable | None = None

    def __post_init__(self) -> None:
        """Refuse to track nothing, or what the model does not have."""
        names = parameter_names(self.model.config)
        if not self.tracked or not self.tracked <= set(names):
            wrong = ", ".join(sorted(self.tracked - set(names))) or "no parameter tensor at all"
            raise ConfigError(f"cannot track {wrong}; the model has: {', '.join(names)}")

    def prepare(self, test_triples: Int[Tensor, "test 3"], *, batch_size: int) -> TestFactors:
        """Compute the factors of the test triples, `batch_size` at a time.

        Raises
        ------
        NonFiniteError
            If a factor is NaN or infinite; the test triple is named.
        """
        return concatenate([self._prepare_batch(batch) for batch in torch.split(test_triples, batch_size)])

    def self_influence(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute learning_rate · ‖∇loss_i‖² for every triple i.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite; the triple is named.
        """
        batch = self.index(triples)
        ahead, read = self.read(batch)
        output = read.output
        weight = weigh_overlap(self.tracked, self._feature_squares(ahead) if "fc.weight" in self.tracked else None)
        total = weight * dot_rows(output.at_projection, output.at_projection)
        lower = self._everything_below(ahead, output)
        moments = lower.moments @ self._jacobian() if lower.moments is not None else None
        linear = linear_factors(self.tracked, output, moments)
        if linear is not None:
            total += dot_rows(linear, linear)
        total += self._embedding_self_terms(ahead, read, self._embeddings(ahead, lower))
        total *= self.learning_rate * read.scale.square()
        refuse_non_finite(batch.ids, total[:, None], what="training")
        return total

    def sharing_nothing(self) -> "PairEngine":
        """Give the engine that shares nothing between triples: what few of them share does not pay for tables."""
        return replace(self, modes=Modes(), relations=None)

    def index(self, triples: Int[Tensor, "batch 3"]) -> Batch:
        """Find the runs of a batch of triples on the CPU."""
        return index_batch(triples.numpy(), self.model.device)

    def ahead(
        self,
        batch: Batch,
        *,
        known: Known | None = None,
        test_features: Float[Tensor, "test feature"] | None = None,
    ) -> Forward:
        """Run the forward pass."""
        return forward(
            self.model,
            batch,
            precision=self.precision,
            recompute=self.recompute,
            known=known,
            test_features=test_features,
        )

    def read(self, batch: Batch) -> tuple[Forward, "Read"]:
        """Give the forward pass without look-ups, and the upper factors of the losses' gradients."""
        ahead = self.ahead(batch)
        if self.reader is not None:
            at_scores = self.reader.read(ahead.x.index_select(0, batch.pair), batch.ids[:, 2])
            output = output_factors(self.model, ahead, at_scores.at_output)
            return ahead, Read(output=output, scale=torch.ones_like(at_scores.squares), at_scores=at_scores)
        tails = self.model.entities[batch.triples[:, 2]]
        return ahead, Read(output=output_factors(self.model, ahead, tails), scale=self.delta(ahead, tails))

    def delta(self, ahead: Forward, tails: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Differentiate the loss of each triple by its own score."""
        assert not isinstance(self.loss, OneToAll | SLCWA)  # noqa: S101 - these look at other scores, too
        return derivative(self.loss, scores(self.model, ahead, tails))

    def _prepare_batch(self, triples: Int[Tensor, "batch 3"]) -> TestFactors:
        batch = self.index(triples)
        ahead, read = self.read(batch)
        lower = self._everything_below(ahead, read.output)
        assert lower.moments is not None  # noqa: S101 - everything is wanted
        jacobian = self._jacobian()
        features = [part.activations(self.model)[1][part.key_of_row(batch)] for part in ahead.passes]
        prepared = TestFactors(
            scale=self.learning_rate * read.scale,
            features=torch.cat(features, dim=1),
            output=read.output,
            moments=lower.moments @ jacobian @ jacobian.T,
            embeddings=self._embeddings(ahead, lower),
            all_scores=torch.full_like(read.scale, self.reader is not None, dtype=torch.bool),
        )
        refuse_non_finite_factors(batch.ids, prepared)
        return prepared

    def _everything_below(self, ahead: Forward, output: OutputFactors) -> LowerFactors:
        every = np.arange(len(ahead.batch))
        wanted = Wanted(moments=True, head_rows=every, relation_rows=every, regions=frozenset(Sees))
        return lower_factors(self.model, ahead, output.at_projection, wanted, precision=self.precision)

    def _embeddings(self, ahead: Forward, lower: LowerFactors) -> EmbeddingRows:
        batch = ahead.batch
        return EmbeddingRows(triples=batch.triples, head=lower.head, relation=lower.relation, tail=ahead.x[batch.pair])

    def _embedding_self_terms(self, ahead: Forward, read: "Read", own: EmbeddingRows) -> Float[Tensor, " batch"]:
        if self.reader is None or read.at_scores is None:
            return embedding_self_terms(self.tracked, own)
        heads, _, tails = ahead.batch.triples.T
        return all_scores_self_terms(self.tracked, own, read.at_scores, self.reader.at_heads(own.tail, tails, heads))

    def _feature_squares(self, ahead: Forward) -> Float[Tensor, " batch"]:
        """Give ‖features‖² of each triple."""
        total = self.model.kernel.new_zeros(len(ahead.batch))
        for part in ahead.passes:
            features = self.precision.operand(part.activations(self.model)[1]).to(total.dtype)
            total += dot_rows(features, features)[part.key_of_row(ahead.batch)]
        return total

    def _jacobian(self) -> Float[Tensor, "moment parameter"]:
        """Put the maps from the moments to the tracked gradients of bn0, conv1 and bn1 side by side (L)."""
        maps = [self.model.convolution_jacobian[name] for name in CONVOLUTION_TENSORS if name in self.tracked]
        return torch.cat([self.model.kernel.new_zeros(self.model.kernel.numel(), 0), *maps], dim=1)

    @property
    def reader(self) -> Reader | None:
        """What reads the losses' gradients at all scores; None where they look at their triple's own score only."""
        if isinstance(self.loss, OneToAll):
            return Reader(model=self.model, loss=self.loss, precision=self.precision)
        return None

    @property
    def tracks_convolution(self) -> bool:
        """Whether any tensor of bn0, conv1 and bn1 counts."""
        return bool(self.tracked & CONVOLUTION)

"""The engine for ConvE: factors of gradients in closed form, of test triples and of batches."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.batch import Batch, index_batch
from tracin_dask.influence.conve.all_scores import Reader
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward, RelationSums, forward, scores
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows, LowerFactors, OutputFactors, output_factors
from tracin_dask.influence.conve.jacobians import RelationTable
from tracin_dask.influence.conve.lower_factors import lower_factors
from tracin_dask.influence.conve.lower_rows import everything
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.preconditioned import times_convolution, times_output, times_rows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.separable_scores import SeparableReader
from tracin_dask.influence.conve.tensor_names import CONVOLUTION, CONVOLUTION_TENSORS
from tracin_dask.influence.conve.whole_scores import WholeReader
from tracin_dask.influence.engine import Factors, Indexed, TripleScorer
from tracin_dask.influence.finite import refuse_non_finite_factors, refuse_non_finite_squares
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import AllScoresLoss, AnyLoss, SeparableLoss, derivative, reads
from tracin_dask.influence.losses.base import ALL_SCORES, is_separable
from tracin_dask.influence.losses.by_row import LossByRow
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.preconditioners.base import Preconditioner
from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner
from tracin_dask.influence.table_gradients import TableIndex, TableRows
from tracin_dask.influence.tensors import concatenate


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFactors:
    """The gradients of test triples as small factors: computed once, then broadcast."""

    __test__ = False  # no test class of pytest's

    scale: Float[Tensor, " test"]
    """learning_rate · δ."""
    features: Float[Tensor, "test feature"]
    output: OutputFactors
    moments: Float[Tensor, "test moment"]
    """(G, S): the gradients of bn0, conv1 and bn1 are fixed linear maps of them."""
    embeddings: EmbeddingRows
    all_scores: Bool[Tensor, " test"]
    """Whether a gradient is of a loss of all scores."""

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperFactors:
    """The upper factors of a batch of gradients; the loss's gradients are these times `scale`."""

    output: OutputFactors
    scale: Float[Tensor, " batch"]
    """δ, or 1 for a loss of all scores, whose factors hold the whole gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEngine:
    """Computes gradients of triples as factors, and their products ⟨∇loss_i, P ∇loss_j⟩.

    `tracked` names the parameter tensors whose gradients count, and P is the identity unless there is a
    `preconditioner` for them. The `model` is folded in the same `precision`. With `recompute`, activations are computed
    again in the backward pass instead of kept (gradient checkpointing).
    """

    model: FoldedConvE
    tracked: frozenset[str]
    loss: AnyLoss
    learning_rate: float
    preconditioner: Preconditioner = field(default_factory=DiagonalPreconditioner)
    precision: Precision = Precision.FULL
    recompute: bool = False
    modes: Modes = field(default_factory=Modes)
    relations: RelationTable | None = None

    def __post_init__(self) -> None:
        """Refuse to track no tensor, or one that the model or the preconditioner does not have."""
        names = self.model.config.parameter_names
        if not self.tracked or not self.tracked <= set(names):
            wrong = ", ".join(sorted(self.tracked - set(names))) or "no parameter tensor at all"
            raise ConfigError(f"cannot track {wrong}; the model has: {', '.join(names)}")
        self.preconditioner.check_covers(self.tracked)

    def prepare(self, test_triples: Int[Tensor, "test 3"], *, batch_size: int) -> TestFactors:
        """Compute the factors of the test triples, `batch_size` at a time.

        Raises
        ------
        NonFiniteError
            If a factor is NaN or infinite; the test triple is named.
        """
        return concatenate([self._prepare_batch(batch) for batch in torch.split(test_triples, batch_size)])

    def self_influence(self, triples: Int[Tensor, "batch 3"], *, what: str = "training") -> Float[Tensor, " batch"]:
        """Compute learning_rate · ⟨∇loss_i, P ∇loss_i⟩ for every triple i, in float64.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite; the message calls the triple a `what` triple, and names it.
        """
        return self.own_squares(self.index_own(triples.numpy(), IndexArrays(self.model.device)), what=what)

    def index_own(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Find the runs of a batch, and which of its tails are not those of their pairs."""
        from tracin_dask.influence.conve.terms.squared_norm import index_norms  # noqa: PLC0415 - takes an engine

        return index_norms(self, ids, arrays)

    def own_squares(self, indexed: Indexed, *, what: str = "training") -> Float[Tensor, " batch"]:
        """Compute the same as `self_influence` of triples that are indexed."""
        from tracin_dask.influence.conve.terms.squared_norm import NormIndex, squared_norms  # noqa: PLC0415 - takes an engine

        own = cast(NormIndex, indexed)
        total = squared_norms(self, own)
        refuse_non_finite_squares(own.batch.ids, total, what=what)
        return total

    def along(self, test: TestFactors) -> TestFactors:
        """Give the factors of P ∇loss_j, with moments that meet those of training triples.

        Moments become L P Lᵀ (G, S), where L maps moments to the tracked gradients of bn0, conv1 and bn1. The factors
        of fc.weight's gradient, an outer product, stay as they are: see `WeightTerms`.
        """
        jacobian = self.jacobian()
        return replace(
            test,
            output=times_output(self.preconditioner, test.output),
            moments=test.moments @ times_convolution(self.preconditioner, self.tracked, jacobian) @ jacobian.T,
            embeddings=times_rows(self.preconditioner, test.embeddings),
        )

    @property
    def num_entities(self) -> int:
        """How many entities the model has."""
        return self.model.config.num_entities

    def with_loss(self, loss: AnyLoss) -> "PairEngine":
        """Give the same engine for another loss."""
        return replace(self, loss=loss)

    def scorer(self, factors: Factors) -> TripleScorer:
        """Lay the gradients of test triples out on the device, once for all batches."""
        from tracin_dask.influence.conve.scorer import Scorer  # noqa: PLC0415 - a scorer holds its engine

        return Scorer(self, cast(TestFactors, factors))

    def index_within(self, ids: Int[ndarray, "triple gradient 3"], arrays: IndexArrays) -> Indexed:
        """Sort groups of triples, so that equal (head, relation) share their forward pass."""
        from tracin_dask.influence.conve.terms.products_within import index_within  # noqa: PLC0415 - a term imports its engine

        return index_within(self, ids, arrays)

    def products_within(
        self, indexed: Indexed, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "triple gradient"], Float[Tensor, "triple gradient gradient"]]:
        """Give the scores of groups of triples of one relation each, and the products of their gradients."""
        from tracin_dask.influence.conve.terms.products_within import products_within  # noqa: PLC0415 - a term imports its engine

        return products_within(self, indexed, dtype)

    def index_tables(
        self, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays, loss: LossByRow | None = None
    ) -> TableIndex:
        """Find out which triples have gradients at some rows of tracked tables."""
        from tracin_dask.influence.conve.table_gradients import index_tables  # noqa: PLC0415 - takes an engine

        return index_tables(self, ids, rows, arrays, loss)

    def table_gradients(self, indexed: TableIndex) -> dict[str, Float[Tensor, "entry _"]]:
        """Give the gradients of losses of the triples' own scores at rows of tables, in the order of their entries."""
        from tracin_dask.influence.conve.table_gradients import ConvETables, table_gradients  # noqa: PLC0415 - takes an engine

        return table_gradients(self, cast(ConvETables, indexed))

    def index_at_rows(self, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays) -> Indexed:
        """Find the runs of triples whose losses are of all scores, a few triples at a time."""
        from tracin_dask.influence.conve.gradients_at_rows import index_at_rows  # noqa: PLC0415 - takes an engine

        return index_at_rows(self, ids, rows, arrays)

    def gradients_at_rows(self, indexed: Indexed) -> Iterator[tuple[str, Float[Tensor, "id triple width"]]]:
        """Give the gradients of losses of all scores at the rows of each table, a few triples at a time."""
        from tracin_dask.influence.conve.gradients_at_rows import AtRows, gradients_at_rows  # noqa: PLC0415 - takes an engine

        return gradients_at_rows(self, cast(AtRows, indexed))

    @property
    def gradients_at_a_time(self) -> int:
        """How many gradients are held at a time where a triple has several."""
        return self.model.tiling.gradients

    @property
    def scores_with_squares(self) -> bool:
        """Whether the squared lengths of training triples' gradients are made with their influences."""
        return self.modes.norms

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Batch:
        """Find the runs of a batch of triples."""
        return index_batch(ids, arrays, by_relation=self.model.region(Sees.RELATION) is not None)

    def index_now(self, triples: Int[Tensor, "batch 3"]) -> Batch:
        """Find the runs of a batch of triples on the CPU, which nothing else is indexed with."""
        return self.index(triples.numpy(), IndexArrays(self.model.device))

    def ahead(
        self,
        batch: Batch,
        *,
        relation_sums: RelationSums | None = None,
        test_features: Float[Tensor, "test feature"] | None = None,
    ) -> Forward:
        """Run the forward pass."""
        return forward(
            self.model,
            batch,
            precision=self.precision,
            recompute=self.recompute,
            relation_sums=relation_sums,
            test_features=test_features,
        )

    def upper_factors(self, batch: Batch) -> tuple[Forward, UpperFactors]:
        """Give the forward pass without the relation table, and the upper factors of the losses' gradients."""
        ahead = self.ahead(batch)
        if self.reader is not None:
            at_scores = self.reader.read(ahead.x.index_select(0, batch.pair), batch.triples[:, 2])
            output = output_factors(self.model, ahead, at_scores.at_output)
            return ahead, UpperFactors(output=output, scale=ahead.x.new_ones(len(batch)))
        tails = self.model.entities[batch.triples[:, 2]]
        return ahead, UpperFactors(output=output_factors(self.model, ahead, tails), scale=self.delta(ahead, tails))

    def delta(self, ahead: Forward, tails: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Differentiate the loss of each triple by its own score."""
        return derivative(self.loss, scores(self.model, ahead, tails))

    def everything_below(self, ahead: Forward, output: OutputFactors) -> LowerFactors:
        """Carry the gradients of all triples back through the whole model."""
        needed = everything(ahead.batch, IndexArrays(self.model.device))
        return lower_factors(self.model, ahead, output.at_projection, needed, precision=self.precision)

    def features(self, ahead: Forward) -> Float[Tensor, "batch feature"]:
        """Give each triple's features."""
        return torch.cat(
            [part.activations(self.model)[1][part.key_of_row(ahead.batch)] for part in ahead.passes], dim=1
        )

    def jacobian(self) -> Float[Tensor, "moment parameter"]:
        """Give L: the maps from moments to the tracked gradients of bn0, conv1 and bn1, side by side."""
        maps = [self.model.convolution_jacobian[name] for name in CONVOLUTION_TENSORS if name in self.tracked]
        return torch.cat(maps, dim=1) if maps else self.model.kernel.new_zeros(self.model.kernel.numel(), 0)

    def _prepare_batch(self, triples: Int[Tensor, "batch 3"]) -> TestFactors:
        batch = self.index_now(triples)
        ahead, upper = self.upper_factors(batch)
        lower = self.everything_below(ahead, upper.output)
        prepared = TestFactors(
            scale=self.learning_rate * upper.scale,
            features=self.features(ahead),
            output=upper.output,
            moments=lower.moments,
            embeddings=self.embeddings(ahead, lower),
            all_scores=torch.full_like(upper.scale, self.reader is not None, dtype=torch.bool),
        )
        refuse_non_finite_factors(batch.ids, prepared)
        return prepared

    def embeddings(self, ahead: Forward, lower: LowerFactors) -> EmbeddingRows:
        """Give the gradients of a score by rows of the embedding tables."""
        batch = ahead.batch
        return EmbeddingRows(
            triples=batch.triples,
            head=lower.head,
            relation=lower.relation,
            tail=ahead.x[batch.pair],
            tail_bias=ahead.x.new_ones(len(batch)),
        )

    @property
    def reader(self) -> Reader | None:
        """Reads the gradients at all scores; None for a loss of the triple's own score."""
        if reads(self.loss) != ALL_SCORES:
            return None
        if is_separable(self.loss):
            loss = cast(SeparableLoss, self.loss)
            return SeparableReader(model=self.model, loss=loss, precision=self.precision)
        return WholeReader(model=self.model, loss=cast(AllScoresLoss, self.loss), precision=self.precision)

    @property
    def tracks_convolution(self) -> bool:
        """Whether any tensor of bn0, conv1 and bn1 is tracked."""
        return bool(self.tracked & CONVOLUTION)

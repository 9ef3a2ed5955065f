"""The engine for any model that scores triples: gradients by automatic differentiation, tables row by row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, cast

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.autograd.all_tails import AllTails, AllTailsScorer
from tracin_dask.influence.autograd.cost import gradient_bytes, piece_rows, row_bytes
from tracin_dask.influence.autograd.derivatives import Derivatives, RowGradients
from tracin_dask.influence.autograd.factors import GradientFactors, WholeGradients
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.autograd.table_gradients import (
    AnyAtRows,
    AnyTables,
    gradients_at_rows,
    index_at_rows,
    index_tables,
    table_gradients,
)
from tracin_dask.influence.autograd.tails_cost import pieces, whole_gradients_at_a_time
from tracin_dask.influence.autograd.terms import Gradients, Groups, products_within, squares
from tracin_dask.influence.cost import Storage
from tracin_dask.influence.engine import Factors, Indexed, TripleScorer
from tracin_dask.influence.finite import refuse_non_finite_factors, refuse_non_finite_squares
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses import AnyLoss, NegatedScore, derivative, reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.influence.losses.by_row import LossByRow
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.preconditioners.base import Preconditioner
from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner
from tracin_dask.influence.table_gradients import TableIndex, TableRows
from tracin_dask.influence.tensors import apart, cast_tensors, concatenate, move, scaled_squares
from tracin_dask.influence.tiling import tiling_of
from tracin_dask.models.rowwise import RowwiseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientEngine:
    """Computes gradients of triples, and their norms; `GradientScorer` multiplies them.

    The loss is one of the triple's own score, or of all scores. `tracked` names the parameter tensors whose
    gradients count, and the `preconditioner` is for them.
    """

    precision: ClassVar[Precision] = Precision.FULL
    model: RowwiseModel
    tracked: frozenset[str]
    loss: AnyLoss
    learning_rate: float
    modes: GradientModes
    preconditioner: Preconditioner = field(default_factory=DiagonalPreconditioner)
    tails: AllTails | None = None
    """What scores all tails, where the loss reads these: then all gradients are taken through it."""
    derivatives: Derivatives = field(init=False)

    def __post_init__(self) -> None:
        """Refuse to track nothing, or what the model or the preconditioner does not have."""
        names = self.model.config.parameter_names
        if not self.tracked or not self.tracked <= set(names):
            wrong = ", ".join(sorted(self.tracked - set(names))) or "no parameter tensor at all"
            raise ConfigError(f"cannot track {wrong}; the model has: {', '.join(names)}")
        self.preconditioner.check_covers(self.tracked)
        derivatives = Derivatives(self.model, self.tracked, is_mapped=self.modes.ways.is_mapped)
        object.__setattr__(self, "derivatives", derivatives)
        if self.tails is None and reads(self.loss) == ALL_SCORES:
            tails = AllTails(self.model, self.tracked, is_mapped=self.modes.ways.is_mapped)
            object.__setattr__(self, "tails", tails)

    def prepare(self, test_triples: Int[Tensor, "test 3"], *, batch_size: int) -> GradientFactors | WholeGradients:
        """Compute the columns of the test triples, some at a time.

        Raises
        ------
        NonFiniteError
            If a number is NaN or infinite; the test triple is named.
        """
        if self.tails is not None:
            return self._prepare_whole(self.tails, test_triples)
        rows = min(batch_size, self.gradients_at_a_time)
        return concatenate([self._prepare_piece(piece) for piece in torch.split(test_triples, rows)])

    def self_influence(self, triples: Int[Tensor, "batch 3"], *, what: str = "training") -> Float[Tensor, " batch"]:
        """Compute learning_rate · ⟨∇loss_i, P ∇loss_i⟩ for every triple i, in float64.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite; the triple is named, and `what` it is for.
        """
        return self.own_squares(self.index_own(triples.numpy(), IndexArrays(self.model.device)), what=what)

    def index_own(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Take the triples to the device."""
        return arrays.put(ids)

    def own_squares(self, indexed: Indexed, *, what: str = "training") -> Float[Tensor, " batch"]:
        """Compute the same as `self_influence` of triples that are indexed."""
        own = cast(IndexArray, indexed)
        total = torch.cat([self._own_squares(piece) for piece in torch.split(own.tensor, self.gradients_at_a_time)])
        refuse_non_finite_squares(own.host, total, what=what)
        return total

    def index_within(self, ids: Int[ndarray, "triple gradient 3"], arrays: IndexArrays) -> Indexed:
        """Take groups of triples to the device."""
        return arrays.put(ids)

    def products_within(
        self, indexed: Indexed, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "triple gradient"], Float[Tensor, "triple gradient gradient"]]:
        """Give the scores of several triples of one relation each, and ⟨∇score_k, P ∇score_l⟩ of their gradients."""
        ids = cast(IndexArray, indexed).tensor
        if self.tails is not None:
            return self._whole_products_within(self.tails, ids, dtype)
        groups = Groups(ids=ids, gradients=self.gradients(ids.flatten(end_dim=1), dtype))
        return groups.apart(groups.gradients.rows.scores[:, None])[:, :, 0], products_within(groups)

    def gradients(self, triples: Int[Tensor, "batch 3"], dtype: torch.dtype) -> Gradients:
        """Differentiate the scores of some triples by the rows that they read, and by all dense tensors.

        As many as `gradients_at_a_time`; products are made in a type.
        """
        rows = cast_tensors(self.derivatives.by_rows(triples), dtype)
        return Gradients(
            kinds=self.derivatives.kinds,
            preconditioner=self.preconditioner,
            rows=rows,
            along=self._along(triples, rows),
            dense=self.derivatives.of_each(triples)[1] if self.derivatives.dense else {},
        )

    def squares(self, gradients: Gradients, delta: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute learning_rate · δ_i² ⟨∇score_i, P ∇score_i⟩ of every triple i, in float64."""
        mantissas, powers = apart(delta)
        return scaled_squares(self.learning_rate * (squares(gradients) * mantissas.square()), powers)

    def whole_squares(self, gradients: Mapping[str, Float[Tensor, "batch _"]]) -> Float[Tensor, " batch"]:
        """Compute learning_rate · ⟨∇loss_i, P ∇loss_i⟩ of gradients by whole tensors, in float64."""
        products = [torch.bmm(own[:, None], self._times(name, own)[:, :, None]) for name, own in gradients.items()]
        total = torch.cat(products, dim=1).sum(dim=(1, 2))
        return scaled_squares(self.learning_rate * total, torch.ones_like(total, dtype=torch.float64))

    def index_tables(
        self, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays, loss: LossByRow | None = None
    ) -> TableIndex:
        """Find out which triples have gradients at some rows of tracked tables."""
        return index_tables(self, ids, rows, arrays, loss)

    def table_gradients(self, indexed: TableIndex) -> dict[str, Float[Tensor, "entry _"]]:
        """Give the gradients of losses of the triples' own scores at rows of tables, in the order of their entries."""
        return table_gradients(self, cast(AnyTables, indexed))

    def index_at_rows(self, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays) -> Indexed:
        """Take triples to the device whose losses are of all scores."""
        return index_at_rows(ids, rows, arrays)

    def gradients_at_rows(self, indexed: Indexed) -> Iterator[tuple[str, Float[Tensor, "id triple width"]]]:
        """Give the gradients of losses of all scores at the rows of each table, some triples at a time."""
        assert self.tails is not None  # noqa: S101 - of such losses
        return gradients_at_rows(self.tails, self, cast(AnyAtRows, indexed))

    def delta(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Differentiate the loss of each triple by its own score."""
        return derivative(self.loss, scores)

    @property
    def num_entities(self) -> int:
        """How many entities the model has."""
        return self.model.config.num_entities

    def with_loss(self, loss: AnyLoss) -> "GradientEngine":
        """Give the same engine for another loss."""
        return replace(self, loss=loss)

    def scorer(self, factors: Factors) -> TripleScorer:
        """Put the gradients of test triples on the device, once for all batches."""
        from tracin_dask.influence.autograd.scorer import GradientScorer  # noqa: PLC0415 - a scorer holds its engine
        from tracin_dask.influence.autograd.whole_scorer import WholeScorer  # noqa: PLC0415 - it does so, too

        if self.tails is None:
            return GradientScorer(self, cast(GradientFactors, factors))
        columns = cast(WholeGradients, move(factors, self.model.device))
        if self.modes.norms:
            return WholeScorer(self, self.tails, columns)
        sizes = pieces(self.tails.config, len(columns), self.storage)
        return AllTailsScorer(self.tails, self.loss, columns, sizes)

    @property
    def storage(self) -> Storage:
        """Bytes of a number, and how much of a batch is made at a time."""
        return Storage(itemsize=self.model.dtype.itemsize, tiling=tiling_of(self.model.device))

    @property
    def rows_at_a_time(self) -> int:
        """How many triples are differentiated by the rows that they read at a time."""
        storage = self.storage
        return piece_rows(row_bytes(self.model.config, self.tracked, storage.itemsize), storage.tiling)

    @property
    def gradients_at_a_time(self) -> int:
        """How many gradients are made whole at a time."""
        config, storage = self.model.config, self.storage
        if self.tails is not None:
            return whole_gradients_at_a_time(self.tails.config, self.tracked, storage)
        most = sum(size(config, self.tracked, storage.itemsize) for size in (row_bytes, gradient_bytes))
        return piece_rows(most, storage.tiling)

    @property
    def scores_with_squares(self) -> bool:
        """Say that they never are."""
        return False

    def _prepare_whole(self, tails: AllTails, triples: Int[Tensor, "test 3"]) -> WholeGradients:
        """Compute gradients by whole tensors, times P."""
        placed, size = triples.to(self.model.device), sum(tensor.numel() for tensor in tails.tracked.values())
        whole = torch.empty(len(triples), size, dtype=self.model.dtype, device=self.model.device)
        step = self.gradients_at_a_time
        for some, piece in zip(torch.split(whole, step), torch.split(placed, step), strict=True):
            gradients = tails.gradients(self.loss, piece)[1]
            times = self._times if reads(self.loss) == ALL_SCORES else partial(self._times_at_own_rows, piece)
            some.copy_(tails.whole({name: times(name, gradients.pop(name)) for name in tails.tracked}))
        prepared = WholeGradients(scale=torch.full_like(whole[:, 0], self.learning_rate), whole=whole)
        refuse_non_finite_factors(triples.numpy(), prepared)
        return prepared

    def _own_squares(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute learning_rate · ⟨∇loss_i, P ∇loss_i⟩ of as many triples i as are differentiated at a time."""
        if self.tails is not None:
            return self.whole_squares(self.tails.gradients(self.loss, triples)[1])
        gradients = self.gradients(triples, self.model.dtype)
        return self.squares(gradients, self.delta(gradients.rows.scores))

    def _whole_products_within(
        self, tails: AllTails, ids: Int[Tensor, "triple gradient 3"], dtype: torch.dtype
    ) -> tuple[Float[Tensor, "triple gradient"], Float[Tensor, "triple gradient gradient"]]:
        """Do the same as `products_within` by whole tensors."""
        scores, gradients = tails.gradients(NegatedScore(weight=-1.0), ids.flatten(end_dim=1))
        products = scores.new_zeros(*ids.shape[:2], ids.shape[1], dtype=dtype)
        for name in tails.tracked:
            own = gradients.pop(name).to(dtype)
            left, right = (one.view(*ids.shape[:2], one.shape[1]) for one in (own, self._times(name, own)))
            products.baddbmm_(left, right.mT)
        return scores.view(ids.shape[:2]), products

    def _times(self, name: str, gradients: Float[Tensor, "triple size"]) -> Float[Tensor, "triple size"]:
        """Multiply whole gradients of a tensor with P, which has all of its rows."""
        if name not in self.preconditioner:
            return gradients
        if self.preconditioner.is_diagonal(name):
            return (gradients * self.preconditioner.diagonal(name).flatten()).to(gradients.dtype)
        matrices = self.preconditioner.matrices(name)
        rows = gradients.view(len(gradients), *matrices.shape[:2]).permute(1, 2, 0)
        found = torch.bmm(matrices, rows.double()).permute(2, 0, 1)
        return found.to(gradients.dtype).reshape(gradients.shape)

    def _times_at_own_rows(
        self, triples: Int[Tensor, "triple 3"], name: str, gradients: Float[Tensor, "triple size"]
    ) -> Float[Tensor, "triple size"]:
        """Do the same for losses of the triples' own scores: P of a table may have no other rows than theirs.

        Gradients of a table are 0 at all other rows, and stay so.
        """
        table = next((table for table in self.model.config.tables if table.name == name), None)
        if table is None or name not in self.preconditioner:
            return self._times(name, gradients)
        ids = triples[:, ::2] if table.role == "entity" else triples[:, 1:2]
        rows, which = gradients.view(len(triples), -1, table.row_size), torch.arange(len(triples), device=ids.device)
        some = rows[which[:, None], ids]
        along = self.preconditioner.times(name, some.flatten(end_dim=1), ids.flatten()).view_as(some)
        found = torch.zeros_like(rows)
        found[which[:, None], ids] = along
        return found.view_as(gradients)

    def _along(self, triples: Int[Tensor, "batch 3"], rows: RowGradients) -> RowGradients:
        """Multiply rows' gradients with P."""
        heads, relations, tails = triples.unbind(dim=1)
        times, tables = self.preconditioner.times_side_by_side, self.derivatives.tables
        return replace(
            rows,
            head=times(tables["entity"], rows.head, heads),
            relation=times(tables["relation"], rows.relation, relations),
            tail=times(tables["entity"], rows.tail, tails),
        )

    def _prepare_piece(self, triples: Int[Tensor, "batch 3"]) -> GradientFactors:
        device = self.model.device
        placed = triples.to(device)
        rows = self._along(placed, self.derivatives.by_rows(placed))
        dense = rows.scores.new_empty(len(triples), 0)
        if self.derivatives.dense:
            gradients = self.derivatives.of_each(placed)[1]
            dense = torch.cat([self.preconditioner.times(name, gradients.pop(name)) for name in list(gradients)], dim=1)
        prepared = GradientFactors(
            scale=self.learning_rate * self.delta(rows.scores),
            triples=placed,
            head=rows.head,
            relation=rows.relation,
            tail=rows.tail,
            dense=dense,
        )
        refuse_non_finite_factors(triples.numpy(), prepared)
        return prepared

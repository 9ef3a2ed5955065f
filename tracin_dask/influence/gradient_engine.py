"""The engine for any model that scores triples: gradients by automatic differentiation, tables row by row."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.derivatives import Derivatives
from tracin_dask.influence.finite import refuse_non_finite, refuse_non_finite_factors
from tracin_dask.influence.gradient_cost import gradient_bytes, piece_rows, row_bytes
from tracin_dask.influence.losses import SLCWA, AnyLoss, OneToAll, derivative
from tracin_dask.influence.modes import GradientModes
from tracin_dask.influence.passes import dot_rows
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tensors import concatenate
from tracin_dask.models.rowwise import RowwiseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientFactors:
    """The gradients of the test triples: rows of the tracked tables side by side, and all dense tensors flattened."""

    scale: Float[Tensor, " test"]
    """learning_rate · δ."""
    triples: Int[Tensor, "test 3"]
    head: Float[Tensor, "test entity_row"]
    relation: Float[Tensor, "test relation_row"]
    tail: Float[Tensor, "test entity_row"]
    dense: Float[Tensor, "test dense"]

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientEngine:
    """Computes gradients of triples, and their norms; `GradientScorer` multiplies them.

    The loss is one of the triple's own score, or `SLCWA`, whose parts are. `tracked` names the parameter tensors whose
    gradients count.
    """

    precision: ClassVar[Precision] = Precision.FULL
    model: RowwiseModel
    tracked: frozenset[str]
    loss: AnyLoss
    learning_rate: float
    modes: GradientModes
    derivatives: Derivatives = field(init=False)

    def __post_init__(self) -> None:
        """Refuse to track nothing, or what the model does not have."""
        names = self.model.config.parameter_names
        if not self.tracked or not self.tracked <= set(names):
            wrong = ", ".join(sorted(self.tracked - set(names))) or "no parameter tensor at all"
            raise ConfigError(f"cannot track {wrong}; the model has: {', '.join(names)}")
        object.__setattr__(self, "derivatives", Derivatives(self.model, self.tracked))

    def prepare(self, test_triples: Int[Tensor, "test 3"], *, batch_size: int) -> GradientFactors:
        """Compute the factors of the test triples, some at a time.

        Raises
        ------
        NonFiniteError
            If a factor is NaN or infinite; the test triple is named.
        """
        rows = min(batch_size, self._own_piece)
        return concatenate([self._prepare_piece(piece) for piece in torch.split(test_triples, rows)])

    def self_influence(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute learning_rate · ‖∇loss_i‖² for every triple i.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite; the triple is named.
        """
        squares = torch.cat([self._squares(piece) for piece in torch.split(triples, self._own_piece)])
        total = self.learning_rate * squares
        refuse_non_finite(triples.numpy(), total[:, None], what="training")
        return total

    def sharing_nothing(self) -> "GradientEngine":
        """Give the engine that looks at each triple by itself, as this one does."""
        return self

    def delta(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Differentiate the loss of each triple by its own score."""
        assert not isinstance(self.loss, OneToAll | SLCWA)  # noqa: S101 - these look at other scores, too
        return derivative(self.loss, scores)

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self.model.dtype.itemsize

    @property
    def _own_piece(self) -> int:
        """How many gradients are made whole at a time."""
        config, itemsize = self.model.config, self.itemsize
        most = row_bytes(config, self.tracked, itemsize) + gradient_bytes(config, self.tracked, itemsize)
        return piece_rows(most)

    def _prepare_piece(self, triples: Int[Tensor, "batch 3"]) -> GradientFactors:
        device = self.model.device
        placed = triples.to(device)
        rows = self.derivatives.by_rows(placed)
        dense = rows.scores.new_empty(len(triples), 0)
        if self.derivatives.dense:
            dense = torch.cat(list(self.derivatives.of_each(placed)[1].values()), dim=1)
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

    def _squares(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute ‖∇loss_i‖² of every triple i."""
        triples = triples.to(self.model.device)
        rows = self.derivatives.by_rows(triples)
        total = dot_rows(rows.head, rows.head) + dot_rows(rows.tail, rows.tail) + dot_rows(rows.relation, rows.relation)
        if self.derivatives.dense:
            for gradient in self.derivatives.of_each(triples)[1].values():
                total += torch.linalg.vector_norm(gradient, dim=1).square()  # in one pass, for it can be large
        return total * self.delta(rows.scores).square()

"""The terms of the products of gradients within a group of triples, such as a triple and its corrupted ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_pass import Forward, scores
from tracin_dask.influence.conve.gradient_factors import LowerFactors, OutputFactors, output_factors
from tracin_dask.influence.conve.preconditioned import times_convolution, times_output, times_rows
from tracin_dask.influence.conve.tensor_names import BESIDE_FC, ENTITIES, ENTITY_BIAS, FC_BIAS, FC_WEIGHT, RELATIONS
from tracin_dask.influence.conve.terms.dense import side_by_side
from tracin_dask.influence.engine import Indexed
from tracin_dask.influence.id_join import products_where_equal
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.tensors import cast_tensors
from tracin_dask.influence.terms import COLUMN, Row, Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Within:
    """Groups of triples, sorted as one batch."""

    groups: IndexArray
    """[triple, gradient, 3]."""
    place: IndexArray
    """Where each gradient lies in the batch: [triple · gradient]."""
    batch: Batch

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where each gradient lies in the batch, sorted so that equal (head, relation) share their forward pass."""

    place: Int[Tensor, " gradient"]
    shape: tuple[int, int]

    def back(self, values: Float[Tensor, "sorted width"]) -> Float[Tensor, "triple gradient width"]:
        """Bring rows of the batch back to their triples."""
        return values.index_select(0, self.place).view(*self.shape, values.shape[1])

    def gram(
        self, values: Float[Tensor, "sorted width"], along: Float[Tensor, "sorted width"]
    ) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply each triple's gradients with each other."""
        return self.back(values) @ self.back(along).transpose(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dense:
    """The gradients by the tensors that every score shares, and P times these."""

    engine: PairEngine
    layout: _Layout
    ahead: Forward
    output: OutputFactors
    along: OutputFactors
    lower: LowerFactors


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The gradients by rows of the embedding tables, and P times these."""

    ids: Int[Tensor, "triple gradient 3"]
    own: dict[Row, Float[Tensor, "triple gradient _"]]
    along: dict[Row, Float[Tensor, "triple gradient _"]]

    def meet(self, left: Row, right: Row) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply the gradients where both are of one row."""
        ids = (self.ids[:, :, COLUMN[row]] for row in (left, right))
        return products_where_equal(self.own[left], self.along[right], *ids)


def index_within(engine: PairEngine, ids: Int[ndarray, "triple gradient 3"], arrays: IndexArrays) -> Indexed:
    """Sort groups of triples, so that equal (head, relation) share their forward pass."""
    flat = ids.reshape(-1, 3)
    order = np.lexsort(flat.T[::-1])
    return _Within(groups=arrays.put(ids), place=arrays.put(inverse(order)), batch=engine.index(flat[order], arrays))


def products_within(
    engine: PairEngine, indexed: Indexed, dtype: torch.dtype
) -> tuple[Float[Tensor, "triple gradient"], Float[Tensor, "triple gradient gradient"]]:
    """Give the scores of groups of triples of one relation each, and the products of their gradients in a type."""
    within = cast(_Within, indexed)
    groups = within.groups.tensor
    shape = (groups.shape[0], groups.shape[1])
    layout, ahead = _Layout(place=within.place.tensor, shape=shape), engine.ahead(within.batch)
    tails = engine.model.entities[ahead.batch.triples[:, 2]]
    own_scores = layout.back(scores(engine.model, ahead, tails)[:, None])[:, :, 0]
    output = output_factors(engine.model, ahead, tails)
    lower = engine.everything_below(ahead, output)
    output = cast_tensors(output, dtype)
    dense = _Dense(
        engine=engine,
        layout=layout,
        ahead=ahead,
        output=output,
        along=times_output(engine.preconditioner, output),
        lower=lower,
    )
    total = own_scores.new_zeros(*shape, shape[1], dtype=dtype)
    for term in counted(DENSE_PRODUCTS, engine.tracked):
        total += term.function(dense)
    return own_scores, total + _row_products(dense, groups)


def inverse(order: Int[ndarray, " row"]) -> Int[ndarray, " row"]:
    """Invert a permutation."""
    return np.argsort(order)


def _row_products(dense: _Dense, ids: Int[Tensor, "triple gradient 3"]) -> Float[Tensor, "triple gradient gradient"]:
    """Add up the terms of the embedding tables."""
    engine = dense.engine
    own = cast_tensors(engine.embeddings(dense.ahead, dense.lower), dense.output.at_projection.dtype)
    along = times_rows(engine.preconditioner, own)
    own_by_row, along_by_row = (
        {row: dense.layout.back(gradients) for row, gradients in rows.by_row().items()} for rows in (own, along)
    )
    rows = _Rows(ids=ids, own=own_by_row, along=along_by_row)
    total = own.tail.new_zeros(*ids.shape[:2], ids.shape[1])
    for term in counted(ROW_PRODUCTS, engine.tracked):
        total += term.function(rows)
    return total


def _fc_weight(of: _Dense) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the gradients d ⊗ features: ⟨d_k, d_l ∘ P (features_k ∘ features_l)⟩."""
    engine = of.engine
    features = engine.features(of.ahead)
    mine = of.layout.back(of.output.at_projection)
    features = of.layout.back(engine.precision.operand(features)).to(mine.dtype)
    if FC_WEIGHT not in engine.preconditioner:
        return (mine @ mine.transpose(1, 2)) * (features @ features.transpose(1, 2))
    columns, scale = [], engine.preconditioner.diagonal(FC_WEIGHT).to(mine.dtype)
    for k in range(mine.shape[1]):
        along = (features * features[:, k, None]) @ scale
        columns.append((mine * along.mul_(mine[:, k, None])).sum(dim=2))
    return torch.stack(columns, dim=2)


def _fc_bias(of: _Dense) -> Float[Tensor, "triple gradient gradient"]:
    return of.layout.gram(of.output.at_projection, of.along.at_projection)


def _beside_fc(of: _Dense) -> Float[Tensor, "triple gradient gradient"]:
    tracked, gradients = of.engine.tracked, of.lower.moments @ of.engine.jacobian()
    gradients = gradients.to(of.output.at_projection.dtype)
    times = times_convolution(of.engine.preconditioner, tracked, gradients)
    return of.layout.gram(side_by_side(tracked, of.output, gradients), side_by_side(tracked, of.along, times))


DenseProducts: TypeAlias = Callable[[_Dense], Tensor]
DENSE_PRODUCTS: tuple[Term[DenseProducts], ...] = (
    Term(name="fc.weight", tensors={FC_WEIGHT}, function=_fc_weight),
    Term(name="fc.bias", tensors={FC_BIAS}, function=_fc_bias),
    Term(name="bn0, conv1, bn1 and bn2", tensors=BESIDE_FC, function=_beside_fc),
)

RowProducts: TypeAlias = Callable[[_Rows], Tensor]
ROW_PRODUCTS: tuple[Term[RowProducts], ...] = (
    Term(name="relation rows", tensors={RELATIONS}, function=lambda rows: rows.meet("relation", "relation")),
    Term(name="head rows", tensors={ENTITIES}, function=lambda rows: rows.meet("head", "head")),
    Term(name="tail rows", tensors={ENTITIES}, function=lambda rows: rows.meet("tail", "tail")),
    Term(name="head rows that are tail rows", tensors={ENTITIES}, function=lambda rows: rows.meet("head", "tail")),
    Term(
        name="tail rows that are head rows",
        tensors={ENTITIES},
        function=lambda rows: rows.meet("head", "tail").transpose(1, 2),
    ),
    Term(name="entity biases", tensors={ENTITY_BIAS}, function=lambda rows: rows.meet("tail_bias", "tail_bias")),
)

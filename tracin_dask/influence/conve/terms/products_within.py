"""The terms of the products of gradients within a group of triples, such as a triple and its corrupted ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_pass import Forward, scores
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows, LowerFactors, OutputFactors, output_factors
from tracin_dask.influence.conve.preconditioned import times_convolution, times_output, times_rows
from tracin_dask.influence.conve.tensor_names import BESIDE_FC, ENTITIES, ENTITY_BIAS, FC_BIAS, FC_WEIGHT, RELATIONS
from tracin_dask.influence.conve.terms.dense import side_by_side
from tracin_dask.influence.engine import Indexed
from tracin_dask.influence.id_join import is_same
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.tensors import cast_tensors, select
from tracin_dask.influence.terms import COLUMN, Row, Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Within:
    """Groups of triples, sorted as one batch."""

    place: IndexArray
    """Where each gradient lies in the batch: [triple, gradient]."""
    batch: Batch

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """The gradients of groups of triples, one group after the other, in the type of the products; and P times these.

    What has no P is the same tensor twice.
    """

    engine: PairEngine
    ahead: Forward
    place: Int[Tensor, "triple gradient"]
    output: OutputFactors
    along: OutputFactors
    convolution: Float[Tensor, "row parameter"]
    """By the tracked tensors of bn0, conv1 and bn1."""
    rows: EmbeddingRows
    along_rows: EmbeddingRows
    projections: Float[Tensor, "triple gradient gradient"]
    """⟨d_k, d_l⟩ of the gradients at the projection's output."""

    @property
    def rows_in_batch(self) -> Int[Tensor, " row"]:
        """Give the row of the batch of each gradient."""
        return self.place.flatten()

    def ids(self, row: Row) -> Int[Tensor, "triple gradient"]:
        """Give the ids of one row of each triple."""
        return self.rows.triples[:, COLUMN[row]].view(self.place.shape)

    def gram(self, left: Float[Tensor, "row width"], right: Float[Tensor, "row width"]) -> Tensor:
        """Multiply each triple's gradients with each other: [triple, gradient, gradient]."""
        return gram(left, right, self.place)


def gram(
    left: Float[Tensor, "row width"], right: Float[Tensor, "row width"], place: Int[Tensor, "triple gradient"]
) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the vectors of each group with each other."""
    return left.view(*place.shape, -1) @ right.view(*place.shape, -1).transpose(1, 2)


def index_within(engine: PairEngine, ids: Int[ndarray, "triple gradient 3"], arrays: IndexArrays) -> Indexed:
    """Sort groups of triples, so that equal (head, relation) share their forward pass."""
    flat = ids.reshape(-1, 3)
    order = np.lexsort(flat.T[::-1])
    place = inverse(order).reshape(ids.shape[:2])
    return _Within(place=arrays.put(place), batch=engine.index(flat[order], arrays))


def products_within(
    engine: PairEngine, indexed: Indexed, dtype: torch.dtype
) -> tuple[Float[Tensor, "triple gradient"], Float[Tensor, "triple gradient gradient"]]:
    """Give the scores of groups of triples of one relation each, and the products of their gradients in a type."""
    within = cast(_Within, indexed)
    place, ahead = within.place.tensor, engine.ahead(within.batch)
    tails = engine.model.entities[ahead.batch.triples[:, 2]]
    own_scores = scores(engine.model, ahead, tails).index_select(0, place.flatten()).view(place.shape)
    output = output_factors(engine.model, ahead, tails)
    del tails  # before rows are carried back
    lower = engine.everything_below(ahead, output)
    return own_scores, products_of(engine, ahead, output, lower, place=place, dtype=dtype)


def products_of(
    engine: PairEngine,
    ahead: Forward,
    output: OutputFactors,
    lower: LowerFactors,
    *,
    place: Int[Tensor, "triple gradient"],
    dtype: torch.dtype,
) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the gradients of groups of rows of a batch, carried back whole, with each other in a type."""
    row, preconditioner = place.flatten(), engine.preconditioner
    at = cast_tensors(select(output, row), dtype)
    rows = cast_tensors(select(engine.embeddings(ahead, lower), row), dtype)
    groups = _Groups(
        engine=engine,
        ahead=ahead,
        place=place,
        output=at,
        along=times_output(preconditioner, at),
        convolution=(lower.moments @ engine.jacobian()).index_select(0, row).to(dtype),
        rows=rows,
        along_rows=times_rows(preconditioner, rows),
        projections=gram(at.at_projection, at.at_projection, place),
    )
    products = [term.function(groups) for term in counted(PRODUCTS, engine.tracked)]
    return reduce(torch.add, products or [torch.zeros_like(groups.projections)])


def inverse(order: Int[ndarray, " row"]) -> Int[ndarray, " row"]:
    """Invert a permutation."""
    return np.argsort(order)


def _fc_weight(of: _Groups) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the gradients d ⊗ features: ⟨d_k, d_l ∘ P (features_k ∘ features_l)⟩."""
    if FC_WEIGHT in of.engine.preconditioner:
        return _fc_weight_through_preconditioner(of)
    pair = of.ahead.batch.pair.index_select(0, of.rows_in_batch)
    products = []
    for part in of.ahead.passes:
        features = of.engine.precision.operand(part.activations(of.engine.model)[1])
        key = pair if part.key_of_pair is None else part.key_of_pair.index_select(0, pair)
        mine = features.index_select(0, key).to(of.projections.dtype)
        products.append(of.gram(mine, mine))
        del mine  # before the next region
    return reduce(torch.add, products) * of.projections


def _fc_weight_through_preconditioner(of: _Groups) -> Float[Tensor, "triple gradient gradient"]:
    """Do the same where fc.weight has a P, for one gradient of each group after the other."""
    engine, shape, columns = of.engine, of.place.shape, []
    mine = of.output.at_projection.view(*shape, -1)
    features = engine.precision.operand(engine.features(of.ahead)).index_select(0, of.rows_in_batch)
    features = features.to(mine.dtype).view(*shape, -1)
    scale = engine.preconditioner.diagonal(FC_WEIGHT).to(mine.dtype)
    for k in range(shape[1]):
        along = (features * features[:, k, None]) @ scale
        columns.append((mine * along.mul_(mine[:, k, None])).sum(dim=2))
    return torch.stack(columns, dim=2)


def _fc_bias(of: _Groups) -> Float[Tensor, "triple gradient gradient"]:
    own, along = of.output.at_projection, of.along.at_projection
    return of.projections if along is own else of.gram(own, along)


def _beside_fc(of: _Groups) -> Float[Tensor, "triple gradient gradient"]:
    engine, convolution = of.engine, of.convolution
    own = side_by_side(engine.tracked, of.output, convolution)
    times = times_convolution(engine.preconditioner, engine.tracked, convolution)
    has_scales = any(name in engine.preconditioner for name in BESIDE_FC & engine.tracked)
    return of.gram(own, side_by_side(engine.tracked, of.along, times) if has_scales else own)


def _relation_rows(of: _Groups) -> Float[Tensor, "triple gradient gradient"]:
    ids = of.ids("relation")
    return of.gram(of.rows.relation, of.along_rows.relation) * is_same(ids, ids)


def _entity_rows(of: _Groups) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the gradients of heads and tails: two of each triple, which meet where they are of one entity."""
    own = _heads_and_tails(of, of.rows)
    along = own if of.along_rows.head is of.rows.head else _heads_and_tails(of, of.along_rows)
    ids = torch.cat([of.ids("head"), of.ids("tail")], dim=1)
    products = (own @ along.transpose(1, 2)).mul_(is_same(ids, ids))
    number, each = of.place.shape
    return products.view(number, 2, each, 2, each).sum(dim=(1, 3))


def _heads_and_tails(of: _Groups, rows: EmbeddingRows) -> Float[Tensor, "triple two_gradients dim"]:
    return torch.cat([gradients.view(*of.place.shape, -1) for gradients in (rows.head, rows.tail)], dim=1)


def _entity_biases(of: _Groups) -> Float[Tensor, "triple gradient gradient"]:
    ids = of.ids("tail")
    return of.gram(of.rows.tail_bias[:, None], of.along_rows.tail_bias[:, None]) * is_same(ids, ids)


Products: TypeAlias = Callable[[_Groups], Tensor]
PRODUCTS: tuple[Term[Products], ...] = (
    Term(name="fc.weight", tensors={FC_WEIGHT}, function=_fc_weight),
    Term(name="fc.bias", tensors={FC_BIAS}, function=_fc_bias),
    Term(name="bn0, conv1, bn1 and bn2", tensors=BESIDE_FC, function=_beside_fc),
    Term(name="relation rows", tensors={RELATIONS}, function=_relation_rows),
    Term(name="entity rows", tensors={ENTITIES}, function=_entity_rows),
    Term(name="entity biases", tensors={ENTITY_BIAS}, function=_entity_biases),
)

"""The terms of ⟨∇loss_i, P ∇loss_i⟩, the squared norm of each triple's own gradient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, index_batch
from tracin_dask.influence.conve.all_scores import PairGradients, moved_rows, pair_gradients
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_pass import Forward, RegionPass, scores
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows, LowerFactors, OutputFactors, output_factors
from tracin_dask.influence.conve.preconditioned import times_convolution, times_output, times_rows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import BESIDE_FC, ENTITIES, ENTITY_BIAS, FC, FC_WEIGHT, RELATIONS
from tracin_dask.influence.conve.terms.all_scores_norm import AllScoresNorm
from tracin_dask.influence.conve.terms.dense import projection_weight, side_by_side
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.tensors import add_up, dot_rows, scaled_squares, wide_squares
from tracin_dask.influence.terms import Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dense:
    """The gradients of a batch by the tensors that every score shares, and P times these."""

    engine: PairEngine
    ahead: Forward
    output: OutputFactors
    along: OutputFactors
    lower: LowerFactors


@dataclass(frozen=True, slots=True, kw_only=True)
class NormIndex:
    """A batch whose gradients meet themselves."""

    batch: Batch
    moved: IndexArray
    """The triples whose pair has several tails: [moved]. None under a loss of the triples' own scores."""

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtAllScores:
    """What squares need of gradients at all scores: those of a batch's pairs, and the sums that a norm asked for."""

    norm: AllScoresNorm
    found: PairGradients
    sums: Sequence[Float[Tensor, "pair 1"]]


def index_norms(engine: PairEngine, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> NormIndex:
    """Find the runs of a batch, and which of its tails are not those of their pairs."""
    shares_pairs = engine.reader is None or engine.reader.shares_pairs
    batch = index_batch(
        ids, arrays, shares_pairs=shares_pairs, by_relation=engine.model.region(Sees.RELATION) is not None
    )
    moved = np.empty(0, np.int64) if engine.reader is None else moved_rows(batch)
    return NormIndex(batch=batch, moved=arrays.put(moved))


def squared_norms(engine: PairEngine, indexed: NormIndex) -> Float[Tensor, " batch"]:
    """Compute learning_rate · ⟨∇loss_i, P ∇loss_i⟩ for every triple i, in float64."""
    ahead = engine.ahead(indexed.batch)
    tails = engine.model.entities.index_select(0, indexed.batch.triples[:, 2])
    if engine.reader is None:
        output, delta = output_factors(engine.model, ahead, tails), engine.delta(ahead, tails)
        del tails
        return squares_at_own_scores(engine, ahead, output, engine.everything_below(ahead, output), delta)
    norm, own = AllScoresNorm(engine.tracked, engine.preconditioner), scores(engine.model, ahead, tails)
    del tails
    found = pair_gradients(engine.reader, ahead, own, indexed.moved.tensor, norm.sums)
    output = output_factors(engine.model, ahead, found.at_output(engine.reader, indexed.batch))
    at_all = AtAllScores(norm=norm, found=found, sums=found.at_pairs.sums)
    return squares_at_all_scores(engine, ahead, output, engine.everything_below(ahead, output), at_all)


def squares_at_own_scores(
    engine: PairEngine, ahead: Forward, output: OutputFactors, lower: LowerFactors, delta: Float[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Compute the same from the factors of the gradients of all rows, and the losses' derivatives by their scores."""
    total = _dense_squares(engine, ahead, output, lower)
    own = engine.embeddings(ahead, lower)
    total += row_squares(engine.tracked, own, times_rows(engine.preconditioner, own))
    return scaled_squares(total, delta.double()).mul_(engine.learning_rate)


def squares_at_all_scores(
    engine: PairEngine, ahead: Forward, output: OutputFactors, lower: LowerFactors, at_all: AtAllScores
) -> Float[Tensor, " batch"]:
    """Do the same for a loss of all scores."""
    assert engine.reader is not None  # noqa: S101 - of such losses
    total = _dense_squares(engine, ahead, output, lower)
    own = engine.embeddings(ahead, lower)
    heads, _, tails = ahead.batch.triples.T
    at_heads = engine.reader.at_heads(own.tail, tails, heads)
    sums = at_all.norm.of_rows(engine.reader, ahead, at_all.found, at_all.sums)
    total += at_all.norm.total(own, times_rows(engine.preconditioner, own), sums, at_heads)
    return wide_squares(total).mul_(engine.learning_rate)


def _dense_squares(
    engine: PairEngine, ahead: Forward, output: OutputFactors, lower: LowerFactors
) -> Float[Tensor, " batch"]:
    """Add up the terms of the tensors that every score shares."""
    dense = _Dense(
        engine=engine, ahead=ahead, output=output, along=times_output(engine.preconditioner, output), lower=lower
    )
    parts = (term.function(dense) for term in counted(DENSE_SQUARES, engine.tracked))
    return add_up((part for part in parts if part is not None), output.at_projection[:, 0])


def row_squares(tracked: frozenset[str], own: EmbeddingRows, along: EmbeddingRows) -> Float[Tensor, " row"]:
    """Add up the terms of the embedding tables, from a gradient and P times it."""
    return add_up((term.function(own, along) for term in counted(ROW_SQUARES, tracked)), own.tail_bias)


def is_loop(rows: EmbeddingRows) -> Float[Tensor, " row"]:
    """Give 1 where head and tail are the same entity, so that their gradients are of one row; else 0."""
    return (rows.triples[:, 0] == rows.triples[:, 2]).to(rows.head.dtype)


def _fc(of: _Dense) -> Float[Tensor, " batch"]:
    engine = of.engine
    if FC_WEIGHT in engine.tracked and FC_WEIGHT not in engine.preconditioner:
        squares = _feature_squares(engine, of.ahead)[:, None]
    else:
        squares = torch.zeros_like(of.output.at_projection[:, :1])
    weight = projection_weight(engine.tracked, squares)[:, 0]
    return weight * dot_rows(of.output.at_projection, of.along.at_projection)


def _fc_weight_through_preconditioner(of: _Dense) -> Float[Tensor, " batch"] | None:
    if FC_WEIGHT not in of.engine.preconditioner:
        return None
    squares = _scaled_feature_squares(of.engine, of.ahead, of.engine.preconditioner.diagonal(FC_WEIGHT))
    return dot_rows(of.output.at_projection.square(), squares.index_select(0, of.ahead.batch.pair))


def _beside_fc(of: _Dense) -> Float[Tensor, " batch"]:
    tracked, gradients = of.engine.tracked, of.lower.moments @ of.engine.jacobian()
    times = times_convolution(of.engine.preconditioner, tracked, gradients)
    own = side_by_side(tracked, of.output, gradients)
    is_plain = not any(name in of.engine.preconditioner for name in BESIDE_FC)
    return dot_rows(own, own if is_plain else side_by_side(tracked, of.along, times))


def _feature_squares(engine: PairEngine, ahead: Forward) -> Float[Tensor, " batch"]:
    """Give ‖features‖² of each triple."""

    def of_pairs(part: RegionPass) -> Float[Tensor, " pair"]:
        features = engine.precision.operand(part.activations(engine.model)[1]).to(ahead.x.dtype)
        return part.by_pair(dot_rows(features, features)[:, None])[:, 0]

    return add_up(map(of_pairs, ahead.passes), ahead.x[:, 0]).index_select(0, ahead.batch.pair)


def _scaled_feature_squares(
    engine: PairEngine, ahead: Forward, scale: Float[Tensor, "feature dim"]
) -> Float[Tensor, "pair dim"]:
    """Multiply the squared features of each pair with P of fc.weight."""
    total, operand = torch.zeros_like(ahead.x), engine.precision.operand
    for part in ahead.passes:
        squares = part.activations(engine.model)[1].square()
        total += part.by_pair(engine.precision.product(operand(squares), operand(scale[part.region.features])))
    return total


DenseSquare: TypeAlias = Callable[[_Dense], Tensor | None]
"""None where another term has its part."""
DENSE_SQUARES: tuple[Term[DenseSquare], ...] = (
    Term(name="fc", tensors=FC, function=_fc),
    Term(name="fc.weight through P", tensors={FC_WEIGHT}, function=_fc_weight_through_preconditioner),
    Term(name="bn0, conv1, bn1 and bn2", tensors=BESIDE_FC, function=_beside_fc),
)

RowSquare: TypeAlias = Callable[[EmbeddingRows, EmbeddingRows], Tensor]
ROW_SQUARES: tuple[Term[RowSquare], ...] = (
    Term(name="relation row", tensors={RELATIONS}, function=lambda own, along: dot_rows(own.relation, along.relation)),
    Term(name="head row", tensors={ENTITIES}, function=lambda own, along: dot_rows(own.head, along.head)),
    Term(name="tail row", tensors={ENTITIES}, function=lambda own, along: dot_rows(own.tail, along.tail)),
    Term(
        name="head row that is the tail row",
        tensors={ENTITIES},
        function=lambda own, along: 2 * dot_rows(own.head, along.tail) * is_loop(own),
    ),
    Term(name="entity bias", tensors={ENTITY_BIAS}, function=lambda own, along: own.tail_bias * along.tail_bias),
)
"""From a gradient, and P times it."""

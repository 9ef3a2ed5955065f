"""The terms of the derivative of x(h, r) along the gradients of test triples, in the order of forward mode."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_mode import (
    MovedImages,
    MovingRegion,
    moved_images,
    moved_outputs,
    moved_projection,
    moving_region,
    pieces_of_tests,
)
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.conve.moved_pairs import MovedPairs
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import (
    BELOW_PROJECTION,
    BN2_BIAS,
    BN2_WEIGHT,
    ENTITIES,
    FC_BIAS,
    FC_WEIGHT,
    INSIDE,
    RELATIONS,
)
from tracin_dask.influence.conve.terms.dense import DenseTerms, constant_direction
from tracin_dask.influence.conve.terms.fc_weight import SharedFeatures, WeightTerms, products_by_row
from tracin_dask.influence.conve.terms.rows import RowTerms
from tracin_dask.influence.tensors import select_rows
from tracin_dask.influence.terms import Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _TestSide:
    """The test triples' gradients, along which pairs move."""

    engine: PairEngine
    test: TestFactors
    rows: RowTerms
    constant: Float[Tensor, "test dim"]
    relations: Float[Tensor, "test relation dim"] | None
    """How the relation table's part of the projection's output moves."""
    images: Sequence[MovedImages]
    weights: WeightTerms | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moving:
    """The pairs of a batch, which move along some test triples' gradients at a time."""

    ahead: Forward
    regions: Sequence[MovingRegion]
    pairs: MovedPairs
    features: SharedFeatures | None
    """What goes through P, if there is a P of fc.weight."""


class DirectionTerms:
    """The test triples' side of these terms."""

    def __init__(self, engine: PairEngine, test: TestFactors, dense: DenseTerms, rows: RowTerms) -> None:
        """Take P times the gradients of the test triples, on the engine's device."""
        relations = None
        if engine.relations is not None:
            jacobian = engine.relations.jacobian.to(test.moments.dtype)
            relations = torch.stack([moments @ jacobian for moments in test.moments])
        self._side = _TestSide(
            engine=engine,
            test=test,
            rows=rows,
            constant=constant_direction(engine.tracked, engine.model, test.output),
            relations=relations,
            images=moved_images(engine.model, test.embeddings, engine.tracked),
            weights=dense.weights,
        )

    def products(
        self, ahead: Forward, tails: Float[Tensor, "batch dim"], pairs: MovedPairs
    ) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with its pair's derivative along each test triple's gradient."""
        side, moving = self._side, self._moving(ahead, pairs)
        total = tails.new_empty(len(tails), len(side.test))
        for tests in pieces_of_tests(side.engine.model, ahead, len(side.test)):
            total[:, tests] = products_by_row(tails, self._directions(moving, tests), ahead.batch.pair)
        return total

    def _moving(self, ahead: Forward, pairs: MovedPairs) -> _Moving:
        engine, weights = self._side.engine, self._side.weights
        passes = ahead.passes if engine.tracked & BELOW_PROJECTION else ()
        return _Moving(
            ahead=ahead,
            regions=[moving_region(engine.model, part) for part in passes],
            pairs=pairs,
            features=None if weights is None else weights.share(ahead),
        )

    def _directions(self, moving: _Moving, tests: slice) -> Float[Tensor, "some_test pair dim"]:
        x = moving.ahead.x
        direction = x.new_zeros(tests.stop - tests.start, *x.shape)
        for term in counted(DIRECTION_TERMS, self._side.engine.tracked):
            term.function(direction, self._side, moving, tests)
        return direction


def _add_regions(
    direction: Float[Tensor, "some_test pair dim"], side: _TestSide, moving: _Moving, tests: slice
) -> None:
    for region in moving.regions:
        direction += region.part.by_pair(_region_moves(region, side, moving, tests))


def _region_moves(
    region: MovingRegion, side: _TestSide, moving: _Moving, tests: slice
) -> Float[Tensor, "some_test key dim"]:
    outputs = moved_outputs(region, side.test.moments[tests])
    if region.part.region.sees is Sees.BOTH:  # its keys are the pairs
        for images in side.images:
            moving.pairs.add(outputs, images.term, images.outputs, tests)
    return moved_projection(side.engine.model, region, outputs, side.engine.precision)


def _add_relations(
    direction: Float[Tensor, "some_test pair dim"], side: _TestSide, moving: _Moving, tests: slice
) -> None:
    if side.relations is not None:
        direction += select_rows(side.relations[tests], moving.ahead.batch.pairs[:, 1])


def _add_own_moves(
    direction: Float[Tensor, "some_test pair dim"], side: _TestSide, moving: _Moving, tests: slice
) -> None:
    side.rows.add_own_moves(direction, moving.pairs, tests)


def _add_weights(
    direction: Float[Tensor, "some_test pair dim"], side: _TestSide, moving: _Moving, tests: slice
) -> None:
    if side.weights is not None and moving.features is not None:
        direction += side.weights.moves(moving.features, tests)


def _add_overlap(
    direction: Float[Tensor, "some_test pair dim"], side: _TestSide, moving: _Moving, tests: slice
) -> None:
    if moving.ahead.overlap is not None:
        overlap = moving.ahead.overlap[:, tests].T
        direction.addcmul_(overlap[:, :, None], side.test.output.at_projection[tests, None])


def _scale(direction: Float[Tensor, "some_test pair dim"], side: _TestSide, _moving: _Moving, _tests: slice) -> None:
    direction *= side.engine.model.bn2_scale


def _add_constant(
    direction: Float[Tensor, "some_test pair dim"], side: _TestSide, _moving: _Moving, tests: slice
) -> None:
    direction += side.constant[tests, None]


def _add_bn2_weight(
    direction: Float[Tensor, "some_test pair dim"], side: _TestSide, moving: _Moving, tests: slice
) -> None:
    direction.addcmul_(moving.ahead.normalised, side.test.output.at_bn2_weight[tests, None])


def _close(direction: Float[Tensor, "some_test pair dim"], _side: _TestSide, moving: _Moving, _tests: slice) -> None:
    direction *= moving.ahead.is_open


Move: TypeAlias = Callable[[Tensor, _TestSide, _Moving, slice], None]
DIRECTION_TERMS: tuple[Term[Move], ...] = (
    Term(name="features of the regions", tensors=BELOW_PROJECTION, function=_add_regions),
    Term(name="features of the relation table", tensors=BELOW_PROJECTION, function=_add_relations),
    Term(name="own moves of embeddings", tensors={ENTITIES, RELATIONS}, function=_add_own_moves),
    Term(name="fc.weight through P", tensors={FC_WEIGHT}, function=_add_weights),
    Term(name="fc.weight", tensors={FC_WEIGHT}, function=_add_overlap),
    Term(name="scale of bn2", tensors=BELOW_PROJECTION | {FC_WEIGHT}, function=_scale),
    Term(name="bn2.bias and fc.bias", tensors={BN2_BIAS, FC_BIAS}, function=_add_constant),
    Term(name="bn2.weight", tensors={BN2_WEIGHT}, function=_add_bn2_weight),
    Term(name="closed outputs", tensors=INSIDE, function=_close),
)
"""Steps in place: the move of the projection's output, and after the scale of bn2 that of bn2's output."""

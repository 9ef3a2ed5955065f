"""The terms of the derivative of x(h, r) along the gradients of test triples, in the order of forward mode."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_mode import moved_images, moved_projection
from tracin_dask.influence.conve.forward_pass import Forward, RegionPass
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
from tracin_dask.influence.conve.terms.rows import RowTerms
from tracin_dask.influence.tensors import dot_rows
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moving:
    """The pairs of a batch, which move along one test triple's gradient after the other."""

    ahead: Forward
    regions: list[tuple[RegionPass, Iterator[Float[Tensor, "key dim"]]]]
    """Each region's part of the move of the projection's output, along the next test triple's gradient."""
    weights: Iterator[Float[Tensor, "pair dim"]] | None
    """The move along the next test triple's P ∇ of fc.weight, if there is a P."""


class DirectionTerms:
    """The test triples' side of these terms."""

    def __init__(self, engine: PairEngine, test: TestFactors, dense: DenseTerms, rows: RowTerms) -> None:
        """Take P times the gradients of the test triples, on the engine's device."""
        relations = None
        if engine.relations is not None:
            jacobian = engine.relations.jacobian.to(test.moments.dtype)
            relations = torch.stack([moments @ jacobian for moments in test.moments])
        constant = constant_direction(engine.tracked, engine.model, test.output)
        self._weights = dense.weights
        self._side = _TestSide(engine=engine, test=test, rows=rows, constant=constant, relations=relations)

    def products(self, ahead: Forward, tails: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with its pair's derivative along each test triple's gradient."""
        total, pair = tails.new_empty(len(tails), len(self._side.test)), ahead.batch.pair
        for test, direction in enumerate(self._directions(ahead)):
            total[:, test] = dot_rows(tails, direction.index_select(0, pair))
        return total

    def _directions(self, ahead: Forward) -> Iterator[Float[Tensor, "pair dim"]]:
        moving = _Moving(
            ahead=ahead,
            regions=self._regions(ahead),
            weights=None if self._weights is None else self._weights.moves(ahead),
        )
        terms = counted(DIRECTION_TERMS, self._side.engine.tracked)
        for test in range(len(self._side.test)):
            direction = torch.zeros_like(ahead.x)
            for term in terms:
                term.function(direction, self._side, moving, test)
            yield direction

    def _regions(self, ahead: Forward) -> list[tuple[RegionPass, Iterator[Float[Tensor, "key dim"]]]]:
        """Begin to move each region's features along the test triples' gradients."""
        engine, test, moving = self._side.engine, self._side.test, []
        if not engine.tracked & BELOW_PROJECTION:
            return []
        for part in ahead.passes:
            images = None
            if part.region.sees is Sees.BOTH:
                ids = self._side.rows.ids
                images = moved_images(
                    engine.model, part.region, ahead.batch, ids, test.embeddings, tracked=engine.tracked
                )
            moving.append((part, moved_projection(engine.model, part, test.moments, engine.precision, images)))
        return moving


def _add_regions(direction: Float[Tensor, "pair dim"], _side: _TestSide, moving: _Moving, _test: int) -> None:
    for part, moved in moving.regions:
        direction += part.by_pair(next(moved))


def _add_relations(direction: Float[Tensor, "pair dim"], side: _TestSide, moving: _Moving, test: int) -> None:
    if side.relations is not None:
        direction += side.relations[test].index_select(0, moving.ahead.batch.pairs[:, 1])


def _add_own_moves(direction: Float[Tensor, "pair dim"], side: _TestSide, moving: _Moving, test: int) -> None:
    side.rows.add_own_moves(direction, moving.ahead.batch, test)


def _add_weights(direction: Float[Tensor, "pair dim"], _side: _TestSide, moving: _Moving, _test: int) -> None:
    if moving.weights is not None:
        direction += next(moving.weights)


def _add_overlap(direction: Float[Tensor, "pair dim"], side: _TestSide, moving: _Moving, test: int) -> None:
    if moving.ahead.overlap is not None:
        direction.addcmul_(moving.ahead.overlap[:, test, None], side.test.output.at_projection[test])


def _scale(direction: Float[Tensor, "pair dim"], side: _TestSide, _moving: _Moving, _test: int) -> None:
    direction *= side.engine.model.bn2_scale


def _add_constant(direction: Float[Tensor, "pair dim"], side: _TestSide, _moving: _Moving, test: int) -> None:
    direction += side.constant[test]


def _add_bn2_weight(direction: Float[Tensor, "pair dim"], side: _TestSide, moving: _Moving, test: int) -> None:
    direction.addcmul_(moving.ahead.normalised, side.test.output.at_bn2_weight[test])


def _close(direction: Float[Tensor, "pair dim"], _side: _TestSide, moving: _Moving, _test: int) -> None:
    direction *= moving.ahead.is_open


Move: TypeAlias = Callable[[Tensor, _TestSide, _Moving, int], None]
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

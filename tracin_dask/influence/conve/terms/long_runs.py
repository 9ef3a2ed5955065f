"""The terms of the directions of pairs: how bn2's output moves along every test triple's gradient, pair by pair.

They are made from the pair's Jacobian; each training triple of the pair then costs one inner product over the units of
x that are open, which pays where a pair has many training triples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.conve.gradient_factors import OutputFactors
from tracin_dask.influence.conve.jacobians import kernel_jacobians, key_chunks
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import BN2_WEIGHT, CONVOLUTION, FC_WEIGHT
from tracin_dask.influence.conve.terms.dense import constant_direction
from tracin_dask.influence.terms import Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUnits:
    """The units of x that the last ReLU lets through, pair by pair; a direction has no other entries."""

    place: Int[Tensor, " unit"]
    """Pair · dim + unit."""
    pair: Int[Tensor, " unit"]
    dim: Int[Tensor, " unit"]
    bounds: list[tuple[int, int]]
    """First entry, and the entry after the last, of each pair."""


def open_units(is_open: Float[Tensor, "pair dim"]) -> OpenUnits:
    """List the open units; the host waits for their number."""
    place = is_open.flatten().nonzero()[:, 0]
    return _units(place, is_open, is_open.sum(dim=1).cumsum(dim=0).long().tolist())


def _units(place: Int[Tensor, " unit"], is_open: Float[Tensor, "pair dim"], stops: list[int]) -> OpenUnits:
    dim = is_open.shape[1]
    pair = place // dim
    return OpenUnits(place=place, pair=pair, dim=place - pair * dim, bounds=list(pairwise([0, *stops])))


@dataclass(frozen=True, slots=True, kw_only=True)
class _TestSide:
    """The test triples' gradients, laid out for directions."""

    engine: PairEngine
    moments: Float[Tensor, "moment test"]
    """An operand."""
    constant: Float[Tensor, "dim test"]
    at_projection: Float[Tensor, "dim test"]
    """Times the scale of bn2."""
    at_bn2_weight: Float[Tensor, "dim test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Some pairs of a batch."""

    ahead: Forward
    shared: dict[Sees, Float[Tensor, "key moment dim"]]
    """The Jacobians of regions that several pairs share."""
    pairs: slice
    units: OpenUnits

    def relation(self) -> Int[Tensor, " pair"]:
        """Give the relation of each pair."""
        return self.ahead.batch.pairs[self.pairs, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """The directions of some pairs."""

    pairs: slice
    units: OpenUnits
    along: Float[Tensor, "unit test"]
    """An operand."""


class LongRunTerms:
    """The test triples' side of these terms."""

    def __init__(self, engine: PairEngine, test: TestFactors) -> None:
        """Take P times the gradients of the test triples, with rows of zeros up to the columns of the sums."""
        output = test.output
        self._side = _TestSide(
            engine=engine,
            moments=engine.precision.operand(test.moments).T,
            constant=constant_direction(engine.tracked, engine.model, output).T.contiguous(),
            at_projection=(engine.model.bn2_scale * output.at_projection).T.contiguous(),
            at_bn2_weight=output.at_bn2_weight.T.contiguous(),
        )

    def products(self, ahead: Forward, output: OutputFactors) -> Float[Tensor, "batch test"]:
        """Multiply the open units of each training triple's tail with the directions of its pair."""
        precision, bounds = self._side.engine.precision, ahead.batch.pair_runs.bounds
        total = output.at_bn2.new_empty(len(output.at_bn2), self._side.constant.shape[1])
        at_bn2 = precision.operand(output.at_bn2)
        for made in self._directions(ahead):
            for (start, stop), (first, last) in zip(bounds[made.pairs], made.units.bounds, strict=True):
                mine = at_bn2[start:stop].index_select(1, made.units.dim[first:last])
                precision.write_product(total[start:stop], mine, made.along[first:last])
        return total

    def _directions(self, ahead: Forward) -> Iterator[Directions]:
        """Make the directions of all pairs of a batch, chunk by chunk."""
        engine = self._side.engine
        shared = self._shared_jacobians(ahead)
        for pairs in key_chunks(engine.model, len(ahead.batch.pairs)):
            units = open_units(ahead.is_open[pairs])
            some = _Pairs(ahead=ahead, shared=shared, pairs=pairs, units=units)
            along = self._side.constant.index_select(0, units.dim)
            for term in counted(LONG_RUN_TERMS, engine.tracked):
                term.function(along, self._side, some)
            yield Directions(pairs=pairs, units=units, along=engine.precision.operand(along))
            del along  # before the next ones are made

    def _shared_jacobians(self, ahead: Forward) -> dict[Sees, Float[Tensor, "key moment dim"]]:
        """Compute the Jacobians of the regions whose keys several pairs share."""
        engine = self._side.engine
        shared = [part for part in ahead.passes if part.key_of_pair is not None and engine.tracks_convolution]
        return {part.region.sees: kernel_jacobians(engine.model, part, engine.precision) for part in shared}


def _add_moments(along: Float[Tensor, "unit test"], side: _TestSide, some: _Pairs) -> None:
    engine, units = side.engine, some.units
    jacobians = _jacobians(engine, some).transpose(1, 2).flatten(end_dim=1)
    rows = jacobians.index_select(0, units.place).mul_(engine.model.bn2_scale.index_select(0, units.dim)[:, None])
    engine.precision.add_product(along, engine.precision.operand(rows), side.moments)


def _add_overlap(along: Float[Tensor, "unit test"], side: _TestSide, some: _Pairs) -> None:
    if some.ahead.overlap is not None:
        overlap = some.ahead.overlap[some.pairs].index_select(0, some.units.pair)
        along.addcmul_(overlap, side.at_projection.index_select(0, some.units.dim))


def _add_bn2_weight(along: Float[Tensor, "unit test"], side: _TestSide, some: _Pairs) -> None:
    normalised = some.ahead.normalised[some.pairs].flatten().index_select(0, some.units.place)
    along.addcmul_(normalised[:, None], side.at_bn2_weight.index_select(0, some.units.dim))


AddDirections: TypeAlias = Callable[[Tensor, _TestSide, _Pairs], None]
LONG_RUN_TERMS: tuple[Term[AddDirections], ...] = (
    Term(name="bn0, conv1 and bn1", tensors=CONVOLUTION, function=_add_moments),
    Term(name="fc.weight", tensors={FC_WEIGHT}, function=_add_overlap),
    Term(name="bn2.weight", tensors={BN2_WEIGHT}, function=_add_bn2_weight),
)
"""Added to the constant part of the directions."""


def _jacobians(engine: PairEngine, some: _Pairs) -> Float[Tensor, "pair moment dim"]:
    """Add up the Jacobians by the kernel, of some pairs."""
    model, num_pairs = engine.model, len(some.relation())
    total = model.kernel.new_zeros(num_pairs, model.kernel.numel(), model.config.embedding_dim)
    for term in PAIR_JACOBIANS:
        term.function(total, engine, some)
    return total


def _add_region(total: Float[Tensor, "pair moment dim"], engine: PairEngine, some: _Pairs, *, sees: Sees) -> None:
    for part in some.ahead.passes:
        if part.region.sees is sees and part.key_of_pair is None:
            total += kernel_jacobians(engine.model, part, engine.precision, some.pairs)
        elif part.region.sees is sees and part.key_of_pair is not None:
            total += some.shared[sees][part.key_of_pair[some.pairs]]


def _add_relation_table(total: Float[Tensor, "pair moment dim"], engine: PairEngine, some: _Pairs) -> None:
    if engine.relations is not None:
        total += engine.relations.jacobian[some.relation()]


AddJacobians: TypeAlias = Callable[[Tensor, PairEngine, _Pairs], None]
PAIR_JACOBIANS: tuple[Term[AddJacobians], ...] = (
    Term(name="region of the head", tensors=CONVOLUTION, function=partial(_add_region, sees=Sees.HEAD)),
    Term(name="region of both", tensors=CONVOLUTION, function=partial(_add_region, sees=Sees.BOTH)),
    Term(name="region of the relation", tensors=CONVOLUTION, function=partial(_add_region, sees=Sees.RELATION)),
    Term(name="relation table", tensors=CONVOLUTION, function=_add_relation_table),
)

"""Directions of pairs: the derivative of bn2's output along every test triple's gradient, of one (head, relation).

They are made from the pair's Jacobian; each training triple of the pair then costs one inner product over the units of
x that are open, which pays where there are many.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_backward import Forward, RegionPass
from tracin_dask.influence.conve.jacobians import kernel_jacobians, key_chunks


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


def every_unit(is_open: Float[Tensor, "pair dim"]) -> OpenUnits:
    """List all units, open or not: nobody waits, and the tails' closed units are zero anyway."""
    num_pairs, dim = is_open.shape
    place = torch.arange(num_pairs * dim, device=is_open.device)
    return _units(place, is_open, list(range(dim, (num_pairs + 1) * dim, dim)))


def _units(place: Int[Tensor, " unit"], is_open: Float[Tensor, "pair dim"], stops: list[int]) -> OpenUnits:
    dim = is_open.shape[1]
    pair = place // dim
    return OpenUnits(place=place, pair=pair, dim=place - pair * dim, bounds=list(pairwise([0, *stops])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """The directions of some pairs."""

    pairs: slice
    units: OpenUnits
    along: Float[Tensor, "unit test"]
    """An operand."""


class DirectionMaker:
    """Makes directions of pairs, with the test triples' side laid out once for all batches."""

    def __init__(self, engine: PairEngine, test: TestFactors, constant: Float[Tensor, "test dim"]) -> None:
        """Take the test triples' factors, and what is the same for all pairs."""
        output, tracked = test.output, engine.tracked
        self._engine = engine
        self._moments = engine.precision.operand(test.moments).T if engine.tracks_convolution else None
        self._constant = constant.T.contiguous()
        self._at_projection = (engine.model.bn2_scale * output.at_projection).T.contiguous()
        self._at_bn2_weight = output.at_bn2_weight.T.contiguous() if "bn2.weight" in tracked else None

    def directions(self, ahead: Forward) -> Iterator[Directions]:
        """Make the directions of all pairs of a batch, chunk by chunk."""
        engine = self._engine
        shared = [self._shared_jacobians(part) for part in ahead.passes]
        list_units = open_units if engine.model.device.type == "cpu" else every_unit
        for pairs in key_chunks(engine.model, len(ahead.batch.pairs)):
            units = list_units(ahead.is_open[pairs])
            along = engine.precision.operand(self._along(ahead, pairs, units, shared))
            yield Directions(pairs=pairs, units=units, along=along)

    def _along(
        self, ahead: Forward, pairs: slice, units: OpenUnits, shared: list[Tensor | None]
    ) -> Float[Tensor, "unit test"]:
        precision, scale = self._engine.precision, self._engine.model.bn2_scale
        made = self._constant.index_select(0, units.dim)
        if self._moments is not None:
            jacobians = self._pair_jacobians(ahead, pairs, shared).transpose(1, 2).flatten(end_dim=1)
            rows = jacobians.index_select(0, units.place).mul_(scale.index_select(0, units.dim)[:, None])
            precision.add_product(made, precision.operand(rows), self._moments)
        if ahead.overlap is not None:
            overlap = ahead.overlap[pairs].index_select(0, units.pair)
            made.addcmul_(overlap, self._at_projection.index_select(0, units.dim))
        if self._at_bn2_weight is not None:
            normalised = ahead.normalised[pairs].flatten().index_select(0, units.place)
            made.addcmul_(normalised[:, None], self._at_bn2_weight.index_select(0, units.dim))
        return made

    def _shared_jacobians(self, part: RegionPass) -> Float[Tensor, "key moment dim"] | None:
        """Compute the Jacobians of a region that several pairs share; None for one whose keys are the pairs."""
        engine = self._engine
        if part.key_of_pair is None or not engine.tracks_convolution:
            return None
        return kernel_jacobians(engine.model, part, engine.precision)

    def _pair_jacobians(
        self, ahead: Forward, pairs: slice, shared: list[Tensor | None]
    ) -> Float[Tensor, "pair moment dim"]:
        """Add up the regions' Jacobians by the kernel, of some pairs."""
        engine = self._engine
        model, relation = engine.model, ahead.batch.pairs[pairs, 1]
        total = model.kernel.new_zeros(len(relation), model.kernel.numel(), model.config.embedding_dim)
        for part, known in zip(ahead.passes, shared, strict=True):
            if known is None:
                total += kernel_jacobians(model, part, engine.precision, pairs)
            elif part.key_of_pair is not None:
                total += known[part.key_of_pair[pairs]]
        if engine.relations is not None:
            total += engine.relations.jacobian[relation]
        return total

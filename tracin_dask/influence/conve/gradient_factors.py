"""The gradients of a batch of triples as small factors: nothing here is as large as a parameter tensor."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import runs, send
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_backward import Forward, RegionGradient, RegionPass, backward
from tracin_dask.influence.conve.jacobians import RelationTable, kernel_jacobians, key_chunks
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFactors:
    """The upper part of each score's gradient: all that needs no pass back through the projection."""

    at_bn2: Float[Tensor, "batch dim"]
    """Gradient at bn2's output, e; also that of bn2.bias."""
    at_bn2_weight: Float[Tensor, "batch dim"]
    """Gradient of bn2.weight, e ∘ (the value before bn2's affine map)."""
    at_projection: Float[Tensor, "batch dim"]
    """Gradient at the projection's output, d; also that of fc.bias. fc.weight's is d ⊗ features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted below the projection; rows are numbers of a batch's triples, ascending, on the host."""

    moments: bool
    head_rows: Int[ndarray, " head_row"]
    relation_rows: Int[ndarray, " relation_row"]
    regions: frozenset[Sees]
    """The regions whose parts of the embeddings' gradients are wanted."""

    def rows(self, sees: Sees) -> Int[ndarray, " row"]:
        """Give the rows whose embeddings' gradients are wanted of a region."""
        none = self.head_rows[:0]
        if sees not in self.regions:
            return none
        by_region = {Sees.HEAD: self.head_rows, Sees.RELATION: self.relation_rows}
        return by_region[sees] if sees in by_region else np.union1d(self.head_rows, self.relation_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedJacobians:
    """Which rows get their moments through Jacobians that they share instead of going back one by one."""

    heads: bool = False
    """Those of one head, through the head's region."""
    relations: RelationTable | None = None
    """Those of one relation, through the relation's region, which the forward pass then left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerFactors:
    """The lower part of each score's gradient, below the projection."""

    moments: Float[Tensor, "batch moment"] | None
    """(G, S): the gradients of bn0, conv1 and bn1 are fixed linear maps of them. None if they were not wanted."""
    head: Float[Tensor, "head_row dim"]
    """The wanted regions' part of the gradient of the head's embedding as an input, of some rows."""
    relation: Float[Tensor, "relation_row dim"]
    """The wanted regions' part of the gradient of the relation's embedding, of some rows."""


def output_factors(model: FoldedConvE, ahead: Forward, tails: Float[Tensor, "batch dim"]) -> OutputFactors:
    """Differentiate the scores down to the projection's output; `tails` holds the tails' embeddings."""
    pair = ahead.batch.pair
    at_bn2 = tails * ahead.is_open.index_select(0, pair)
    return OutputFactors(
        at_bn2=at_bn2,
        at_bn2_weight=at_bn2 * ahead.normalised.index_select(0, pair),
        at_projection=at_bn2 * model.bn2_scale,
    )


def lower_factors(
    model: FoldedConvE,
    ahead: Forward,
    at_projection: Float[Tensor, "batch dim"],
    wanted: Wanted,
    *,
    precision: Precision,
    shared: SharedJacobians | None = None,
) -> LowerFactors:
    """Carry the gradient below the projection; `shared` Jacobians take the place of the way back for the moments."""
    shared = shared or SharedJacobians()
    gathered = _Gathered(model, ahead, precision.operand(at_projection), precision, moments=wanted.moments)
    images = {Sees.HEAD: gathered.image(wanted.head_rows), Sees.RELATION: gathered.image(wanted.relation_rows)}
    for part in ahead.passes:
        sees = part.region.sees
        by_jacobians = shared.heads and sees is Sees.HEAD
        if gathered.moments is not None and by_jacobians:
            gathered.add_head_moments(part, gathered.moments)
        rows = None if wanted.moments and not by_jacobians else wanted.rows(sees)
        if rows is not None and len(rows) == 0:
            continue
        gradient = gathered.go_back(part, rows)
        if gathered.moments is not None and rows is None:
            gathered.moments += gradient.moments()
        for half, wanted_rows in ((Sees.HEAD, wanted.head_rows), (Sees.RELATION, wanted.relation_rows)):
            if sees in wanted.regions and sees in {half, Sees.BOTH} and len(wanted_rows):
                local = wanted_rows if rows is None else np.searchsorted(rows, wanted_rows)
                gradient.add_to_image(model, send(local, model.device), images[half])
    if gathered.moments is not None and shared.relations is not None:
        gathered.add_relation_moments(shared.relations, gathered.moments)
    head, relation = (
        image.chunk(2, dim=2 if model.config.stacking == "width" else 1)[number].flatten(start_dim=1)
        for number, image in enumerate(images.values())
    )
    return LowerFactors(moments=gathered.moments, head=head, relation=relation)


class _Gathered:
    """A batch on its way back, and the sums of its moments over the regions."""

    def __init__(
        self, model: FoldedConvE, ahead: Forward, at_projection: Tensor, precision: Precision, *, moments: bool
    ) -> None:
        self._model, self._batch, self._precision = model, ahead.batch, precision
        self._at_projection = at_projection
        self.moments = model.kernel.new_zeros(len(ahead.batch), model.kernel.numel()) if moments else None

    def image(self, rows: Int[ndarray, " row"]) -> Float[Tensor, "row height width"]:
        """Make room for the gradients at some rows' stacked images."""
        config = self._model.config
        return self._model.kernel.new_zeros(len(rows), config.image_height, config.image_width)

    def go_back(self, part: RegionPass, rows: Int[ndarray, " row"] | None) -> RegionGradient:
        """Carry some rows (None: all) back through a region."""
        key, at_projection = part.key_of_row(self._batch), self._at_projection
        if rows is not None:
            chosen = send(rows, self._model.device)
            key, at_projection = key[chosen], at_projection[chosen]
        return backward(self._model, part, key, at_projection, self._precision)

    def add_head_moments(self, part: RegionPass, moments: Float[Tensor, "batch moment"]) -> None:
        """Add the moments of all rows through one Jacobian per head."""
        bounds = self._batch.head_runs.bounds
        for keys in key_chunks(self._model, len(part.keys)):
            jacobians = self._precision.operand(kernel_jacobians(self._model, part, self._precision, keys))
            for (start, stop), jacobian in zip(bounds[keys], jacobians, strict=True):
                self._precision.add_product(moments[start:stop], self._at_projection[start:stop], jacobian.T)

    def add_relation_moments(self, table: RelationTable, moments: Float[Tensor, "batch moment"]) -> None:
        """Add the moments of all rows through one Jacobian per relation, rows brought together by relation."""
        relation, device = self._batch.ids[:, 1], self._model.device
        order = np.argsort(relation, kind="stable")
        cut = runs(relation[order])
        grouped = self._at_projection.index_select(0, send(order, device))
        found = torch.zeros_like(moments)
        for (start, stop), number in zip(cut.bounds, relation[order][cut.starts].tolist(), strict=True):
            self._precision.add_product(found[start:stop], grouped[start:stop], table.jacobian[number].T)
        moments += found.index_select(0, send(np.argsort(order), device))

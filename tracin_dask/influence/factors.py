"""The gradients of a batch of triples as small factors: nothing here is as large as a parameter tensor."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import runs, send
from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.jacobians import RelationTable, head_half, kernel_jacobians, key_chunks, relation_half
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.passes import Forward, RegionPass, backward
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
class LowerFactors:
    """The lower part of each score's gradient, below the projection."""

    moments: Float[Tensor, "batch moment"] | None
    """(G, S): the gradients of bn0, conv1 and bn1 are fixed linear maps of them. None if they were not wanted."""
    head: Float[Tensor, "head_row dim"]
    """Gradient of the head's embedding as an input, of some rows."""
    relation: Float[Tensor, "relation_row dim"]
    """Gradient of the relation's embedding, of some rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted below the projection; rows are numbers of a batch's triples, ascending, on the host."""

    moments: bool
    head_rows: Int[ndarray, " head_row"]
    relation_rows: Int[ndarray, " relation_row"]

    def rows(self, sees: Sees) -> Int[ndarray, " row"]:
        """Give the rows whose embeddings' gradients pass through a region."""
        by_region = {Sees.HEAD: self.head_rows, Sees.RELATION: self.relation_rows}
        return by_region[sees] if sees in by_region else np.union1d(self.head_rows, self.relation_rows)


def output_factors(model: FoldedConvE, ahead: Forward, tails: Float[Tensor, "batch dim"]) -> OutputFactors:
    """Differentiate the scores down to the projection's output; `tails` holds the tails' embeddings."""
    pair = ahead.batch.pair
    at_bn2 = tails * ahead.is_open[pair]
    return OutputFactors(
        at_bn2=at_bn2,
        at_bn2_weight=at_bn2 * ahead.normalised[pair],
        at_projection=at_bn2 * (model.bn2_weight * model.bn2_inverse_std),
    )


def lower_factors(
    model: FoldedConvE,
    ahead: Forward,
    at_projection: Float[Tensor, "batch dim"],
    wanted: Wanted,
    *,
    precision: Precision,
    table: RelationTable | None = None,
    head_jacobians: bool = False,
) -> LowerFactors:
    """Carry the gradient below the projection.

    With a `table` the relation's region is looked up; with `head_jacobians` one Jacobian per head gives the moments of
    its rows, and only rows whose head's gradient is wanted go back through the head's region.
    """
    at_projection = precision.operand(at_projection)
    gathered = _Gathered(model, ahead, wanted)
    for part in ahead.passes:
        if not wanted.moments:
            gathered.go_back(part, at_projection, precision, wanted.rows(part.region.sees))
        elif head_jacobians and part.region.sees is Sees.HEAD:
            gathered.add_head_moments(part, at_projection, precision)
            gathered.go_back(part, at_projection, precision, wanted.head_rows, moments=False)
        else:
            gathered.go_back(part, at_projection, precision, None)
    relation = relation_half(model, gathered.relation_image)
    if table is not None and (wanted.moments or len(wanted.relation_rows)):
        gathered.look_up(table, at_projection, precision, relation)
    return LowerFactors(moments=gathered.moments, head=head_half(model, gathered.head_image), relation=relation)


class _Gathered:
    """Sums over the regions of what is wanted."""

    def __init__(self, model: FoldedConvE, ahead: Forward, wanted: Wanted) -> None:
        self._model, self._ahead, self._wanted = model, ahead, wanted
        config, batch = model.config, ahead.batch
        self.moments = model.kernel.new_zeros(len(batch), model.kernel.numel()) if wanted.moments else None
        size = (config.image_height, config.image_width)
        self.head_image = model.kernel.new_zeros(len(wanted.head_rows), *size)
        self.relation_image = model.kernel.new_zeros(len(wanted.relation_rows), *size)

    def go_back(
        self,
        part: RegionPass,
        at_projection: Tensor,
        precision: Precision,
        rows: Int[ndarray, " row"] | None,
        *,
        moments: bool = True,
    ) -> None:
        """Carry some rows (None: all) back through a region, and add what it gives."""
        if rows is not None and len(rows) == 0:
            return
        model, batch, device = self._model, self._ahead.batch, self._model.device
        key = part.key_of_row(batch)
        if rows is not None:
            chosen = send(rows, device)
            key, at_projection = key[chosen], at_projection[chosen]
        gradient = backward(model, part, key, at_projection, precision)
        if self.moments is not None and moments:
            self.moments += gradient.moments()
        seen = part.region.sees
        for image, wanted in (
            (self.head_image, self._wanted.head_rows if seen is not Sees.RELATION else None),
            (self.relation_image, self._wanted.relation_rows if seen is not Sees.HEAD else None),
        ):
            if wanted is not None and len(wanted):
                local = wanted if rows is None else np.searchsorted(rows, wanted)
                gradient.add_to_image(model, None if len(local) == len(key) else send(local, device), image)

    def add_head_moments(self, part: RegionPass, at_projection: Tensor, precision: Precision) -> None:
        """Add the moments of all rows through one Jacobian per head."""
        assert self.moments is not None  # noqa: S101 - the caller wants moments
        bounds = self._ahead.batch.head_runs.bounds
        for keys in key_chunks(self._model, len(part.keys)):
            jacobians = precision.operand(kernel_jacobians(self._model, part, precision, keys))
            for (start, stop), jacobian in zip(bounds[keys], jacobians, strict=True):
                precision.add_product(self.moments[start:stop], at_projection[start:stop], jacobian.T)

    def look_up(
        self,
        table: RelationTable,
        at_projection: Float[Tensor, "batch dim"],
        precision: Precision,
        relation_rows: Float[Tensor, "relation_row dim"],
    ) -> None:
        """Add the moments of all rows, and the relations' gradients of some, through the relations' Jacobians.

        Rows are brought together by relation, so that each relation takes one matrix product.
        """
        wanted, device, num_moments = self._wanted, self._model.device, self._model.kernel.numel()
        rows = np.arange(len(at_projection)) if wanted.moments else wanted.relation_rows
        relation = self._ahead.batch.ids[rows, 1]
        order = np.argsort(relation, kind="stable")
        cut = runs(relation[order])
        grouped = at_projection[send(rows[order], device)]
        columns = slice(0 if wanted.moments else num_moments, None if len(wanted.relation_rows) else num_moments)
        jacobians = table.jacobian[:, :, columns]
        found = self._model.kernel.new_zeros(len(rows), jacobians.shape[2])
        for (start, stop), number in zip(cut.bounds, relation[order][cut.starts].tolist(), strict=True):
            precision.add_product(found[start:stop], grouped[start:stop], jacobians[number])
        found = found[send(np.argsort(order), device)]
        if self.moments is not None:
            self.moments += found[:, :num_moments]
            found = found[send(wanted.relation_rows, device), num_moments:]
        if len(relation_rows):
            relation_rows += found

"""The lower factors of a batch: by a backward pass through the feature map, or by Jacobians that rows share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.conve.backward_pass import RegionGradient, backward
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward, RegionPass
from tracin_dask.influence.conve.gradient_factors import LowerFactors
from tracin_dask.influence.conve.jacobians import RelationTable, kernel_jacobians, key_chunks
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import CONVOLUTION, ENTITIES, RELATIONS
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.run_products import products_by_run
from tracin_dask.influence.terms import Term


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerRows:
    """The rows whose gradients are needed below the projection, as ascending numbers of a batch's triples."""

    moments: bool
    """Whether the moments are needed, of all rows."""
    head_rows: Int[ndarray, " head_row"]
    relation_rows: Int[ndarray, " relation_row"]
    regions: frozenset[Sees]
    """The regions whose parts of the embeddings' gradients are needed."""

    @property
    def has_one_image(self) -> bool:
        """Tell whether the same rows need both halves of the stacked image: what sees both is added once."""
        return np.array_equal(self.head_rows, self.relation_rows)

    def rows(self, sees: Sees) -> Int[ndarray, " row"]:
        """List the rows whose embeddings' gradients need a region."""
        if sees not in self.regions:
            return self.head_rows[:0]
        by_region = {Sees.HEAD: self.head_rows, Sees.RELATION: self.relation_rows}
        return by_region[sees] if sees in by_region else np.union1d(self.head_rows, self.relation_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedJacobians:
    """Jacobians that rows share, and that replace the backward pass of their moments."""

    heads: bool = False
    """Whether rows of one head share one, for the region that sees only the head."""
    relations: RelationTable | None = None
    """One of each relation, for the region that sees only the relation, which the forward pass leaves out then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LowerPass:
    """The backward pass of a batch, with its sums over regions."""

    model: FoldedConvE
    ahead: Forward
    at_projection: Float[Tensor, "batch dim"]
    """An operand."""
    needed: LowerRows
    shared: SharedJacobians
    precision: Precision
    moments: Float[Tensor, "batch moment"]
    head_image: Float[Tensor, "head_row height width"]
    relation_image: Float[Tensor, "relation_row height width"]
    """The same tensor where one image is enough."""

    def uses_jacobians(self, part: RegionPass) -> bool:
        """Tell whether the moments of a region come from Jacobians."""
        return self.shared.heads and part.region.sees is Sees.HEAD

    def rows_back(self, part: RegionPass) -> Int[ndarray, " row"] | None:
        """List the rows that need the backward pass of a region; None for all."""
        if self.needed.moments and not self.uses_jacobians(part):
            return None
        return self.needed.rows(part.region.sees)

    def by_run(
        self,
        at_projection: Float[Tensor, "row dim"],
        jacobians: Float[Tensor, "run moment dim"],
        lengths: Int[ndarray, " run"],
    ) -> Float[Tensor, "row moment"]:
        """Multiply runs of rows with a Jacobian each."""
        matrices = jacobians.transpose(1, 2)
        return products_by_run(at_projection, matrices, lengths, precision=self.precision, tiling=self.model.tiling)

    def go_back(self, part: RegionPass, rows: Int[ndarray, " row"] | None) -> RegionGradient:
        """Carry some rows back through a region; None for all."""
        key, at_projection = part.key_of_row(self.ahead.batch), self.at_projection
        if rows is not None:
            chosen = send(rows, self.model.device)
            key, at_projection = key[chosen], at_projection[chosen]
        return backward(self.model, part, key, at_projection, self.precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """Some rows' gradients at one region; `rows` is None for all rows."""

    gradient: RegionGradient
    rows: Int[ndarray, " row"] | None

    def add_to_image(self, back: _LowerPass, rows: Int[ndarray, " image_row"], image: Tensor, *, half: Sees) -> None:
        """Add this region's part to the gradients at the images that one half of the stacked image needs."""
        sees = self.gradient.region.sees
        if sees in back.needed.regions and sees in {half, Sees.BOTH} and len(rows):
            local = rows if self.rows is None else np.searchsorted(self.rows, rows)
            self.gradient.add_to_image(back.model, send(local, back.model.device), image)


def lower_factors(
    model: FoldedConvE,
    ahead: Forward,
    at_projection: Float[Tensor, "batch dim"],
    needed: LowerRows,
    *,
    precision: Precision,
    shared: SharedJacobians | None = None,
) -> LowerFactors:
    """Compute the lower factors; `shared` Jacobians replace the backward pass of the moments."""
    zeros, size = model.kernel.new_zeros, (model.config.image_height, model.config.image_width)
    head_image = zeros(len(needed.head_rows), *size)
    back = _LowerPass(
        model=model,
        ahead=ahead,
        at_projection=precision.operand(at_projection),
        needed=needed,
        shared=shared or SharedJacobians(),
        precision=precision,
        moments=zeros(len(ahead.batch), model.kernel.numel() if needed.moments else 0),
        head_image=head_image,
        relation_image=head_image if needed.has_one_image else zeros(len(needed.relation_rows), *size),
    )
    for term in LOWER_TERMS:
        term.function(back)
    head, relation = (
        image.chunk(2, dim=2 if model.config.stacking == "width" else 1)[half].flatten(start_dim=1)
        for half, image in enumerate((back.head_image, back.relation_image))
    )
    return LowerFactors(moments=back.moments, head=head, relation=relation)


def _through_heads(back: _LowerPass) -> None:
    """Add the moments of all rows through one Jacobian per head."""
    for part in back.ahead.passes:
        if back.needed.moments and back.uses_jacobians(part):
            lengths = back.ahead.batch.head_runs.lengths
            stops = np.cumsum(lengths)
            for keys in key_chunks(back.model, len(part.keys)):
                jacobians = back.precision.operand(kernel_jacobians(back.model, part, back.precision, keys))
                rows = slice(int(stops[keys.start] - lengths[keys.start]), int(stops[keys.stop - 1]))
                back.moments[rows].add_(back.by_run(back.at_projection[rows], jacobians, lengths[keys]))
                del jacobians  # before the next ones are made


def _row_by_row(back: _LowerPass) -> None:
    """Carry rows back through the regions, and add up what is needed of them."""
    for part in back.ahead.passes:
        rows = back.rows_back(part)
        if rows is None or len(rows):
            carried = _Carried(gradient=back.go_back(part, rows), rows=rows)
            for term in REGION_TERMS:
                term.function(back, carried)
            del carried  # before the next region


def _through_relations(back: _LowerPass) -> None:
    """Add the moments of all rows through one Jacobian per relation, rows brought together by relation."""
    table = back.shared.relations
    if table is None or not back.needed.moments:
        return
    relation, device = back.ahead.batch.ids[:, 1], back.model.device
    order = np.argsort(relation, kind="stable")
    grouped = back.at_projection.index_select(0, send(order, device))
    found = back.by_run(grouped, table.jacobian, np.bincount(relation, minlength=len(table.jacobian)))
    back.moments.add_(found.index_select(0, send(np.argsort(order), device)))


def _add_moments(back: _LowerPass, carried: _Carried) -> None:
    if back.needed.moments and carried.rows is None:
        back.moments.add_(carried.gradient.moments())


def _add_to_head_image(back: _LowerPass, carried: _Carried) -> None:
    carried.add_to_image(back, back.needed.head_rows, back.head_image, half=Sees.HEAD)


def _add_to_relation_image(back: _LowerPass, carried: _Carried) -> None:
    if back.needed.has_one_image and carried.gradient.region.sees is Sees.BOTH:
        return  # the image of the head is the same one
    carried.add_to_image(back, back.needed.relation_rows, back.relation_image, half=Sees.RELATION)


AddBatch: TypeAlias = Callable[[_LowerPass], None]
LOWER_TERMS: tuple[Term[AddBatch], ...] = (
    Term(name="moments through the heads' Jacobians", tensors=CONVOLUTION, function=_through_heads),
    Term(name="rows carried back", tensors=CONVOLUTION | {ENTITIES, RELATIONS}, function=_row_by_row),
    Term(name="moments through the relations' Jacobians", tensors=CONVOLUTION, function=_through_relations),
)

AddRegion: TypeAlias = Callable[[_LowerPass, _Carried], None]
REGION_TERMS: tuple[Term[AddRegion], ...] = (
    Term(name="moments", tensors=CONVOLUTION, function=_add_moments),
    Term(name="image of the head", tensors={ENTITIES}, function=_add_to_head_image),
    Term(name="image of the relation", tensors={RELATIONS}, function=_add_to_relation_image),
)
"""What rows that are carried back through a region add to."""

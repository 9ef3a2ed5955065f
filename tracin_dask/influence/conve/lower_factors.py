"""The lower factors of a batch: by a backward pass through the feature map, or by Jacobians that rows share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.backward_pass import RegionGradient, backward
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward, RegionPass
from tracin_dask.influence.conve.gradient_factors import LowerFactors
from tracin_dask.influence.conve.jacobians import RelationTable, kernel_jacobians
from tracin_dask.influence.conve.lower_rows import LowerRows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import CONVOLUTION, ENTITIES, RELATIONS
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.run_products import RunIndex, products_by_run
from tracin_dask.influence.terms import Term


@dataclass(frozen=True, slots=True, kw_only=True)
class _LowerPass:
    """The backward pass of a batch, with its sums over regions."""

    model: FoldedConvE
    ahead: Forward
    at_projection: Float[Tensor, "batch dim"]
    """An operand."""
    needed: LowerRows
    relations: RelationTable | None
    precision: Precision
    moments: Float[Tensor, "batch moment"]
    head_image: Float[Tensor, "head_row height width"]
    relation_image: Float[Tensor, "relation_row height width"]
    """The same tensor where one image is enough."""

    def by_run(
        self,
        at_projection: Float[Tensor, "row dim"],
        jacobians: Float[Tensor, "run moment dim"],
        runs: RunIndex,
    ) -> Float[Tensor, "row moment"]:
        """Multiply runs of rows with a Jacobian each."""
        matrices = jacobians.transpose(1, 2)
        return products_by_run(at_projection, matrices, runs, precision=self.precision, tiling=self.model.tiling)

    def go_back(self, part: RegionPass) -> RegionGradient:
        """Carry rows back through a region."""
        key, at_projection = part.key_of_row(self.ahead.batch), self.at_projection
        rows = self.needed.rows(part.region.sees)
        if rows is not None:
            key, at_projection = key[rows.tensor], at_projection[rows.tensor]
        return backward(self.model, part, key, at_projection, self.precision)

    def add_to_image(
        self, gradient: RegionGradient, image: Float[Tensor, "image_row height width"], *, half: Sees
    ) -> None:
        """Add a region's part to the gradients at the images that one half of the stacked image needs."""
        sees = gradient.region.sees
        if sees in self.needed.regions and sees in {half, Sees.BOTH} and len(image):
            within = self.needed.within(sees, half)
            is_all = within is None or len(within) == len(gradient.gradient)
            gradient.add_to_image(self.model, None if is_all or within is None else within.tensor, image)


def lower_factors(
    model: FoldedConvE,
    ahead: Forward,
    at_projection: Float[Tensor, "batch dim"],
    needed: LowerRows,
    *,
    precision: Precision,
    relations: RelationTable | None = None,
) -> LowerFactors:
    """Compute the lower factors; Jacobians of `relations` replace the backward pass of their moments."""
    zeros, size = model.kernel.new_zeros, (model.config.image_height, model.config.image_width)
    head_image = zeros(len(needed.head_rows), *size)
    back = _LowerPass(
        model=model,
        ahead=ahead,
        at_projection=precision.operand(at_projection),
        needed=needed,
        relations=relations,
        precision=precision,
        moments=zeros(len(ahead.batch), model.kernel.numel() if needed.moments else 0),
        head_image=head_image,
        relation_image=head_image if needed.has_one_image else zeros(len(needed.relation_rows), *size),
    )
    for term in LOWER_TERMS:
        term.function(back)
    head, relation = (
        image.chunk(2, dim=2 if model.config.stacking == "width" else 1)[half].contiguous().flatten(start_dim=1)
        for half, image in enumerate((back.head_image, back.relation_image))
    )
    return LowerFactors(moments=back.moments, head=head, relation=relation)


def _through_heads(back: _LowerPass) -> None:
    """Add the moments of all rows through one Jacobian per head."""
    for part in back.ahead.passes:
        if back.needed.moments and part.region.sees is Sees.HEAD:
            for some in back.needed.by_head or ():
                jacobians = back.precision.operand(kernel_jacobians(back.model, part, back.precision, some.keys))
                back.moments[some.rows].add_(back.by_run(back.at_projection[some.rows], jacobians, some.runs))
                del jacobians  # before the next ones are made


def _row_by_row(back: _LowerPass) -> None:
    """Carry rows back through the regions, and add up what is needed of them."""
    for part in back.ahead.passes:
        if back.needed.needs(part.region.sees):
            gradient = back.go_back(part)
            for term in REGION_TERMS:
                term.function(back, gradient)
            del gradient  # before the next region


def _through_relations(back: _LowerPass) -> None:
    """Add the moments of all rows through one Jacobian per relation, rows brought together by relation."""
    mine = back.needed.by_relation
    if back.relations is None or mine is None or not back.needed.moments:
        return
    grouped = back.at_projection.index_select(0, mine.order.tensor)
    found = back.by_run(grouped, back.relations.jacobian, mine.runs)
    back.moments.add_(found.index_select(0, mine.place.tensor))


def _add_moments(back: _LowerPass, gradient: RegionGradient) -> None:
    if back.needed.moments and back.needed.rows(gradient.region.sees) is None:
        back.moments.add_(gradient.moments())


def _add_to_head_image(back: _LowerPass, gradient: RegionGradient) -> None:
    back.add_to_image(gradient, back.head_image, half=Sees.HEAD)


def _add_to_relation_image(back: _LowerPass, gradient: RegionGradient) -> None:
    if back.needed.has_one_image and gradient.region.sees is Sees.BOTH:
        return  # the image of the head is the same one
    back.add_to_image(gradient, back.relation_image, half=Sees.RELATION)


AddBatch: TypeAlias = Callable[[_LowerPass], None]
LOWER_TERMS: tuple[Term[AddBatch], ...] = (
    Term(name="moments through the heads' Jacobians", tensors=CONVOLUTION, function=_through_heads),
    Term(name="rows carried back", tensors=CONVOLUTION | {ENTITIES, RELATIONS}, function=_row_by_row),
    Term(name="moments through the relations' Jacobians", tensors=CONVOLUTION, function=_through_relations),
)

AddRegion: TypeAlias = Callable[[_LowerPass, RegionGradient], None]
REGION_TERMS: tuple[Term[AddRegion], ...] = (
    Term(name="moments", tensors=CONVOLUTION, function=_add_moments),
    Term(name="image of the head", tensors={ENTITIES}, function=_add_to_head_image),
    Term(name="image of the relation", tensors={RELATIONS}, function=_add_to_relation_image),
)
"""What rows that are carried back through a region add to."""

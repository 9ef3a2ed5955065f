"""The backward pass of a batch of triples below the projection, region by region."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import RegionPass, relu_derivative
from tracin_dask.influence.conve.regions import Region, add_patches_to_image
from tracin_dask.influence.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionGradient:
    """The gradient of some scores at one region of bn1's output, a row per triple."""

    region: Region
    patches: Float[Tensor, "row position tap_and_one"]
    gradient: Float[Tensor, "row position channel"]

    def moments(self) -> Float[Tensor, "row moment"]:
        """Sum gradient × patch over the positions: this region's part of (G, S)."""
        return torch.bmm(self.gradient.transpose(1, 2), self.patches).flatten(start_dim=1)

    def add_to_image(
        self, model: FoldedConvE, rows: Int[Tensor, " some_row"] | None, image: Float[Tensor, "some_row height width"]
    ) -> None:
        """Add this region's part of the gradient at the stacked image, for some rows (None: for all), in place.

        Rows are distinct and ascend, so that as many as there are gradients are all of them.
        """
        is_all = rows is None or len(rows) == len(self.gradient)
        gradient = self.gradient if is_all else self.gradient[rows]
        patches = model.kernel[:-1] @ gradient.flatten(end_dim=1).T
        by_tap = patches.view(len(patches), *gradient.shape[:2])
        kernel = (model.config.kernel_height, model.config.kernel_width)
        add_patches_to_image(self.region, by_tap, image, kernel, by_tap=model.tiling.by_tap)


def backward(
    model: FoldedConvE,
    part: RegionPass,
    key: Int[Tensor, " row"],
    at_projection: Float[Tensor, "row dim"],
    precision: Precision,
) -> RegionGradient:
    """Carry rows' gradients at the projection's output, an operand, back to one region of bn1's output."""
    gradient = precision.product(at_projection, model.rounded_projection[:, part.region.features])
    patches, features = part.activations(model)
    gradient *= relu_derivative(features).index_select(0, key)
    shape = (len(key), part.region.num_positions, model.config.output_channels)
    return RegionGradient(region=part.region, patches=patches.index_select(0, key), gradient=gradient.view(shape))

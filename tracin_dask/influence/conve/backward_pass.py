"""The backward pass of a batch of triples below the projection, region by region."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import RegionPass, relu_derivative
from tracin_dask.influence.conve.regions import Region, add_by_tap, add_folded, image_span
from tracin_dask.influence.precision import Precision
from tracin_dask.models.conve.model import ConvEConfig


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
        add = add_by_tap if model.tiling.by_tap else add_folded
        kernel = (model.config.kernel_height, model.config.kernel_width)
        if rows is None or len(rows) == len(self.gradient):
            add(self.region, self.gradient, model.kernel[:-1], image, kernel)
            return
        step = len(image) if model.tiling.by_tap else copied_rows(len(self.gradient))
        for start in range(0, len(image), step):
            some = slice(start, start + step)
            add(self.region, self.gradient[rows[some]], model.kernel[:-1], image[some], kernel)


def copied_rows(num_rows: int) -> int:
    """Choose how many of some of so many rows are copied at a time before they are added to images: half of all."""
    return -(-num_rows // 2)


def image_numbers(config: ConvEConfig, region: Region) -> int:
    """Count what is made of one row whose gradient is added to an image at once: that at patches, and an image.

    PyTorch makes room for as many numbers of the image.
    """
    height, width = image_span(region, (config.kernel_height, config.kernel_width))
    patches = region.num_positions * config.num_taps
    return patches + max(patches, height * width)


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

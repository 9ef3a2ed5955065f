"""The backward pass of a batch of triples below the projection, region by region."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import RegionPass, relu_derivative
from tracin_dask.influence.conve.regions import Region, add_patches_to_image
from tracin_dask.influence.precision import Precision
from tracin_dask.models.conve.model import ConvEConfig

_FEW_NUMBERS = 2**18
"""So many are always held at a time."""


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
        chosen = None if rows is None or len(rows) == len(self.gradient) else rows
        step = len(image) if model.tiling.by_tap else image_rows(model.config, self.region, len(self.gradient))
        kernel = (model.config.kernel_height, model.config.kernel_width)
        for start in range(0, len(image), max(1, step)):
            some = slice(start, start + step)
            gradient = self.gradient[some] if chosen is None else self.gradient[chosen[some]]
            patches = model.kernel[:-1] @ gradient.flatten(end_dim=1).T
            by_tap = patches.view(len(patches), *gradient.shape[:2])
            add_patches_to_image(self.region, by_tap, image[some], kernel, by_tap=model.tiling.by_tap)


def image_rows(config: ConvEConfig, region: Region, num_rows: int) -> int:
    """Choose the rows that are added to images at a time, so that they take no more than the moments of all rows."""
    moments = (config.num_taps + 1) * config.output_channels
    return max(1, max(num_rows * moments, _FEW_NUMBERS) // image_numbers(config, region))


def image_numbers(config: ConvEConfig, region: Region) -> int:
    """Count what is made of one row that is added to an image: its gradient, that at patches twice, and an image."""
    return region.num_positions * (config.output_channels + 2 * config.num_taps) + 2 * config.embedding_dim


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

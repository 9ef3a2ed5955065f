"""Which part of ConvE's feature map sees the head image, the relation image, or both.

The map is cut into three rectangles along the stacking axis. With images W wide and a kernel kw wide, the columns
0..W-kw of the `width` dialect see the head image only, the last W-kw+1 see the relation image only, and the kw-1
between see both; rows instead of columns in the `height` dialect. ReLU is elementwise, so what lies below the
projection can be computed once per head, once per relation, and once per pair for the narrow middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import fold

from tracin_dask.models.conve.model import ConvEConfig


class Sees(Enum):
    """The images that a region of the feature map depends on."""

    HEAD = "head"
    BOTH = "both"
    RELATION = "relation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A rectangle of the feature map; its features are one contiguous slice of the reordered features."""

    number: int
    sees: Sees
    rows: range
    columns: range
    features: slice
    patch_index: Int[Tensor, "position tap_and_one"]
    """Where each patch entry stands in the region's source vector (head, relation, then one constant 1)."""

    @property
    def num_positions(self) -> int:
        """Places of the kernel in this rectangle."""
        return len(self.rows) * len(self.columns)


def regions(config: ConvEConfig) -> tuple[Region, ...]:
    """Cut the feature map of `config` into its non-empty regions, in the order head, both, relation."""
    made: list[Region] = []
    start = 0
    for sees, rows, columns in _rectangles(config):
        stop = start + len(rows) * len(columns) * config.output_channels
        index = _patch_index(config, sees, rows, columns)
        made.append(
            Region(
                number=len(made), sees=sees, rows=rows, columns=columns, features=slice(start, stop), patch_index=index
            )
        )
        start = stop
    return tuple(made)


def feature_order(config: ConvEConfig) -> Int[Tensor, " feature"]:
    """Give each reordered feature (region, position, channel) its place in the module's (channel, position) order."""
    positions = torch.arange(config.num_positions).view(config.map_height, config.map_width)
    ordered = torch.cat([positions[_span(r.rows), _span(r.columns)].reshape(-1) for r in regions(config)])
    channels = torch.arange(config.output_channels) * config.num_positions
    return (ordered[:, None] + channels[None, :]).reshape(-1)


def image_span(region: Region, kernel: tuple[int, int]) -> tuple[int, int]:
    """Give the rows and columns of the part of the stacked image that a region's patches are cut from."""
    return len(region.rows) + kernel[0] - 1, len(region.columns) + kernel[1] - 1


def add_by_tap(
    region: Region,
    gradient: Float[Tensor, "batch position channel"],
    taps: Float[Tensor, "tap channel"],
    image: Float[Tensor, "batch height width"],
    kernel: tuple[int, int],
) -> None:
    """Add the gradient at each patch entry to the image place it was cut from, in place.

    That is the transpose of cutting patches: an operator for each tap, which saves a CPU a copy.
    """
    (_, right), (rows, columns) = kernel, (region.rows, region.columns)
    patches = (taps @ gradient.flatten(end_dim=1).T).view(len(taps), len(gradient), len(rows), len(columns))
    for tap, values in enumerate(patches):
        top, left = rows.start + tap // right, columns.start + tap % right
        image[:, top : top + len(rows), left : left + len(columns)].add_(values)


def add_folded(
    region: Region,
    gradient: Float[Tensor, "batch position channel"],
    taps: Float[Tensor, "tap channel"],
    image: Float[Tensor, "batch height width"],
    kernel: tuple[int, int],
) -> None:
    """Do the same in three operators: each image is a channel of one folded image."""
    size, (top, left) = image_span(region, kernel), (region.rows.start, region.columns.start)
    patches = torch.bmm(taps.expand(len(gradient), -1, -1), gradient.transpose(1, 2))
    folded = fold(patches.view(1, -1, patches.shape[2]), size, kernel)[0]
    image[:, top : top + size[0], left : left + size[1]].add_(folded)


def _rectangles(config: ConvEConfig) -> Iterator[tuple[Sees, range, range]]:
    wide = config.stacking == "width"
    length, image, kernel = (
        (config.map_width, config.embedding_width, config.kernel_width)
        if wide
        else (config.map_height, config.embedding_height, config.kernel_height)
    )
    single = max(0, image - kernel + 1)
    spans = {
        Sees.HEAD: range(single),
        Sees.BOTH: range(single, length - single),
        Sees.RELATION: range(length - single, length),
    }
    for sees, span in spans.items():
        if len(span) > 0:
            yield (sees, range(config.map_height), span) if wide else (sees, span, range(config.map_width))


def _patch_index(config: ConvEConfig, sees: Sees, rows: range, columns: range) -> Tensor:
    """Index each patch entry into the source vector [head if seen | relation if seen | 1]."""
    source = _source_of_places(config)
    if sees is Sees.RELATION:
        source = source - config.embedding_dim
    one = config.embedding_dim * (2 if sees is Sees.BOTH else 1)
    top = torch.arange(rows.start, rows.stop)[:, None, None, None]
    left = torch.arange(columns.start, columns.stop)[None, :, None, None]
    down = torch.arange(config.kernel_height)[None, None, :, None]
    right = torch.arange(config.kernel_width)[None, None, None, :]
    taps = source[top + down, left + right].reshape(len(rows) * len(columns), config.num_taps)
    return torch.cat([taps, torch.full((len(taps), 1), one)], dim=1)


def _source_of_places(config: ConvEConfig) -> Int[Tensor, "height width"]:
    """Number the places of the stacked image by their entry in the concatenated (head, relation) vector."""
    shape = (config.embedding_height, config.embedding_width)
    head = torch.arange(config.embedding_dim).view(shape)
    return torch.cat([head, head + config.embedding_dim], dim=1 if config.stacking == "width" else 0)


def _span(span: range) -> slice:
    return slice(span.start, span.stop)

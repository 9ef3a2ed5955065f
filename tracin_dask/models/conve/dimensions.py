"""The sizes of a ConvE read from the shapes of its tensors, and checked against those that its file states."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.conve.dialects import Dialect
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.types import Stacking


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSize:
    """Height and width of one embedding's image, as far as they are known."""

    height: int | None = None
    width: int | None = None

    def fits(self, height: int, width: int) -> bool:
        """Tell whether (height, width) agrees with what is known."""
        return self.height in (None, height) and self.width in (None, width)

    def __str__(self) -> str:
        """Show the known numbers, with ? for the others."""
        return f"{self.height or '?'}×{self.width or '?'}"


def infer_config(
    tensors: Mapping[str, Tensor], dialect: Dialect, *, stated: list[tuple[str, int]], wanted: ImageSize
) -> ConvEConfig:
    """Find the one ConvE that these tensors form.

    Parameters
    ----------
    tensors
        Named as in `ConvE`.
    stated
        Sizes that the file states, by the names of `ConvEConfig`.
    wanted
        The image size that the user states, if any.

    Raises
    ------
    CheckpointError
        If the tensors do not form a ConvE, the image size does not follow from them, or a stated size disagrees.
    """
    _check_ranks(tensors)
    num_entities, dim = tensors["entity_embeddings.weight"].shape
    channels, _, kernel_height, kernel_width = tensors["conv1.weight"].shape
    claims = dict(stated)
    known = ImageSize(
        height=wanted.height or claims.get("embedding_height") or dialect.embedding_height,
        width=wanted.width or claims.get("embedding_width"),
    )
    sizes = possible_image_sizes(
        dim, _positions(tensors), kernel=(kernel_height, kernel_width), stacking=dialect.stacking
    )
    height, width = _choose(sizes, known, described=_describe(tensors, dialect))
    config = ConvEConfig(
        num_entities=num_entities,
        num_relations=tensors["relation_embeddings.weight"].shape[0],
        embedding_dim=dim,
        embedding_height=height,
        embedding_width=width,
        output_channels=channels,
        kernel_height=kernel_height,
        kernel_width=kernel_width,
        stacking=dialect.stacking,
        has_entity_bias=dialect.has_entity_bias,
        has_convolution_bias=dialect.has_convolution_bias,
    )
    _check_stated(stated, config)
    return config


def possible_image_sizes(
    dim: int, positions: int, *, kernel: tuple[int, int], stacking: Stacking
) -> list[tuple[int, int]]:
    """List every (height, width) of one embedding's image whose feature map has `positions` places per channel."""
    found = []
    for height in (divisor for divisor in range(1, dim + 1) if dim % divisor == 0):
        width = dim // height
        map_height = height * (2 if stacking == "height" else 1) - kernel[0] + 1
        map_width = width * (2 if stacking == "width" else 1) - kernel[1] + 1
        if min(map_height, map_width) > 0 and map_height * map_width == positions:
            found.append((height, width))
    return found


def _check_ranks(tensors: Mapping[str, Tensor]) -> None:
    ranks = {"entity_embeddings.weight": 2, "relation_embeddings.weight": 2, "conv1.weight": 4, "fc.weight": 2}
    for name, rank in ranks.items():
        shape = tuple(tensors[name].shape)
        if len(shape) != rank or 0 in shape:
            raise CheckpointError(f"{name} has the shape {shape}; a ConvE has {rank} axes there, none of them empty")


def _positions(tensors: Mapping[str, Tensor]) -> int:
    features, channels = tensors["fc.weight"].shape[1], tensors["conv1.weight"].shape[0]
    if features % channels:
        raise CheckpointError(f"fc.weight takes {features} features, not a multiple of conv1's {channels} channels")
    return features // channels


def _describe(tensors: Mapping[str, Tensor], dialect: Dialect) -> str:
    channels, _, kernel_height, kernel_width = tensors["conv1.weight"].shape
    return (
        f"the {tensors['fc.weight'].shape[1]} features that fc.weight takes (embedding_dim "
        f"{tensors['entity_embeddings.weight'].shape[1]}, {channels} channels, "
        f"kernel {kernel_height}×{kernel_width}, images put side by side on the axis {dialect.stacking})"
    )


def _choose(sizes: list[tuple[int, int]], known: ImageSize, *, described: str) -> tuple[int, int]:
    fitting = [size for size in sizes if known.fits(*size)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(f"{height}×{width}" for height, width in fitting or sizes)
    if fitting:
        raise CheckpointError(
            f"several image sizes give {described}: {names}; these are different models, so state the one that "
            "was trained with --embedding-height and --embedding-width"
        )
    if sizes:
        raise CheckpointError(f"the image size {known} does not give {described}; possible: {names}")
    raise CheckpointError(f"no image size gives {described}; this is not a ConvE without padding and with stride 1")


def _check_stated(stated: list[tuple[str, int]], config: ConvEConfig) -> None:
    for name, value in stated:
        actual = getattr(config, name)
        if value != actual:
            raise CheckpointError(
                f"the file states {name} {value}, but its tensors (or the image size you gave) say {actual}; "
                "one of the two belongs to another model"
            )

"""ConvE in eval mode as plain tensors: batch norms folded, features in region order."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.regions import Region, Sees, feature_order, regions
from tracin_dask.influence.conve.terms.convolution import convolution_jacobian, convolution_of, folded_norm
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tiling import Tiling, tiling_of
from tracin_dask.models.conve.model import ConvE, ConvEConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedConvE:
    """The weights that scoring needs, on one device and in one dtype.

    bn0, conv1 and bn1 are one affine map of the patches (`kernel`, whose last row is the constant); bn2 stays apart,
    because the gradient of its weight needs the normalised value even where the weight is 0.
    """

    config: ConvEConfig
    regions: tuple[Region, ...]
    entities: Float[Tensor, "entity dim"]
    relations: Float[Tensor, "relation dim"]
    entity_bias: Float[Tensor, " entity"] | None
    kernel: Float[Tensor, "tap_and_one channel"]
    projection: Float[Tensor, "dim feature"]
    rounded_projection: Float[Tensor, "dim feature"]
    """An operand of every big product but the forward pass; the same tensor where nothing is rounded."""
    projection_by_channel: tuple[Float[Tensor, "channel _ dim"], ...]
    """The operand of each region in the order that the Jacobians use."""
    projection_bias: Float[Tensor, " dim"]
    bn2_mean: Float[Tensor, " dim"]
    bn2_inverse_std: Float[Tensor, " dim"]
    bn2_weight: Float[Tensor, " dim"]
    bn2_bias: Float[Tensor, " dim"]
    convolution_jacobian: dict[str, Float[Tensor, "moment _"]]
    """For each tensor of bn0, conv1 and bn1: the linear map from the moments (G, S) to the tensor's gradient."""

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.kernel.device

    @property
    def tiling(self) -> Tiling:
        """How much of a batch is made at a time."""
        return tiling_of(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """The number type of every product."""
        return self.kernel.dtype

    @property
    def bn2_scale(self) -> Float[Tensor, " dim"]:
        """Derivative of bn2's output by the projection's output; 0 where bn2.weight is 0."""
        return self.bn2_weight * self.bn2_inverse_std

    def region(self, sees: Sees) -> Region | None:
        """Give the region that sees these images; None where the kernel leaves none."""
        return next((region for region in self.regions if region.sees is sees), None)


def fold(model: ConvE, *, device: torch.device | str = "cpu", precision: Precision = Precision.FULL) -> FoldedConvE:
    """Fold an eval-mode ConvE; constants are derived in float64 and stored in the model's dtype."""
    config, dtype = model.config, model.fc.weight.dtype
    convolution, bn2 = convolution_of(model), folded_norm(model.bn2)

    def place(tensor: Tensor) -> Tensor:
        return tensor.detach().to(device=device, dtype=dtype).contiguous()

    cut = tuple(replace(region, patch_index=region.patch_index.to(device)) for region in regions(config))
    projection = place(model.fc.weight[:, feature_order(config)])
    rounded = precision.operand(projection)
    by_channel = [rounded[:, r.features].view(config.embedding_dim, -1, config.output_channels) for r in cut]
    return FoldedConvE(
        config=config,
        regions=cut,
        entities=place(model.entity_embeddings.weight),
        relations=place(model.relation_embeddings.weight),
        entity_bias=None if model.entity_bias is None else place(model.entity_bias),
        kernel=place(convolution.kernel()),
        projection=projection,
        rounded_projection=rounded,
        projection_by_channel=tuple(weight.permute(2, 1, 0).contiguous() for weight in by_channel),
        projection_bias=place(model.fc.bias),
        bn2_mean=place(bn2.mean),
        bn2_inverse_std=place(bn2.inverse_std),
        bn2_weight=place(model.bn2.weight),
        bn2_bias=place(model.bn2.bias),
        convolution_jacobian={name: place(matrix) for name, matrix in convolution_jacobian(convolution).items()},
    )


def model_bytes(config: ConvEConfig, itemsize: int, *, rounds: bool = False) -> int:
    """Bound the bytes of the weights while they are folded, the peak of their life.

    The checkpoint's projection and two reordered copies are held together, and another one where operands are rounded.
    The maps from the moments to the gradients of bn0, conv1 and bn1 are made in float64, with a little over three
    tables of moments by moments at a time.
    Embedding tables are shared with the checkpoint.
    """
    tables = (config.num_entities + config.num_relations) * config.embedding_dim + config.num_entities
    moments = (config.num_taps + 1) * config.output_channels
    maps = 3 * 8 * moments * (moments + config.output_channels)
    return itemsize * (tables + (3 + rounds) * config.embedding_dim * config.num_features) + maps

"""ConvE in eval mode as plain tensors: batch norms folded, features in region order."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracin_dask.influence.conve.regions import Region, Sees, feature_order, regions
from tracin_dask.influence.precision import Precision
from tracin_dask.models.conve.model import ConvE, ConvEConfig

CONVOLUTION_TENSORS = ("bn0.weight", "bn0.bias", "conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias")


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
    projection_by_channel: tuple[Float[Tensor, "channel _ dim"], ...]
    """The same projection for each region, as the Jacobians' products take it."""
    projection_bias: Float[Tensor, " dim"]
    bn2_mean: Float[Tensor, " dim"]
    bn2_inverse_std: Float[Tensor, " dim"]
    bn2_weight: Float[Tensor, " dim"]
    bn2_bias: Float[Tensor, " dim"]
    convolution_jacobian: dict[str, Float[Tensor, "moment _"]]
    """For each of `CONVOLUTION_TENSORS`: the linear map from the moments (G, S) to the tensor's gradient."""

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.kernel.device

    @property
    def dtype(self) -> torch.dtype:
        """The number type of every product."""
        return self.kernel.dtype

    @property
    def bn2_scale(self) -> Float[Tensor, " dim"]:
        """Derivative of bn2's output by the projection's, α2: where its weight is 0, so is this."""
        return self.bn2_weight * self.bn2_inverse_std

    def region(self, sees: Sees) -> Region | None:
        """Give the region that sees these images; None where the kernel leaves none."""
        return next((region for region in self.regions if region.sees is sees), None)


def fold(model: ConvE, *, device: torch.device | str = "cpu", precision: Precision = Precision.FULL) -> FoldedConvE:
    """Fold an eval-mode ConvE; constants are derived in float64 and stored in the model's dtype.

    The projection, an operand of every big product, is rounded to `precision`.
    """
    config, dtype = model.config, model.fc.weight.dtype
    scale0, shift0 = _affine(model.bn0)
    scale1, shift1 = _affine(model.bn1)
    weight = model.conv1.weight.detach().double().view(config.output_channels, config.num_taps).T
    bias = _double(model.conv1.bias)
    kernel = torch.cat([scale1 * scale0 * weight, (scale1 * (bias + shift0 * weight.sum(dim=0)) + shift1)[None]])

    def place(tensor: Tensor) -> Tensor:
        return tensor.detach().to(device=device, dtype=dtype).contiguous()

    cut = tuple(replace(region, patch_index=region.patch_index.to(device)) for region in regions(config))
    projection = precision.operand(place(model.fc.weight[:, feature_order(config)]))
    by_channel = [projection[:, r.features].view(config.embedding_dim, -1, config.output_channels) for r in cut]
    return FoldedConvE(
        config=config,
        regions=cut,
        entities=place(model.entity_embeddings.weight),
        relations=place(model.relation_embeddings.weight),
        entity_bias=None if model.entity_bias is None else place(model.entity_bias),
        kernel=place(kernel),
        projection=projection,
        projection_by_channel=tuple(weight.permute(2, 1, 0).contiguous() for weight in by_channel),
        projection_bias=place(model.fc.bias),
        bn2_mean=place(_double(model.bn2.running_mean)),
        bn2_inverse_std=place(_inverse_std(model.bn2)),
        bn2_weight=place(model.bn2.weight),
        bn2_bias=place(model.bn2.bias),
        convolution_jacobian={name: place(matrix) for name, matrix in _convolution_jacobian(model).items()},
    )


def _convolution_jacobian(model: ConvE) -> dict[str, Tensor]:
    """Write the gradients of bn0, conv1 and bn1 as linear maps of the moments, by applying them to a basis.

    G[c, k] = Σ_p m[p, c] u[p + k] and S[c] = Σ_p m[p, c]: m is the gradient at bn1's output, u the stacked image.
    Moments are ordered by channel, each with its taps and then its sum.
    """
    config = model.config
    size = (config.num_taps + 1) * config.output_channels
    basis = torch.eye(size, dtype=torch.float64).view(size, config.output_channels, config.num_taps + 1).mT
    moments, sums = basis[:, :-1], basis[:, -1]
    weight = model.conv1.weight.detach().double().view(config.output_channels, config.num_taps).T
    bias = _double(model.conv1.bias)
    scale0, shift0 = _affine(model.bn0)
    scale1, _ = _affine(model.bn1)
    inverse1 = _inverse_std(model.bn1)
    normalised = inverse1 * scale0 * weight
    normalised_shift = inverse1 * (bias + shift0 * weight.sum(dim=0) - _double(model.bn1.running_mean))
    bn0_bias = (sums * (scale1 * weight).sum(dim=0)).sum(dim=1, keepdim=True)
    bn0_scaled = (moments * scale1 * weight).sum(dim=(1, 2))[:, None]
    return {
        "bn0.weight": (bn0_scaled - _double(model.bn0.running_mean) * bn0_bias) * _inverse_std(model.bn0),
        "bn0.bias": bn0_bias,
        "conv1.weight": (scale1 * (scale0 * moments + shift0 * sums[:, None])).flatten(start_dim=1),
        "conv1.bias": scale1 * sums,
        "bn1.weight": (moments * normalised).sum(dim=1) + normalised_shift * sums,
        "bn1.bias": sums,
    }


def _affine(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Write an eval-mode batch norm as scale · z + shift."""
    scale = _double(norm.weight) * _inverse_std(norm)
    return scale, _double(norm.bias) - scale * _double(norm.running_mean)


def _inverse_std(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> Tensor:
    return (_double(norm.running_var) + norm.eps).rsqrt()


def _double(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "ConvE's layers have biases and running statistics"  # noqa: S101 - impossible state
    return tensor.detach().double()


def model_bytes(config: ConvEConfig, itemsize: int) -> int:
    """Bound the bytes of the weights while they are folded, which is more than they take later.

    The checkpoint's own projection lies beside the reordered one, which is kept in two orders; the maps from the
    moments to the gradients of bn0, conv1 and bn1 are made in float64, a little over three tables of moments by
    moments at a time. Embedding tables are shared.
    """
    tables = (config.num_entities + config.num_relations) * config.embedding_dim + config.num_entities
    moments = (config.num_taps + 1) * config.output_channels
    maps = 3 * 8 * moments * (moments + config.output_channels)
    return itemsize * (tables + 3 * config.embedding_dim * config.num_features) + maps

"""The gradients of bn0, conv1 and bn1 as linear maps of the moments, term by term.

The moments of a triple are G[c, k] = Σ_p m[p, c] u[p + k] and S[c] = Σ_p m[p, c], where m is the gradient at bn1's
output and u the stacked image. They are ordered by channel, each with its taps and then its sum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracin_dask.influence.conve.tensor_names import CONVOLUTION_TENSORS
from tracin_dask.influence.terms import Term
from tracin_dask.models.conve.model import ConvE


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedNorm:
    """A batch norm in eval mode, scale · z + shift, in float64."""

    scale: Float[Tensor, " channel"]
    shift: Float[Tensor, " channel"]
    mean: Float[Tensor, " channel"]
    inverse_std: Float[Tensor, " channel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """bn0, conv1 and bn1 in float64."""

    bn0: FoldedNorm
    weight: Float[Tensor, "tap channel"]
    bias: Float[Tensor, " channel"]
    bn1: FoldedNorm

    def kernel(self) -> Float[Tensor, "tap_and_one channel"]:
        """Give all three as one affine map of the patches; the last row is the constant."""
        shift = self.bias + self.bn0.shift * self.weight.sum(dim=0)
        return torch.cat(
            [self.bn1.scale * self.bn0.scale * self.weight, (self.bn1.scale * shift + self.bn1.shift)[None]]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Moments, or a basis of them."""

    image: Float[Tensor, "moment tap channel"]
    """G."""
    sums: Float[Tensor, "moment channel"]
    """S."""


def convolution_of(model: ConvE) -> Convolution:
    """Take these layers from a model in eval mode."""
    taps = model.conv1.weight.detach().double().view(model.config.output_channels, model.config.num_taps).T
    return Convolution(
        bn0=folded_norm(model.bn0), weight=taps, bias=_double(model.conv1.bias), bn1=folded_norm(model.bn1)
    )


def folded_norm(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> FoldedNorm:
    """Write a batch norm in eval mode as scale · z + shift."""
    mean, inverse_std = _double(norm.running_mean), (_double(norm.running_var) + norm.eps).rsqrt()
    scale = _double(norm.weight) * inverse_std
    return FoldedNorm(scale=scale, shift=_double(norm.bias) - scale * mean, mean=mean, inverse_std=inverse_std)


def _bn0_bias(layers: Convolution, of: Moments) -> Float[Tensor, "moment 1"]:
    return (of.sums * (layers.bn1.scale * layers.weight).sum(dim=0)).sum(dim=1, keepdim=True)


def _bn0_weight_by_image(layers: Convolution, of: Moments) -> Float[Tensor, "moment 1"]:
    scaled = (of.image * layers.bn1.scale * layers.weight).sum(dim=(1, 2))[:, None]
    return scaled * layers.bn0.inverse_std


def _bn0_weight_by_mean(layers: Convolution, of: Moments) -> Float[Tensor, "moment 1"]:
    return -(layers.bn0.mean * _bn0_bias(layers, of)) * layers.bn0.inverse_std


def _conv1_weight_by_image(layers: Convolution, of: Moments) -> Float[Tensor, "moment weight"]:
    return (layers.bn0.scale * of.image).mul_(layers.bn1.scale).flatten(start_dim=1)


def _conv1_weight_by_shift(layers: Convolution, of: Moments) -> Float[Tensor, "moment weight"]:
    shifted = layers.bn1.scale * (layers.bn0.shift * of.sums)
    return shifted[:, None].expand_as(of.image).flatten(start_dim=1)


def _conv1_bias(layers: Convolution, of: Moments) -> Float[Tensor, "moment channel"]:
    return layers.bn1.scale * of.sums


def _bn1_weight_by_image(layers: Convolution, of: Moments) -> Float[Tensor, "moment channel"]:
    return (of.image * (layers.bn1.inverse_std * layers.bn0.scale * layers.weight)).sum(dim=1)


def _bn1_weight_by_constant(layers: Convolution, of: Moments) -> Float[Tensor, "moment channel"]:
    constant = sum((term.function(layers) for term in NORMALISED_CONSTANT), start=torch.zeros_like(layers.bias))
    return layers.bn1.inverse_std * constant * of.sums


Constant: TypeAlias = Callable[[Convolution], Tensor]
NORMALISED_CONSTANT: tuple[Term[Constant], ...] = (
    Term(name="conv1.bias", tensors={"bn1.weight"}, function=lambda layers: layers.bias),
    Term(
        name="shift of bn0", tensors={"bn1.weight"}, function=lambda layers: layers.bn0.shift * layers.weight.sum(dim=0)
    ),
    Term(name="mean of bn1", tensors={"bn1.weight"}, function=lambda layers: -layers.bn1.mean),
)
"""Their sum is what bn1 normalises where the image is zero."""

Map: TypeAlias = Callable[[Convolution, Moments], Tensor]
"""Gives a tensor of its own, in which others are added up: the tables of moments by moments are large."""
CONVOLUTION_TERMS: tuple[Term[Map], ...] = (
    Term(name="bn0.weight by the image", tensors={"bn0.weight"}, function=_bn0_weight_by_image),
    Term(name="bn0.weight by the mean", tensors={"bn0.weight"}, function=_bn0_weight_by_mean),
    Term(name="bn0.bias", tensors={"bn0.bias"}, function=_bn0_bias),
    Term(name="conv1.weight by the image", tensors={"conv1.weight"}, function=_conv1_weight_by_image),
    Term(name="conv1.weight by the shift of bn0", tensors={"conv1.weight"}, function=_conv1_weight_by_shift),
    Term(name="conv1.bias", tensors={"conv1.bias"}, function=_conv1_bias),
    Term(name="bn1.weight by the image", tensors={"bn1.weight"}, function=_bn1_weight_by_image),
    Term(name="bn1.weight by the constant", tensors={"bn1.weight"}, function=_bn1_weight_by_constant),
    Term(name="bn1.bias", tensors={"bn1.bias"}, function=lambda _, of: of.sums.clone()),
)


def convolution_jacobian(layers: Convolution) -> dict[str, Float[Tensor, "moment _"]]:
    """Give the linear map from the moments to each tensor's gradient: its terms, applied to a basis of moments."""
    taps, channels = layers.weight.shape
    size = (taps + 1) * channels
    basis = torch.eye(size, dtype=torch.float64).view(size, channels, taps + 1).mT
    of, nothing = Moments(image=basis[:, :-1], sums=basis[:, -1]), torch.zeros(size, 1, dtype=torch.float64)
    found = {}
    for name in CONVOLUTION_TENSORS:
        parts = [term.function(layers, of) for term in CONVOLUTION_TERMS if name in term.tensors]
        found[name] = reduce(torch.Tensor.add_, parts) if parts else nothing
    return found


def _double(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "ConvE's layers have biases and running statistics"  # noqa: S101 - impossible state
    return tensor.detach().double()

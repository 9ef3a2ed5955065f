"""The statistics that batch norm subtracts and divides by: of a batch in training, running ones in eval mode."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.models.stacked.functions import moments_of

EPSILON = 1e-5
MOMENTUM = 0.1
"""The values of `torch.nn.BatchNorm2d`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Means and variances of the channels of every model."""

    mean: Float[Tensor, "model channel"]
    variance: Float[Tensor, "model channel"]

    def scale(self, weight: Float[Tensor, "model channel"]) -> Float[Tensor, "model channel"]:
        """Give the factor by which batch norm multiplies."""
        return weight * (self.variance + EPSILON).rsqrt()


@runtime_checkable
class Norms(Protocol):
    """Where the statistics come from."""

    def of_values(self, layer: str, values: Float[Tensor, "model channel place batch"]) -> Statistics:
        """Give the statistics of a layer with these inputs."""

    def of_maps(
        self, patches: Float[Tensor, "model tap_and_one place"], kernel: Tensor, bias: Float[Tensor, "model channel"]
    ) -> Statistics:
        """Give the statistics of the feature maps, kernel [model, channel, tap] times patches plus bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningNorms:
    """The running statistics of eval mode."""

    buffers: Mapping[str, Tensor]

    def of_values(self, layer: str, values: Float[Tensor, "model channel place batch"]) -> Statistics:
        """Give the running statistics of a layer."""
        del values
        return Statistics(mean=self.buffers[f"{layer}.running_mean"], variance=self.buffers[f"{layer}.running_var"])

    def of_maps(
        self, patches: Float[Tensor, "model tap_and_one place"], kernel: Tensor, bias: Float[Tensor, "model channel"]
    ) -> Statistics:
        """Give the running statistics of the feature maps."""
        del patches, kernel, bias
        return Statistics(mean=self.buffers["bn1.running_mean"], variance=self.buffers["bn1.running_var"])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorms:
    """The statistics of a batch; a model with fewer rows than others has padding, which `valid` marks with 0.

    What was given is kept by layer, with the number of values behind each mean, for the running statistics.
    """

    valid: Float[Tensor, "model batch"]
    counts: Float[Tensor, " model"]
    given: dict[str, tuple[Statistics, Float[Tensor, " model"]]] = field(default_factory=dict)

    def of_values(self, layer: str, values: Float[Tensor, "model channel place batch"]) -> Statistics:
        """Compute mean and variance over places and batch."""
        valid, number = self.valid[:, None, None], self.counts * values.shape[2]
        mean = (values * valid).sum(dim=(2, 3)) / number[:, None]
        deviations = (values - mean[:, :, None, None]) * valid
        variance = deviations.square().sum(dim=(2, 3)) / number[:, None]
        return self._kept(layer, Statistics(mean=mean, variance=variance), number)

    def of_maps(
        self, patches: Float[Tensor, "model tap_and_one place"], kernel: Tensor, bias: Float[Tensor, "model channel"]
    ) -> Statistics:
        """Compute mean and variance of the feature maps from those of the patches, without the maps.

        The variance of a channel is k Σ kᵀ, with the covariance Σ of the taps. The images come from batch norm, so
        subtracting the squares of means loses no digits that matter.
        """
        sums = moments_of(patches)
        number = sums[:, -1, -1].detach()
        tap_mean = sums[:, :-1, -1:] / number[:, None, None]
        covariance = sums[:, :-1, :-1] / number[:, None, None] - tap_mean @ tap_mean.mT
        mean = (kernel @ tap_mean)[:, :, 0] + bias
        variance = ((kernel @ covariance) * kernel).sum(dim=2)
        return self._kept("bn1", Statistics(mean=mean, variance=variance), number)

    def update(self, buffers: Mapping[str, Tensor]) -> None:
        """Move the running statistics towards those of this batch, as `torch.nn.BatchNorm2d` does."""
        with torch.no_grad():
            for layer, (statistics, number) in self.given.items():
                unbiased = statistics.variance * (number / (number - 1))[:, None]
                buffers[f"{layer}.running_mean"].lerp_(statistics.mean, MOMENTUM)
                buffers[f"{layer}.running_var"].lerp_(unbiased, MOMENTUM)
                buffers[f"{layer}.num_batches_tracked"].add_(1)

    def _kept(self, layer: str, statistics: Statistics, number: Float[Tensor, " model"]) -> Statistics:
        self.given[layer] = (statistics, number)
        return statistics

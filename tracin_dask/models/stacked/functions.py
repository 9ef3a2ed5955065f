"""The large products of stacked models as functions with their own backward steps, which keep little and work in place.

The batch is the last axis of all activations: rows of images and feature maps are then contiguous.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# What PyTorch calls has no annotations: the shapes stand in the functions at the end.


class _Patches(Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, valid: Tensor, kernel: tuple[int, int]) -> Tensor:  # noqa: ANN401 - PyTorch's
        num_models, height, width, batch = image.shape
        rows, columns = height - kernel[0] + 1, width - kernel[1] + 1
        taps = kernel[0] * kernel[1]
        patches = image.new_empty(num_models, taps + 1, rows, columns, batch)
        windows = image.unfold(1, rows, 1).unfold(2, columns, 1).permute(0, 1, 2, 4, 5, 3)
        patches[:, :taps].view(windows.shape).copy_(windows)
        patches[:, taps] = valid[:, None, None]
        ctx.image_shape, ctx.kernel = image.shape, kernel
        return patches.view(num_models, taps + 1, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - PyTorch's
        num_models, height, width, batch = ctx.image_shape
        rows, columns = height - ctx.kernel[0] + 1, width - ctx.kernel[1] + 1
        of_taps = gradient.view(num_models, -1, rows, columns, batch)
        of_image = gradient.new_zeros(ctx.image_shape)
        for tap in range(of_taps.shape[1] - 1):
            top, left = divmod(tap, ctx.kernel[1])
            of_image[:, top : top + rows, left : left + columns] += of_taps[:, tap]
        return of_image, None, None


class _Moments(Function):
    @staticmethod
    def forward(ctx: Any, patches: Tensor) -> Tensor:  # noqa: ANN401 - PyTorch's
        ctx.save_for_backward(patches)
        return torch.bmm(patches, patches.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - PyTorch's
        (patches,) = ctx.saved_tensors
        return torch.bmm(gradient + gradient.mT, patches)


class _Projection(Function):
    @staticmethod
    def forward(ctx: Any, kernel: Tensor, patches: Tensor, limit: Tensor | None, weight: Tensor) -> Tensor:  # noqa: ANN401 - PyTorch's
        features = torch.bmm(kernel, patches)
        if limit is None:
            features.relu_()
        else:
            maps = features.view(*limit.shape[:2], -1, limit.shape[2])
            torch.clamp(maps, min=maps.new_zeros(()), max=limit[:, :, None], out=maps)
        ctx.save_for_backward(kernel, patches, features, weight)
        return torch.bmm(weight, features.view(len(weight), weight.shape[2], -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - PyTorch's
        kernel, patches, features, weight = ctx.saved_tensors
        flat = features.view(len(weight), weight.shape[2], -1)
        of_weight = torch.bmm(gradient, flat.mT)
        of_features = torch.bmm(weight.mT, gradient)
        torch.ops.aten.threshold_backward.grad_input(of_features, flat, 0, grad_input=of_features)
        of_maps = of_features.view(features.shape)
        return torch.bmm(of_maps, patches.mT), torch.bmm(kernel.mT, of_maps), None, of_weight


class _OneToAll(Function):
    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - PyTorch hands on positions
        ctx: Any,  # noqa: ANN401 - PyTorch's
        entities: Tensor,
        projection: Tensor,
        bias: Tensor | None,
        tail: Tensor,
        share: Tensor,
        label_smoothing: float,
    ) -> Tensor:
        scores = compare(entities, projection, bias)
        mean_label = label_smoothing / scores.shape[1]
        positive = scores.gather(1, tail[:, None])[:, 0]
        sums = nn.functional.softplus(scores).sum(dim=1) - mean_label * scores.sum(dim=1)
        losses = ((sums - (1 - label_smoothing) * positive) * share).sum(dim=1)
        derivative = scores.sigmoid_().sub_(mean_label)
        derivative.scatter_add_(1, tail[:, None], scores.new_tensor(label_smoothing - 1).expand_as(tail[:, None]))
        ctx.save_for_backward(entities, projection, derivative.mul_(share[:, None]))
        ctx.has_bias = bias is not None
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - PyTorch's
        entities, projection, derivative = ctx.saved_tensors
        scale = gradient[:, None, None]
        of_bias = derivative.sum(dim=2) * gradient[:, None] if ctx.has_bias else None
        of_entities = torch.bmm(derivative, projection.mT).mul_(scale)
        return of_entities, torch.bmm(entities.mT, derivative).mul_(scale), of_bias, None, None, None


def patches_of(
    image: Float[Tensor, "model height width batch"],
    valid: Float[Tensor, "model batch"],
    kernel: tuple[int, int],
) -> Float[Tensor, "model tap_and_one position_batch"]:
    """Lay out the values under each tap of a kernel, position by position; the last row is `valid` at each position."""
    patches: Tensor = _Patches.apply(image, valid, kernel)  # type: ignore[no-untyped-call] # PyTorch
    return patches


def moments_of(
    patches: Float[Tensor, "model tap_and_one position_batch"],
) -> Float[Tensor, "model tap_and_one tap_and_one"]:
    """Sum the products of all pairs of rows; those with the last row are the sums of the others, and their number."""
    moments: Tensor = _Moments.apply(patches)  # type: ignore[no-untyped-call] # PyTorch
    return moments


def project_features(
    kernel: Float[Tensor, "model channel tap_and_one"],
    patches: Float[Tensor, "model tap_and_one position_batch"],
    limit: Float[Tensor, "model channel batch"] | None,
    weight: Float[Tensor, "model dim feature"],
) -> Float[Tensor, "model dim batch"]:
    """Multiply the feature maps, max(0, kernel · patches), by the weights of the layer behind them.

    Maps whose `limit` is 0 are dropped; that of the others is infinite.
    """
    projected: Tensor = _Projection.apply(kernel, patches, limit, weight)  # type: ignore[no-untyped-call] # PyTorch
    return projected


def compare(
    entities: Float[Tensor, "model entity dim"],
    projection: Float[Tensor, "model dim batch"],
    bias: Float[Tensor, "model entity"] | None,
) -> Float[Tensor, "model entity batch"]:
    """Score every entity against every projection."""
    scores = torch.bmm(entities, projection)
    return scores if bias is None else scores.add_(bias[:, :, None])


def one_to_all_losses(
    entities: Float[Tensor, "model entity dim"],
    projection: Float[Tensor, "model dim batch"],
    bias: Float[Tensor, "model entity"] | None,
    *,
    tail: Int[Tensor, "model batch"],
    share: Float[Tensor, "model batch"],
    label_smoothing: float,
) -> Float[Tensor, " model"]:
    """Give each model's `one_to_all_loss`, weighted sums over the batch; `share` is 1 / (batch · entity) or 0."""
    losses: Tensor = _OneToAll.apply(entities, projection, bias, tail, share, label_smoothing)  # type: ignore[no-untyped-call] # PyTorch
    return losses

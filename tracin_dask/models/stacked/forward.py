"""The scores of stacked models: one pass for all of them, in training and in eval mode."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tracin_dask.models.stacked.functions import compare, patches_of, project_features
from tracin_dask.models.stacked.models import ENTITIES, Layout, StackedModels
from tracin_dask.models.stacked.normalization import Norms, RunningNorms, Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The trained tensors of stacked models, by name, and the matrix in which tables are looked up."""

    layout: Layout
    table: Float[Tensor, "table_row dim"]
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, numbers: Float[Tensor, "model number"], layout: Layout, *, requires_grad: bool = False) -> "Weights":
        """View the rows of numbers; with `requires_grad` each view is a leaf of its own."""
        table = numbers.detach().view(-1, layout.config.embedding_dim)
        views = layout.split(numbers.detach())
        return cls(
            layout=layout,
            table=table.requires_grad_(requires_grad),
            tensors={name: tensor.requires_grad_(requires_grad) for name, tensor in views.items()},
        )

    def gradients(self, loss: Float[Tensor, ""]) -> Float[Tensor, "model number"]:
        """Differentiate a loss by all numbers."""
        leaves = [self.table, *self.tensors.values()]
        of_table, *of_tensors = torch.autograd.grad(loss, leaves, allow_unused=True)
        gradient: Tensor = of_table.view(-1, self.layout.length)
        for (_, place), part in zip(self.layout.places(), of_tensors, strict=True):
            if part is not None:
                gradient[:, place] += part.flatten(start_dim=1)
        return gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Dropout of a batch: None where nothing is dropped; the others are 0 or 1 / (1 - rate), limits 0 or infinite."""

    image: Float[Tensor, "model batch pixel"] | None = None
    map_limit: Float[Tensor, "model channel batch"] | None = None
    map_scale: float = 1.0
    projection: Float[Tensor, "model dim batch"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Heads and relations, each model's own; `valid` is 0 where a model has fewer than others, else 1."""

    head: Int[Tensor, "model batch"]
    relation: Int[Tensor, "model batch"]
    valid: Float[Tensor, "model batch"]


def project(weights: Weights, pairs: Pairs, norms: Norms, masks: Masks) -> Float[Tensor, "model dim batch"]:
    """Compute x(h, r), as `ConvE.project` does."""
    config, tensors = weights.layout.config, weights.tensors
    image = _image(weights, pairs, masks.image)
    plane = _normalized(image[:, None], norms.of_values("bn0", image[:, None]), tensors, "bn0")[:, 0]
    plane = (plane * pairs.valid[:, None]).view(len(image), config.image_height, config.image_width, -1)
    patches = patches_of(plane, pairs.valid, (config.kernel_height, config.kernel_width))
    kernel = _folded_kernel(weights, norms, patches)
    fc = tensors["fc.weight"] if masks.map_limit is None else tensors["fc.weight"] * masks.map_scale
    values = project_features(kernel, patches, masks.map_limit, fc) + tensors["fc.bias"][:, :, None]
    if masks.projection is not None:
        values = values * masks.projection
    values = values[:, :, None]
    return torch.relu(_normalized(values, norms.of_values("bn2", values), tensors, "bn2")[:, :, 0])


def scores_of(models: StackedModels, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "model entity batch"]:
    """Score every entity as the tail of each (head, relation), in eval mode, by every model."""
    with torch.no_grad():
        weights = Weights.of(models.numbers, models.layout)
        head, relation = (ids.expand(len(models), -1) for ids in pairs.unbind(dim=1))
        asked = Pairs(head=head, relation=relation, valid=models.numbers.new_ones(head.shape))
        projection = project(weights, asked, RunningNorms(buffers=models.buffers), Masks())
        return compare(weights.tensors[ENTITIES], projection, weights.tensors.get("entity_bias"))


def _image(
    weights: Weights, pairs: Pairs, mask: Float[Tensor, "model batch pixel"] | None
) -> Float[Tensor, "model pixel batch"]:
    """Look up the images of head and relation side by side, with the batch as the last axis."""
    config = weights.layout.config
    rows = torch.stack(weights.layout.table_rows(pairs.head, pairs.relation))
    values = nn.functional.embedding(rows, weights.table)
    shape = (*pairs.head.shape, config.embedding_height, config.embedding_width)
    image = torch.cat([half.view(shape) for half in values], dim=3 if config.stacking == "width" else 2).flatten(2)
    return (image if mask is None else image * mask).mT.contiguous()


def _folded_kernel(
    weights: Weights, norms: Norms, patches: Float[Tensor, "model tap_and_one place"]
) -> Float[Tensor, "model channel tap_and_one"]:
    """Fold batch norm into the kernels, whose last tap is the bias then."""
    tensors = weights.tensors
    kernel = tensors["conv1.weight"].flatten(start_dim=2)
    bias = tensors["conv1.bias"] if "conv1.bias" in tensors else torch.zeros_like(tensors["bn1.bias"])
    statistics = norms.of_maps(patches, kernel, bias)
    scale = statistics.scale(tensors["bn1.weight"])
    shift = tensors["bn1.bias"] + scale * (bias - statistics.mean)
    return torch.cat([kernel * scale[:, :, None], shift[:, :, None]], dim=2)


def _normalized(
    values: Float[Tensor, "model channel place batch"],
    statistics: Statistics,
    tensors: Mapping[str, Tensor],
    layer: str,
) -> Float[Tensor, "model channel place batch"]:
    scale = statistics.scale(tensors[f"{layer}.weight"])
    centred = values - statistics.mean[:, :, None, None]
    return centred * scale[:, :, None, None] + tensors[f"{layer}.bias"][:, :, None, None]

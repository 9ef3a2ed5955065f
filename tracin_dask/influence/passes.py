"""The forward pass per distinct (head, relation) and the backward pass per triple, region by region.

Everything here is about the score s = x(h, r) · E[t] of a triple; the loss enters only as the factor δ = ∂loss/∂s.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.layout import Region, Sees, add_patches_to_image
from tracin_dask.influence.precision import Precision

FeatureProduct = Callable[[Region, Float[Tensor, "key region_feature"]], Tensor]
"""What is wanted of a region's features while they are at hand, one row per key; summed over the regions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionPass:
    """One region's part of the forward pass: a row per distinct head, relation or pair (its keys)."""

    region: Region
    keys: Int[Tensor, "key 2"]
    """(head, relation) of each row; -1 for what the region does not see."""
    key_of_pair: Int[Tensor, " pair"]
    source: Float[Tensor, "key entry"]
    kept: tuple[Float[Tensor, "key position tap_and_one"], Float[Tensor, "key region_feature"]] | None
    """Patches and features, or None where the backward pass makes them again (gradient checkpointing)."""

    def activations(
        self, model: FoldedConvE
    ) -> tuple[Float[Tensor, "key position tap_and_one"], Float[Tensor, "key region_feature"]]:
        """Give the patches and the features, computed again if they were not kept."""
        return self.kept or activate(model, self.region, self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The relation region's part of the forward pass, by relation."""

    projected: Float[Tensor, "relation dim"]
    """Its part of the projection's output."""
    product: Float[Tensor, "relation test"]
    """Its features' part of the wanted product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What the forward pass knows of a batch; tensors have one row per distinct (head, relation)."""

    triples: Int[Tensor, "batch 3"]
    pair: Int[Tensor, " batch"]
    """The row of each triple's (head, relation)."""
    x: Float[Tensor, "pair dim"]
    normalised: Float[Tensor, "pair dim"]
    """The value before bn2's affine map."""
    is_open: Bool[Tensor, "pair dim"]
    """Where the last ReLU lets through."""
    passes: tuple[RegionPass, ...]
    product: Tensor
    """The sum over regions of the wanted feature product, one row per pair; 0 if none was wanted."""


def forward(
    model: FoldedConvE,
    triples: Int[Tensor, "batch 3"],
    *,
    precision: Precision,
    recompute: bool = False,
    feature_product: FeatureProduct | None = None,
    known: Known | None = None,
) -> Forward:
    """Run the forward pass once per distinct (head, relation) of the batch.

    With `recompute`, patches and features are dropped region by region instead of kept for the backward pass. What is
    `known` of the relation region is looked up instead of computed; the backward pass leaves this region out.
    """
    pairs, pair = torch.unique(triples[:, :2], dim=0, return_inverse=True)
    projected = model.projection_bias.expand(len(pairs), -1)
    product = model.kernel.new_zeros(())
    passes: list[RegionPass] = []
    for region in model.regions:
        keys, key_of_pair = _keys(region, pairs)
        if known is not None and region.sees is Sees.RELATION:
            projected = projected + known.projected[pairs[:, 1]]
            product = product + known.product[pairs[:, 1]]
            continue
        source = _source(model, region, keys)
        patches, features = activate(model, region, source)
        part = precision.product(features, model.projection[:, region.features].T)
        projected = projected + part[key_of_pair]
        if feature_product is not None:
            product = product + feature_product(region, features)[key_of_pair]
        kept = None if recompute else (patches, features)
        passes.append(RegionPass(region=region, keys=keys, key_of_pair=key_of_pair, source=source, kept=kept))
        del patches, features
    normalised = (projected - model.bn2_mean) * model.bn2_inverse_std
    shifted = normalised * model.bn2_weight + model.bn2_bias
    return Forward(
        triples=triples,
        pair=pair,
        x=torch.relu(shifted),
        normalised=normalised,
        is_open=shifted > 0,
        passes=tuple(passes),
        product=product,
    )


def scores(model: FoldedConvE, ahead: Forward) -> Float[Tensor, " batch"]:
    """Score the batch's triples: x(h, r) · E[t] (+ bias[t])."""
    tail = ahead.triples[:, 2]
    score = (ahead.x[ahead.pair] * model.entities[tail]).sum(dim=1)
    return score if model.entity_bias is None else score + model.entity_bias[tail]


def activate(
    model: FoldedConvE, region: Region, source: Float[Tensor, "key entry"]
) -> tuple[Float[Tensor, "key position tap_and_one"], Float[Tensor, "key region_feature"]]:
    """Cut a region's patches and compute its features, relu(bn1(conv1(bn0(image))))."""
    patches = source[:, region.patch_index]
    features = (patches.view(-1, patches.shape[2]) @ model.kernel).relu_()
    return patches, features.view(len(source), region.num_positions * features.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionGradient:
    """The gradient of the scores at one region of bn1's output, a row per triple."""

    region: Region
    patches: Float[Tensor, "key position tap_and_one"]
    key_of_row: Int[Tensor, " batch"]
    gradient: Float[Tensor, "batch position channel"]

    def moments(self) -> Float[Tensor, "batch moment"]:
        """Sum gradient × patch over the positions: this region's part of (G, S)."""
        return torch.bmm(self.patches[self.key_of_row].transpose(1, 2), self.gradient).flatten(start_dim=1)

    def add_to_image(
        self, model: FoldedConvE, rows: Int[Tensor, " row"], image: Float[Tensor, "row height width"]
    ) -> None:
        """Add this region's part of the gradient at the stacked image, for some rows of the batch, in place."""
        taps = self.gradient[rows] @ model.kernel[:-1].T
        add_patches_to_image(self.region, taps, image, model.config.kernel_width)


def backward(
    model: FoldedConvE,
    ahead: Forward,
    at_projection: Float[Tensor, "batch dim"],
    *,
    parts: Sequence[RegionPass],
    precision: Precision,
) -> Iterator[RegionGradient]:
    """Carry the gradient at the projection's output back to bn1's output, one of these regions at a time."""
    for part in parts:
        key_of_row = part.key_of_pair[ahead.pair]
        gradient = precision.product(at_projection, model.projection[:, part.region.features])
        patches, features = part.activations(model)
        gradient.mul_((features > 0)[key_of_row])
        del features
        shape = (len(key_of_row), part.region.num_positions, model.config.output_channels)
        yield RegionGradient(region=part.region, patches=patches, key_of_row=key_of_row, gradient=gradient.view(shape))


def region_pass(model: FoldedConvE, region: Region, pairs: Int[Tensor, "pair 2"]) -> RegionPass:
    """Run one region's forward pass for some (head, relation)."""
    keys, key_of_pair = _keys(region, pairs)
    source = _source(model, region, keys)
    kept = activate(model, region, source)
    return RegionPass(region=region, keys=keys, key_of_pair=key_of_pair, source=source, kept=kept)


def _keys(region: Region, pairs: Int[Tensor, "pair 2"]) -> tuple[Int[Tensor, "key 2"], Int[Tensor, " pair"]]:
    """Find the distinct things that a region sees in some distinct (head, relation)."""
    if region.sees is Sees.BOTH:
        return pairs, torch.arange(len(pairs), device=pairs.device)
    seen = 0 if region.sees is Sees.HEAD else 1
    ids, key_of_pair = torch.unique(pairs[:, seen], return_inverse=True)
    keys = torch.full((len(ids), 2), -1, device=pairs.device)
    keys[:, seen] = ids
    return keys, key_of_pair


def _source(model: FoldedConvE, region: Region, keys: Int[Tensor, "key 2"]) -> Float[Tensor, "key entry"]:
    """Gather the vectors that a region sees, followed by the constant 1."""
    seen = []
    if region.sees is not Sees.RELATION:
        seen.append(model.entities[keys[:, 0]])
    if region.sees is not Sees.HEAD:
        seen.append(model.relations[keys[:, 1]])
    return torch.cat([*seen, model.kernel.new_ones(len(keys), 1)], dim=1)

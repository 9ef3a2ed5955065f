"""The forward pass to x(h, r), once per distinct (head, relation) of a batch, region by region.

The score of a triple is s = x(h, r) · E[t]; the loss enters only as the factor δ = ∂loss/∂s.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.regions import Region, Sees
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tensors import dot_rows, select_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionPass:
    """One region's part of the forward pass: a row per head, relation or pair of the batch (its keys)."""

    region: Region
    keys: Int[Tensor, "key 2"]
    """(head, relation) of each row; -1 for what the region does not see."""
    key_of_pair: Int[Tensor, " pair"] | None
    """The key of each pair; None where each pair is a key."""
    source: Float[Tensor, "key entry"]
    kept: tuple[Float[Tensor, "key position tap_and_one"], Float[Tensor, "key region_feature"]] | None
    """Patches and features; None if the backward pass computes them again (gradient checkpointing)."""

    def activations(
        self, model: FoldedConvE
    ) -> tuple[Float[Tensor, "key position tap_and_one"], Float[Tensor, "key region_feature"]]:
        """Give the patches and the features, computed again if they were not kept."""
        return self.kept or activate(model, self.region, self.source)

    def by_pair(self, values: Float[Tensor, "*stack key width"]) -> Float[Tensor, "*stack pair width"]:
        """Give each pair the values of its key."""
        return values if self.key_of_pair is None else select_rows(values, self.key_of_pair)

    def key_of_row(self, batch: Batch) -> Int[Tensor, " batch"]:
        """Give the key of each triple."""
        return batch.pair if self.key_of_pair is None else self.key_of_pair[batch.pair]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationSums:
    """The relation region's part of the sums of the forward pass, by relation."""

    projected: Float[Tensor, "relation dim"]
    """Its part of the projection's output."""
    overlap: Float[Tensor, "relation test"] | None
    """The inner products of its features with those of the test triples, where they are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """The forward pass of a batch; tensors have one row per (head, relation)."""

    batch: Batch
    x: Float[Tensor, "pair dim"]
    normalised: Float[Tensor, "pair dim"]
    """The value before bn2's affine map."""
    is_open: Float[Tensor, "pair dim"]
    """1 where the last ReLU is open, else 0."""
    passes: tuple[RegionPass, ...]
    overlap: Float[Tensor, "pair test"] | None
    """The inner products of the features with those of the test triples, where they are needed."""


def forward(
    model: FoldedConvE,
    batch: Batch,
    *,
    precision: Precision,
    recompute: bool = False,
    relation_sums: RelationSums | None = None,
    test_features: Float[Tensor, "test feature"] | None = None,
) -> Forward:
    """Run the forward pass once per (head, relation) of the batch.

    With `recompute`, patches and features are dropped region by region instead of kept for the backward pass. With
    `relation_sums`, the relation region is looked up instead of computed; the backward pass leaves this region out.
    """
    relation = batch.pairs[:, 1]
    projected = model.projection_bias.repeat(len(batch.pairs), 1)
    overlap = None if test_features is None else model.kernel.new_zeros(len(batch.pairs), len(test_features))
    passes: list[RegionPass] = []
    for region in model.regions:
        if relation_sums is not None and region.sees is Sees.RELATION:
            projected += relation_sums.projected.index_select(0, relation)
            if overlap is not None and relation_sums.overlap is not None:
                overlap += relation_sums.overlap.index_select(0, relation)
            continue
        part = region_pass(model, region, batch)
        features = part.activations(model)[1]
        projected += part.by_pair(features @ model.projection[:, region.features].T)
        if overlap is not None and test_features is not None:
            found = precision.product(precision.operand(features), test_features[:, region.features].T)
            overlap += part.by_pair(found)
        passes.append(replace(part, kept=None) if recompute else part)
        del features, part
    normalised = projected.sub_(model.bn2_mean).mul_(model.bn2_inverse_std)
    x = torch.addcmul(model.bn2_bias, normalised, model.bn2_weight).relu_()
    return Forward(
        batch=batch, x=x, normalised=normalised, is_open=relu_derivative(x), passes=tuple(passes), overlap=overlap
    )


def scores(model: FoldedConvE, ahead: Forward, tails: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    """Score the batch's triples from their tails' embeddings: x(h, r) · E[t] (+ bias[t])."""
    score = dot_rows(ahead.x.index_select(0, ahead.batch.pair), tails)
    return score if model.entity_bias is None else score + model.entity_bias[ahead.batch.triples[:, 2]]


def relu_derivative(outputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Differentiate a ReLU by its input, from its outputs: 1 where a unit is open, 0 where it is closed."""
    return outputs.sign()


def activate(
    model: FoldedConvE, region: Region, source: Float[Tensor, "key entry"]
) -> tuple[Float[Tensor, "key position tap_and_one"], Float[Tensor, "key region_feature"]]:
    """Cut a region's patches and compute its features, relu(bn1(conv1(bn0(image))))."""
    patches = cut_patches(region, source)
    features = (patches.view(-1, patches.shape[2]) @ model.kernel).relu_()
    return patches, features.view(len(source), region.num_positions * features.shape[1])


def cut_patches(region: Region, source: Float[Tensor, "key entry"]) -> Float[Tensor, "key position tap_and_one"]:
    """Gather the patch at each of a region's positions, followed by the constant 1."""
    return source.index_select(1, region.patch_index.flatten()).view(len(source), *region.patch_index.shape)


def region_pass(model: FoldedConvE, region: Region, batch: Batch) -> RegionPass:
    """Run one region's forward pass for a batch."""
    keys, key_of_pair = _keys(region, batch)
    return pass_of(model, region, keys, key_of_pair)


def pass_of(
    model: FoldedConvE, region: Region, keys: Int[Tensor, "key 2"], key_of_pair: Int[Tensor, " pair"] | None
) -> RegionPass:
    """Run one region's forward pass for some keys."""
    source = source_of(model, region, keys)
    kept = activate(model, region, source)
    return RegionPass(region=region, keys=keys, key_of_pair=key_of_pair, source=source, kept=kept)


def source_of(model: FoldedConvE, region: Region, keys: Int[Tensor, "key 2"]) -> Float[Tensor, "key entry"]:
    """Gather the vectors that a region sees, followed by the constant 1."""
    seen = []
    if region.sees is not Sees.RELATION:
        seen.append(model.entities.index_select(0, keys[:, 0]))
    if region.sees is not Sees.HEAD:
        seen.append(model.relations.index_select(0, keys[:, 1]))
    return pad(seen[0] if len(seen) == 1 else torch.cat(seen, dim=1), (0, 1), value=1.0)


def _keys(region: Region, batch: Batch) -> tuple[Int[Tensor, "key 2"], Int[Tensor, " pair"] | None]:
    """Find the distinct heads, relations or pairs that a region sees in a batch."""
    if region.sees is Sees.BOTH:
        return batch.pairs, None
    if region.sees is Sees.HEAD:
        return batch.heads, batch.head_of_pair
    assert batch.relations is not None  # noqa: S101 - found where such a region is computed
    return batch.relations.keys.tensor, batch.relations.of_pair.tensor

"""What the region that sees only the relation contributes, computed once per relation instead of in every batch."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.directions import moved_images
from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.passes import Known, RegionPass, region_pass
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.product import EmbeddingRows

_CHUNK = 64
"""Relations whose features are held at a time while a table is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationTable:
    """The relation region's part of the forward pass and of the products, for every relation."""

    known: Known
    """Its part of the forward pass, and the inner products of its features with those of the test triples."""
    directions: Float[Tensor, "relation dim test"]
    """Its part of W ȧ, see the module `directions`."""

    def along_rows(
        self, relation: Int[Tensor, " batch"], at_projection: Float[Tensor, "batch dim"], *, precision: Precision
    ) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's gradient at the projection with its relation's directions: ⟨d_i, W ȧ_j⟩.

        Rows are brought together by relation, so that each relation takes one matrix product.
        """
        order = torch.argsort(relation, stable=True)
        grouped = at_projection[order]
        relations, counts = torch.unique_consecutive(relation[order], return_counts=True)
        parts = [
            precision.product(rows, self.directions[number])
            for number, rows in zip(relations.tolist(), torch.split(grouped, counts.tolist()), strict=True)
        ]
        none = grouped.new_zeros(0, self.known.product.shape[1])
        return torch.cat([none, *parts])[torch.argsort(order)]


def table_bytes(num_relations: int, dim: int, num_tests: int, itemsize: int) -> int:
    """Count the bytes of a table."""
    return itemsize * num_relations * (dim + num_tests + dim * num_tests)


def relation_table(
    model: FoldedConvE,
    features: Float[Tensor, "test feature"],
    moments: Float[Tensor, "test moment"],
    embeddings: EmbeddingRows,
    *,
    tracked: frozenset[str],
    precision: Precision,
) -> RelationTable | None:
    """Compute the table of all relations; None for a model in which no region sees the relation alone."""
    region = next((region for region in model.regions if region.sees is Sees.RELATION), None)
    if region is None:
        return None
    weight = model.projection[:, region.features]
    projected, overlap, directions = [], [], []
    for relations in torch.split(torch.arange(len(model.relations), device=model.device), _CHUNK):
        part = region_pass(model, region, torch.stack([relations, relations], dim=1))
        _, made = part.activations(model)
        projected.append(precision.product(made, weight.T))
        overlap.append(precision.product(made, features[:, region.features].T))
        directions.append(_directions(model, part, moments) + _along_images(model, part, embeddings, tracked))
    return RelationTable(
        known=Known(projected=torch.cat(projected), product=torch.cat(overlap)), directions=torch.cat(directions)
    )


def _directions(model: FoldedConvE, part: RegionPass, moments: Float[Tensor, "test moment"]) -> Tensor:
    """Give Q_r · moments for each relation, where Q_r [dim, moment] sums weight × patch over the open positions.

    For many test triples this is cheaper than to move the features along each.
    """
    patches, features = part.activations(model)
    config, region = model.config, part.region
    weight = model.projection[:, region.features].view(config.embedding_dim, -1, config.output_channels)
    made = []
    for patch, feature in zip(patches, features, strict=True):
        is_open = (feature > 0).view(1, -1, config.output_channels)
        moment = (weight * is_open).transpose(1, 2) @ patch
        made.append(moment.transpose(1, 2).flatten(start_dim=1) @ moments.T)
    return torch.stack(made)


def _along_images(model: FoldedConvE, part: RegionPass, embeddings: EmbeddingRows, tracked: frozenset[str]) -> Tensor:
    """Give what moves where a relation's own embedding row is one that a test triple's gradient touches."""
    _, features = part.activations(model)
    found = model.kernel.new_zeros(len(features), model.config.embedding_dim, len(embeddings.tail))
    for test, key, moved in moved_images(model, part, embeddings, tracked):
        found[key, :, test] += (moved * (features[key] > 0)) @ model.projection[:, part.region.features].T
    return found

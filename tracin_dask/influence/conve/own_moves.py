"""How the projection's output moves where a test triple's gradient moves the embedding that a region sees alone.

The features of such a region depend on that embedding only, so this is known before any batch: a training triple i with
the same head as the test triple j, say, adds ⟨d_i, move of j⟩, with d_i its gradient at the projection's output.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import cut_patches, pass_of, relu_derivative
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES, RELATIONS
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.terms import COLUMN, Row, RowTerm

OWN_MOVES: tuple[RowTerm, ...] = (
    RowTerm(name="head moves along test head", tensors={ENTITIES}, train="head", test="head"),
    RowTerm(name="head moves along test tail", tensors={ENTITIES}, train="head", test="tail"),
    RowTerm(name="relation moves along test relation", tensors={RELATIONS}, train="relation", test="relation"),
)
"""The embeddings of a pair that a test triple's gradient moves."""


def own_moves(model: FoldedConvE, test: EmbeddingRows, precision: Precision) -> Mapping[Row, Float[Tensor, "test dim"]]:
    """Compute the moves of the test triples' rows; zeros where no region sees one embedding alone."""
    moves: dict[Row, Tensor] = {row: torch.zeros_like(test.head) for row in ("head", "relation", "tail")}
    for term in OWN_MOVES:
        moves[term.test] = _own_move(model, term, test, precision)
    return moves


def _own_move(
    model: FoldedConvE, term: RowTerm, test: EmbeddingRows, precision: Precision
) -> Float[Tensor, "test dim"]:
    vectors, ids = test.by_row()[term.test], test.triples[:, COLUMN[term.test]]
    region = model.region(Sees.HEAD if term.train == "head" else Sees.RELATION)
    if region is None:
        return torch.zeros_like(vectors)
    part = pass_of(model, region, torch.stack([ids, ids], dim=1), None)
    source = torch.cat([vectors, vectors.new_zeros(len(ids), 1)], dim=1)
    moved = (cut_patches(region, source) @ model.kernel).flatten(start_dim=1)
    is_open = relu_derivative(part.activations(model)[1])
    return precision.product(precision.operand(moved * is_open), model.rounded_projection[:, region.features].T)

"""The gradients of a batch of triples as small factors: nothing here is as large as a parameter tensor."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.terms import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFactors:
    """The upper part of each score's gradient, which needs no backward pass through the projection."""

    at_bn2: Float[Tensor, "batch dim"]
    """Gradient at bn2's output, e; also that of bn2.bias."""
    at_bn2_weight: Float[Tensor, "batch dim"]
    """Gradient of bn2.weight, e ∘ (the value before bn2's affine map)."""
    at_projection: Float[Tensor, "batch dim"]
    """Gradient at the projection's output, d; also that of fc.bias. fc.weight's is d ⊗ features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerFactors:
    """The lower part of each score's gradient, below the projection."""

    moments: Float[Tensor, "batch moment"]
    """(G, S): the gradients of bn0, conv1 and bn1 are fixed linear maps of them. No columns if they are not needed."""
    head: Float[Tensor, "head_row dim"]
    """The needed regions' part of the gradient of the head's embedding as an input, of some rows."""
    relation: Float[Tensor, "relation_row dim"]
    """The needed regions' part of the gradient of the relation's embedding, of some rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRows:
    """The rows of the embedding tables that some triples' scores depend on, and their gradients."""

    triples: Int[Tensor, "row 3"]
    head: Float[Tensor, "row dim"]
    relation: Float[Tensor, "row dim"]
    tail: Float[Tensor, "row dim"]
    """x(h, r): the score is linear in the tail's row."""
    tail_bias: Float[Tensor, " row"]
    """1, even in a model without entity bias."""

    def by_row(self) -> dict[Row, Float[Tensor, "row _"]]:
        """Give the gradients by the row that they are of."""
        return {
            "head": self.head,
            "relation": self.relation,
            "tail": self.tail,
            "tail_bias": self.tail_bias[:, None],
        }


def output_factors(model: FoldedConvE, ahead: Forward, tails: Float[Tensor, "batch dim"]) -> OutputFactors:
    """Differentiate the scores down to the projection's output; `tails` holds the tails' embeddings."""
    pair = ahead.batch.pair
    at_bn2 = tails * ahead.is_open.index_select(0, pair)
    return OutputFactors(
        at_bn2=at_bn2,
        at_bn2_weight=at_bn2 * ahead.normalised.index_select(0, pair),
        at_projection=at_bn2 * model.bn2_scale,
    )

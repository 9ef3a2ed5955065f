"""The columns of any model: gradients of single scores as rows and dense parts, or whole gradients."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.terms import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientFactors:
    """The gradients of the test triples: rows of the tracked tables side by side, and all dense tensors flattened.

    They are multiplied with the preconditioner P, if there is one.
    """

    scale: Float[Tensor, " test"]
    """learning_rate · δ."""
    triples: Int[Tensor, "test 3"]
    head: Float[Tensor, "test entity_row"]
    relation: Float[Tensor, "test relation_row"]
    tail: Float[Tensor, "test entity_row"]
    dense: Float[Tensor, "test dense"]

    def by_row(self) -> dict[Row, Float[Tensor, "test _"]]:
        """Give the gradients by the row that they are of."""
        return {"head": self.head, "relation": self.relation, "tail": self.tail}

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeGradients:
    """Columns as gradients by all tracked tensors, flattened and side by side, as losses of all scores have them."""

    scale: Float[Tensor, " column"]
    """learning_rate, times what a column is weighed by."""
    whole: Float[Tensor, "column parameter"]

    def __len__(self) -> int:
        """Count the columns."""
        return len(self.scale)

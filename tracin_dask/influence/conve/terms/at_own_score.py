"""The terms of the entity table and bias between gradients at all scores and gradients at the test triple's own score.

The latter are those of a loss that reads the own score only: 1 at the score of their tail, and 0 elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.conve.all_scores import Reader, TileSum, TrainingSide
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS
from tracin_dask.influence.id_join import add_where_equal
from tracin_dask.influence.terms import Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _AtTails:
    """The test triples' tails."""

    at_tails: Float[Tensor, "batch test"]
    """The gradients of a batch at the tails' scores."""
    along: EmbeddingRows


AddOwnScores: TypeAlias = Callable[[Tensor, _AtTails, TrainingSide], object]
OWN_SCORE_TERMS: tuple[Term[AddOwnScores], ...] = (
    Term(
        name="entity bias",
        tensors={ENTITY_BIAS},
        function=lambda total, test, _: total.addcmul_(test.at_tails, test.along.tail_bias),
    ),
    Term(
        name="scores meet test tails",
        tensors={ENTITIES},
        function=lambda total, test, train: total.addcmul_(test.at_tails, train.outputs(test.along.tail)),
    ),
    Term(
        name="heads meet test tails",
        tensors={ENTITIES},
        function=lambda total, test, train: add_where_equal(total, train.meets[0].tails, train.heads, test.along.tail),
    ),
)


class TermsAtOwnScore:
    """The test triples' side of these terms."""

    sums: tuple[TileSum, ...] = ()

    def __init__(self, reader: Reader, tracked: frozenset[str], along: EmbeddingRows) -> None:
        """Take P times the gradients of the test triples' rows."""
        self._reader, self._tracked, self._along = reader, tracked, along

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        """Add all terms, in place."""
        at_tails = train.scores(self._reader, self._along.triples[:, 2])
        test = _AtTails(at_tails=at_tails, along=self._along)
        for term in counted(OWN_SCORE_TERMS, self._tracked):
            term.function(total, test, train)

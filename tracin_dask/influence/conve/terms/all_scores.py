"""The terms of the entity table and bias under a loss of all scores, which gives every row a gradient.

With g the gradient at all scores, head that of the head's embedding as an input, and P_e the preconditioner of the
row e, which multiplies elementwise:

    Σ_e g_i[e] g_j[e] ⟨x_i, P_e x_j⟩ + g_i[h_j] ⟨x_i, P head_j⟩ + g_j[h_i] ⟨P head_i, x_j⟩
        + [h_i = h_j] ⟨head_i, P head_j⟩

for the table, and Σ_e g_i[e] P_e g_j[e] for the bias.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.all_scores import HeadsMeet, Reader, TileSum, TrainingSide
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows
from tracin_dask.influence.conve.preconditioned import times_rows
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS
from tracin_dask.influence.conve.terms.at_all_scores import TermsAtAllScores
from tracin_dask.influence.conve.terms.at_own_score import TermsAtOwnScore
from tracin_dask.influence.id_join import IdIndex, add_where_equal, join
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.preconditioners.base import Preconditioner
from tracin_dask.influence.tensors import take
from tracin_dask.influence.terms import Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """The test triples' heads, as inputs."""

    reader: Reader
    along: EmbeddingRows


AddInputs: TypeAlias = Callable[[Tensor, _Inputs, TrainingSide], None]


def _scores_at_test_heads(total: Float[Tensor, "batch test"], test: _Inputs, train: TrainingSide) -> None:
    total.addcmul_(train.scores(test.reader, test.along.triples[:, 0]), train.outputs(test.along.head))


def _head_meets_test_head(total: Float[Tensor, "batch test"], test: _Inputs, train: TrainingSide) -> None:
    (meets,) = train.meets
    add_where_equal(total, meets.heads, train.heads, test.along.head)


INPUT_TERMS: tuple[Term[AddInputs], ...] = (
    Term(name="scores meet test heads", tensors={ENTITIES}, function=_scores_at_test_heads),
    Term(name="heads meet test heads", tensors={ENTITIES}, function=_head_meets_test_head),
)
"""The terms of the test triples' heads as inputs."""


class _Scores(Protocol):
    """The terms that depend on whether test triples' gradients are at all scores or at one."""

    @property
    def sums(self) -> Sequence[TileSum]:
        """The sums over all scores that they need of each pair."""
        ...

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        """Add them, in place."""
        ...


class AllScoresTerms:
    """The test triples' side of these terms."""

    def __init__(
        self,
        reader: Reader,
        tracked: frozenset[str],
        test: EmbeddingRows,
        preconditioner: Preconditioner,
        *,
        all_scores: bool,
    ) -> None:
        """Take the gradients of the test triples' rows, on the device of the model.

        `all_scores` tells whether test triples' gradients are at all scores, too, or 1 at the score of their own tail.
        """
        self.reader, self._tracked = reader, tracked
        along = times_rows(preconditioner, test)
        self._inputs = _Inputs(reader=reader, along=along)
        ids, number = test.triples.cpu().numpy(), reader.model.config.num_entities
        self._heads = IdIndex(ids[:, 0], number)
        self._tails = None if all_scores else IdIndex(ids[:, 2], number)
        self._scores: _Scores | None = None
        if tracked & {ENTITIES, ENTITY_BIAS} and all_scores:
            self._scores = TermsAtAllScores(reader, tracked, test, preconditioner)
        elif tracked & {ENTITIES, ENTITY_BIAS}:
            self._scores = TermsAtOwnScore(reader, tracked, along)

    def index(self, batch: Batch, arrays: IndexArrays) -> tuple[HeadsMeet, ...]:
        """Find where the heads of a batch meet test triples."""
        if ENTITIES not in self._tracked:
            return (HeadsMeet(heads=None, tails=None),)
        heads = batch.ids[:, 0]
        tails = None if self._tails is None else join(self._tails, heads, arrays)
        return (HeadsMeet(heads=join(self._heads, heads, arrays), tails=tails),)

    @property
    def sums(self) -> Sequence[TileSum]:
        """The sums over all scores that these terms need of each pair: the first ones of `PairGradients.at_pairs`."""
        return () if self._scores is None else self._scores.sums

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        """Add all terms, in place."""
        if self._scores is not None:
            self._scores.add(total, train)
        for term in counted(INPUT_TERMS, self._tracked):
            term.function(total, self._inputs, train)


class MixedTerms:
    """The same where the first columns are gradients at one score, and the others at all scores."""

    def __init__(self, own: AllScoresTerms, every: AllScoresTerms, num_own: int) -> None:
        """Take the terms of both, and the number of the first."""
        self.reader, self._own, self._every, self._num_own = every.reader, own, every, num_own

    def index(self, batch: Batch, arrays: IndexArrays) -> tuple[HeadsMeet, ...]:
        """Find where the heads of a batch meet test triples of both kinds."""
        return self._own.index(batch, arrays) + self._every.index(batch, arrays)

    @property
    def sums(self) -> Sequence[TileSum]:
        """The sums over all scores that the others need."""
        return self._every.sums

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        """Add all terms, in place."""
        own, every = train.meets
        self._own.add(total[:, : self._num_own], replace(train, meets=(own,)))
        self._every.add(total[:, self._num_own :], replace(train, meets=(every,)))


def all_scores_terms(
    reader: Reader,
    tracked: frozenset[str],
    test: EmbeddingRows,
    preconditioner: Preconditioner,
    *,
    num_own: int,
) -> "AllScoresTerms | MixedTerms":
    """Lay out the columns' side of these terms; the first `num_own` are gradients at one score."""

    def of(rows: EmbeddingRows, *, all_scores: bool) -> AllScoresTerms:
        return AllScoresTerms(reader, tracked, rows, preconditioner, all_scores=all_scores)

    if num_own in {0, len(test.head)}:
        return of(test, all_scores=num_own == 0)
    own, every = (take(test, part) for part in (slice(num_own), slice(num_own, None)))
    return MixedTerms(of(own, all_scores=False), of(every, all_scores=True), num_own)

"""The size of a run and the work that it takes, in numbers that every engine's cost model shares."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tracin_dask.influence.reductions.base import Reduction
from tracin_dask.influence.tiling import ON_CPU, Tiling

ELEMENTWISE = 8
"""An elementwise pass costs as much as this many multiply-adds of a matrix product, as measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSizes:
    """The sizes of the data that decides which training triples are ranked."""

    num_bytes: int
    """What masks hold in a worker."""
    by_pair: bool
    """Whether some training triples are ranked for some answers only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """How many distinct heads and pairs the rows of any batch have at most."""

    rows: int
    heads: int
    """Distinct heads."""
    pairs: int
    """Distinct (head, relation)."""

    @classmethod
    def all_distinct(cls, rows: int) -> "Keys":
        """Assume that no two rows share a head."""
        return cls(rows=rows, heads=rows, pairs=rows)

    def with_corrupted(self, num_negatives: int) -> "Keys":
        """Bound those of the rows and of the triples that a loss makes from each, with another head or another tail.

        Which of both is drawn: more than half by six standard deviations never are.
        """
        made = num_negatives * self.rows
        heads = min(made, made // 2 + math.ceil(3 * math.sqrt(made)))
        return Keys(rows=self.rows + made, heads=self.heads + heads, pairs=self.pairs + heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much there is to score; distinct counts are of the whole training set, in store order."""

    num_triples: int
    """Those that are scored."""
    num_heads: int
    """Distinct heads."""
    num_pairs: int
    """Distinct (head, relation)."""
    num_tests: int
    """Gradients of test triples; 0 for self-influence."""
    all_scores: bool = False
    """Whether the loss reads the scores of all entities."""
    tests_at_all_scores: bool = True
    """Whether the test triples' gradients are at all scores; those of scores and contrasts are at one score each."""
    shares_pairs: bool = True
    """Whether triples of one (head, relation) share their gradients at all scores."""
    num_negatives: int = 0
    """Corrupted triples that are scored for each training triple."""
    is_preconditioned: bool = False
    """Whether a preconditioner stands between the gradients."""
    num_checkpoints: int = 1
    """Each is scored like the first; what is counted here is of one."""
    num_columns: int = 1
    """Influences per training triple: one for each test triple, or its own."""
    reductions: tuple[Reduction[Any], ...] = ()
    """What is kept of the influences; each says what it holds in memory."""
    num_meeting: int = 0
    """Triples whose head is known to be that of a test triple, or its tail: their gradients are carried back to it."""
    num_rows: int = 0
    """All rows of the store, where not all of them are scored; 0 where they are."""
    is_far: bool = False
    """Whether the rows come from an object store, which takes its time for each request."""
    matrix_bytes: int = 0
    """Of the matrices that a preconditioner has for rows of tables."""
    audit_bytes: int = 0
    """What the audit takes at the end, when batches and test triples take nothing any more."""
    prediction_bytes: int = 0
    """What scores and ranks of the test triples take at the end, in the same place."""
    most_keys: Callable[[], Callable[[int], Keys]] | None = None
    """Looks at the store for the most distinct heads and pairs in neighbouring rows; None where all may be distinct."""
    masks: MaskSizes | None = None
    """Of what says which training triples are ranked, where not all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplyAdds:
    """Counted multiply-adds by stage."""

    forward: int
    """From the triples to their scores, what they share only once."""
    lower: int
    """Back from the score of each training triple, or forward along the gradient of each test triple."""
    products: int
    """Of the gradients of each pair of a training and a test triple, what pairs share only once."""
    scores: int = 0
    """From all scores of a (head, relation) back, where the loss reads them."""

    @property
    def total(self) -> int:
        """All stages."""
        return self.forward + self.lower + self.products + self.scores

    @property
    def by_stage(self) -> dict[str, int]:
        """All stages by their names; `scores` only where there are any."""
        always = {"forward": self.forward, "lower": self.lower, "products": self.products}
        return always | ({"scores": self.scores} if self.scores else {})

    def __add__(self, other: "MultiplyAdds") -> "MultiplyAdds":
        """Add up by stage."""
        return MultiplyAdds(
            forward=self.forward + other.forward,
            lower=self.lower + other.lower,
            products=self.products + other.products,
            scores=self.scores + other.scores,
        )

    def times(self, number: int) -> "MultiplyAdds":
        """Count what is done so many times."""
        return MultiplyAdds(
            forward=number * self.forward,
            lower=number * self.lower,
            products=number * self.products,
            scores=number * self.scores,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """On what the bytes of a batch depend besides its sizes."""

    itemsize: int
    recompute: bool = False
    tiling: Tiling = ON_CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Computing:
    """How the influences of one checkpoint are computed, whatever the engine."""

    work: Workload
    tracked: frozenset[str]
    own_passes: int
    """How often each training triple's own gradient is made: for its norm, and for a preconditioner's pass."""
    itemsize: int
    recompute: bool
    rounds: bool = False
    """Whether operands of products are rounded to tensors of their own."""
    divides_by_norms: bool = False
    """Whether influences are divided by the norms of training triples' gradients."""
    tiling: Tiling = ON_CPU
    keys: Callable[[int], Keys] = Keys.all_distinct
    """Gives the most distinct heads and pairs in a batch of so many rows."""

    @property
    def storage(self) -> Storage:
        """On what the bytes of a batch depend."""
        return Storage(itemsize=self.itemsize, recompute=self.recompute, tiling=self.tiling)

    def scoring_bytes(self, batch_size: int, batch_bytes: Callable[[Keys], int]) -> int:
        """Bound the bytes of scoring a batch from those of its triples as they are.

        A loss that corrupts triples scores some rows with the triples made from them, and holds the sums of all rows.
        """
        work = self.work
        if not (work.num_tests and work.num_negatives):
            return batch_bytes(self.keys(batch_size))
        each = 1 + work.num_negatives
        rows = min(batch_size, self.tiling.rows_to_corrupt(each))
        keys = self.keys(rows).with_corrupted(work.num_negatives)
        return batch_bytes(keys) + (batch_size + rows) * work.num_columns * self.itemsize


@runtime_checkable
class Modes(Protocol):
    """The way that an engine takes through a run; the engine's cost model chooses it, and the text describes it."""

    def __str__(self) -> str:
        """Say what is done per row, per (head, relation), and once."""
        ...


@runtime_checkable
class EngineCost(Protocol):
    """What one checkpoint takes in the modes that its engine chose."""

    @property
    def how(self) -> Computing:
        """What it is counted for."""
        ...

    @property
    def modes(self) -> Modes:
        """The chosen way."""
        ...

    @property
    def multiply_adds(self) -> MultiplyAdds:
        """The multiply-adds of all training triples, norms included."""
        ...

    @property
    def stages(self) -> Mapping[str, str]:
        """Describe the stages of `multiply_adds`, by their names, for plans."""
        ...

    @property
    def model_bytes(self) -> int:
        """Bound the bytes of the model while it is loaded."""
        ...

    @property
    def test_bytes(self) -> int:
        """Bound the bytes of the test triples' factors, twice, and of all that is laid out next to them."""
        ...

    def batch_bytes(self, keys: Keys) -> int:
        """Bound the bytes that live at once while the triples of a batch are scored as they are."""
        ...

"""What a worker is told of a run, and what it gives back: values that are sent, and merged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.columns import Answers, Question, Targets
from tracin_dask.influence.cost import Modes
from tracin_dask.influence.engine import Factors
from tracin_dask.influence.losses import AnyLoss
from tracin_dask.influence.normalised import Normalize
from tracin_dask.influence.precision import PrecisionName
from tracin_dask.influence.reductions import group_totals, topk
from tracin_dask.influence.reductions.group_totals import GroupTotals
from tracin_dask.influence.reductions.topk import TopK
from tracin_dask.runs.groupings import Grouping
from tracin_dask.runs.options.computing import Device
from tracin_dask.runs.sinks.score_writer import ScoresPlace
from tracin_dask.runs.work.loading import CheckpointFile
from tracin_dask.triples.store import TripleStore

OnRows = Callable[[int], None]
"""Called with the number of rows that were just scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """All that a worker must know of a run; small, and the same for every task."""

    store: TripleStore
    checkpoints: tuple[CheckpointFile, ...]
    learning_rates: tuple[float, ...]
    """One per checkpoint; influences are summed over both in this order."""
    num_columns: int
    """Influences per training triple: one per test triple, or its own."""
    loss: AnyLoss
    question: Question
    normalize: Normalize
    tracked: frozenset[str]
    modes: Modes
    top_k: int
    batch_size: int
    device: Device
    threads: int
    precision: PrecisionName
    gradient_checkpointing: bool
    scores: ScoresPlace | None = None
    """Where all influences are written, too."""
    groupings: tuple[Grouping, ...] = ()
    """By which influences are added up, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What was done, summed over tasks."""

    rows: int = 0
    tasks: int = 0
    task_seconds: float = 0.0
    checkpoint_loads: int = 0
    test_factor_computations: int = 0
    batch_halvings: int = 0
    """How often a GPU's memory did not do for a batch, which was then scored in pieces."""

    def __add__(self, other: "Counters") -> "Counters":
        """Add up field by field."""
        return Counters(
            rows=self.rows + other.rows,
            tasks=self.tasks + other.tasks,
            task_seconds=self.task_seconds + other.task_seconds,
            checkpoint_loads=self.checkpoint_loads + other.checkpoint_loads,
            test_factor_computations=self.test_factor_computations + other.test_factor_computations,
            batch_halvings=self.batch_halvings + other.batch_halvings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The outcome of some tasks."""

    top: TopK
    counters: Counters
    device: str
    precision: str
    totals: tuple[GroupTotals, ...] = ()
    """By each grouping."""

    def counting(self, more: Counters) -> "Scored":
        """Add to the counters."""
        return replace(self, counters=self.counters + more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The test triples' factors on the CPU, as they are broadcast."""

    tests: tuple[Factors, ...]
    """One per checkpoint."""
    answers: Answers
    """How columns add up to answers."""
    norms: Float[Tensor, " test"] | None = None
    """Of the test triples' gradients, where influences are divided by them."""
    counters: Counters


TestSide = Prepared | Targets | None
"""The broadcast columns; or what is explained, to compute the columns anew; or nothing for self-influence."""


def merge_scored(parts: Sequence[Scored]) -> Scored:
    """Merge the outcomes of different rows."""
    return replace(
        parts[0],
        top=topk.merge([part.top for part in parts]),
        totals=tuple(map(group_totals.merge, zip(*(part.totals for part in parts), strict=True))),
        counters=sum((part.counters for part in parts), Counters()),
    )

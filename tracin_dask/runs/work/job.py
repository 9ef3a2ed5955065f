"""The job that a worker gets and the outcome that it returns: values that are sent, and merged."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.columns import Answers, Question, Targets
from tracin_dask.influence.cost import Modes
from tracin_dask.influence.engine import Factors
from tracin_dask.influence.landmarks import Landmarks
from tracin_dask.influence.masks.base import Masks
from tracin_dask.influence.normalised import Lengths
from tracin_dask.influence.preconditioners.base import PreconditionerMethod, Scope, State
from tracin_dask.influence.reductions.base import Reduction
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile
from tracin_dask.runs.options.computing import ComputingOptions
from tracin_dask.runs.options.scoring import ScoringOptions
from tracin_dask.triples.neighbourhood import Neighbourhood
from tracin_dask.triples.store import TripleStore

Reductions = Sequence[Reduction[Any]]
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
    scoring: ScoringOptions
    """What an influence is; what the options left open is settled in the other fields."""
    computing: ComputingOptions
    """How influences are computed; settled in the same way."""
    question: Question
    tracked: frozenset[str]
    modes: Modes
    batch_size: int
    threads: int
    reductions: tuple[Reduction[Any], ...]
    """What is kept of the influences; each has a name of its own."""
    masks: Masks = field(default_factory=Masks, compare=False)
    """Which training triples are ranked; the reductions that rank know the identity of the masks."""
    gathered: tuple[State, ...] = ()
    """What the preconditioner's pass over the training triples gathered, by checkpoint; empty before it, or without."""
    scope: Scope | None = None
    """What the preconditioner is needed for; None without a pass."""
    segment_rows: int = 0
    """Rows of the store whose scored ones share batches, where only those that touch the test triples are scored."""
    landmarks: Landmarks | None = None
    """Training triples through which the whole curvature is found, where it is."""
    neighbourhood: Neighbourhood | None = None
    """What touches the test triples, where no other training triple has any influence; None where all may have."""
    caller: str = ""
    """The process that called for the run, see `this_process`: other processes are workers' own."""

    @property
    def method(self) -> PreconditionerMethod | None:
        """What finds the preconditioner."""
        return self.scoring.method

    @property
    def needs_pass(self) -> bool:
        """Whether the training triples must be gone through before anything is scored."""
        return not self.gathered and self.method is not None and self.method.needs_pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What was done, summed over tasks."""

    rows: int = 0
    tasks: int = 0
    task_seconds: float = 0.0
    checkpoint_loads: int = 0
    test_factor_computations: int = 0
    batch_halvings: int = 0
    """Number of times that a GPU ran out of memory and batches were halved."""
    cancelled_influences: int = 0
    """Normalised influences that are 0 because gradients cancel to their rounding errors."""

    def __add__(self, other: "Counters") -> "Counters":
        """Add up field by field."""
        return Counters(
            rows=self.rows + other.rows,
            tasks=self.tasks + other.tasks,
            task_seconds=self.task_seconds + other.task_seconds,
            checkpoint_loads=self.checkpoint_loads + other.checkpoint_loads,
            test_factor_computations=self.test_factor_computations + other.test_factor_computations,
            batch_halvings=self.batch_halvings + other.batch_halvings,
            cancelled_influences=self.cancelled_influences + other.cancelled_influences,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The outcome of some tasks."""

    kept: Mapping[str, Any]
    """The outcome of every reduction, by its name."""
    kept_bytes: int
    counters: Counters
    device: str
    precision: str

    def counting(self, more: Counters) -> "Scored":
        """Add to the counters."""
        return replace(self, counters=self.counters + more)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Prepared:
    """The test triples' factors on the CPU, as they are broadcast; each is equal to itself alone."""

    tests: tuple[Factors, ...]
    """One per checkpoint."""
    answers: tuple[Answers, ...]
    """How columns add up to answers, by checkpoint."""
    lengths: Lengths | None = None
    """Of the test triples' gradients, where influences are divided by them."""
    counters: Counters


Listed = Mapping[str, Float[ndarray, "_ column"]]
"""By the names of reductions, the influences of the rows that each needs to know before."""
TestSide = Prepared | Targets | None
"""The broadcast columns; or what is explained, to compute the columns anew; or nothing for self-influence."""


def this_process() -> str:
    """Name this process, to tell whether another one is the same."""
    return f"{os.getpid()} on {socket.gethostname()}"


def listed_rows(reductions: Reductions) -> dict[str, Int[ndarray, " listed"]]:
    """Give the rows whose influences reductions need to know before a run, by their names."""
    needed = {one.name: one.needs.influences_of for one in reductions}
    return {name: rows for name, rows in needed.items() if rows is not None}


def bytes_of(reductions: Reductions, kept: Mapping[str, Any]) -> int:
    """Count the bytes of the arrays of outcomes."""
    return sum(array.nbytes for one in reductions for array in one.pack(kept[one.name]).values())


def merge_scored(reductions: Reductions, parts: Sequence[Scored]) -> Scored:
    """Merge the outcomes of different rows."""
    kept = {one.name: one.merge([part.kept[one.name] for part in parts]) for one in reductions}
    return replace(
        parts[0],
        kept=kept,
        kept_bytes=bytes_of(reductions, kept),
        counters=sum((part.counters for part in parts), Counters()),
    )

"""What is kept of the influences of a run: the protocol of a reduction, and the values that it is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.identity import Json
from tracin_dask.influence import devices
from tracin_dask.influence.finite import LateCheck, refuse_non_finite
from tracin_dask.influence.index_arrays import IndexArrays

Arrays: TypeAlias = Mapping[str, ndarray]
"""An outcome as it is recorded on disk."""
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowIds:
    """What is known of some training triples of one batch before they are scored."""

    triples: Int[ndarray, "row 3"]
    train_index: Int[ndarray, " row"]
    rows: Int[ndarray, " row"]
    """Where they stand in the store."""
    numbers: tuple[Int[ndarray, " row"], ...] = ()
    """What the reduction asked for with `Needs.numbers`."""

    def __len__(self) -> int:
        """Count the training triples."""
        return len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBatch:
    """The influences of some training triples of one batch, at least one.

    All influences are finite. On a GPU this is known only some batches later: then a task with others ends with an
    error, and what its streams made of them is thrown away.
    """

    influences: Float[Tensor, "row column"]
    """A column per test triple; a single one for self-influence."""
    lowest: Float[Tensor, " column"]
    highest: Float[Tensor, " column"]
    """The smallest and the largest influence of each column, found once for all reductions."""
    triples: Int[ndarray, "row 3"]
    train_index: Int[ndarray, " row"]
    rows: Int[ndarray, " row"]
    """Where the training triples stand in the store."""
    is_ranked: Bool[Tensor, "row column"] | None = None
    """Which pairs are ranked, of a reduction with `Needs.ranked`; None for all. `lowest` and `highest` are of these."""
    numbers: tuple[Int[ndarray, " row"], ...] = ()
    """What the reduction asked for with `Needs.numbers`."""
    indexed: Any = None
    """What `Needs.index` found out ahead of these rows; None where nothing did."""

    def __len__(self) -> int:
        """Count the training triples."""
        return len(self.rows)

    def indexed_by(self, index: Callable[[RowIds, IndexArrays], Found]) -> Found:
        """Give what a function found out ahead of the rows, or let it find it out now."""
        if self.indexed is not None:
            return cast(Found, self.indexed)
        ids = RowIds(triples=self.triples, train_index=self.train_index, rows=self.rows, numbers=self.numbers)
        return index(ids, IndexArrays(self.influences.device))


def scored_batch(
    influences: Float[Tensor, "row column"],
    *,
    triples: Int[ndarray, "row 3"],
    train_index: Int[ndarray, " row"],
    rows: Int[ndarray, " row"],
    late: LateCheck | None = None,
) -> ScoredBatch:
    """Make a batch of at least one row; where the host would wait for a device, influences are left to a `late` check.

    Raises
    ------
    NonFiniteError
        If an influence is NaN or infinite; the training triple is named.
    """
    lowest, highest = influences.amin(dim=0), influences.amax(dim=0)  # aminmax takes five times as long
    if late is not None and devices.computes_ahead(influences.device):
        late.note(triples, influences)
    else:
        refuse_non_finite(triples, influences, what="training", summary=highest - lowest)
    return ScoredBatch(
        influences=influences, lowest=lowest, highest=highest, triples=triples, train_index=train_index, rows=rows
    )


Outcome = TypeVar("Outcome")
Outcome_co = TypeVar("Outcome_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Generic[Outcome]):
    """What a reduction knows when it starts on the rows of a task."""

    num_columns: int
    seen: Outcome | None = None
    """The merged outcome of rows that were scored before, where the reduction `Needs` it."""
    influences: Float[ndarray, "listed column"] | None = None
    """Of the rows that the reduction names in `Needs.influences_of`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes on which the bytes of a reduction depend."""

    num_columns: int
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Bytes that a reduction takes in a worker."""

    stream: int
    """Of a stream, while it adds batch after batch."""
    on_device: int = 0
    """What of it lies on the worker's GPU, where it has one."""
    outcome: int = 0
    """Of each outcome that waits to be merged."""
    what: str = ""
    """What takes them, as messages call it; empty for the reduction's name."""
    remedy: str = "fewer test triples at a time"
    """What makes them fewer."""


@runtime_checkable
class RowNumbers(Protocol):
    """A number for each row of the store, such as that of its group; read together with the rows."""

    @property
    def path(self) -> str | None:
        """Where workers read the numbers; None where they follow from the triples."""
        ...

    def numbers(self, triples: Int[ndarray, "row 3"], first_row: int) -> Int[ndarray, " row"]:
        """Give the numbers of neighbouring rows of the store."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a reduction needs besides batches."""

    ranked: bool = False
    """Only what the masks of the run leave: rows that are not ranked are left out of batches."""
    seen: bool = False
    """The outcome of rows that were scored before in the same process: what these surpass need not be returned.

    Outcomes are merged all the same, so that `merge` must find a full result among them.
    """
    influences_of: Int[ndarray, " listed"] | None = None
    """Rows of the store whose influences it must know before it starts: their batches are scored once more."""
    numbers: tuple[RowNumbers, ...] = ()
    """Numbers of each row."""
    index: Callable[[RowIds, IndexArrays], Any] | None = None
    """Finds out what a stream has to know of rows: called ahead, in the thread that reads.

    What it gives comes with the rows as `ScoredBatch.indexed`. Index arrays that it adds share a copy to the device
    with all others of a batch.
    """
    zeros: bool = True
    """Also the rows whose influences are known to be 0, without a gradient."""
    why_unusable: Callable[[], str | None] | None = None
    """Called on every worker before the run: says what keeps the reduction from working there, or None."""


NOTHING = Needs()


@runtime_checkable
class Stream(Protocol[Outcome_co]):
    """A reduction at work on the rows of one task."""

    def add(self, batch: ScoredBatch) -> None:
        """Take in a batch, or a part of one."""
        ...

    def finish(self) -> Outcome_co:
        """Give the outcome of all rows that were added."""
        ...


@runtime_checkable
class Reduction(Protocol[Outcome]):
    """What is kept of the influences: a small frozen value that travels to the workers.

    The outcome must depend neither on the order of rows nor on how they are cut into tasks: tasks end in any order.
    """

    @property
    def name(self) -> str:
        """The name of the outcome in the result, and in the records of finished work."""
        ...

    @property
    def identity(self) -> Json:
        """What the outcome depends on besides the influences: another value means another run."""
        ...

    @property
    def needs(self) -> Needs:
        """What it needs besides batches, often `NOTHING`."""
        ...

    def held(self, sizes: Sizes) -> Held:
        """Bound the bytes that it takes in a worker."""
        ...

    def start(self, given: Start[Outcome]) -> Stream[Outcome]:
        """Start on the rows of a task."""
        ...

    def merge(self, outcomes: Sequence[Outcome]) -> Outcome:
        """Merge the outcomes of different rows, at least one; associative and commutative."""
        ...

    def pack(self, outcome: Outcome) -> Arrays:
        """Turn an outcome into arrays, without pickled objects."""
        ...

    def unpack(self, arrays: Arrays) -> Outcome:
        """Turn the arrays into the outcome again."""
        ...


@runtime_checkable
class ReportedReduction(Reduction[Outcome], Protocol[Outcome]):
    """A reduction whose outcome stands under its name in the result of each test triple, in files and on the screen."""

    def value(self, outcome: Outcome, answer: int) -> Json:
        """Give what the result says of one answer: of a test triple or a set of them, counted from 0.

        It is 0 for self-influence. JSON must hold the value, so that no number is NaN or infinite.
        """
        ...

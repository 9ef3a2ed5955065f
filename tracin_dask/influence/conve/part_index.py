"""What the ids of a batch say to this engine: found out before the batch is scored, in any thread."""

from dataclasses import dataclass
from enum import Enum, auto

from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.all_scores import HeadsMeet
from tracin_dask.influence.conve.lower_rows import LowerRows
from tracin_dask.influence.conve.moved_pairs import MovedPairs
from tracin_dask.influence.conve.terms.rows import RowIndex
from tracin_dask.influence.index_arrays import IndexArray
from tracin_dask.influence.losses.by_row import LossByRow


class Way(Enum):
    """How rows of a batch are scored."""

    ROWS = auto()
    """Each training triple's factors meet those of the test triples."""
    LONG_RUNS = auto()
    """Each training triple's tail meets the directions of its pair, made from Jacobians."""
    DIRECTIONS = auto()
    """Each training triple's tail meets its pair's derivatives along the test triples' gradients."""
    NORMS = auto()
    """The same with whole gradients, whose lengths are made, too."""
    ALL_SCORES = auto()
    """Factors meet, of gradients at the scores of all entities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedIndex:
    """What only a loss of all scores needs."""

    rows: IndexArray
    """The triples whose pair has several tails: [moved]."""
    heads: tuple[HeadsMeet, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartIndex:
    """Some rows of a batch that are scored together."""

    rows: Int[ndarray, " row"]
    place: IndexArray | None
    """The rows as an index array; None where they are the whole batch."""
    way: Way
    loss: LossByRow | None
    """Losses of the rows' own; None for the engine's."""
    batch: Batch
    needed: LowerRows
    meets: RowIndex
    pairs: MovedPairs | None
    """Only for directions."""
    moved: MovedIndex | None
    """Only for a loss of all scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvEIndex:
    """A batch, in one or two parts."""

    num_rows: int
    parts: tuple[PartIndex, ...]

    def __len__(self) -> int:
        """Count the triples."""
        return self.num_rows

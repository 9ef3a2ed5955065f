"""Sums over training triples: v vᵀ for gradients v at embedding rows, and ‖v‖² for whole tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import embedding_bag

from tracin_dask.influence.batch import runs
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses import reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.influence.run_products import Multiplied
from tracin_dask.influence.run_squares import SquaresOfRuns, add_squares_of_runs, index_squares_of_runs
from tracin_dask.influence.table_gradients import SummedEntries, SummedGradients, TableRows, index_gradients
from tracin_dask.influence.tiling import tiling_of

if TYPE_CHECKING:
    from tracin_dask.influence.engine import Engine, Indexed
    from tracin_dask.influence.preconditioners.base import State

OfTable = TypeVar("OfTable")
Squares: TypeAlias = tuple[SquaresOfRuns, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassIndex(Generic[OfTable]):
    """What the ids of a batch say to a pass."""

    num_triples: int
    at_rows: "Indexed | None" = None
    """For a loss of all scores; None for others, of which the fields below are."""
    gradients: SummedGradients | None = None
    tables: Mapping[str, OfTable]
    """How the gradients of each table are added up."""

    def __len__(self) -> int:
        """Count the triples."""
        return self.num_triples

    def by_table(self, engine: "Engine") -> Iterator[tuple[Float[Tensor, "entry _"], OfTable, str]]:
        """Give the gradients of losses of single scores, how they are added up, and their table."""
        if self.gradients is not None:
            for table, gradients in self.gradients.gradients(engine).items():
                yield gradients, self.tables[table], table


class RowSums:
    """Σ v vᵀ of some rows of tables, in float64."""

    IDS: ClassVar[str] = " ids"

    def __init__(self, number: int, rows: TableRows, widths: Mapping[str, int]) -> None:
        """Start without training triples; `number` names the sums."""
        self._number, self._rows = number, rows
        self._sums = {
            table: torch.zeros(len(ids), widths[table], widths[table]).double() for table, ids in rows.items()
        }

    def index(self, engine: "Engine", ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> "Indexed":
        """Find out all that the ids of some training triples say, in any thread."""
        if reads(engine.loss) == ALL_SCORES:
            at_rows = engine.index_at_rows(ids, self._rows, arrays)
            return PassIndex(num_triples=len(ids), at_rows=at_rows, tables=dict[str, Squares]())
        gradients = index_gradients(engine, ids, self._rows, arrays)
        tables = {table: self._runs(engine, table, one, arrays) for table, one in gradients.tables.items()}
        return PassIndex(num_triples=len(ids), gradients=gradients, tables=tables)

    def add(self, engine: "Engine", indexed: "Indexed") -> None:
        """Take in some training triples, which are indexed."""
        batch = cast(PassIndex[Squares], indexed)
        self._sums = {table: sums.to(engine.model.device) for table, sums in self._sums.items()}
        if batch.at_rows is not None:
            for table, gradients in engine.gradients_at_rows(batch.at_rows):
                self._sums[table] += torch.bmm(gradients.mT, gradients)
        for gradients, squares, table in batch.by_table(engine):
            add_squares_of_runs(self._sums[table], gradients, squares)

    def finish(self) -> "State":
        """Give the sums, and the ids of their rows."""
        state: dict[str, Tensor] = {}
        for table, ids in self._rows.items():
            state[f"{table} {self._number}{self.IDS}"] = torch.from_numpy(ids)
            state[f"{table} {self._number}"] = self._sums[table].cpu()
        return state

    @classmethod
    def of_table(cls, table: str, state: "State") -> tuple[Int[Tensor, " known"], Float[Tensor, "known width width"]]:
        """Give the rows of a table, ascending, and their sums."""
        names = [name for name in state if name.startswith(f"{table} ") and name.endswith(cls.IDS)]
        names.sort(key=lambda name: int(name.removesuffix(cls.IDS).rpartition(" ")[2]))
        sums = [state[name.removesuffix(cls.IDS)] for name in names]
        return torch.cat([state[name] for name in names]), torch.cat(sums)

    def _runs(self, engine: "Engine", table: str, entries: SummedEntries, arrays: IndexArrays) -> Squares:
        """Index gradients that are sorted by row: those of each are a run."""
        cut, tiling = runs(entries.ids), tiling_of(engine.model.device)
        slots = np.searchsorted(self._rows[table], entries.ids[cut.starts])
        of = Multiplied(dtype=engine.model.dtype, width=self._sums[table].shape[-1], tiling=tiling)
        return index_squares_of_runs(entries.rows, cut.lengths, arrays, slots=slots, of=of)


class TraceSums:
    """Squared lengths of the gradients of a sample of training triples at whole tables, in float64."""

    SQUARES: ClassVar[str] = " squares"
    SAMPLED: ClassVar[str] = "sampled triples"
    NUM_TRIPLES: ClassVar[str] = "training triples"

    def __init__(self, num_triples: int, num_rows: Mapping[str, int]) -> None:
        """Start without training triples, of `num_triples`; takes the number of rows of each table."""
        self._num_triples, self._num_rows = num_triples, num_rows
        self._sampled, self._squares = 0, dict.fromkeys(num_rows, torch.zeros((), dtype=torch.float64))

    def index(self, engine: "Engine", ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> "Indexed":
        """Find out all that the ids of some training triples say, in any thread."""
        rows = {table: np.arange(number) for table, number in self._num_rows.items()}
        if reads(engine.loss) == ALL_SCORES:
            at_rows = engine.index_at_rows(ids, rows, arrays)
            return PassIndex(num_triples=len(ids), at_rows=at_rows, tables=dict[str, _Sums]())
        gradients = index_gradients(engine, ids, rows, arrays)
        tables = {
            table: _Sums(order=arrays.put(one.rows.order), starts=arrays.put(one.rows.starts))
            for table, one in gradients.tables.items()
        }
        return PassIndex(num_triples=len(ids), gradients=gradients, tables=tables)

    def add(self, engine: "Engine", indexed: "Indexed") -> None:
        """Take in some training triples, which are indexed."""
        batch = cast(PassIndex[_Sums], indexed)
        self._sampled += len(batch)
        if batch.at_rows is not None:
            for table, gradients in engine.gradients_at_rows(batch.at_rows):
                self._add(table, gradients)
        for gradients, sums, table in batch.by_table(engine):
            self._add(table, embedding_bag(sums.order.tensor, gradients, sums.starts.tensor, mode="sum"))

    def finish(self) -> "State":
        """Give the sums, and how many training triples there are, here and in all."""
        counts = {self.SAMPLED: torch.tensor(self._sampled), self.NUM_TRIPLES: torch.tensor(self._num_triples)}
        return counts | {f"{table}{self.SQUARES}": one.cpu() for table, one in self._squares.items()}

    @classmethod
    def tables(cls, state: "State") -> Sequence[str]:
        """Name the tables."""
        return [name.removesuffix(cls.SQUARES) for name in state if name.endswith(cls.SQUARES)]

    @classmethod
    def mean(cls, table: str, state: "State") -> float:
        """Estimate the mean square of a training triple's gradient at a table."""
        return float(state[f"{table}{cls.SQUARES}"]) / int(state[cls.SAMPLED])

    def _add(self, table: str, gradients: Float[Tensor, "*gradient width"]) -> None:
        self._squares[table] = gradients.double().square().sum() + self._squares[table].to(gradients.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Which gradients are added up."""

    order: IndexArray
    """The gradients, those of a sum together: [entry]."""
    starts: IndexArray
    """The first one of each sum: [sum]."""

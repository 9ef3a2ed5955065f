"""Sums over training triples: v vᵀ for gradients v at embedding rows, and ‖v‖² for whole tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.batch import runs
from tracin_dask.influence.losses import reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.influence.run_products import add_squares_by_run
from tracin_dask.influence.table_gradients import TableGradients, TableRows, summed_by_triple
from tracin_dask.influence.tiling import tiling_of

if TYPE_CHECKING:
    from tracin_dask.influence.engine import Engine
    from tracin_dask.influence.preconditioners.base import State


class RowSums:
    """Σ v vᵀ of some rows of tables, in float64."""

    IDS: ClassVar[str] = " ids"

    def __init__(self, number: int, rows: TableRows, widths: Mapping[str, int]) -> None:
        """Start without training triples; `number` names the sums."""
        self._number, self._rows = number, rows
        self._sums = {
            table: torch.zeros(len(ids), widths[table], widths[table]).double() for table, ids in rows.items()
        }

    def add(self, engine: "Engine", triples: Int[Tensor, "batch 3"]) -> None:
        """Take in some training triples."""
        self._sums = {table: sums.to(engine.model.device) for table, sums in self._sums.items()}
        if reads(engine.loss) == ALL_SCORES:
            for table, ids in self._rows.items():
                for gradients in engine.gradients_at_rows(triples, table, ids):
                    self._sums[table] += torch.bmm(gradients.mT, gradients)
            return
        for table, found in summed_by_triple(engine, triples, self._rows).items():
            self._add_rows(table, found)

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

    def _add_rows(self, table: str, found: TableGradients) -> None:
        """Add gradients that are sorted by row."""
        cut, sums = runs(found.ids), self._sums[table]
        slots = np.searchsorted(self._rows[table], found.ids[cut.starts])
        add_squares_by_run(sums, slots, found.gradients, cut.lengths, tiling=tiling_of(sums.device))


class TraceSums:
    """Squared lengths of the gradients of a sample of training triples at whole tables, in float64."""

    SQUARES: ClassVar[str] = " squares"
    SAMPLED: ClassVar[str] = "sampled triples"
    NUM_TRIPLES: ClassVar[str] = "training triples"

    def __init__(self, num_triples: int, num_rows: Mapping[str, int]) -> None:
        """Start without training triples, of `num_triples`; takes the number of rows of each table."""
        self._num_triples, self._num_rows = num_triples, num_rows
        self._sampled, self._squares = 0, dict.fromkeys(num_rows, torch.zeros((), dtype=torch.float64))

    def add(self, engine: "Engine", triples: Int[Tensor, "batch 3"]) -> None:
        """Take in some training triples."""
        self._sampled += len(triples)
        rows = {table: np.arange(number) for table, number in self._num_rows.items()}
        if reads(engine.loss) == ALL_SCORES:
            found = {table: engine.gradients_at_rows(triples, table, ids) for table, ids in rows.items()}
        else:
            summed = summed_by_triple(engine, triples, rows)
            found = {table: iter([one.gradients]) for table, one in summed.items()}
        for table, parts in found.items():
            for part in parts:
                self._squares[table] = part.double().square().sum() + self._squares[table].to(part.device)

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

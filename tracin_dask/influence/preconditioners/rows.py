"""The inverse Fisher matrix of each row of the embedding tables, damped: (F_e + μ)⁻¹.

F_e = (1/N) Σ_n v_n,e v_n,eᵀ over the N training triples n, where v_n,e is the gradient of the loss of n at row e, and
μ = damping · tr F / N, where tr F = (1/N) Σ_n ‖the gradient of the loss of n at the whole table‖². So the N training
triples are N terms of tr F, and the mean term is what μ is measured in.

tr F is estimated from `TRACE_TRIPLES` training triples, spread evenly over the store, where there are more than that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError, NonFiniteError
from tracin_dask.identity import changes
from tracin_dask.influence.preconditioners.base import Layout, PassPart, Range, Scope, State
from tracin_dask.influence.preconditioners.blocks import BlockPreconditioner, Blocks
from tracin_dask.influence.preconditioners.row_sums import RowSums, TraceSums
from tracin_dask.influence.table_gradients import TableRows
from tracin_dask.models.checkpoints.checkpoint import Checkpoint

DAMPING = 3.0
"""The best of 0.3, 1, 3 and 10 on three graphs, with other seeds than those of docs/evidence.md."""
TRACE_TRIPLES, TRACE_RUNS = 4096, 32
"""Training triples that tr F is estimated from, and in how many runs of neighbours they are read."""
GROUP_BYTES = 64 * 2**20
"""Matrices of one part of the pass."""
TRIPLES_PER_PART, MOST_RANGES = 131_072, 16
"""A part looks at about as many training triples, unless there are more of them than so many parts hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsPart:
    """Sums of v vᵀ of some rows of some tables, over training triples in a range of the store."""

    number: int
    """Parts of one number have the same rows; their sums are added up."""
    ids: TableRows
    widths: Mapping[str, int]
    """The numbers of a row of each table."""
    entities: Int[ndarray, " entity"] | None
    rows: tuple[Range, ...]

    def start(self) -> RowSums:
        """Start on these rows."""
        return RowSums(self.number, self.ids, self.widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePart:
    """Squared lengths of gradients at whole tables, over a sample of the training triples."""

    num_triples: int
    num_rows: Mapping[str, int]
    """How many rows each table has."""
    rows: tuple[Range, ...]
    entities: ClassVar[None] = None

    def start(self) -> TraceSums:
        """Start on these rows."""
        return TraceSums(self.num_triples, self.num_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseFisherRows:
    """Finds P by rows of tables."""

    damping: float = field(default=DAMPING, metadata=changes("scores"))
    name: ClassVar[str] = "inverse Fisher by rows"
    skips_cancelled: ClassVar[bool] = False
    needs_pass: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a damping that makes no inverse.

        Raises
        ------
        ConfigError
            If it is not a positive number.
        """
        if not 0 < self.damping < float("inf"):
            raise ConfigError(f"damping must be a positive number, not {self.damping}")

    @property
    def identity(self) -> str:
        """What tells it from other methods."""
        return f"{self.name}, damping {self.damping}"

    def read(self, checkpoint: Checkpoint, names: Collection[str]) -> State:  # noqa: ARG002 - the gradients tell it
        """Read nothing: the gradients of the training triples tell it."""
        return {}

    def parts(self, scope: Scope) -> Sequence[PassPart]:
        """Cut the pass by rows of the tables, and by rows of the store where many training triples count."""
        sample = TracePart(
            num_triples=scope.num_triples,
            num_rows={table: scope.num_ids[role] for table, role in scope.roles.items()},
            rows=_sample(scope.num_triples),
        )
        ranges, groups = _ranges(scope), _groups(scope)
        return [
            sample,
            *(
                RowsPart(number=number, ids=ids, widths=scope.row_sizes, entities=_entities(scope, ids), rows=(rows,))
                for number, ids in enumerate(groups)
                for rows in ranges
            ),
        ]

    def merge(self, parts: Sequence[State]) -> State:
        """Add up the sums of the same rows."""
        merged = dict(parts[0])
        for part in parts[1:]:
            for name, values in part.items():
                is_sum = name in merged and not name.endswith(RowSums.IDS)
                merged[name] = merged[name] + values if is_sum else values
        return merged

    def fit(self, state: State, gathered: State, layout: Layout) -> BlockPreconditioner:  # noqa: ARG002 - nothing is read
        """Invert the matrices by Cholesky decompositions in float64.

        Raises
        ------
        NonFiniteError
            If gradients are so long that the matrices have no inverse.
        """
        devices = {name: layout(name, torch.zeros(1)).device for name in TraceSums.tables(gathered)}
        inverted = {name: self._inverted(name, gathered, device) for name, device in devices.items()}
        return BlockPreconditioner(tables=inverted)

    def _inverted(self, table: str, gathered: State, device: torch.device) -> Blocks:
        mean_square, num_triples = TraceSums.mean(table, gathered), int(gathered[TraceSums.NUM_TRIPLES])
        ids, matrices = (tensor.to(device) for tensor in RowSums.of_table(table, gathered))
        width = matrices.shape[-1]
        least = self.damping * mean_square / num_triples
        damped = matrices / num_triples + least * torch.eye(width, dtype=torch.float64, device=device)
        if not torch.isfinite(damped).all() or least == 0:
            raise NonFiniteError(
                f"the gradients at {table} are 0, or so long that their squares are no numbers: the curvature has no "
                "inverse; use a model that is trained, or leave --curvature out"
            )
        for start in range(0, len(damped), _at_a_time(width)):
            some = damped[start : start + _at_a_time(width)]
            some.copy_(torch.cholesky_inverse(torch.linalg.cholesky(some)))
        return Blocks(ids=ids, matrices=damped)


def _at_a_time(width: int) -> int:
    return max(1, GROUP_BYTES // (8 * width * width))


def _sample(num_triples: int) -> tuple[Range, ...]:
    """Choose runs of neighbouring rows, spread evenly; all rows where these are no more."""
    if num_triples <= TRACE_TRIPLES:
        return ((0, num_triples),)
    length = TRACE_TRIPLES // TRACE_RUNS
    starts = np.linspace(0, num_triples - length, TRACE_RUNS).astype(np.int64)
    return tuple((start, start + length) for start in starts.tolist())


def _ranges(scope: Scope) -> list[Range]:
    """Cut the store into so few ranges that their sums are soon added up."""
    counted = scope.num_triples if scope.touching is None else scope.touching
    number = min(MOST_RANGES, -(-counted // TRIPLES_PER_PART)) or 1
    step = -(-scope.num_triples // (number * scope.batch_size)) * scope.batch_size
    return [(start, min(start + step, scope.num_triples)) for start in range(0, scope.num_triples, step)]


def _groups(scope: Scope) -> list[TableRows]:
    """Divide the rows of the tables, so that the matrices of each part are not many; at least one group."""
    groups: list[dict[str, Int[ndarray, " id"]]] = [{}]
    free = GROUP_BYTES
    for table, width in scope.row_sizes.items():
        ids, each = scope.ids_of(table), 8 * width * width
        while len(ids):
            if free < each and groups[-1]:
                groups.append({})
                free = GROUP_BYTES
            fitting = max(1, free // each)
            groups[-1][table], ids = ids[:fitting], ids[fitting:]
            free -= each * len(groups[-1][table])
    return list(groups)


def _entities(scope: Scope, ids: TableRows) -> Int[ndarray, " entity"] | None:
    """Name the entities that a training triple must touch to count; None where others count, too."""
    if scope.touching is None or any(scope.roles[table] == "relation" for table in ids):
        return None
    return np.unique(np.concatenate(list(ids.values()))) if ids else np.empty(0, np.int64)

"""How a text is shared among workers that ingest it: parts, memory and disk, known before the start."""

import math
from dataclasses import dataclass

from dask.utils import format_bytes

from tracin_dask.errors import MemoryLimitError
from tracin_dask.resources import Resources
from tracin_dask.triples.ingest_parts import TextPart, parts_of
from tracin_dask.triples.opening import head_of
from tracin_dask.triples.runs import SAMPLE_ROWS
from tracin_dask.triples.sort import SORT_BYTES_PER_ROW
from tracin_dask.triples.text import TripleText

MEMORY_SHARE = 0.5
"""Part of a worker's memory that sorting may take: the labels need room, too."""
_PARTS_OF_MEMORY = 8
"""A part is so many times smaller than the memory: a line has six bytes or more, and its row takes 48."""
_PARTS_PER_WORKER = 4
"""Parts are smaller where workers would have fewer, but not smaller than this:"""
_LEAST_PART_BYTES = 1 << 20
_RUN_BYTES_PER_ROW = 16
LEAST_SAMPLE_ROWS = 64
"""More samples would take as much memory as the rows."""
_HEAD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlan:
    """An ingest on workers, in numbers."""

    parts: tuple[TextPart, ...]
    num_bytes: int
    """Of the text."""
    num_workers: int
    memory_bytes: int
    """What sorting may take of a worker at a time."""
    num_triples: int | None
    """About as many as its first lines let expect; None where these do not tell."""

    @property
    def max_rows(self) -> int:
        """Rows that a worker may sort at a time."""
        return max(1, self.memory_bytes // SORT_BYTES_PER_ROW)

    @property
    def sample_rows(self) -> int:
        """Rows of a sample: the fewer, the closer a task finds the rows that it writes among many parts."""
        return max(LEAST_SAMPLE_ROWS, min(SAMPLE_ROWS, self.max_rows // (8 * len(self.parts))))

    def further_rows(self, num_runs: int) -> int:
        """Bound the rows that a task reads beyond those that it writes."""
        return (2 * num_runs + 2) * self.sample_rows

    def rows_of_task(self, num_rows: int, bytes_per_row: int, further_rows: int = 0) -> int:
        """Bound the rows of a task by the memory, and let every worker have one."""
        return max(1, min(self.memory_bytes // bytes_per_row - further_rows, math.ceil(num_rows / self.num_workers)))

    def describe(self) -> str:
        """Say what will be done, and what it takes."""
        total = "" if self.num_triples is None else f" (about {format_bytes(self.num_triples * _RUN_BYTES_PER_ROW)})"
        return (
            f"ingest of {format_bytes(self.num_bytes)} in {len(self.parts):,} part(s) on {self.num_workers:,} "
            f"worker(s): each sorts up to {format_bytes(self.memory_bytes)} at a time and holds all labels; sorted "
            f"rows take {_RUN_BYTES_PER_ROW} bytes per triple of the scratch folder{total} until the store is written"
        )


def plan_ingest(text: TripleText, resources: Resources, memory_bytes: int) -> IngestPlan:
    """Cut a text into parts that fit into the stated memory, and into the share of a worker's.

    Raises
    ------
    MemoryLimitError
        If the text has too many parts of that size to put them in order in that memory.
    """
    memory, size = min(memory_bytes, int(MEMORY_SHARE * resources.memory_bytes)), text.path.num_bytes()
    share = max(_LEAST_PART_BYTES, size // (_PARTS_PER_WORKER * resources.num_workers))
    parts = tuple(parts_of(text, max(1, min(memory // _PARTS_OF_MEMORY, share))))
    plan = IngestPlan(
        parts=parts,
        num_bytes=size,
        num_workers=resources.num_workers,
        memory_bytes=memory,
        num_triples=_num_triples(text, size) if len(parts) > 1 else None,
    )
    if 2 * plan.further_rows(len(parts)) > plan.max_rows and len(parts) > 1:
        least = math.isqrt(4 * 2 * LEAST_SAMPLE_ROWS * SORT_BYTES_PER_ROW * _PARTS_OF_MEMORY * size)
        raise MemoryLimitError(
            f"{text.path}: {format_bytes(memory)} of a worker's memory for sorting are too few for "
            f"{format_bytes(size)} in {len(parts):,} parts; give about {format_bytes(least)} or more: --memory, and "
            f"twice as much for each worker"
        )
    return plan


def _num_triples(text: TripleText, num_bytes: int) -> int:
    head = head_of(text.path, _HEAD_BYTES)
    return num_bytes * (head.count(b"\n") + 1) // max(1, len(head))

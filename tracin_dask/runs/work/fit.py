"""The pass over the training triples that some preconditioners need before anything is scored."""

from collections.abc import Iterator, Sequence

import torch

from tracin_dask.influence.preconditioners.base import State
from tracin_dask.runs.plan.memory import read_rows
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.state import WorkerState
from tracin_dask.runs.work.stream import read_ahead

BATCHES_PER_RANGE = 32
"""Batches of a range. Ranges do not depend on the number of workers: so sums are equal bit for bit for any of them."""
Gathered = tuple[State, ...]
"""What was gathered, by checkpoint."""


def fit_ranges(num_triples: int, batch_size: int) -> Iterator[Rows]:
    """Cut the store into the ranges of the pass."""
    step = BATCHES_PER_RANGE * batch_size
    return ((start, min(start + step, num_triples)) for start in range(0, num_triples, step))


def gather(state: WorkerState, job: ScoreJob, rows: Rows) -> Gathered:
    """Go through a range of training triples with every checkpoint, none of which has a preconditioner yet."""
    assert job.method is not None  # noqa: S101 - asked of methods alone
    with computing(job) as here:
        engines, _ = state.engines(job, here)
        passes = [job.method.start_pass() for _ in engines]
        with torch.no_grad():
            for block in read_ahead(job.store.read, rows, read_rows(job.batch_size)):
                for at in range(0, len(block), job.batch_size):
                    triples = torch.from_numpy(block.triples[at : at + job.batch_size])
                    for engine, one in zip(engines, passes, strict=True):
                        assert one is not None  # noqa: S101 - the method needs the pass
                        one.add(engine, triples)
        return tuple(one.finish() for one in passes if one is not None)


def merge_gathered(job: ScoreJob, parts: Sequence[Gathered]) -> Gathered:
    """Merge what was gathered of neighbouring ranges, in their order."""
    assert job.method is not None  # noqa: S101 - asked of methods alone
    return tuple(job.method.merge(of_one) for of_one in zip(*parts, strict=True))

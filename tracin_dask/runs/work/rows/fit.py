"""The pass over the training triples that some preconditioners need before anything is scored."""

from collections.abc import Generator, Iterable, Iterator, Sequence

import torch

from tracin_dask.influence.engine import Engine, Indexed
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.preconditioners.base import PassPart, State, TrainingPass
from tracin_dask.runs.plan.memory import blocks_ahead
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.rows.ahead import indexed_ahead, read_ahead
from tracin_dask.runs.work.state import WorkerState
from tracin_dask.triples.block import TripleBlock, regroup
from tracin_dask.triples.neighbourhood import STEP_ROWS

MERGE_FAN_IN = 8
"""What parts gathered is merged in a tree of so many at a time."""
Gathered = tuple[State, ...]
"""What was gathered, by checkpoint."""


def pass_parts(job: ScoreJob) -> Sequence[PassPart]:
    """Cut the pass into parts, which do not depend on the number of workers: so sums are equal bit for bit."""
    assert job.method is not None and job.scope is not None  # noqa: S101, PT018 - asked of methods alone
    return job.method.parts(job.scope)


def gather(state: WorkerState, job: ScoreJob, part: PassPart) -> Gathered:
    """Go through a part's training triples with every checkpoint, none of which has a preconditioner yet."""
    with computing(job) as here:
        engines, _ = state.engines(job, here)
        passes = [part.start() for _ in engines]
        with torch.no_grad():
            for batch in indexed_ahead(_indexed(job, part, engines[0], passes[0]), engines[0].model.device):
                for engine, one in zip(engines, passes, strict=True):
                    one.add(engine, batch)
        return tuple(one.finish() for one in passes)


def merge_gathered(job: ScoreJob, parts: Sequence[Gathered]) -> Gathered:
    """Merge what some parts gathered, in their order."""
    assert job.method is not None  # noqa: S101 - asked of methods alone
    return tuple(job.method.merge(of_one) for of_one in zip(*parts, strict=True))


def merged_in_tree(job: ScoreJob, parts: Iterable[Gathered]) -> Gathered:
    """Merge what parts gathered, one after the other, in the same tree as workers do: so sums have the same bits."""
    waiting: list[list[Gathered]] = []
    for part in parts:
        one, depth = part, 0
        while True:
            if depth == len(waiting):
                waiting.append([])
            waiting[depth].append(one)
            if len(waiting[depth]) < MERGE_FAN_IN:
                break
            one, waiting[depth] = merge_gathered(job, waiting[depth]), []
            depth += 1
    rest: list[Gathered] = []
    for level in waiting:
        rest = [merge_gathered(job, [*level, *rest])] if level or rest else []
    return rest[0]


def _indexed(job: ScoreJob, part: PassPart, engine: Engine, one: TrainingPass) -> Generator[Indexed, None, None]:
    """Read training triples in batches, and find out all that their ids say: the same for every checkpoint."""
    for block in regroup(_blocks(job, part), job.batch_size):
        arrays = IndexArrays(engine.model.device)
        batch = one.index(engine, block.triples, arrays)
        arrays.pack()
        yield batch


def _blocks(job: ScoreJob, part: PassPart) -> Iterator[TripleBlock]:
    """Read the training triples that a part looks at, the next ones while these are."""
    for start, stop in part.rows:
        if part.entities is None:
            ahead = blocks_ahead(STEP_ROWS, is_far=job.store.is_far)
            yield from read_ahead(job.store.read, (start, stop), STEP_ROWS, ahead)
        else:
            assert job.neighbourhood is not None  # noqa: S101 - belongs to such a scope
            yield from (block for block, _ in job.neighbourhood.among(part.entities).read(job.store, start, stop))

"""From sizes and limits to a frozen plan: tasks, engine, bytes and multiply-adds. Pure: touches no data."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tracin_dask.influence.cost import Computing, EngineCost, Keys, Modes, MultiplyAdds, Workload
from tracin_dask.influence.engine import engine_kind
from tracin_dask.influence.precision import working_dtype
from tracin_dask.influence.tiling import ON_CPU, ON_GPU, Tiling
from tracin_dask.models.config import ModelConfig
from tracin_dask.resources import Resources
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.plan.memory import MemoryEstimate, estimate, refuse_too_large

Rows = tuple[int, int]
"""A range of store rows, start ≤ row < stop."""

SMALLEST_BATCH = 16
BATCH_BYTES = 1280 * 2**20
"""What an automatic batch may take on a CPU, however much memory there is."""
BATCH_SHARE = 0.25
"""Part of the memory, or of a GPU's, that an automatic batch may take."""
TASK_SECONDS = 10.0
MULTIPLY_ADDS_PER_SECOND = 1.5e10
"""Of one CPU thread. Used for the size of tasks and for where a small job runs, never for results."""
TRIPLES_PER_SECOND = 5e5
"""Of one CPU thread when there is next to nothing to multiply."""
TASKS_PER_WORKER, MOST_TASKS, MOST_GROUPS = 4, 20_000, 64
MERGE_FAN_IN = 8
MOST_BATCHES_PER_SEGMENT = 64
"""Outcomes that are merged at a time, where a group has several tasks."""
LAST_TASKS = 16
"""The last tasks are down to so many times smaller than the first, so that all workers end at about the same time."""
LEAST_TASK_SECONDS = 0.5
MOST_TASKS_PER_SECOND = 250
"""Of all workers together; half of what a Dask scheduler can hand out. Smaller tasks at the end keep to it, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done, in numbers."""

    modes: Modes
    num_triples: int
    num_tests: int
    batch_size: int
    task_rows: int
    tasks_per_group: int
    resources: Resources
    memory: MemoryEstimate
    multiply_adds: MultiplyAdds
    stages: Mapping[str, str]
    """What the stages of these are in the engine, by their names."""
    num_checkpoints: int = 1
    num_scored: int = 0
    """No more training triples are scored, where the others have no influence."""
    batches_per_segment: int = 1
    """Tasks are cut between so many batches' rows: where few rows are scored, those of a segment share batches."""

    @property
    def segment_rows(self) -> int:
        """Rows of the store in a segment."""
        return self.batches_per_segment * self.batch_size

    @property
    def num_tasks(self) -> int:
        """Tasks of a run from the start."""
        return sum(1 for _ in self._tasks(0, self.num_triples))

    @property
    def last_task_rows(self) -> int:
        """Rows of the smallest tasks, which are the last."""
        num_workers = self.resources.num_workers
        if num_workers == 1:
            return self.task_rows
        seconds = max(LEAST_TASK_SECONDS, num_workers / MOST_TASKS_PER_SECOND)
        in_time = self.num_triples * seconds / max(seconds, self.worker_seconds)  # 0 seconds where no row is scored
        rows = max(self.task_rows / LAST_TASKS, in_time)
        return min(self.task_rows, _whole_batches(rows, self.segment_rows))

    @property
    def worker_seconds(self) -> float:
        """A rough guess of the seconds of one worker for everything."""
        return _worker_seconds(
            self.num_scored * self.num_checkpoints, self.multiply_adds.total, self.resources.threads_per_worker
        )

    def groups(self, done: Sequence[Rows] = ()) -> Iterator[list[Rows]]:
        """Cut the rows that are not done into tasks, and these into groups without gaps, recorded as one.

        Tasks begin on the grid of batches, so that results do not depend on the cut.
        """
        for start, stop in _gaps(done, self.num_triples):
            tasks = list(self._tasks(start, stop))
            for first in range(0, len(tasks), self.tasks_per_group):
                yield tasks[first : first + self.tasks_per_group]

    def _tasks(self, start: int, stop: int) -> Iterator[Rows]:
        """Cut a range into tasks: no larger than half of a worker's share of what is left to the end of all rows."""
        least, twice_the_workers = self.last_task_rows, 2 * self.resources.num_workers
        while start < stop:
            share = _whole_batches((self.num_triples - start) / twice_the_workers, self.segment_rows)
            rows = _whole_batches(float(max(least, min(self.task_rows, share))), self.segment_rows)
            yield start, min(start + rows, stop)
            start += rows


def make_plan(model: ModelConfig, work: Workload, config: RunConfig, resources: Resources) -> Plan:
    """Fit a run into the memory of its workers and cut it into tasks of a few seconds.

    Raises
    ------
    MemoryLimitError
        If it cannot fit, with both numbers and what helps.
    """
    has_device = device_bytes(config, resources) is not None
    tiling = ON_GPU if has_device else ON_CPU
    counts = _counts(model, work, config, tiling)
    multiply_adds = counts.multiply_adds.times(work.num_checkpoints)
    seconds = _worker_seconds(
        work.num_triples * work.num_checkpoints, multiply_adds.total, resources.threads_per_worker
    )
    outcomes = min(MERGE_FAN_IN, _most_tasks_per_group(seconds, resources.num_workers))

    def measure(batch_size: int) -> MemoryEstimate:
        return estimate(counts, work, config, batch_size=batch_size, outcomes=outcomes, has_device=has_device)

    batch_size = config.computing.batch_size or _automatic_batch(measure, config, resources, tiling.most_rows)
    memory = measure(batch_size)
    limits = (resources.memory_bytes, device_bytes(config, resources))
    refuse_too_large(memory, limits, batch_size=batch_size, num_checkpoints=work.num_checkpoints)
    num_rows, per_segment = work.num_rows or work.num_triples, batches_per_segment(work)
    grid = per_segment * batch_size
    task_rows = _task_rows(num_rows, grid, seconds=seconds, num_workers=resources.num_workers)
    plan = Plan(
        modes=counts.modes,
        num_triples=num_rows,
        num_scored=work.num_triples,
        batches_per_segment=per_segment,
        num_tests=work.num_tests,
        batch_size=batch_size,
        task_rows=task_rows,
        tasks_per_group=1,
        resources=resources,
        memory=memory,
        multiply_adds=multiply_adds,
        stages=counts.stages,
        num_checkpoints=work.num_checkpoints,
    )
    return replace(plan, tasks_per_group=math.ceil(plan.num_tasks / MOST_GROUPS))


def batches_per_segment(work: Workload) -> int:
    """Choose segments in which about a batch of rows is scored, where only some of all rows are."""
    if not work.num_rows:
        return 1
    return max(1, min(MOST_BATCHES_PER_SEGMENT, work.num_rows // max(1, work.num_triples)))


def device_bytes(config: RunConfig, resources: Resources) -> int | None:
    """Give the memory of a GPU that the run may take; None if it computes on CPUs."""
    return None if config.computing.device == "cpu" else resources.device_bytes


def _counts(model: ModelConfig, work: Workload, config: RunConfig, tiling: Tiling) -> EngineCost:
    method = config.scoring.method
    how = Computing(
        work=work,
        tracked=config.scoring.tracked(model),
        own_passes=(config.scoring.normalize != "none") + (method is not None and method.needs_pass),
        itemsize=working_dtype(config.computing.precision).itemsize,
        recompute=config.computing.gradient_checkpointing,
        rounds=config.computing.precision not in {"float64", "float32", "tf32"},
        divides_by_norms=config.scoring.normalize != "none",
        tiling=tiling,
        keys=work.most_keys() if tiling is ON_GPU and work.most_keys is not None else Keys.all_distinct,
    )
    return engine_kind(model).cost(model, how)


def _automatic_batch(
    measure: Callable[[int], MemoryEstimate], config: RunConfig, resources: Resources, most_rows: int
) -> int:
    """Halve the batch until it takes no more than its share of the memory, and all of the run fits."""
    batch_size, device = most_rows, device_bytes(config, resources)
    most = min(BATCH_SHARE * resources.memory_bytes, BATCH_BYTES) if device is None else BATCH_SHARE * device
    while batch_size > SMALLEST_BATCH:
        memory = measure(batch_size)
        fits_device = device is None or memory.on_device <= device
        if memory.batch <= most and memory.total <= resources.memory_bytes and fits_device:
            break
        batch_size //= 2
    return batch_size


def _task_rows(num_triples: int, batch_size: int, *, seconds: float, num_workers: int) -> int:
    """Choose a task's rows: some seconds of work, enough tasks for all workers, not too many in all."""
    return _whole_batches(num_triples / _wanted_tasks(seconds, num_workers), batch_size)


def _wanted_tasks(seconds: float, num_workers: int) -> int:
    return min(MOST_TASKS, max(num_workers * TASKS_PER_WORKER, math.ceil(seconds / TASK_SECONDS)))


def _most_tasks_per_group(seconds: float, num_workers: int) -> int:
    """Bound the tasks of a group: of all tasks, the last ones are smaller, and so they are more than wanted."""
    smaller = 2 * num_workers * (1 + math.log(LAST_TASKS))
    return math.ceil((_wanted_tasks(seconds, num_workers) + smaller) / MOST_GROUPS)


def _whole_batches(rows: float, batch_size: int) -> int:
    """Round up to whole batches, at least one."""
    return max(1, math.ceil(rows / batch_size)) * batch_size


def _worker_seconds(num_triples: int, multiply_adds: int, threads: int) -> float:
    return (multiply_adds / MULTIPLY_ADDS_PER_SECOND + num_triples / TRIPLES_PER_SECOND) / threads


def _gaps(done: Sequence[Rows], stop: int) -> Iterator[Rows]:
    """Give the ranges between the done ones."""
    at = 0
    for start, end in [*sorted(done), (stop, stop)]:
        if start > at:
            yield at, start
        at = max(at, end)

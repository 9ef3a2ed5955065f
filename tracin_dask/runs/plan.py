"""From sizes and limits to a frozen plan: tasks, engine, bytes and multiply-adds. Pure: touches no data."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tracin_dask.errors import MemoryLimitError
from tracin_dask.influence import cost
from tracin_dask.influence.counts import AnyConfig, Computing, Counts, counts_of
from tracin_dask.influence.modes import AnyModes
from tracin_dask.influence.precision import working_dtype
from tracin_dask.influence.summed import sum_bytes
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.resources import Resources
from tracin_dask.runs.score_writer import writer_bytes

Rows = tuple[int, int]
"""A range of store rows, start ≤ row < stop."""

PROCESS_BYTES = 420 * 2**20
"""A Python process with torch, Dask and Zarr loaded, before any data."""
READ_ROWS = 131_072
"""Rows read from the store at a time, rounded down to whole batches; the next ones are read ahead."""
ROW_BYTES = 56
"""One row while it is read: stored ids, int64 ids, train_index, and the tensor."""
SMALLEST_BATCH = 16
LARGEST_BATCH = 8192
"""The largest automatic batch: larger ones save no more of what every batch costs."""
BATCH_BYTES = 1280 * 2**20
"""What an automatic batch may take on a CPU, however much memory there is."""
BATCH_SHARE = 0.25
"""Part of the memory, and of a GPU's, that an automatic batch may take."""
TASK_SECONDS = 10.0
MULTIPLY_ADDS_PER_SECOND = 1.5e10
"""Of one CPU thread. Used for the size of tasks and for where a small job runs, never for results."""
TRIPLES_PER_SECOND = 5e5
"""Of one CPU thread when there is next to nothing to multiply."""
TASKS_PER_WORKER, MOST_TASKS, MOST_GROUPS = 4, 20_000, 64
LAST_TASKS = 16
"""The last tasks are down to so many times smaller than the first, so that all workers end at about the same time."""
LEAST_TASK_SECONDS = 0.5
MOST_TASKS_PER_SECOND = 250
"""Of all workers together; half of what a Dask scheduler can hand out. Smaller tasks at the end keep to it, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Peak bytes of one worker, by what they are for."""

    process: int
    model: int
    test_triples: int
    batch: int
    rows: int
    top_k: int
    scores: int = 0
    """Of writing all influences, where they are saved."""

    @property
    def total(self) -> int:
        """All of them together."""
        return self.process + self.model + self.test_triples + self.batch + self.rows + self.top_k + self.scores

    @property
    def on_device(self) -> int:
        """What of them lies on a worker's GPU, where it has one."""
        return self.model + self.test_triples + self.batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done, in numbers."""

    modes: AnyModes
    num_triples: int
    num_tests: int
    batch_size: int
    task_rows: int
    tasks_per_group: int
    resources: Resources
    memory: MemoryEstimate
    multiply_adds: cost.MultiplyAdds
    num_checkpoints: int = 1

    @property
    def num_tasks(self) -> int:
        """Tasks of a run from the start."""
        return sum(1 for _ in self._tasks(0, self.num_triples))

    @property
    def last_task_rows(self) -> int:
        """Rows of the smallest tasks, which are the last."""
        num_workers = self.resources.num_workers
        seconds = max(LEAST_TASK_SECONDS, num_workers / MOST_TASKS_PER_SECOND)
        rows = max(self.task_rows / LAST_TASKS, self.num_triples * seconds / self.worker_seconds)
        return self.task_rows if num_workers == 1 else min(self.task_rows, _whole_batches(rows, self.batch_size))

    @property
    def worker_seconds(self) -> float:
        """A rough guess of the seconds of one worker for everything."""
        return _worker_seconds(
            self.num_triples * self.num_checkpoints, self.multiply_adds.total, self.resources.threads_per_worker
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
            share = _whole_batches((self.num_triples - start) / twice_the_workers, self.batch_size)
            rows = max(least, min(self.task_rows, share))
            yield start, min(start + rows, stop)
            start += rows


def make_plan(model: AnyConfig, work: cost.Workload, config: RunConfig, resources: Resources) -> Plan:
    """Fit a run into the memory of its workers and cut it into tasks of a few seconds.

    Raises
    ------
    MemoryLimitError
        If it cannot fit, with both numbers and what helps.
    """
    counts = _counts(model, work, config)
    multiply_adds = counts.multiply_adds.times(work.num_checkpoints)
    batch_size = config.batch_size or _automatic_batch(counts, work, config, resources)
    memory = _memory(counts, work, config, batch_size)
    if memory.total > resources.memory_bytes:
        raise MemoryLimitError(_too_large(memory, resources, batch_size, work.num_checkpoints))
    device = device_bytes(config, resources)
    if device is not None and memory.on_device > device:
        raise MemoryLimitError(_too_large_for_device(memory, device, batch_size, work.num_checkpoints))
    num_rows = work.num_triples * work.num_checkpoints
    seconds = _worker_seconds(num_rows, multiply_adds.total, resources.threads_per_worker)
    task_rows = _task_rows(work.num_triples, batch_size, seconds=seconds, num_workers=resources.num_workers)
    plan = Plan(
        modes=counts.modes,
        num_triples=work.num_triples,
        num_tests=work.num_tests,
        batch_size=batch_size,
        task_rows=task_rows,
        tasks_per_group=1,
        resources=resources,
        memory=memory,
        multiply_adds=multiply_adds,
        num_checkpoints=work.num_checkpoints,
    )
    return replace(plan, tasks_per_group=math.ceil(plan.num_tasks / MOST_GROUPS))


def device_bytes(config: RunConfig, resources: Resources) -> int | None:
    """Give the memory of a GPU that the run may take; None if it computes on CPUs."""
    return None if config.device == "cpu" else resources.device_bytes


def read_rows(batch_size: int) -> int:
    """Give the rows to read at a time: whole batches."""
    return max(1, READ_ROWS // batch_size) * batch_size


def _counts(model: AnyConfig, work: cost.Workload, config: RunConfig) -> Counts:
    how = Computing(
        work=work,
        tracked=config.tracked(model),
        loss=config.loss,
        is_normalised=config.normalize != "none",
        itemsize=working_dtype(config.precision).itemsize,
        recompute=config.gradient_checkpointing,
    )
    return counts_of(model, how)


def _automatic_batch(counts: Counts, work: cost.Workload, config: RunConfig, resources: Resources) -> int:
    """Halve the batch until it takes no more than its share of the memory, and all of the run fits."""
    batch_size, device = LARGEST_BATCH, device_bytes(config, resources)
    most = min(BATCH_SHARE * resources.memory_bytes, BATCH_BYTES if device is None else BATCH_SHARE * device)
    while batch_size > SMALLEST_BATCH:
        memory = _memory(counts, work, config, batch_size)
        fits_device = device is None or memory.on_device <= device
        if memory.batch <= most and memory.total <= resources.memory_bytes and fits_device:
            break
        batch_size //= 2
    return batch_size


def _memory(counts: Counts, work: cost.Workload, config: RunConfig, batch_size: int) -> MemoryEstimate:
    columns, number = max(1, work.num_tests), work.num_checkpoints
    batch = counts.batch_bytes(batch_size)
    if number > 1:
        batch += sum_bytes(batch_size, work.num_tests, working_dtype(config.precision).itemsize)
    return MemoryEstimate(
        process=PROCESS_BYTES,
        model=number * counts.model_bytes,
        test_triples=number * counts.test_bytes,
        batch=batch,
        rows=2 * read_rows(batch_size) * ROW_BYTES,
        top_k=cost.top_k_bytes(config.top_k, columns),
        scores=0 if config.save_scores is None else writer_bytes(batch_size, columns),
    )


def _task_rows(num_triples: int, batch_size: int, *, seconds: float, num_workers: int) -> int:
    """Choose a task's rows: some seconds of work, enough tasks for all workers, not too many in all."""
    wanted = max(num_workers * TASKS_PER_WORKER, math.ceil(seconds / TASK_SECONDS))
    return _whole_batches(num_triples / min(wanted, MOST_TASKS), batch_size)


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


def _by_checkpoints(memory: MemoryEstimate, num_checkpoints: int) -> dict[str, float]:
    """Tell what all checkpoints but one take, by the remedy."""
    all_but_one = (num_checkpoints - 1) / num_checkpoints
    return {"fewer checkpoints (--model-path)": all_but_one * (memory.model + memory.test_triples)}


def _models(num_checkpoints: int) -> str:
    return "the model" if num_checkpoints == 1 else f"the {num_checkpoints} checkpoints"


def _too_large(memory: MemoryEstimate, resources: Resources, batch_size: int, num_checkpoints: int) -> str:
    mib = 2**20
    parts = _by_checkpoints(memory, num_checkpoints) | {
        "a smaller --batch-size": memory.batch + memory.scores,
        "fewer test triples at a time": memory.test_triples,
        "a smaller --top-k": memory.top_k,
        "more memory per worker (fewer --workers)": memory.process + memory.model / num_checkpoints,
    }
    helps = max(parts, key=lambda remedy: parts[remedy])
    return (
        f"the run needs about {memory.total / mib:,.0f} MiB per worker with batches of {batch_size}, but a worker may "
        f"take {resources.memory_bytes / mib:,.0f} MiB; of it the process takes {memory.process / mib:,.0f}, "
        f"{_models(num_checkpoints)} {memory.model / mib:,.0f}, the test triples {memory.test_triples / mib:,.0f}, the "
        f"top k {memory.top_k / mib:,.0f} and a batch {memory.batch / mib:,.0f} MiB; what helps most is {helps}"
    )


def _too_large_for_device(memory: MemoryEstimate, device: int, batch_size: int, num_checkpoints: int) -> str:
    mib = 2**20
    parts = _by_checkpoints(memory, num_checkpoints) | {
        "a smaller --batch-size": memory.batch,
        "fewer test triples at a time": memory.test_triples,
        "--device cpu, since the model fills the GPU": memory.model / num_checkpoints,
    }
    helps = max(parts, key=lambda remedy: parts[remedy])
    return (
        f"the run needs about {memory.on_device / mib:,.0f} MiB of each GPU with batches of {batch_size}, but may take "
        f"{device / mib:,.0f} MiB; of it a batch takes {memory.batch / mib:,.0f}, the test triples "
        f"{memory.test_triples / mib:,.0f} and {_models(num_checkpoints)} {memory.model / mib:,.0f} MiB; what helps "
        f"most is {helps}"
    )

"""What a worker's memory has to hold, by what it is for; and what is said where it does not."""

from dataclasses import dataclass

from tracin_dask.errors import MemoryLimitError
from tracin_dask.influence.cost import EngineCost, Workload
from tracin_dask.influence.precision import working_dtype
from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.group_totals import sums_bytes, totals_bytes
from tracin_dask.influence.summed import sum_bytes
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.sinks.score_writer import writer_bytes

PROCESS_BYTES = 420 * 2**20
"""A Python process with torch, Dask and Zarr loaded, before any data."""
READ_ROWS = 131_072
"""Rows read from the store at a time, rounded down to whole batches; the next ones are read ahead."""
ROW_BYTES = 56
"""One row while it is read: stored ids, int64 ids, train_index, and the tensor."""
TOTALS_BESIDE = 2
"""Totals of groups that a process holds beside those it merges: what they become, and those of all rows before."""
GROUPS_REMEDY = "fewer groups (--group-by), or fewer test triples at a time"


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
    group_sums: int = 0
    """Of groups of training triples, where influences are added up, too."""
    group_totals: int = 0
    """What of them waits to be merged."""

    @property
    def total(self) -> int:
        """All of them together."""
        kept = self.top_k + self.scores + self.group_sums + self.group_totals
        return self.process + self.model + self.test_triples + self.batch + self.rows + kept

    @property
    def on_device(self) -> int:
        """What of them lies on a worker's GPU, where it has one."""
        return self.model + self.test_triples + self.batch + self.group_sums


def read_rows(batch_size: int) -> int:
    """Give the rows to read at a time: whole batches."""
    return max(1, READ_ROWS // batch_size) * batch_size


def estimate(
    counts: EngineCost, work: Workload, config: RunConfig, *, batch_size: int, outcomes: int
) -> MemoryEstimate:
    """Estimate the peak of a worker; `outcomes` of tasks are merged at a time."""
    columns, number, batch = max(1, work.num_tests), work.num_checkpoints, counts.batch_bytes(batch_size)
    if number > 1:
        batch += sum_bytes(batch_size, work.num_tests, working_dtype(config.computing.precision).itemsize)
    totals = totals_bytes(work.num_groups, work.num_columns)
    return MemoryEstimate(
        process=PROCESS_BYTES,
        model=number * counts.model_bytes,
        test_triples=number * counts.test_bytes,
        batch=batch,
        rows=2 * read_rows(batch_size) * ROW_BYTES,
        top_k=topk.top_k_bytes(config.ranking.top_k, columns),
        group_sums=sums_bytes(work.num_groups, work.num_columns),
        group_totals=(outcomes + TOTALS_BESIDE) * totals,
        scores=0 if config.saving.save_scores is None else writer_bytes(batch_size, columns),
    )


def refuse_too_large(
    memory: MemoryEstimate, limits: tuple[int, int | None], *, batch_size: int, num_checkpoints: int
) -> None:
    """Refuse what does not fit into a worker's memory, or its GPU's, where it has one.

    Raises
    ------
    MemoryLimitError
        With both numbers and what helps.
    """
    host, device = limits
    if memory.total > host:
        raise MemoryLimitError(_too_large(memory, host, batch_size, num_checkpoints))
    if device is not None and memory.on_device > device:
        raise MemoryLimitError(_too_large_for_device(memory, device, batch_size, num_checkpoints))


def _by_checkpoints(memory: MemoryEstimate, num_checkpoints: int) -> dict[str, float]:
    """Tell what all checkpoints but one take, by the remedy."""
    all_but_one = (num_checkpoints - 1) / num_checkpoints
    return {"fewer checkpoints (--model-path)": all_but_one * (memory.model + memory.test_triples)}


def _models(num_checkpoints: int) -> str:
    return "the model" if num_checkpoints == 1 else f"the {num_checkpoints} checkpoints"


def _groups(num_bytes: int) -> str:
    """Name what groups take, where there are any."""
    return f"the groups {num_bytes / 2**20:,.0f} " if num_bytes else ""


def _too_large(memory: MemoryEstimate, limit: int, batch_size: int, num_checkpoints: int) -> str:
    mib = 2**20
    parts = _by_checkpoints(memory, num_checkpoints) | {
        "a smaller --batch-size": memory.batch + memory.scores,
        "fewer test triples at a time": memory.test_triples,
        "a smaller --top-k": memory.top_k,
        GROUPS_REMEDY: memory.group_sums + memory.group_totals,
        "more memory per worker (fewer --workers)": memory.process + memory.model / num_checkpoints,
    }
    helps = max(parts, key=lambda remedy: parts[remedy])
    return (
        f"the run needs about {memory.total / mib:,.0f} MiB per worker with batches of {batch_size}, but a worker may "
        f"take {limit / mib:,.0f} MiB; of it the process takes {memory.process / mib:,.0f}, "
        f"{_models(num_checkpoints)} {memory.model / mib:,.0f}, the test triples {memory.test_triples / mib:,.0f}, the "
        f"top k {memory.top_k / mib:,.0f}, {_groups(memory.group_sums + memory.group_totals)}and a batch "
        f"{memory.batch / mib:,.0f} MiB; what helps most is {helps}"
    )


def _too_large_for_device(memory: MemoryEstimate, device: int, batch_size: int, num_checkpoints: int) -> str:
    mib = 2**20
    parts = _by_checkpoints(memory, num_checkpoints) | {
        "a smaller --batch-size": memory.batch,
        "fewer test triples at a time": memory.test_triples,
        GROUPS_REMEDY: memory.group_sums,
        "--device cpu, since the model fills the GPU": memory.model / num_checkpoints,
    }
    helps = max(parts, key=lambda remedy: parts[remedy])
    return (
        f"the run needs about {memory.on_device / mib:,.0f} MiB of each GPU with batches of {batch_size}, but may take "
        f"{device / mib:,.0f} MiB; of it a batch takes {memory.batch / mib:,.0f}, the test triples "
        f"{memory.test_triples / mib:,.0f}, {_groups(memory.group_sums)}and {_models(num_checkpoints)} "
        f"{memory.model / mib:,.0f} MiB; what helps most is {helps}"
    )

"""The memory of a worker by purpose, and the message for a run that does not fit."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracin_dask.errors import MemoryLimitError
from tracin_dask.influence.cost import EngineCost, Workload
from tracin_dask.influence.precision import working_dtype
from tracin_dask.influence.reductions.base import Held, Sizes
from tracin_dask.influence.summed import sum_bytes
from tracin_dask.runs.config import RunConfig

PROCESS_BYTES = 420 * 2**20
"""A Python process with torch, Dask and Zarr loaded, before any data."""
READ_ROWS = 131_072
"""Rows read from the store at a time, rounded down to whole batches; the next ones are read ahead."""
FAR_ROWS = 524_288
"""Rows that are read at the same time from an object store."""
FAR_SHARDS_BYTES = 36 * 2**20
"""Six shards of an object store, which are kept whole while parts of them are read."""
ROW_BYTES = 56
"""One row while it is read: stored ids, int64 ids, train_index, and the tensor."""
INDEX_BYTES = 200
"""Index arrays of a row. Those of the next batch are made while one is scored; its own are counted with its batch, and
lie in the host's memory, too, where the batch is on a GPU."""
PAIR_BYTES = 4
"""A pair of a training triple and an answer while masks are asked whether it is ranked."""
MATRIX_COPIES = 3
"""Matrices of rows as gathered, those of another part or their merged copy, and inverted."""
OUTCOMES_BESIDE = 2
"""Further outcomes in memory during a merge: the merged one, and that of all earlier rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBytes:
    """Peak bytes of one reduction in a worker."""

    what: str
    total: int
    on_device: int
    remedy: str
    """What makes them fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Peak bytes of one worker, split by purpose."""

    process: int
    model: int
    test_triples: int
    batch: int
    rows: int
    kept: Mapping[str, KeptBytes]
    """Of every reduction, by its name."""
    has_device: bool = False
    """Whether batches lie on a GPU, and not in the memory of the process."""
    audit: int = 0
    """Of the audit, at the end: in place of test triples, batch and rows."""
    predictions: int = 0
    """Of the scores and ranks of the test triples, at the end, in the same place."""

    @property
    def total(self) -> int:
        """What is there at a time."""
        kept = sum(one.total for one in self.kept.values())
        return self.process + self.model + max(self.scoring, self.audit, self.predictions) + kept

    @property
    def scoring(self) -> int:
        """What goes when all rows are scored."""
        return self.test_triples + (0 if self.has_device else self.batch) + self.rows

    @property
    def on_device(self) -> int:
        """What of them lies on a worker's GPU, where it has one."""
        stage = max(self.test_triples + self.batch, self.predictions)
        return self.model + stage + sum(one.on_device for one in self.kept.values())


def read_rows(batch_size: int) -> int:
    """Give the rows to read at a time: whole batches."""
    return max(1, READ_ROWS // batch_size) * batch_size


def blocks_ahead(block_rows: int, *, is_far: bool) -> int:
    """Count the blocks of rows that are read at a time while others are scored.

    A store that is far away answers a request after a tenth of a second or more, so several are under way.
    """
    return max(1, FAR_ROWS // block_rows) if is_far else 1


def _rows_bytes(batch_size: int, *, is_far: bool) -> int:
    """Count the bytes of the blocks that are scored and read, and of shards that are kept whole."""
    step = read_rows(batch_size)
    blocks = (1 + blocks_ahead(step, is_far=is_far)) * step * ROW_BYTES
    return blocks + FAR_SHARDS_BYTES if is_far else blocks


def estimate(
    counts: EngineCost, work: Workload, config: RunConfig, *, batch_size: int, outcomes: int, has_device: bool
) -> MemoryEstimate:
    """Estimate the peak of a worker, which may have a GPU; `outcomes` of tasks are merged at a time."""
    number, batch = work.num_checkpoints, counts.how.scoring_bytes(batch_size, counts.batch_bytes)
    if number > 1:
        batch += sum_bytes(batch_size, work.num_tests, working_dtype(config.computing.precision).itemsize)
    sizes = Sizes(num_columns=work.num_columns, batch_size=batch_size)
    return MemoryEstimate(
        process=PROCESS_BYTES,
        model=number * counts.model_bytes,
        test_triples=number * counts.test_bytes,
        batch=batch,
        rows=_rows_bytes(batch_size, is_far=work.is_far) + (2 if has_device else 1) * batch_size * INDEX_BYTES,
        audit=work.audit_bytes,
        predictions=work.prediction_bytes,
        has_device=has_device,
        kept=_matrices(work)
        | _masked(work, batch_size, working_dtype(config.computing.precision).itemsize)
        | {one.name: _kept_bytes(one.name, one.held(sizes), outcomes) for one in work.reductions},
    )


def _matrices(work: Workload) -> dict[str, KeptBytes]:
    """Count a preconditioner's matrices of rows: as gathered, while they are merged, and inverted."""
    if work.matrix_bytes == 0:
        return {}
    each = work.num_checkpoints * work.matrix_bytes
    what, remedy = "the curvature", "fewer test triples at a time"
    return {"curvature": KeptBytes(what=what, total=MATRIX_COPIES * each, on_device=each, remedy=remedy)}


def _masked(work: Workload, batch_size: int, itemsize: int) -> dict[str, KeptBytes]:
    """Count what masks hold, and copies of a batch: of its ranked rows, and by pair once more for both sides."""
    if work.masks is None:
        return {}
    pairs = batch_size * work.num_columns
    on_device = pairs * (3 * itemsize + 1 if work.masks.by_pair else itemsize)
    total = work.masks.num_bytes + on_device + (PAIR_BYTES * pairs if work.masks.by_pair else 0)
    remedy = "fewer test triples at a time"
    return {"masks": KeptBytes(what="the masks", total=total, on_device=on_device, remedy=remedy)}


def _kept_bytes(name: str, held: Held, outcomes: int) -> KeptBytes:
    return KeptBytes(
        what=held.what or name,
        total=held.stream + (outcomes + OUTCOMES_BESIDE) * held.outcome,
        on_device=held.on_device,
        remedy=held.remedy,
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


def _by_checkpoints(memory: MemoryEstimate, num_checkpoints: int) -> dict[str, int]:
    """Tell what all checkpoints but one take, by the remedy."""
    each = (memory.model + memory.test_triples) // num_checkpoints
    return {"fewer checkpoints (--model-path)": (num_checkpoints - 1) * each}


def _largest_stage(memory: MemoryEstimate) -> list[tuple[str, int]]:
    """Tell what makes the stage that takes most smaller: the scoring, or what comes after it."""
    if memory.predictions > max(memory.scoring, memory.audit):
        return []  # as large as a few of the models that are there already
    if memory.audit > memory.scoring:
        return [("--audit off", memory.audit - memory.scoring)]
    of_batch = 0 if memory.has_device else memory.batch
    return [("a smaller --batch-size", of_batch), ("fewer test triples at a time", memory.test_triples)]


def _models(num_checkpoints: int) -> str:
    return "the model" if num_checkpoints == 1 else f"the {num_checkpoints} checkpoints"


def _listed(sizes: Mapping[str, int]) -> str:
    """List sizes, the last of them after `and`."""
    named = [f"{what} {size / 2**20:,.0f}" for what, size in sizes.items()]
    return f"{', '.join(named[:-1])} and {named[-1]} MiB"


def _largest(remedies: Iterable[tuple[str, int]]) -> str:
    """Give the remedy that saves most."""
    saved: Counter[str] = Counter()
    for remedy, size in remedies:
        saved[remedy] += size
    return max(saved, key=lambda remedy: saved[remedy])


def _too_large(memory: MemoryEstimate, limit: int, batch_size: int, num_checkpoints: int) -> str:
    kept = memory.kept.values()
    helps = _largest(
        [
            *_by_checkpoints(memory, num_checkpoints).items(),
            *_largest_stage(memory),
            *((one.remedy, one.total) for one in kept),
            ("more memory per worker (fewer --workers)", memory.process + memory.model // num_checkpoints),
        ]
    )
    parts = {"the process takes": memory.process, _models(num_checkpoints): memory.model}
    parts |= {"the test triples": memory.test_triples, **{one.what: one.total for one in kept}}
    parts |= {"at the end the audit": memory.audit} if memory.audit > memory.scoring else {}
    parts |= {"at the end the ranks": memory.predictions} if memory.predictions > memory.scoring else {}
    parts |= {} if memory.has_device else {"a batch": memory.batch}
    return (
        f"the run needs about {memory.total / 2**20:,.0f} MiB per worker with batches of {batch_size}, but a worker "
        f"may take {limit / 2**20:,.0f} MiB; of it {_listed(parts)}; "
        f"what helps most is {helps}"
    )


def _too_large_for_device(memory: MemoryEstimate, device: int, batch_size: int, num_checkpoints: int) -> str:
    kept = [one for one in memory.kept.values() if one.on_device]
    helps = _largest(
        [
            *_by_checkpoints(memory, num_checkpoints).items(),
            ("a smaller --batch-size", memory.batch),
            ("fewer test triples at a time", memory.test_triples),
            *((one.remedy, one.on_device) for one in kept),
            ("--device cpu, since the model fills the GPU", memory.model // num_checkpoints),
        ]
    )
    parts = {"a batch takes": memory.batch, "the test triples": memory.test_triples}
    parts |= {**{one.what: one.on_device for one in kept}, _models(num_checkpoints): memory.model}
    return (
        f"the run needs about {memory.on_device / 2**20:,.0f} MiB of each GPU with batches of {batch_size}, but may "
        f"take {device / 2**20:,.0f} MiB; of it {_listed(parts)}; what helps most is {helps}"
    )

"""What a worker does: load the checkpoint once, prepare the test triples, score a range of rows, merge."""

import io
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.influence import topk
from tracin_dask.influence.engine import PairEngine, TestFactors
from tracin_dask.influence.folded import FoldedConvE, fold
from tracin_dask.influence.jacobians import RelationTable, relation_table
from tracin_dask.influence.losses import AnyLoss
from tracin_dask.influence.modes import Modes
from tracin_dask.influence.precision import Precision, PrecisionName
from tracin_dask.influence.scorer import Scorer, Scores
from tracin_dask.influence.tensors import move
from tracin_dask.influence.topk import TopK, TopKStream
from tracin_dask.models.checkpoint import build_model, load_checkpoint
from tracin_dask.models.conve import ConvE, ConvEConfig
from tracin_dask.runs.allocator import keep_freed_memory
from tracin_dask.runs.config import Device
from tracin_dask.runs.halving import InPieces
from tracin_dask.runs.plan import Rows, read_rows
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.store import TripleStore

OnRows = Callable[[int], None]
"""Called with the number of rows that were just scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """A checkpoint by its path on the workers, or by its weights where they do not see the path."""

    path: Path
    sha256: str
    config: ConvEConfig
    dtype: torch.dtype
    weights: bytes | None = field(default=None, compare=False, hash=False)

    def load(self) -> ConvE:
        """Load the model.

        Raises
        ------
        CheckpointError
            If the file is not the one that the run was planned with.
        """
        if self.weights is not None:
            state = torch.load(io.BytesIO(self.weights), weights_only=True)
            return build_model(self.config, state, dtype=self.dtype)
        height, width = self.config.embedding_height, self.config.embedding_width
        checkpoint = load_checkpoint(self.path, embedding_height=height, embedding_width=width, dtype=self.dtype)
        if checkpoint.sha256 != self.sha256:
            raise CheckpointError(f"{self.path} changed since the run was planned; start the run again")
        return checkpoint.model


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """All that a worker must know of a run; small, and the same for every task."""

    store: TripleStore
    checkpoint: CheckpointFile
    num_columns: int
    """Influences per training triple: one per test triple, or its own."""
    loss: AnyLoss
    tracked: frozenset[str]
    modes: Modes
    learning_rate: float
    top_k: int
    batch_size: int
    device: Device
    threads: int
    precision: PrecisionName
    gradient_checkpointing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What was done, summed over tasks."""

    rows: int = 0
    tasks: int = 0
    task_seconds: float = 0.0
    checkpoint_loads: int = 0
    test_factor_computations: int = 0
    batch_halvings: int = 0
    """How often a GPU's memory did not do for a batch, which was then scored in pieces."""

    def __add__(self, other: "Counters") -> "Counters":
        """Add up field by field."""
        return Counters(
            rows=self.rows + other.rows,
            tasks=self.tasks + other.tasks,
            task_seconds=self.task_seconds + other.task_seconds,
            checkpoint_loads=self.checkpoint_loads + other.checkpoint_loads,
            test_factor_computations=self.test_factor_computations + other.test_factor_computations,
            batch_halvings=self.batch_halvings + other.batch_halvings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The outcome of some tasks."""

    top: TopK
    counters: Counters
    device: str
    precision: str

    def counting(self, more: Counters) -> "Scored":
        """Add to the counters."""
        return replace(self, counters=self.counters + more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The test triples' factors on the CPU, as they are broadcast."""

    test: TestFactors
    counters: Counters


TestSide = Prepared | ndarray | None
"""The broadcast factors; or the bare test triples, to compute the factors anew; or nothing for self-influence."""


def load_ahead(job: ScoreJob) -> None:
    """Load the checkpoint before the first task needs it, which then counts it."""
    engine, loads = _engine(job)
    if loads:
        _models[_key(job.checkpoint, engine.model.device, engine.precision)].is_counted = False


def prepare_test(job: ScoreJob, test_triples: Int[ndarray, "test 3"]) -> Prepared:
    """Compute the test triples' factors, once for all tasks."""
    engine, loads = _engine(job)
    with torch.no_grad():
        test = engine.prepare(torch.from_numpy(test_triples), batch_size=job.batch_size)
    return Prepared(test=move(test, "cpu"), counters=Counters(checkpoint_loads=loads, test_factor_computations=1))


def score_rows(job: ScoreJob, test: TestSide, rows: Rows, *, on_rows: OnRows | None = None) -> Scored:
    """Score a range of rows and keep the best."""
    started = time.perf_counter()
    engine, loads = _engine(job)
    counters = Counters(rows=rows[1] - rows[0], tasks=1, checkpoint_loads=loads)
    if isinstance(test, ndarray):
        test = prepare_test(job, test)
        counters += test.counters
    with torch.no_grad():
        if test is None:
            batches, halved = InPieces(lambda ids: [_self_scores(engine, ids)]), 0
            top = _stream(job, batches, rows, on_rows)
        else:
            work = _run_here(job, engine, test)
            batches, halved = work.batches, work.batches.halvings
            top = _stream(job, batches, rows, on_rows, work.seen)
            work.remember(rows, top)
    return Scored(
        top=top,
        counters=replace(
            counters,
            task_seconds=time.perf_counter() - started,
            batch_halvings=batches.halvings - halved,
        ),
        device=engine.model.device.type,
        precision=_precision_name(engine),
    )


def merge_scored(parts: Sequence[Scored]) -> Scored:
    """Merge the outcomes of different rows."""
    return replace(
        parts[0],
        top=topk.merge([part.top for part in parts]),
        counters=sum((part.counters for part in parts), Counters()),
    )


def resolve_device(device: Device) -> torch.device:
    """Choose the device of this process: `auto` takes CUDA if there is any.

    Raises
    ------
    ConfigError
        If CUDA is asked for and there is none.
    """
    is_available = torch.cuda.is_available()
    if device == "cuda" and not is_available:
        raise ConfigError(
            f"device cuda is asked for, but PyTorch {torch.__version__} finds no GPU in this process; "
            "leave --device out, or install a PyTorch with CUDA on a machine that has one"
        )
    if device == "auto":
        return torch.device("cuda" if is_available else "cpu")
    return torch.device(device)


def read_ahead(store: TripleStore, rows: Rows, step: int) -> Iterator[TripleBlock]:
    """Read rows block by block, the next one in a thread of its own while this one is scored.

    Reading takes a tenth of the time of one test triple, and more where the store is far away.
    """
    start, stop = rows
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        ahead = deque([reader.submit(store.read, start, min(start + step, stop))])
        while ahead:
            block = ahead.popleft().result()
            start += step
            if start < stop:
                ahead.append(reader.submit(store.read, start, min(start + step, stop)))
            yield block


def _self_scores(engine: PairEngine, ids: Int[ndarray, "batch 3"]) -> Scores:
    return Scores(rows=np.arange(len(ids)), influences=engine.self_influence(torch.from_numpy(ids))[:, None])


def _stream(job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, seen: TopK | None = None) -> TopK:
    """Read the rows block by block, score them batch by batch on the grid of the store, and keep the best."""
    stream = TopKStream(job.top_k, job.num_columns, seen)
    for block in read_ahead(job.store, rows, read_rows(job.batch_size)):
        for at in range(0, len(block), job.batch_size):
            batch = block[at : at + job.batch_size]
            for part in batches.parts(batch.triples):
                stream.add(part.influences, batch.train_index[part.rows], batch.triples[part.rows])
        if on_rows is not None:
            on_rows(len(block))
    return stream.finish()


def _engine(job: ScoreJob) -> tuple[PairEngine, int]:
    """Give the engine of a job, and how many checkpoints had to be loaded for it (0 or 1)."""
    torch.set_num_threads(job.threads)
    keep_freed_memory()
    device = resolve_device(job.device)
    precision = _precision(job, device)
    known = _models.get(_key(job.checkpoint, device, precision))
    loaded = known or remember_model(job, job.checkpoint.load())
    is_new, loaded.is_counted = known is None or not loaded.is_counted, True
    engine = PairEngine(
        model=loaded.folded,
        tracked=job.tracked,
        loss=job.loss,
        learning_rate=job.learning_rate,
        precision=precision,
        recompute=job.gradient_checkpointing,
        modes=job.modes,
        relations=loaded.relations() if job.modes.relation_table else None,
    )
    return engine, int(is_new)


class Loaded:
    """A folded model, and its relation table once that is asked for."""

    def __init__(self, folded: FoldedConvE, precision: Precision) -> None:
        """Take a model that was folded in this precision."""
        self.folded, self._precision = folded, precision
        self.is_counted = True
        """Whether a task has stated that the checkpoint was loaded."""
        self._relations: RelationTable | None = None

    def relations(self) -> RelationTable | None:
        """Give the relation table, made once; None where no region sees the relation alone."""
        if self._relations is None:
            with torch.no_grad():
                self._relations = relation_table(self.folded, self._precision)
        return self._relations


ModelKey = tuple[str, ConvEConfig, torch.dtype, torch.device, Precision]
"""The file, the sizes (one that does not state the image's height and width is another model with others), formats."""
_models: dict[ModelKey, Loaded] = {}
"""The folded model of the last checkpoint, so that a process loads it once and not for every task."""


def remember_model(job: ScoreJob, model: ConvE) -> Loaded:
    """Fold the model of a job, which is loaded already, and keep it in place of the one before."""
    device = resolve_device(job.device)
    precision = _precision(job, device)
    loaded = Loaded(fold(model, device=device, precision=precision), precision)
    _runs_here.clear()
    _models.clear()
    _models[_key(job.checkpoint, device, precision)] = loaded
    return loaded


def _precision(job: ScoreJob, device: torch.device) -> Precision:
    precision = Precision.named(job.precision, device)
    precision.let_products_round()
    return precision


def _key(checkpoint: CheckpointFile, device: torch.device, precision: Precision) -> ModelKey:
    return checkpoint.sha256, checkpoint.config, checkpoint.dtype, device, precision


@dataclass(slots=True)
class _RunHere:
    """What this process keeps of a run from task to task."""

    job: ScoreJob
    test: TestFactors
    scorer: Scorer
    batches: InPieces
    seen: TopK
    """The best of all rows that were scored here: later tasks need not return what these surpass."""
    scored: list[Rows] = field(default_factory=list)
    """The rows that `seen` is about."""

    def remember(self, rows: Rows, top: TopK) -> None:
        """Take in what a task found; rows that are scored again, for a worker that was lost, must not count twice."""
        start, stop = rows
        if not any(first < stop and start < end for first, end in self.scored):
            self.scored.append(rows)
            self.seen = topk.merge([self.seen, top])


_runs_here: list[_RunHere] = []
"""The last run, so that the test triples are laid out once for all its tasks."""


def _run_here(job: ScoreJob, engine: PairEngine, test: Prepared) -> _RunHere:
    """Give what is kept of a run; its tasks on one worker get the very same factors."""
    for known in _runs_here:
        same_job = replace(known.job, loss=job.loss) == job
        if known.test is test.test and same_job and known.scorer.engine.model is engine.model:
            return known
    scorer = Scorer(engine, test.test)
    _runs_here[:] = [_RunHere(job, test.test, scorer, InPieces(scorer.parts), topk.empty(job.top_k))]
    return _runs_here[0]


def _precision_name(engine: PairEngine) -> str:
    working = str(engine.model.dtype).removeprefix("torch.")
    return working if engine.precision is Precision.FULL else f"{engine.precision.value} products, {working} sums"

"""What a worker does: load the checkpoint once, prepare the test triples, score a range of rows, merge."""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.influence import topk
from tracin_dask.influence.engine import PairEngine, PreparedTest
from tracin_dask.influence.folded import FoldedConvE, fold
from tracin_dask.influence.losses import Loss
from tracin_dask.influence.modes import Modes
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tensors import move
from tracin_dask.influence.topk import TopK, TopKStream
from tracin_dask.models.checkpoint import build_model, load_checkpoint
from tracin_dask.models.conve import ConvE, ConvEConfig
from tracin_dask.runs.config import Device
from tracin_dask.runs.plan import Rows, read_rows
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
    loss: Loss
    tracked: frozenset[str]
    modes: Modes
    learning_rate: float
    top_k: int
    batch_size: int
    device: Device
    threads: int
    mixed_precision: bool
    gradient_checkpointing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What was done, summed over tasks."""

    rows: int = 0
    tasks: int = 0
    task_seconds: float = 0.0
    checkpoint_loads: int = 0
    test_factor_computations: int = 0

    def __add__(self, other: "Counters") -> "Counters":
        """Add up field by field."""
        return Counters(
            rows=self.rows + other.rows,
            tasks=self.tasks + other.tasks,
            task_seconds=self.task_seconds + other.task_seconds,
            checkpoint_loads=self.checkpoint_loads + other.checkpoint_loads,
            test_factor_computations=self.test_factor_computations + other.test_factor_computations,
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

    test: PreparedTest
    counters: Counters


TestSide = Prepared | ndarray | None
"""The broadcast factors; or the bare test triples, to compute the factors anew; or nothing for self-influence."""


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
        top = _stream(job, _influences(engine, test), rows, on_rows)
    return Scored(
        top=top,
        counters=replace(counters, task_seconds=time.perf_counter() - started),
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


def _influences(engine: PairEngine, test: Prepared | None) -> Callable[[Tensor], Tensor]:
    """Give the function from a batch of triples to their influences, one column per test triple."""
    device = engine.model.device
    if test is None:
        return lambda triples: engine.self_influence(triples.to(device))[:, None]
    prepared = move(test.test, device)
    return lambda triples: engine.score(triples.to(device), prepared)


def _stream(job: ScoreJob, influences: Callable[[Tensor], Tensor], rows: Rows, on_rows: OnRows | None) -> TopK:
    """Read the rows block by block, score them batch by batch on the grid of the store, and keep the best."""
    stream = TopKStream(job.top_k, job.num_columns)
    step = read_rows(job.batch_size)
    for start in range(*rows, step):
        block = job.store.read(start, min(start + step, rows[1]))
        for at in range(0, len(block), job.batch_size):
            batch = block[at : at + job.batch_size]
            stream.add(influences(torch.from_numpy(batch.triples)), batch.train_index, batch.triples)
        if on_rows is not None:
            on_rows(len(block))
    return stream.finish()


def _engine(job: ScoreJob) -> tuple[PairEngine, int]:
    """Give the engine of a job, and how many checkpoints had to be loaded for it (0 or 1)."""
    torch.set_num_threads(job.threads)
    device = resolve_device(job.device)
    model, loads = _folded(job.checkpoint, device)
    engine = PairEngine(
        model=model,
        tracked=job.tracked,
        loss=job.loss,
        learning_rate=job.learning_rate,
        precision=Precision.mixed_on(device) if job.mixed_precision else Precision.FULL,
        recompute=job.gradient_checkpointing,
        modes=job.modes,
    )
    return engine, loads


_models: dict[tuple[str, ConvEConfig, torch.dtype, torch.device], FoldedConvE] = {}
"""The folded model of the last checkpoint, so that a process loads it once and not for every task.

Its sizes belong to the key: a file that does not state the image's height and width is another model with others.
"""


def remember(checkpoint: CheckpointFile, model: ConvE, device: torch.device) -> FoldedConvE:
    """Fold a model and keep it in place of the one before."""
    folded = fold(model, device=device)
    _models.clear()
    _models[checkpoint.sha256, checkpoint.config, checkpoint.dtype, device] = folded
    return folded


def _folded(checkpoint: CheckpointFile, device: torch.device) -> tuple[FoldedConvE, int]:
    """Give the folded model, and how many checkpoints were loaded for it."""
    known = _models.get((checkpoint.sha256, checkpoint.config, checkpoint.dtype, device))
    return (known, 0) if known else (remember(checkpoint, checkpoint.load(), device), 1)


def _precision_name(engine: PairEngine) -> str:
    working = str(engine.model.dtype).removeprefix("torch.")
    return working if engine.precision is Precision.FULL else f"{engine.precision.value} products, {working} sums"

"""The engine and the per-triple loop, timed on some rows of a graph through the package's public path."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import loop
from benchmarks.machine import synchronize
from tracin_dask import InfluenceResult, RunConfig, keep_freed_memory
from tracin_dask.influence.precision import Precision
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.resources import MEMORY_SHARE, of_this_process
from tracin_dask.runs.execute.driver import carry_out
from tracin_dask.runs.plan.plan import Plan, make_plan
from tracin_dask.runs.prepare import PreparedRun, prepare
from tracin_dask.triples.store import TripleStore

if TYPE_CHECKING:
    from distributed import Client


def mixed_is_float32(device: str) -> bool:
    """Tell whether mixed precision is the very same computation as float32 here."""
    return Precision.named("mixed", torch.device(device)) is Precision.FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """A planned run over the first rows of a store."""

    prepared: PreparedRun
    plan: Plan

    @property
    def num_rows(self) -> int:
        """Training triples that a round scores."""
        return self.plan.num_triples

    def run(self, client: "Client | None" = None) -> InfluenceResult:
        """Carry the plan out, in this process or on a client's workers."""
        if client is None:
            keep_freed_memory()  # as the command line does in its own process
        return carry_out(self.prepared, self.plan, client=client)


def scoring(prepared: PreparedRun, *, rows: int, threads: int, workers: int = 1) -> Scoring:
    """Plan a run over the first rows; what the plan chooses is what it chooses for the whole store."""
    here = of_this_process()
    resources = replace(
        here,
        num_workers=workers,
        threads_per_worker=threads,
        memory_bytes=here.memory_bytes // workers,
        device_bytes=device_bytes() if prepared.config.computing.device == "cuda" else None,
    )
    plan = make_plan(prepared.model_config, prepared.workload, prepared.config, resources)
    return Scoring(prepared=prepared, plan=replace(plan, num_triples=min(rows, len(prepared.store))))


def device_bytes() -> int:
    """Give the memory of the GPU that a run may take, as a worker on it would."""
    _, total = torch.cuda.mem_get_info()
    return int(MEMORY_SHARE * total)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRun:
    """A result and how long it took.

    `seconds` are those of the tasks: preparing the test triples is not in them, as it is not in the loop's.
    `wall_seconds` are those of the whole call.
    """

    result: InfluenceResult
    seconds: float
    wall_seconds: float


def timed_run(job: Scoring, device: str) -> TimedRun:
    """Carry a plan out; the device has finished before the clock starts and before it stops."""
    synchronize(device)
    start = time.perf_counter()
    result = job.run()
    synchronize(device)
    wall_seconds = time.perf_counter() - start
    return TimedRun(result=result, seconds=float(result.run["statistics"]["task_seconds"]), wall_seconds=wall_seconds)


def all_scores(
    store: TripleStore, checkpoint: Checkpoint, tests: NDArray[np.int64], *, config: RunConfig, threads: int
) -> NDArray[np.float64]:
    """Score every training triple against some test triples: [test, train_index]."""
    prepared = prepare(store, checkpoint, tests, config=config.changed(top_k=len(store)))
    result = scoring(prepared, rows=len(store), threads=threads).run()
    scores = np.full((len(tests), len(store)), np.nan)
    for row, ranking in zip(scores, result.rankings, strict=True):
        row[ranking.train_index] = ranking.influence
    if np.isnan(scores).any():
        raise RuntimeError(f"{np.isnan(scores).sum()} scores are missing from a ranking of all rows")
    return scores


def loop_triples_per_second(
    checkpoint: Checkpoint,
    train: NDArray[np.int64],
    tests: NDArray[np.int64],
    *,
    device: str,
    threads: int,
    score: loop.Score = loop.score_among_all,
) -> float:
    """Time the per-triple autograd loop."""
    torch.set_num_threads(threads)
    with model_on(checkpoint, device):
        triples = (torch.from_numpy(triples).to(device) for triples in (train, tests))
        return loop.triples_per_second(checkpoint.model, *triples, score=score)


@contextmanager
def model_on(checkpoint: Checkpoint, device: str) -> Iterator[None]:
    """Move a checkpoint's model to a device, and back."""
    checkpoint.model.to(device)
    try:
        yield
    finally:
        checkpoint.model.zero_grad(set_to_none=True)
        checkpoint.model.to("cpu")

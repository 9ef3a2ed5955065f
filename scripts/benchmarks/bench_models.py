"""Section models: models of PyKEEN's beside a per-triple autograd loop over the same model, all parameters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from benchmarks.figures import Collector
from benchmarks.gpu import collect_use
from benchmarks.scoring import loop_triples_per_second, scoring, timed_run
from benchmarks.settings import Settings
from benchmarks.workloads import Graph
from tracin_dask import ModelDescription, RunConfig, load_checkpoint
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.runs.prepare import prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How many training triples are scored in a round at the most, and by the loop."""

    rows: int
    loop_rows: int


MODELS = {
    "DistMult": Measured(rows=10**9, loop_rows=48),
    "RotatE": Measured(rows=10**9, loop_rows=48),
    "TuckER": Measured(rows=2_048, loop_rows=12),  # a core of 200 × 200 × 200: 8 million multiply-adds a score
}


def checkpoint_of(name: str, graph: Graph, settings: Settings, folder: Path) -> Checkpoint:
    """Make a model with random weights, and load it as a user does."""
    config = graph.checkpoint.config
    description = ModelDescription(model=name, model_kwargs={"embedding_dim": settings.sizes.model.dim})
    model = _pykeen_model(name, config.num_entities, config.num_relations, settings.sizes.model.dim)
    path = folder / f"{name}.pt"
    torch.save(model.state_dict(), path)
    return load_checkpoint(path, description=description)


def score_of_pykeen(model: nn.Module, triple: Tensor) -> Tensor:
    """Score one triple of a loaded model."""
    of_pykeen: Any = model.model
    scores: Tensor = of_pykeen.score_hrt(triple[None])
    return scores.flatten()[0]


@pytest.mark.parametrize("num_tests", [1, 16])
@pytest.mark.parametrize("name", MODELS)
def measure_a_model_beside_the_loop(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings, *, name: str, num_tests: int
) -> None:
    """Take turns: the loop on some training triples, the engine on more."""
    checkpoint, tests = checkpoint_of(name, graph, settings, settings.scratch), graph.tests(num_tests)
    prepared = prepare(graph.store, checkpoint, tests, config=RunConfig.of(top_k=100, device=settings.device))
    rows = min(MODELS[name].rows, settings.sizes.rows[num_tests])
    job = scoring(prepared, rows=rows, threads=settings.threads)
    sample = graph.tests(MODELS[name].loop_rows)
    by_loop: list[float] = []
    by_engine: list[float] = []

    def run_loop() -> None:
        by_loop.append(
            loop_triples_per_second(
                checkpoint, sample, tests, device=settings.device, threads=settings.threads, score=score_of_pykeen
            )
        )

    def run_engine() -> None:
        by_engine.append(job.num_rows / timed_run(job, settings.device).seconds)

    benchmark.pedantic(run_engine, setup=run_loop, rounds=settings.repeats, warmup_rounds=1)
    prefix, about = f"models.{name.lower()}.t{num_tests}", f"{name}, T = {num_tests}"
    collect.figure(f"{prefix}.triples_per_second", f"{about}: engine", "triples/s", by_engine[1:])
    collect.figure(f"{prefix}.loop_triples_per_second", f"{about}: per-triple loop", "triples/s", by_loop[1:])
    ratios = [mine / other for mine, other in zip(by_engine[1:], by_loop[1:], strict=True)]
    collect.figure(f"{prefix}.ratio", f"{about}: engine / loop", "×", ratios)
    collect_use(collect, prefix, about, job, settings.device)


def _pykeen_model(name: str, num_entities: int, num_relations: int, dim: int) -> nn.Module:
    from pykeen.models import model_resolver  # noqa: PLC0415 - seconds of import, of this section alone
    from pykeen.triples import CoreTriplesFactory  # noqa: PLC0415 - PyKEEN takes seconds to import

    none = torch.empty((0, 3), dtype=torch.int64)
    graph = CoreTriplesFactory(mapped_triples=none, num_entities=num_entities, num_relations=num_relations)
    model: nn.Module = model_resolver.lookup(name)(triples_factory=graph, random_seed=0, embedding_dim=dim)
    return model

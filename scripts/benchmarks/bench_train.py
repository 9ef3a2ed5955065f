"""Section train: steps of one training and the ranks of its evaluation, as fast as they are, and as calls of operators.

Calls and waits are counted on the CPU, of a step and a block as a GPU is given them: they need no GPU.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.calls import Calls, counted
from benchmarks.figures import Collector
from benchmarks.gpu import busy_share
from benchmarks.machine import synchronize
from benchmarks.settings import Settings
from benchmarks.workloads import Graph
from tracin_dask import keep_freed_memory
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.training.epoch import train_epoch
from tracin_dask.models.training.evaluation import KnownTails, tail_ranks
from tracin_dask.models.training.settings import TrainingConfig
from tracin_dask.models.training.steps.batches import place_triples
from tracin_dask.models.training.steps.captured import CapturedStep, Step
from tracin_dask.models.training.steps.step import Learner, make_adam, train_step
from tracin_dask.models.training.training import new_learner

BATCHES = (256, 2048)
ROWS = {"cpu": 2048, "cuda": 272_115}
"""Training triples of a round: on a CPU few steps, on a GPU about an epoch of FB15k-237."""
RANKED = {"cpu": 1024, "cuda": 17_535}
COUNTED_ENTITIES = 2000
"""Fewer than a CPU counts row by row, so that a block has the calls that it has on a GPU."""


def config_of(graph: Graph) -> ConvEConfig:
    """Give the sizes of the graph's model."""
    config = graph.checkpoint.config
    assert isinstance(config, ConvEConfig)  # noqa: S101 - the graph was made with one
    return config


@pytest.mark.parametrize("batch_size", BATCHES)
def measure_steps(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings, *, batch_size: int
) -> None:
    """Train on the first rows as `tracin-dask train` does, without its files."""
    keep_freed_memory()
    config, device = TrainingConfig(batch_size=batch_size), torch.device(settings.device)
    rows = min(ROWS[settings.device], settings.sizes.rows[1], len(graph.store))
    learner = new_learner(config_of(graph), config, device=device)
    triples = place_triples(graph.store.read(0, rows).triples, config, device)
    speeds: list[float] = []

    def train(step: Step = train_step) -> float:
        start = time.perf_counter()
        train_epoch(learner, triples, epoch=0, on_batch=lambda _done, _total: None, step=step)
        synchronize(settings.device)
        return rows / (time.perf_counter() - start)

    benchmark.pedantic(lambda: speeds.append(train()), rounds=settings.repeats, warmup_rounds=1)
    prefix, about = f"train.b{batch_size}", f"batches of {batch_size:,}"
    collect.figure(f"{prefix}.triples_per_second", f"{about}: training", "triples/s", speeds[1:])
    steps = [speed / batch_size for speed in speeds[1:]]
    collect.figure(f"{prefix}.steps_per_second", f"{about}: training", "steps/s", steps)
    if settings.device == "cuda":
        collect.figure(f"{prefix}.busy", f"{about}: time in which a kernel ran, as a part", "", [busy_share(train)])
        replayed = CapturedStep()
        graph_speeds = [train(replayed) for _ in range(settings.repeats + 1)]
        collect.figure(f"{prefix}.graph", f"{about}: training, --cuda-graph", "triples/s", graph_speeds[1:])


def measure_ranks(benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings) -> None:
    """Rank the tails of some triples, filtered by those of the training triples."""
    keep_freed_memory()
    config = config_of(graph)
    model = ConvE(config).to(settings.device).eval()
    ranked = graph.tests(min(RANKED[settings.device], settings.sizes.rows[1]))
    known = KnownTails.from_triples(graph.store.read(0, len(graph.store)).triples, config.num_relations)
    speeds: list[float] = []

    def rank() -> None:
        start = time.perf_counter()
        tail_ranks(model, ranked, known)
        speeds.append(len(ranked) / (time.perf_counter() - start))

    benchmark.pedantic(rank, rounds=settings.repeats, warmup_rounds=1)
    collect.figure("train.ranks.triples_per_second", "filtered ranks of tails", "triples/s", speeds[1:])
    if settings.device == "cuda":
        collect.figure("train.ranks.busy", "ranks: time in which a kernel ran, as a part", "", [busy_share(rank)])


def measure_calls(benchmark: BenchmarkFixture, collect: Collector, graph: Graph) -> None:
    """Count a step's calls for two sizes of batches, and those of an evaluation in one block for two sizes of it."""
    config = replace(config_of(graph), num_entities=COUNTED_ENTITIES)
    found: dict[str, list[Calls]] = {}

    def count() -> None:
        found["step"] = [calls_of_step(config, rows) for rows in (16, 256)]
        found["ranks"] = [calls_of_ranks(config, rows) for rows in (16, 256)]

    benchmark.pedantic(count, rounds=1)
    for name, about in (("step", "a step of training"), ("ranks", "an evaluation in one block")):
        few, many = found[name]
        collect.figure(f"train.calls.{name}", f"{about}, as on a GPU", "calls", [many.operators])
        ratio = many.operators / few.operators
        collect.figure(f"train.calls.{name}_ratio", f"{about}: calls for 256 triples / for 16", "×", [ratio])
        collect.figure(f"train.calls.{name}_waits", f"{about}: waits for the device", "", [many.waits])


def calls_of_step(config: ConvEConfig, rows: int) -> Calls:
    """Count a step with Adam as a GPU has it, after the first step, which makes Adam's state."""
    cpu, training = torch.device("cpu"), TrainingConfig(batch_size=rows)
    made = new_learner(config, training, device=cpu)
    adam = make_adam(made.model, training, torch.device("cuda"))
    learner = Learner(model=made.model, optimizer=adam, scaler=made.scaler, device=cpu, config=training)
    batch = torch.from_numpy(random_triples(config, rows))
    learner.model.train()
    train_step(learner, batch)
    return _counted(lambda: train_step(learner, batch))


def calls_of_ranks(config: ConvEConfig, rows: int) -> Calls:
    """Count an evaluation of so many triples."""
    model, known = ConvE(config).eval(), KnownTails.from_triples(random_triples(config, 4096), config.num_relations)
    return _counted(lambda: tail_ranks(model, random_triples(config, rows), known))


def random_triples(config: ConvEConfig, rows: int) -> np.ndarray:
    """Draw ids."""
    random = np.random.default_rng(0)
    limits = (config.num_entities, config.num_relations, config.num_entities)
    return np.stack([random.integers(0, limit, rows) for limit in limits], axis=1)


def _counted(work: Callable[[], object]) -> Calls:
    with counted() as found:
        work()
    return found

"""Section trainings: time to train several ConvE models of UMLS together, and one by one."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.machine import synchronize
from benchmarks.settings import Settings
from benchmarks.workloads import UMLS
from tracin_dask import keep_freed_memory
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.epoch import train_epoch
from tracin_dask.models.training.graph import Graph, GraphFiles, read_graph
from tracin_dask.models.training.settings import TrainingConfig
from tracin_dask.models.training.steps.batches import place_triples
from tracin_dask.models.training.together.trained import Retraining
from tracin_dask.models.training.together.training import TogetherOptions, train_together
from tracin_dask.models.training.training import new_learner

MODELS, EPOCHS = 64, 30
QUICK_MODELS, QUICK_EPOCHS = 8, 3


def sizes_of(graph: Graph) -> ConvEConfig:
    """Give the sizes of scripts/quickstart."""
    return ConvEConfig(
        num_entities=len(graph.entities),
        num_relations=len(graph.relations),
        embedding_dim=32,
        embedding_height=8,
        embedding_width=4,
    )


def halves(graph: Graph, number: int) -> list[Retraining]:
    """Draw random halves of the training triples, each with a seed of its own."""
    random, num_rows = np.random.default_rng(0), len(graph.data.train)
    rows = [np.sort(random.choice(num_rows, num_rows // 2, replace=False)) for _ in range(number)]
    return [Retraining(seed=seed, rows=some) for seed, some in enumerate(rows)]


def seconds_alone(graph: Graph, retraining: Retraining, config: TrainingConfig, device: str) -> float:
    """Train one model as `tracin-dask train` does, without its files."""
    config = replace(config, random_seed=retraining.seed)
    triples = place_triples(retraining.triples(graph.data), config, torch.device(device))
    start = time.perf_counter()
    with torch.random.fork_rng():
        learner = new_learner(sizes_of(graph), config, device=torch.device(device))
        for epoch in range(config.num_epochs):
            train_epoch(learner, triples, epoch=epoch, on_batch=lambda _done, _total: None)
    synchronize(device)
    return time.perf_counter() - start


def seconds_together(graph: Graph, retrainings: list[Retraining], config: TrainingConfig, device: str) -> float:
    """Train all of them, as many at a time as fit into the default number of bytes."""
    start = time.perf_counter()
    options = TogetherOptions(device=torch.device(device))
    train_together(graph.data, sizes_of(graph), retrainings, config=config, options=options)
    synchronize(device)
    return time.perf_counter() - start


@pytest.mark.parametrize("rows", ["all", "halves"])
def measure_trainings_together(
    benchmark: BenchmarkFixture, collect: Collector, settings: Settings, *, rows: str
) -> None:
    """Take turns: one model alone, then all models together."""
    keep_freed_memory()
    graph = read_graph(GraphFiles(train=UMLS / "train.txt"))
    number, epochs = (QUICK_MODELS, QUICK_EPOCHS) if settings.is_quick else (MODELS, EPOCHS)
    config = TrainingConfig(num_epochs=epochs)
    retrainings = halves(graph, number) if rows == "halves" else [Retraining(seed=seed) for seed in range(number)]
    alone: list[float] = []
    together: list[float] = []
    benchmark.pedantic(
        lambda: together.append(seconds_together(graph, retrainings, config, settings.device)),
        setup=lambda: alone.append(seconds_alone(graph, retrainings[0], config, settings.device)),
        rounds=settings.repeats,
    )
    about = f"UMLS, dimension 32, {epochs} epochs, {'random halves' if rows == 'halves' else 'all triples'}"
    collect.figure(f"trainings.{rows}.seconds", f"{about}: {number} models together", "s", together)
    collect.figure(f"trainings.{rows}.alone_seconds", f"{about}: one model alone", "s", alone)
    ratios = [number * one / all_of_them for one, all_of_them in zip(alone, together, strict=True)]
    collect.figure(f"trainings.{rows}.ratio", f"{about}: one after the other / together", "×", ratios)

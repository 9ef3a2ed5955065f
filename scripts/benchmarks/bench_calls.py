"""Section calls: what one more batch costs in operator calls, copies and waits for the device, counted without a GPU.

A GPU is kept busy only where a batch is few calls, however many heads it has, and where the host never waits. Counted
are whole runs in this process, as a GPU would be given them: one over two batches beyond one over a single batch. There
is one checkpoint; each further one has the same calls again. A curvature by rows goes through batches before they are
scored, once for each group of rows: its figures are means of all of these.
"""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.bench_models import checkpoint_of
from benchmarks.calls import Calls, as_on_a_gpu, counted
from benchmarks.figures import Collector
from benchmarks.scoring import Scoring
from benchmarks.settings import ModelSize, Settings
from benchmarks.workloads import Graph, graph_of_ids
from tracin_dask import SLCWA, OneToAll, RunConfig
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.resources import Resources
from tracin_dask.runs.plan.plan import Plan, make_plan
from tracin_dask.runs.prepare import PreparedRun, prepare

BATCH = 512
NUM_ENTITIES, NUM_RELATIONS = 2 * BATCH, 40
TOP_K = 10
"""Fewer reported training triples than fill a batch, so that their norms are the same calls in both runs."""
PLANNED: Mapping[str, Any] = {"num_triples": 270_000, "num_heads": 14_000, "num_pairs": 90_000}
"""The sizes for which modes are chosen; about those of FB15k-237."""
GPU = Resources(memory_bytes=128 * 2**30, device_bytes=64 * 2**30)
PYKEEN_SIZE = ModelSize(height=4, width=8)
EMBEDDINGS = ("entity_embeddings.weight", "relation_embeddings.weight")
GRAPHS = ("one_head", "every_head")


def modes_of(**chosen: Any) -> Callable[[Modes], Modes]:  # noqa: ANN401 - fields of Modes
    """Replace the way that a plan chose, but not whether it has a relation table."""
    return lambda planned: Modes(relation_table=planned.relation_table, **chosen)


def listed(graph: Graph) -> Mapping[str, Any]:
    """Ask for the ranks of some training triples, which stand in the first batch."""
    return {"rank_of": graph.store.read(0, TOP_K).triples.tolist()}


def saved(graph: Graph) -> Mapping[str, Any]:
    """Save all scores in a place of their own."""
    return {"save_scores": graph.text.parent / f"{time.monotonic_ns()}.zarr"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of computing influences; the plan's own, unless `modes` replaces it."""

    title: str
    num_tests: int = 16
    options: Mapping[str, Any] = field(default_factory=dict)
    of_graph: Callable[[Graph], Mapping[str, Any]] = lambda _: {}
    """Gives options that name training triples or files of a graph."""
    modes: Callable[[Modes], Modes] | None = None
    pykeen: str | None = None
    """The model, where it is not a ConvE."""


WAYS = {
    "bce_t1": Way(title="bce", num_tests=1),
    "bce_t16": Way(title="bce"),
    "bce_t256": Way(title="bce", num_tests=256),
    "forward": Way(title="bce, forward mode", modes=modes_of(forward=True)),
    "rows": Way(title="bce, backward per row", modes=modes_of()),
    "heads": Way(title="bce, Jacobians per head", modes=modes_of(head_jacobians=True)),
    "one_to_all": Way(title="one-to-all", options={"loss": OneToAll(label_smoothing=0.1)}),
    "slcwa": Way(title="slcwa, 2 negatives", options={"loss": SLCWA(num_negatives=2)}),
    "fc": Way(title="bce, the last layers alone", options={"last_layers": 1}),
    "score": Way(title="score instead of the loss", options={"explain": "score"}),
    "cosine": Way(title="cosine", options={"normalize": "cosine"}),
    "cosine_t1": Way(title="cosine", num_tests=1, options={"normalize": "cosine"}),
    "one_to_all_cosine": Way(
        title="one-to-all, cosine", options={"loss": OneToAll(label_smoothing=0.1), "normalize": "cosine"}
    ),
    "slcwa_cosine": Way(
        title="slcwa, 2 negatives, cosine", options={"loss": SLCWA(num_negatives=2), "normalize": "cosine"}
    ),
    "rows_curvature": Way(title="curvature by rows", options={"curvature": "rows", "parameters": EMBEDDINGS}),
    "one_to_all_curvature": Way(
        title="one-to-all, curvature by rows",
        options={"loss": OneToAll(label_smoothing=0.1), "curvature": "rows", "parameters": EMBEDDINGS},
    ),
    "landmarks": Way(title="curvature by landmarks", options={"curvature": "landmarks", "landmarks": 64}),
    "retraining": Way(title="preset retraining", options={"preset": "retraining"}),
    "self": Way(title="self-influence", num_tests=0, options={"mode": "self"}),
    "one_to_all_self": Way(
        title="one-to-all, self-influence",
        num_tests=0,
        options={"loss": OneToAll(label_smoothing=0.1), "mode": "self"},
    ),
    "slcwa_self": Way(
        title="slcwa, 2 negatives, self-influence",
        num_tests=0,
        options={"loss": SLCWA(num_negatives=2), "mode": "self"},
    ),
    "per_relation": Way(title="bce, the best of each relation", options={"top_k_per": "relation"}),
    "groups": Way(title="bce, sums by head and relation", options={"group_by": ("head", "relation")}),
    "masked": Way(title="bce, pairs left out", options={"exclude_self": True, "touching": "either"}),
    "ranks": Way(title="bce, exact ranks", of_graph=listed),
    "saved": Way(title="bce, all scores saved", of_graph=saved),
    "adam": Way(title="bce, preconditioned by Adam", options={"preconditioner": "adam"}),
    "mixed": Way(title="bce, mixed precision", options={"precision": "bf16-emulated"}),
    "recomputed": Way(title="bce, gradient checkpointing", options={"gradient_checkpointing": True}),
    "distmult": Way(title="DistMult of PyKEEN", pykeen="DistMult"),
    "tucker": Way(title="TuckER of PyKEEN", pykeen="TuckER"),
    "tucker_slcwa": Way(title="TuckER, slcwa, 2 negatives", pykeen="TuckER", options={"loss": SLCWA(num_negatives=2)}),
    "tucker_cosine": Way(title="TuckER, cosine", pykeen="TuckER", options={"normalize": "cosine"}),
    "tucker_self": Way(title="TuckER, self-influence", pykeen="TuckER", num_tests=0, options={"mode": "self"}),
    "tucker_one_to_all": Way(
        title="TuckER, one-to-all", pykeen="TuckER", options={"loss": OneToAll(label_smoothing=0.1)}
    ),
    "tucker_one_to_all_cosine": Way(
        title="TuckER, one-to-all, cosine",
        pykeen="TuckER",
        options={"loss": OneToAll(label_smoothing=0.1), "normalize": "cosine"},
    ),
    "tucker_one_to_all_self": Way(
        title="TuckER, one-to-all, self-influence",
        pykeen="TuckER",
        num_tests=0,
        options={"loss": OneToAll(label_smoothing=0.1), "mode": "self"},
    ),
}
"""By the names of their figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The same kind of training triples: one batch of them, and two."""

    one: Graph
    two: Graph


@pytest.fixture(scope="module")
def graphs(settings: Settings) -> dict[str, Counted]:
    """Make the graphs: all rows of one head, and each row with a head of its own.

    In both, the last batch meets the first test triple by its head, its tail and its relation.
    """
    random = np.random.default_rng(0)
    every, tails = np.arange(NUM_ENTITIES), random.permutation(NUM_ENTITIES)
    relations = random.integers(0, NUM_RELATIONS, NUM_ENTITIES)
    relations[-1], tails = NUM_RELATIONS - 1, np.roll(tails, -1 - int(tails.argmax()))
    rows = {
        "one_head": np.stack([np.full_like(every, NUM_ENTITIES - 1), relations, every], axis=1),
        "every_head": np.stack([every, relations, tails], axis=1),
    }
    rows = {name: some[np.lexsort(some.T[::-1])] for name, some in rows.items()}
    made = {name: _counted(settings, settings.scratch / "calls" / name, rows[name]) for name in GRAPHS}
    first = made["one_head"].one
    calls_of(WAYS["bce_t1"], first, first.checkpoint)  # the first run of a process has calls of its own
    return made


def _counted(settings: Settings, folder: Path, triples: NDArray[np.int64]) -> Counted:
    sizes = replace(settings.sizes, num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS)
    one, two = (graph_of_ids(folder / f"{len(some)}", some, sizes) for some in (triples[:BATCH], triples))
    return Counted(one=one, two=two)


def tests_of(number: int) -> NDArray[np.int64]:
    """Draw test triples; the first one is the last training triple of both graphs."""
    random = np.random.default_rng(1)
    drawn = np.stack([random.integers(0, most, number) for most in (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)], axis=1)
    drawn[:1] = (NUM_ENTITIES - 1, NUM_RELATIONS - 1, NUM_ENTITIES - 1)
    return drawn


def planned(way: Way, prepared: PreparedRun) -> Plan:
    """Plan as for a GPU, a larger graph, and a single task."""
    config = prepared.config.changed(device="cuda")
    plan = make_plan(prepared.model_config, replace(prepared.workload, **PLANNED), config, GPU)
    modes = plan.modes
    if way.modes is not None:
        assert isinstance(modes, Modes)  # noqa: S101 - of a ConvE
        modes = way.modes(modes)
    num_rows = len(prepared.store)
    return replace(plan, modes=modes, num_triples=num_rows, num_scored=num_rows, task_rows=num_rows)


def calls_of(way: Way, graph: Graph, checkpoint: Checkpoint) -> tuple[Calls, Plan]:
    """Count a whole run."""
    config = RunConfig.of(device="cpu", batch_size=BATCH, top_k=TOP_K, audit=0, **way.options, **way.of_graph(graph))
    tests = tests_of(way.num_tests) if way.num_tests else None
    prepared = prepare(graph.store, checkpoint, tests, config=config)
    job = Scoring(prepared=prepared, plan=planned(way, prepared))
    with as_on_a_gpu(), counted() as found:
        job.run()
    return found, job.plan


def calls_per_batch(way: Way, graphs: Counted, settings: Settings) -> tuple[Calls, Plan]:
    """Count what the second batch adds."""
    checkpoint = graphs.two.checkpoint
    if way.pykeen is not None:
        small = replace(settings, sizes=replace(settings.sizes, model=PYKEEN_SIZE))
        checkpoint = checkpoint_of(way.pykeen, graphs.two, small, settings.scratch)
    if way.options.get("preconditioner") == "adam":
        checkpoint = with_adam(checkpoint, settings.scratch / "adam.pt")
    (one, _), (two, plan) = (calls_of(way, graph, checkpoint) for graph in (graphs.one, graphs.two))
    return two - one, plan


def with_adam(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Save a ConvE with an optimiser that has made a step along random gradients."""
    model = deepcopy(checkpoint.model)
    optimizer = torch.optim.Adam(model.parameters())
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    contents = torch.load(checkpoint.path, weights_only=True)
    torch.save(contents | {"optimizer_state_dict": optimizer.state_dict()}, path)
    return load_checkpoint(path)


@pytest.mark.parametrize("name", WAYS)
def measure_calls(
    benchmark: BenchmarkFixture, collect: Collector, settings: Settings, graphs: dict[str, Counted], name: str
) -> None:
    """Count the calls of one more batch, with one head and with as many heads as rows."""
    way, found = WAYS[name], dict[str, Calls]()

    def count() -> None:
        for graph in GRAPHS:
            found[graph], plan = calls_per_batch(way, graphs[graph], settings)
            collect.facts["modes"] = str(plan.modes)

    benchmark.pedantic(count, rounds=1)
    about = f"{way.title}, T = {way.num_tests}" if way.num_tests else way.title
    one, every = (found[graph] for graph in GRAPHS)
    prefix = f"calls.{name}"
    calls = {graph: found[graph].operators / found[graph].batches for graph in GRAPHS}
    collect.figure(f"{prefix}.one_head", f"{about}: one head", "calls", [calls["one_head"]])
    collect.figure(f"{prefix}.every_head", f"{about}: as many heads as rows", "calls", [calls["every_head"]])
    ratio = calls["every_head"] / calls["one_head"]
    collect.figure(f"{prefix}.ratio", f"{about}: as many heads as rows / one head", "×", [ratio])
    copies = max(one.copies / one.batches, every.copies / every.batches)
    collect.figure(f"{prefix}.copies", f"{about}: copies of index arrays to the device", "", [copies])
    collect.figure(f"{prefix}.waits", f"{about}: waits for the device", "", [max(one.waits, every.waits)])

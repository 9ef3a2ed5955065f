"""A small graph as text, store and checkpoint, what the oracle says of it, and runs of it that can be compared."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import torch
from conftest import random_model
from distributed import Client, LocalCluster

from tracin_dask.clusters.started import started
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.conve.model import ConvE
from tracin_dask.patience import Patience
from tracin_dask.report.result import InfluenceResult
from tracin_dask.resources import Resources
from tracin_dask.runs.execute.driver import Execution, carry_out
from tracin_dask.runs.plan.plan import Plan
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.work.state import WorkerState
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.store import TripleStore

NUM_ENTITIES, NUM_RELATIONS, NUM_DISTINCT, NUM_ROWS = 60, 5, 450, 700
BATCH_SIZE = 64
LEARNING_RATE = 0.01
ONE_THREAD = Resources(num_workers=1, threads_per_worker=1, memory_bytes=2 << 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph and what the tests want to know about its text file."""

    folder: Path
    store: TripleStore
    lines: np.ndarray
    """The ids [row, 3] of the text file, line by line."""

    @property
    def test_triples(self) -> np.ndarray:
        """Three triples: two of the training set that share a head, and one that may be new."""
        first = self.lines[17]
        fellow = next(t for t in self.lines if t[0] == first[0] and t[2] != first[2])
        return np.stack([first, fellow, [(first[0] + 1) % NUM_ENTITIES, 2, first[0]]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the plain autograd loop finds for every line of the text file, in float64."""

    influence: np.ndarray
    """[row, test]"""
    scale: np.ndarray
    """[row, test]: what errors are relative to, learning_rate · ‖∇i‖ · ‖∇j‖."""
    self_influence: np.ndarray
    """[row]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A prepared and planned run of the small graph."""

    prepared: PreparedRun
    plan: Plan

    def carry_out(
        self, client: Client | None = None, *, execution: Execution | None = None, **plan: Any
    ) -> InfluenceResult:
        """Carry out the plan, or the plan with other values."""
        return carry_out(self.prepared, replace(self.plan, **plan), client=client, execution=execution)


MakeJob = Callable[..., Job]


def entity(number: int) -> str:
    return f"GENE:{number * 7 % 100:02d}"


def relation(number: int) -> str:
    return f"predicate:{(number * 3 + 1) % NUM_RELATIONS}"


def labels(triple: np.ndarray) -> tuple[str, str, str]:
    head, kind, tail = triple.tolist()
    return entity(head), relation(kind), entity(tail)


def write_graph(folder: Path) -> np.ndarray:
    """Write train.txt, with duplicates and in no order, and both id maps; give the ids line by line."""
    random = np.random.default_rng(5)
    codes = random.choice(NUM_ENTITIES * NUM_RELATIONS * NUM_ENTITIES, NUM_DISTINCT, replace=False)
    codes = random.permutation(np.concatenate([codes, random.choice(codes, NUM_ROWS - NUM_DISTINCT)]))
    pair, tail = np.divmod(codes, NUM_ENTITIES)
    lines = np.stack([pair // NUM_RELATIONS, pair % NUM_RELATIONS, tail], axis=1)
    (folder / "train.txt").write_text("".join("\t".join(labels(line)) + "\n" for line in lines))
    for name, count, label in (("entity", NUM_ENTITIES, entity), ("relation", NUM_RELATIONS, relation)):
        rows = "".join(f"{label(number)}\t{number}\n" for number in range(count))
        (folder / f"{name}_to_id.tsv").write_text(rows)
    return lines


def ingest_graph(folder: Path, output: Path, options: IngestOptions | None = None) -> TripleStore:
    """Make a store of what `write_graph` wrote."""
    return ingest(
        folder / "train.txt",
        output,
        entity_to_id=folder / "entity_to_id.tsv",
        relation_to_id=folder / "relation_to_id.tsv",
        options=options,
    )


def small_model(seed: int = 3, **sizes: Any) -> ConvE:
    counts = {"num_entities": NUM_ENTITIES, "num_relations": NUM_RELATIONS}
    return random_model(seed, **(counts | sizes)).float()


def save_checkpoint(path: Path, model: ConvE) -> Path:
    """Write a model in the shape of the trainer's files."""
    names = ("num_entities", "num_relations", "embedding_dim", "embedding_height", "embedding_width", "output_channels")
    config = {name: getattr(model.config, name) for name in names}
    contents = {"model_state_dict": model.state_dict(), "model_config": config, "learning_rate": LEARNING_RATE}
    torch.save(contents, path)
    return path


def ask_oracle(graph: Graph, checkpoint: Checkpoint) -> Truth:
    """Ask the oracle once for every distinct triple and spread its answers over the lines."""
    model = copy.deepcopy(checkpoint.model).double()
    distinct, line = np.unique(graph.lines, axis=0, return_inverse=True)
    train, test = torch.from_numpy(distinct), torch.from_numpy(graph.test_triples)
    assert not oracle.near_a_kink(model, torch.cat([train, test]), margin=1e-6).any()
    ours, theirs = (
        torch.stack([torch.cat([g.flatten() for g in oracle.gradients(model, triple).values()]) for triple in triples])
        for triples in (train, test)
    )
    found = (ours @ theirs.T, ours.norm(dim=1, keepdim=True) * theirs.norm(dim=1), ours.square().sum(dim=1))
    influence, scale, squares = (LEARNING_RATE * values.numpy()[line.ravel()] for values in found)
    return Truth(influence=influence, scale=scale, self_influence=squares)


@contextmanager
def local_client(num_workers: int) -> Iterator[Client]:
    """Start worker processes; the dashboard takes any port, since 8787 may be in use."""
    options = {
        "n_workers": num_workers,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "memory_limit": "2GiB",
    }
    with started(LocalCluster, options, title="the cluster of the tests", patience=Patience()) as (_, client):
        yield client


def bits(result: InfluenceResult) -> list[tuple[bytes, bytes, bytes]]:
    """Give all that must not depend on how a run was carried out, to the last bit."""
    return [(r.influence.tobytes(), r.train_index.tobytes(), r.triples.tobytes()) for r in result.rankings]


def loaded_files(state: WorkerState) -> list[str]:
    """Give the hashes of the files whose models a worker keeps."""
    return [sha256 for sha256, *_ in state.models._loaded]

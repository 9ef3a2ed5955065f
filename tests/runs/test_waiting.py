"""A run on a device that the host does not wait for, played by a CPU: the same outcomes, asked for block by block."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_graph import BATCH_SIZE, NUM_ROWS, Graph, Job, MakeJob, bits, save_checkpoint, small_model
from torch.profiler import ProfilerActivity, profile

from tracin_dask.errors import NonFiniteError
from tracin_dask.influence import devices
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.execute.driver import _job
from tracin_dask.runs.plan import memory
from tracin_dask.runs.work.score import listed_influences, prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState

READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::_unique2", "aten::bincount")
"""Operators that make the host wait."""
MASKED = {"touching": "head", "exclude_self": True}


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the CPU as a device that the host goes ahead of."""
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)


@pytest.mark.parametrize(
    "options",
    [{}, MASKED, {"parameters": ("entity_embeddings.weight",)}, {"mode": "self"}],
    ids=["all", "masked", "few rows", "self"],
)
def test_outcomes_of_a_device_are_those_of_the_host(make_job: MakeJob, graph: Graph, options, monkeypatch):
    job = make_job(rank_of=graph.lines[:9].tolist(), group_by=("relation",), **options)
    host = job.carry_out()
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    device = job.carry_out(task_rows=4 * BATCH_SIZE, tasks_per_group=1)
    assert bits(device) == bits(host)
    assert (device.groups, device.ranks) == (host.groups, host.ranks)
    assert np.array_equal(device.num_ranked, host.num_ranked) if options == MASKED else device.num_ranked is None


def reads(job: Job, rows: int) -> int:
    """Count how often the host reads values while it scores a task of so many rows."""
    sent, state = _job(job.prepared, job.plan, job.prepared.reductions()), WorkerState()
    test = prepare_test(state, sent, job.prepared.targets)
    (ranks,) = (one for one in sent.reductions if one.needs.influences_of is not None)
    listed = {ranks.name: listed_influences(state, sent, test, ranks.needs.influences_of)}
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        score_rows(state, sent, test, (0, rows), listed=listed)
    return sum(event.count for event in trace.key_averages() if event.key in READS)


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
def test_a_device_is_not_asked_more_often_for_more_batches(make_job: MakeJob, graph: Graph, monkeypatch):
    job = make_job(rank_of=graph.lines[:9].tolist(), group_by=("relation",), **MASKED)
    assert reads(job, 8 * BATCH_SIZE) > reads(job, BATCH_SIZE) + 7
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    assert reads(job, 8 * BATCH_SIZE) == reads(job, BATCH_SIZE)


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
@pytest.mark.usefixtures("on_device")
def test_a_device_is_not_asked_for_the_lengths_of_training_gradients(make_job: MakeJob, graph: Graph):
    job = make_job(rank_of=graph.lines[:9].tolist(), normalize="cosine")
    assert reads(job, 8 * BATCH_SIZE) == reads(job, BATCH_SIZE)


@pytest.fixture
def exploding(graph: Graph, tmp_path: Path) -> Checkpoint:
    """Make an entity of no test triple so large that training triples late in the store have infinite influences."""
    others = np.setdiff1d(graph.lines[:, 0], graph.test_triples[:, [0, 2]])
    model = small_model(seed=4)
    with torch.no_grad():
        model.entity_embeddings.weight[others.max()] *= 1e38
    return load_checkpoint(save_checkpoint(tmp_path / "exploding.pt", model))


def named_row(job: Job, message: str) -> int:
    """Find the training triple that a message names in the store."""
    triple = list(map(int, re.findall(r"(?:head|relation|tail) (\d+)", message)))
    return int(np.flatnonzero((job.prepared.store.read(0, NUM_ROWS).triples == triple).all(axis=1))[0])


@pytest.mark.parametrize("options", [{}, {"normalize": "cosine"}, {"mode": "self"}], ids=["bce", "cosine", "self"])
def test_a_wrong_block_stops_a_run_on_a_device_with_the_same_message(
    make_job: MakeJob, exploding: Checkpoint, options, monkeypatch
):
    job, messages = make_job(model=exploding, audit=0, **options), []
    for ahead in (False, True):
        monkeypatch.setattr(devices, "computes_ahead", lambda _, ahead=ahead: ahead)
        with pytest.raises(NonFiniteError, match=r"training triple\(s\) is NaN or infinite, .*head") as stopped:
            job.carry_out()
        messages.append(str(stopped.value))
    assert messages[0] == messages[1]


@pytest.mark.usefixtures("on_device")
def test_rows_of_a_wrong_block_never_count_as_done(make_job: MakeJob, exploding: Checkpoint, monkeypatch):
    monkeypatch.setattr(memory, "READ_ROWS", 2 * BATCH_SIZE)
    job, done = make_job(model=exploding, audit=0), []
    sent, state = _job(job.prepared, job.plan, job.prepared.reductions()), WorkerState()
    test = prepare_test(state, sent, job.prepared.targets)
    with pytest.raises(NonFiniteError) as stopped:
        score_rows(state, sent, test, (0, NUM_ROWS), on_rows=done.append)
    assert done == [2 * BATCH_SIZE] * (named_row(job, str(stopped.value)) // (2 * BATCH_SIZE))


@pytest.mark.usefixtures("on_device")
def test_influences_of_a_wrong_batch_are_not_saved(make_job: MakeJob, exploding: Checkpoint, tmp_path: Path):
    job = make_job(model=exploding, audit=0, save_scores=tmp_path / "scores.zarr")
    with pytest.raises(NonFiniteError) as stopped:
        job.carry_out()
    chunks = {int(file.name) for file in (tmp_path / "scores.zarr" / "influence" / "c").glob("0/*")}
    assert chunks == set(range(named_row(job, str(stopped.value)) // BATCH_SIZE))

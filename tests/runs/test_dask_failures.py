"""What goes wrong on a cluster is either mended without a trace in the result, or told in words that help."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from distributed import Client
from small_graph import (
    BATCH_SIZE,
    Graph,
    MakeJob,
    bits,
    ingest_graph,
    save_checkpoint,
    small_model,
    write_graph,
)

from tracin_dask.errors import CheckpointError, ClusterError, NonFiniteError, StoreError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.resources import Resources, of_client
from tracin_dask.runs.execute import on_dask, on_worker
from tracin_dask.runs.execute.driver import carry_out
from tracin_dask.runs.plan.plan import make_plan
from tracin_dask.runs.prepare import prepare

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}


@pytest.fixture
def new_checkpoint(tmp_path: Path, request: pytest.FixtureRequest) -> Checkpoint:
    """Give a checkpoint of this test alone, which no worker holds yet."""
    seed = 100 + sum(request.node.name.encode())
    return load_checkpoint(save_checkpoint(tmp_path / "model.pt", small_model(seed=seed)))


def not_seen(ending: str):
    """Make a worker's answer to which paths it does not see."""
    return lambda paths: {path: "" for path in paths if path.endswith(ending)}


def test_workers_that_do_not_see_the_checkpoint_get_its_weights(
    make_job: MakeJob, client: Client, new_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    send_weights = on_dask.OnDask._send_weights

    def send_and_delete(self, unseen):
        future = send_weights(self, unseen)
        if new_checkpoint.path.is_file():
            new_checkpoint.path.delete()
        return future

    monkeypatch.setattr(on_worker, "missing", not_seen(".pt"))
    monkeypatch.setattr(on_dask.OnDask, "_send_weights", send_and_delete)
    job = make_job(model=new_checkpoint)
    result = job.carry_out(client, **SMALL_TASKS)
    assert not new_checkpoint.path.is_file()
    assert 1 <= result.run["statistics"]["checkpoint_loads"] <= 2
    assert bits(result) == bits(job.carry_out())


@pytest.mark.fault("a worker does not see the store", promised="one message")
def test_a_store_that_a_worker_does_not_see_is_named(make_job: MakeJob, graph: Graph, client, monkeypatch):
    monkeypatch.setattr(on_worker, "missing", not_seen(".zarr"))
    with pytest.raises(ClusterError, match=rf"worker tcp://\S+ does not see the store {graph.store.path}; .* share"):
        make_job().carry_out(client)


@pytest.mark.fault("a worker has another version of the code", promised="one message")
def test_a_worker_with_another_version_of_the_code_is_refused(make_job: MakeJob, client: Client, monkeypatch):
    monkeypatch.setattr(on_worker, "scoring_code_digest", lambda: "of another version")  # in this process alone
    with pytest.raises(ClusterError, match=r"worker tcp://\S+ has another tracin-dask than this process; install"):
        make_job().carry_out(client)


@pytest.mark.fault("the store disappears during the run", promised="one message")
def test_a_store_that_disappears_is_named(make_job: MakeJob, graph: Graph, client: Client, tmp_path: Path):
    path = tmp_path / "graph.zarr"
    job = make_job()
    store = ingest_graph(graph.folder, path)
    assert len(store.entities) > len(store.relations)  # the client has read its labels
    job = replace(job, prepared=replace(job.prepared, store=store))
    shutil.rmtree(path)
    with pytest.raises(ClusterError, match=f"does not see the store {path}"):
        job.carry_out(client)


def test_a_cluster_without_workers_is_refused():
    nobody = SimpleNamespace(scheduler_info=lambda **_: {"workers": {}})
    with pytest.raises(ClusterError, match="the cluster has no workers; start some"):
        of_client(nobody)


@pytest.mark.fault("the store is replaced during the run", promised="one message")
def test_a_store_that_was_replaced_is_refused(graph: Graph, checkpoint: Checkpoint, client: Client, tmp_path: Path):
    write_graph(tmp_path)
    prepared = prepare(ingest_graph(tmp_path, tmp_path / "graph.zarr"), checkpoint, graph.test_triples)
    resources = Resources(num_workers=2, memory_bytes=2 << 30)
    plan = make_plan(checkpoint.config, prepared.workload, prepared.config, resources)
    lines = (tmp_path / "train.txt").read_text().splitlines(keepends=True)
    (tmp_path / "train.txt").write_text("".join(reversed(lines)))
    shutil.rmtree(tmp_path / "graph.zarr")
    ingest_graph(tmp_path, tmp_path / "graph.zarr")
    with pytest.raises(StoreError, match=r"graph.zarr: the store was replaced by another one since it was opened"):
        carry_out(prepared, plan, client=client)


@pytest.mark.fault("a checkpoint is replaced during the run", promised="one message")
def test_a_checkpoint_that_was_replaced_is_refused(make_job: MakeJob, client: Client, new_checkpoint: Checkpoint):
    job = make_job(model=new_checkpoint)
    save_checkpoint(new_checkpoint.path, small_model(seed=11))
    with pytest.raises(CheckpointError, match=r"model.pt changed since the run was planned; start the run again"):
        job.carry_out(client)


def test_the_same_file_read_with_another_image_size_is_another_model(make_job: MakeJob, client, tmp_path: Path):
    """4 × 6 and 3 × 8 images of one bare state dict: the first must not be taken for the second."""
    model = small_model(kernel_height=1, kernel_width=1)
    torch.save(model.state_dict(), tmp_path / "bare.pt")
    sizes = ((4, 6), (3, 8))
    models = [load_checkpoint(tmp_path / "bare.pt", embedding_height=h, embedding_width=w) for h, w in sizes]
    assert models[0].sha256 == models[1].sha256
    jobs = [make_job(model=model) for model in models]
    found = [bits(job.carry_out(client)) for job in jobs]
    assert found == [bits(job.carry_out()) for job in jobs]


def exploding_checkpoint(folder: Path) -> Checkpoint:
    """Make a checkpoint with an entity 7 so large that products of float32 overflow."""
    model = small_model(seed=4)
    with torch.no_grad():
        model.entity_embeddings.weight[7] *= 1e25
    return load_checkpoint(save_checkpoint(folder / "exploding.pt", model))


@pytest.mark.fault("an influence is not finite", promised="one message that names the triple")
@pytest.mark.parametrize("on_workers", [False, True], ids=["in process", "on Dask"])
def test_an_influence_that_is_not_finite_stops_the_run_and_names_the_triple(
    make_job: MakeJob, client: Client, tmp_path: Path, on_workers
):
    job = make_job(model=exploding_checkpoint(tmp_path), mode="self")
    with pytest.raises(
        NonFiniteError, match=r"training triple\(s\) is NaN or infinite, .*\(head \d+, relation \d, tail"
    ):
        job.carry_out(client if on_workers else None)


def test_a_test_triple_that_is_not_finite_is_named(make_job: MakeJob, client: Client, tmp_path: Path):
    job = make_job(model=exploding_checkpoint(tmp_path), tests=[[7, 0, 7]])
    with pytest.raises(NonFiniteError, match=r"1 test triple\(s\) .*\(head 7, relation 0, tail 7\)"):
        job.carry_out(client)


@pytest.fixture
def impatient(client: Client):
    """Let the scheduler give up after the first worker that dies at a task."""
    with_patience = client.run_on_scheduler(allow_failures, 0)
    yield client
    client.run_on_scheduler(allow_failures, with_patience)


def allow_failures(number: int, dask_scheduler=None) -> int:
    before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, number
    return before


@pytest.mark.fault("workers die again and again at one task", promised="one message with advice")
@pytest.mark.parametrize("name", ["score", "share_prepared"])
def test_workers_that_die_at_the_same_task_end_the_run_with_advice(make_job, impatient: Client, monkeypatch, name):
    monkeypatch.setattr(on_worker, name, lambda *_: os._exit(1))
    with pytest.raises(ClusterError, match=r"workers died repeatedly at the same task .*--batch-size, or fewer --work"):
        make_job().carry_out(impatient, task_rows=1000)


def test_a_failed_run_leaves_nothing_on_the_workers(make_job: MakeJob, client: Client, monkeypatch):
    def fail(*_: object) -> None:
        raise StoreError("a shard is gone")

    monkeypatch.setattr(on_worker, "score", fail)
    with pytest.raises(StoreError) as held:  # the traceback holds the futures
        make_job().carry_out(client, **SMALL_TASKS)
    deadline = time.monotonic() + 20
    while client.run_on_scheduler(task_names) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.run_on_scheduler(task_names) == []
    assert held.value.__traceback__ is not None


def task_names(dask_scheduler) -> list[str]:
    return [str(key) for key in dask_scheduler.tasks]


@pytest.mark.fault("a run after one that failed, on the same cluster", promised="the same bits")
def test_a_run_works_after_a_failed_run(make_job: MakeJob, client: Client, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise StoreError("a shard is gone")

    monkeypatch.setattr(on_worker, "score", fail)
    job = make_job()
    with pytest.raises(StoreError, match="a shard is gone"):
        job.carry_out(client, **SMALL_TASKS)
    monkeypatch.undo()
    assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(job.carry_out())

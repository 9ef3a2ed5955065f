"""A run in the caller's process is a guest: it leaves no settings and no models behind, and runs take turns."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from distributed import Client, LocalCluster
from influence.any_model import TailsBilinear
from small_graph import (
    BATCH_SIZE,
    NUM_ENTITIES,
    NUM_RELATIONS,
    NUM_ROWS,
    ONE_THREAD,
    Graph,
    MakeJob,
    bits,
    save_checkpoint,
    small_model,
)

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import BinaryCrossEntropy, OneToAll
from tracin_dask.launch.run import run
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute import allocator, on_worker
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.turn import Turn

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}
TWO_THREADS = replace(ONE_THREAD, threads_per_worker=2)


def settings() -> tuple[object, ...]:
    """Give all settings of PyTorch that a run may need otherwise."""
    try:
        matmul = torch.get_float32_matmul_precision()
    except RuntimeError as error:
        matmul = str(error)
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    by_backend = [getattr(backend, "fp32_precision", None) for backend in backends]
    of_thread = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_device()
    return torch.get_num_threads(), torch.get_default_dtype(), of_thread, matmul, by_backend


@pytest.fixture(params=["usual", "medium products", "products by backend", "float64", "autocast", "device"])
def owner(request: pytest.FixtureRequest) -> Iterator[tuple[object, ...]]:
    """Give the settings of a process whose owner has chosen some."""
    with Turn(3, "highest") as turn, ExitStack() as contexts:
        if request.param == "medium products":
            torch.set_float32_matmul_precision("medium")
        elif request.param == "products by backend" and hasattr(torch.backends.cuda.matmul, "fp32_precision"):
            torch.backends.cuda.matmul.fp32_precision = "tf32"
        elif request.param == "float64":
            torch.set_default_dtype(torch.float64)
        elif request.param == "autocast":
            contexts.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
        elif request.param == "device":
            contexts.enter_context(torch.device("meta"))
        assert turn.threads == torch.get_num_threads()
        yield settings()


@pytest.mark.parametrize("options", [{}, {"mode": "self"}, {"normalize": "cosine", "checkpoint_contributions": True}])
def test_a_run_leaves_the_settings_of_pytorch_as_they_were(make_job: MakeJob, owner, options):
    result = make_job(**options).carry_out(**SMALL_TASKS)
    assert settings() == owner
    assert result.run["threads_per_worker"] == 1


def test_a_run_that_fails_leaves_the_settings_of_pytorch_as_they_were(make_job: MakeJob, owner):
    def fail(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_job().carry_out(execution=Execution(progress=fail), **SMALL_TASKS)
    assert settings() == owner

    class Broken:
        name = "broken"

        def value(self, _scores: torch.Tensor) -> torch.Tensor:
            raise ArithmeticError("no such loss")

    job = make_job()
    config = job.prepared.config.changed(loss=Broken())
    with pytest.raises(ArithmeticError, match="no such loss"):
        replace(job, prepared=replace(job.prepared, config=config)).carry_out()
    assert settings() == owner


def test_the_settings_of_the_caller_change_no_bit(make_job: MakeJob, owner):
    job = make_job()
    found = job.carry_out()
    with Turn(1, "highest"):
        assert bits(job.carry_out()) == bits(found)
    assert settings() == owner


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "model.pt"
    torch.save(TailsBilinear(NUM_ENTITIES, NUM_RELATIONS).state_dict(), path)
    return path


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), OneToAll()])
def test_the_settings_of_the_caller_change_nothing_before_a_run(graph: Graph, own_model: Path, owner, loss):
    def found() -> list[tuple[bytes, bytes, bytes]]:
        checkpoint = load_checkpoint(own_model, description=ModelDescription(model=TailsBilinear))
        return bits(run(graph.store, checkpoint, graph.test_triples, config=RunConfig.of(loss=loss, top_k=50)))

    theirs = found()
    assert settings() == owner
    with Turn(torch.get_num_threads(), "highest"):
        assert found() == theirs


def test_inference_mode_is_refused_by_its_name(graph: Graph, checkpoint):
    refusal = r"torch\.inference_mode is on, which knows no gradients"
    with torch.inference_mode(), pytest.raises(ConfigError, match=refusal):
        run(graph.store, checkpoint, graph.test_triples)


def test_progress_is_reported_under_the_settings_of_the_caller(make_job: MakeJob, owner):
    seen = []
    make_job().carry_out(execution=Execution(progress=lambda *_: seen.append(settings())), **SMALL_TASKS)
    assert seen
    assert all(found == owner for found in seen)


def test_a_run_in_the_process_of_the_caller_leaves_the_allocator_alone(graph: Graph, checkpoint, monkeypatch):
    def refuse() -> bool:
        raise AssertionError("the allocator belongs to the caller")

    monkeypatch.setattr(allocator, "keep_freed_memory", refuse)
    monkeypatch.setattr("ctypes.CDLL", lambda _: refuse())
    run(graph.store, checkpoint, graph.test_triples, config=RunConfig.of(top_k=5))


def test_nothing_of_a_model_stays_behind(make_job: MakeJob, tmp_path: Path):
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "model.pt", small_model(seed=5)))
    kept = [weakref.ref(checkpoint.model), weakref.ref(checkpoint.model.entity_embeddings.weight)]
    results = [make_job(model=checkpoint, mode=mode).carry_out(**SMALL_TASKS) for mode in ("test", "self")]
    assert all(one() is not None for one in kept)
    del checkpoint
    gc.collect()
    assert [one() for one in kept] == [None, None]
    assert len(results) == 2


def together(*calls: Callable[[], object]) -> list[object]:
    """Call functions in threads that start at the same time."""
    barrier = threading.Barrier(len(calls), timeout=60)

    def call(function: Callable[[], object]) -> object:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return [future.result() for future in [pool.submit(call, function) for function in calls]]


def test_two_runs_in_two_threads_have_the_bits_of_single_runs(make_job: MakeJob):
    jobs = [make_job(), make_job(mode="self"), make_job(normalize="cosine", tests=[[3, 0, 5]])]
    found = together(*(lambda job=job: job.carry_out(**SMALL_TASKS) for job in jobs))
    for job, result in zip(jobs, found, strict=True):
        assert bits(result) == bits(job.carry_out(**SMALL_TASKS))


def test_two_runs_with_other_settings_take_turns(make_job: MakeJob):
    plain, rounded = make_job(), make_job(precision="bf16", resources=TWO_THREADS)
    alone = [bits(job.carry_out(**SMALL_TASKS)) for job in (plain, rounded)]
    both = together(*(lambda job=job: job.carry_out(**SMALL_TASKS) for job in (plain, rounded)))
    assert [bits(result) for result in both] == alone
    assert [result.run["threads_per_worker"] for result in both] == [1, 2]


def test_runs_that_wait_for_each_other_in_their_progress_end(make_job: MakeJob):
    barrier = threading.Barrier(2, timeout=60)
    met = threading.Event()

    def meet(_done: int, _total: int) -> None:
        if not met.is_set():
            barrier.wait()
            met.set()

    job = make_job()
    execution = Execution(progress=meet)
    results = together(*[lambda: job.carry_out(execution=execution, **SMALL_TASKS)] * 2)
    assert bits(results[0]) == bits(results[1])


def test_a_run_within_the_progress_of_another_is_right(make_job: MakeJob):
    outer, inner, found = make_job(), make_job(resources=TWO_THREADS, tests=[[3, 0, 5]]), []

    def nested(done: int, _total: int) -> None:
        if done == NUM_ROWS:
            found.append(bits(inner.carry_out()))

    result = outer.carry_out(execution=Execution(progress=nested), **SMALL_TASKS)
    assert bits(result) == bits(outer.carry_out())
    assert found == [bits(inner.carry_out())]


def test_workers_in_threads_of_this_process_take_turns_and_leave_it_as_it_was(make_job: MakeJob, monkeypatch):
    def refuse() -> bool:
        raise AssertionError("the allocator belongs to the caller")

    monkeypatch.setattr(on_worker, "keep_freed_memory", refuse)
    job, before = make_job(resources=TWO_THREADS), settings()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0", protocol="inproc"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(job.carry_out(**SMALL_TASKS))
        found = together(*[lambda: job.carry_out(client, **SMALL_TASKS)] * 2)
    assert bits(found[0]) == bits(found[1]) == bits(job.carry_out(**SMALL_TASKS))
    assert settings() == before

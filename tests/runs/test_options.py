"""What the options of a run change, seen in results, bytes and counters."""

from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, Graph, Job, MakeJob, bits, save_checkpoint, small_model

from tracin_dask.launch.run import run
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.resources import Resources, of_client, of_this_process
from tracin_dask.runs.execute.driver import Execution

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}
NUM_TASKS = -(-NUM_ROWS // BATCH_SIZE)


def statistics(job: Job, client: Client | None = None, **plan) -> dict[str, float]:
    return job.carry_out(client, **(SMALL_TASKS | plan)).run["statistics"]


@pytest.fixture(params=["in process", "on Dask"])
def where(request: pytest.FixtureRequest) -> Client | None:
    return None if request.param == "in process" else request.getfixturevalue("client")


@pytest.mark.parametrize(("cache", "computations"), [(True, 1), (False, NUM_TASKS)])
def test_test_factors_are_computed_once_or_by_every_task(make_job: MakeJob, where, cache, computations):
    found = statistics(make_job(cache_test_gradients=cache), where)
    assert found["test_factor_computations"] == computations
    assert found["tasks"] == NUM_TASKS
    assert found["rows"] == NUM_ROWS
    assert found["task_seconds"] > 0


def test_self_influence_has_no_test_factors(make_job: MakeJob, where):
    for cache in (True, False):
        found = statistics(make_job(mode="self", cache_test_gradients=cache), where)
        assert found["test_factor_computations"] == 0


def test_test_factors_computed_in_every_task_change_no_bit(make_job: MakeJob, where):
    again, once = (make_job(cache_test_gradients=cache).carry_out(where, **SMALL_TASKS) for cache in (False, True))
    assert bits(again) == bits(once)


def test_every_worker_loads_the_checkpoint_at_most_once(make_job: MakeJob, client: Client, tmp_path: Path):
    job = make_job(model=load_checkpoint(save_checkpoint(tmp_path / "unknown.pt", small_model(seed=21))))
    assert 1 <= statistics(job, client)["checkpoint_loads"] <= 2
    assert statistics(job, client)["checkpoint_loads"] <= 1


def test_in_process_the_loaded_checkpoint_is_used_as_it_is(make_job: MakeJob):
    assert statistics(make_job())["checkpoint_loads"] == 0


def test_gradient_checkpointing_changes_memory_but_no_result(make_job: MakeJob):
    kept, again = (make_job(gradient_checkpointing=flag) for flag in (False, True))
    assert again.plan.memory.batch < kept.plan.memory.batch
    results = kept.carry_out(), again.carry_out()
    assert [result.run["gradient_checkpointing"] for result in results] == [False, True]
    for one, other in zip(results[0].rankings, results[1].rankings, strict=True):
        assert one.train_index.tolist() == other.train_index.tolist()
        np.testing.assert_allclose(one.influence, other.influence, rtol=1e-5)


def test_emulated_bf16_is_stated_in_the_result_and_close_to_float32(make_job: MakeJob):
    full, mixed = (make_job(precision=name, top_k=NUM_ROWS).carry_out() for name in ("float32", "bf16-emulated"))
    assert full.run["precision"] == "float32"
    assert mixed.run["precision"] == "rounded bf16 products, float32 sums"
    for one, other in zip(full.rankings, mixed.rankings, strict=True):
        expected, found = (r.influence[np.argsort(r.train_index)] for r in (one, other))
        assert expected.tolist() != found.tolist()
        is_close = np.abs(found - expected) <= 0.02 * np.abs(expected).max()
        assert is_close.mean() > 0.97  # rounding moves a few inputs across a ReLU's kink


@pytest.mark.parametrize("batch_size", [33, 100_000])
def test_a_stated_batch_size_is_used_and_reported(make_job: MakeJob, batch_size):
    result = make_job(batch_size=batch_size, top_k=5).carry_out()
    assert result.run["batch_size"] == batch_size
    reference = make_job(top_k=5).carry_out()
    for one, other in zip(result.rankings, reference.rankings, strict=True):
        np.testing.assert_allclose(one.influence, other.influence, rtol=1e-5)


def test_an_automatic_batch_size_is_a_number_in_the_result(make_job: MakeJob):
    job = make_job(batch_size=None)
    assert job.carry_out().run["batch_size"] == job.plan.batch_size == 8192


def test_the_result_says_how_it_was_made(make_job: MakeJob, graph: Graph, checkpoint: Checkpoint):
    about = make_job(rank_by="proponents").carry_out().run
    assert about["mode"] == "test"
    assert about["loss"] == "bce"
    assert about["rank_by"] == "proponents"
    assert len(about["parameters"]) == len(list(checkpoint.model.parameters()))
    assert about["checkpoints"] == [
        {"path": str(checkpoint.path), "sha256": checkpoint.sha256, "epoch": None, "learning_rate": 0.01}
    ]
    assert about["store"] == {
        "path": graph.store.path,
        "fingerprint": graph.store.info.fingerprint,
        "skipped_lines": {},
    }
    assert about["num_training_triples"] == NUM_ROWS
    assert about["num_test_triples"] == 3
    assert about["device"] == "cpu"
    assert (about["workers"], about["threads_per_worker"]) == (1, 1)


def test_progress_counts_rows_up_to_all_of_them(make_job: MakeJob):
    seen = []
    execution = Execution(progress=lambda done, total: seen.append((done, total)))
    make_job().carry_out(execution=execution, **SMALL_TASKS)
    assert seen == [(min(at * BATCH_SIZE, NUM_ROWS), NUM_ROWS) for at in range(1, NUM_TASKS + 1)]


def test_a_run_takes_its_workers_threads_and_memory_from_the_client(graph: Graph, checkpoint, client: Client):
    resources = of_client(client)
    assert resources.num_workers == 2
    assert resources.threads_per_worker == max(1, of_this_process().threads_per_worker // 2)
    assert resources.memory_bytes == 2 << 30
    result = run(graph.store, checkpoint, graph.test_triples, client=client)
    assert (result.run["workers"], result.run["threads_per_worker"]) == (2, resources.threads_per_worker)


def test_run_takes_explicit_resources(graph: Graph, checkpoint: Checkpoint):
    resources = Resources(num_workers=1, threads_per_worker=1, memory_bytes=3 << 30)
    result = run(graph.store, checkpoint, graph.test_triples, execution=Execution(resources=resources))
    assert result.run["threads_per_worker"] == 1

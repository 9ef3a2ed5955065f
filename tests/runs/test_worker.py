"""What a worker does, done here: worker processes are out of reach of the checks of shapes."""

import pickle
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from small_graph import BATCH_SIZE, NUM_ROWS, MakeJob, loaded_files

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.influence.columns import Targets
from tracin_dask.influence.reductions.topk import Ranking
from tracin_dask.influence.tensors import leaves
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.places.registry import place_of
from tracin_dask.runs.execute.driver import _job
from tracin_dask.runs.work.job import Counters, Scored, ScoreJob, merge_scored
from tracin_dask.runs.work.process import resolve_device
from tracin_dask.runs.work.rows import stream
from tracin_dask.runs.work.score import prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.store import TripleStore


@pytest.fixture
def job(make_job: MakeJob) -> ScoreJob:
    """Give the job that a worker gets."""
    planned = make_job()
    return _job(planned.prepared, planned.plan, planned.prepared.reductions())


@pytest.fixture
def state() -> WorkerState:
    """Give the state of a worker that holds no model yet."""
    return WorkerState()


@pytest.fixture
def tests(make_job: MakeJob) -> np.ndarray:
    return make_job().prepared.targets


def same(one: Scored, other: Scored) -> bool:
    def sides(scored: Scored) -> list[Ranking]:
        top = scored.kept["top_k"]
        return [top.highest, top.lowest]

    names = ("test_index", "influence", "train_index", "triples")
    pairs = zip(sides(one), sides(other), strict=True)
    return all((getattr(a, name) == getattr(b, name)).all() for a, b in pairs for name in names)


def test_a_worker_loads_a_checkpoint_once(state: WorkerState, job: ScoreJob, tests: Targets):
    prepared = prepare_test(state, job, tests)
    assert prepared.counters == Counters(checkpoint_loads=1, test_factor_computations=1)
    scored = score_rows(state, job, prepared, (0, 2 * BATCH_SIZE))
    assert replace(scored.counters, task_seconds=0.0) == Counters(rows=2 * BATCH_SIZE, tasks=1)
    assert (scored.device, scored.precision) == ("cpu", "float32")


def test_a_worker_replaces_a_checkpoint_by_that_of_the_next_run(
    state: WorkerState, job: ScoreJob, tests: Targets, make_job: MakeJob
):
    prepare_test(state, job, tests)
    renamed = replace(job, checkpoints=(replace(job.checkpoints[0], sha256="0" * 64),))
    with pytest.raises(CheckpointError, match="changed since the run was planned"):
        prepare_test(state, renamed, tests)
    model = make_job().prepared.checkpoints[0].model
    state.remember(renamed, [Contents(model=model, state={})])
    assert loaded_files(state) == ["0" * 64]


def test_test_factors_of_a_worker_are_on_the_cpu_one_per_test_triple(state: WorkerState, job: ScoreJob, tests: Targets):
    prepared = prepare_test(state, job, tests)
    (test,) = prepared.tests
    assert len(test) == 3
    assert {tensor.device.type for tensor in leaves(test)} == {"cpu"}
    assert not any(tensor.requires_grad for tensor in leaves(test))


def test_a_task_prepares_test_triples_without_factors(state: WorkerState, job: ScoreJob, tests: Targets):
    again, once = (
        score_rows(state, job, tests, (0, BATCH_SIZE)),
        score_rows(state, job, prepare_test(state, job, tests), (0, BATCH_SIZE)),
    )
    assert again.counters.test_factor_computations == 1
    assert once.counters.test_factor_computations == 0
    assert same(again, once)


def test_a_task_without_test_triples_computes_self_influence(state: WorkerState, job: ScoreJob):
    scored = score_rows(state, replace(job, num_columns=1), None, (0, BATCH_SIZE))
    top = scored.kept["top_k"]
    assert (top.lowest.influence > 0).all()
    assert len(top.highest) == top.k == 20


@pytest.mark.parametrize("row", [0, BATCH_SIZE, NUM_ROWS])
def test_an_empty_range_scores_nothing_and_merges_as_nothing(state: WorkerState, job: ScoreJob, tests: Targets, row):
    prepared = prepare_test(state, job, tests)
    nothing = score_rows(state, job, prepared, (row, row))
    top = nothing.kept["top_k"]
    assert (len(top.highest), len(top.lowest), nothing.counters.rows) == (0, 0, 0)
    some = score_rows(state, job, prepared, (0, BATCH_SIZE))
    assert same(merge_scored(job.reductions, [nothing, some]), some)
    assert same(merge_scored(job.reductions, [some, nothing]), some)


def test_merging_outcomes_is_associative_and_commutative(state: WorkerState, job: ScoreJob, tests: Targets):
    prepared = prepare_test(state, job, tests)
    cuts = [(0, 5 * BATCH_SIZE), (5 * BATCH_SIZE, 6 * BATCH_SIZE), (6 * BATCH_SIZE, NUM_ROWS)]
    a, b, c = (score_rows(state, job, prepared, rows) for rows in cuts)
    merge = partial(merge_scored, job.reductions)
    merged = [merge([merge([a, b]), c]), merge([a, merge([b, c])]), merge([c, a, b])]
    assert same(merged[0], merged[1])
    assert same(merged[0], merged[2])
    assert same(merged[0], score_rows(state, job, prepared, (0, NUM_ROWS)))
    for scored in merged:
        assert (scored.counters.rows, scored.counters.tasks) == (NUM_ROWS, 3)


def test_statistics_of_outcomes_add_field_by_field():
    one = Counters(rows=1, tasks=2, task_seconds=0.5, checkpoint_loads=3, test_factor_computations=4)
    two = Counters(rows=2, tasks=4, task_seconds=1.0, checkpoint_loads=6, test_factor_computations=8)
    assert one + one == two
    assert one + Counters() == one


def test_rows_are_reported_as_they_are_scored(
    state: WorkerState, job: ScoreJob, tests: Targets, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stream, "read_rows", lambda batch_size: 2 * batch_size)
    seen: list[int] = []
    prepared = prepare_test(state, job, tests)
    in_pieces = score_rows(state, job, prepared, (BATCH_SIZE, NUM_ROWS), on_rows=seen.append)
    assert sum(seen) == NUM_ROWS - BATCH_SIZE
    assert seen[0] == 2 * BATCH_SIZE
    monkeypatch.undo()
    assert same(in_pieces, score_rows(state, job, prepared, (BATCH_SIZE, NUM_ROWS)))


def test_a_job_is_small_and_pickles_completely(state: WorkerState, job: ScoreJob, tests: Targets):
    job.store.entities.label(0)
    sent = pickle.dumps(job)
    assert len(sent) < 5_000
    arrived = pickle.loads(sent)  # noqa: S301 - made a line above
    assert same(score_rows(state, arrived, tests, (0, BATCH_SIZE)), score_rows(state, job, tests, (0, BATCH_SIZE)))


def test_a_worker_uses_sent_weights_if_it_does_not_see_the_path(
    state: WorkerState, job: ScoreJob, tests: Targets, make_job
):
    expected = score_rows(state, job, tests, (0, BATCH_SIZE))
    contents = job.checkpoints[0].dump_contents(Contents(model=make_job().prepared.checkpoints[0].model, state={}))
    sent = replace(job.checkpoints[0], path=place_of("/nowhere/model.pt"), sent=contents)
    found = score_rows(WorkerState(), replace(job, checkpoints=(sent,)), tests, (0, BATCH_SIZE))
    assert found.counters.checkpoint_loads == 1
    assert same(found, expected)


def test_a_missing_device_is_refused_by_a_worker(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"device cuda is asked for, but PyTorch .* finds no GPU"):
        resolve_device("cuda")


def test_blocks_are_read_one_ahead_and_in_order(job: ScoreJob, monkeypatch: pytest.MonkeyPatch):
    started: list[int] = []
    read = TripleStore.read

    def noted(store: TripleStore, start: int, stop: int) -> TripleBlock:
        started.append(start)
        return read(store, start, stop)

    monkeypatch.setattr(TripleStore, "read", noted)
    blocks = stream.read_ahead(job.store.read, (64, NUM_ROWS), 100)
    taken = [next(blocks), next(blocks)]
    assert started[:2] == [64, 164]
    assert len(started) <= 3  # never more than the next one
    triples = np.concatenate([block.triples for block in [*taken, *blocks]])
    assert np.array_equal(triples, read(job.store, 64, NUM_ROWS).triples)


def test_blocks_of_a_store_far_away_are_read_at_the_same_time_and_come_in_order():
    together = threading.Barrier(3, timeout=60)

    def read(start: int, stop: int) -> tuple[int, int]:
        together.wait()  # passes only if three blocks are being read
        return start, stop

    blocks = stream.read_ahead(read, (0, 900), 100, ahead=3)
    assert list(blocks) == [(start, start + 100) for start in range(0, 900, 100)]


def test_entries_below_the_bounds_of_a_worker_are_dropped_without_changing_the_merged_result(
    state: WorkerState, job: ScoreJob, tests: Targets
):
    alone = score_rows(state, job, prepare_test(state, job, tests), (5 * BATCH_SIZE, NUM_ROWS))
    prepared = prepare_test(state, job, tests)
    first, second = (
        score_rows(state, job, prepared, rows) for rows in ((0, 5 * BATCH_SIZE), (5 * BATCH_SIZE, NUM_ROWS))
    )
    assert len(second.kept["top_k"].highest) < len(alone.kept["top_k"].highest)
    merge = partial(merge_scored, job.reductions)
    assert same(merge([first, second]), merge([first, alone]))

"""Figures of a run follow from its events and tasks, tested without Dask."""

import pytest

from tracin_dask.monitor.pace import RECENT_SECONDS
from tracin_dask.monitor.state import RunState

START = {"event": "start", "run": "a1", "triples": 1_000, "tasks": 4, "resumed_triples": 200, "test_triples": 1}
BEST = {"test": "a · r · b", "rank": 1, "influence": 0.5, "head": "h", "relation": "r", "tail": "t"}


@pytest.fixture
def run() -> RunState:
    return RunState(START, now=100.0)


def test_a_resumed_run_starts_with_the_triples_recorded_before(run):
    now = run.figures(100.0)
    assert (now.triples_done, now.num_triples, now.tasks_done, now.num_tasks) == (200, 1_000, 0, 4)
    assert (now.seconds_left, now.triples_per_second, now.outcome) == (None, 0.0, "running")


def test_rows_that_a_task_reported_before_it_finished_count_once(run):
    run.task_started((200, 400))
    run.reported("w1", 200, 150, now=101.0)
    assert run.figures(101.0).triples_done == 350
    run.task_finished((200, 400), "w1", now=102.0)
    now = run.figures(102.0)
    assert (now.triples_done, now.tasks_done, now.scored_by_worker) == (400, 1, {"w1": 200})
    assert now.triples_per_second == pytest.approx(100.0)
    assert now.seconds_left == pytest.approx(6.0)


def test_triples_per_second_of_each_worker_cover_only_the_last_seconds(run):
    run.task_finished((200, 400), "w1", now=101.0)
    run.task_finished((400, 430), "w2", now=140.0)
    now = run.figures(141.0)
    assert now.by_worker == {"w2": pytest.approx(30 / RECENT_SECONDS)}
    assert now.scored_by_worker == {"w1": 200, "w2": 30}
    assert [time for time, _ in now.history] == [101.0, 140.0]


def test_unfinished_rows_of_a_lost_worker_no_longer_count_and_its_task_is_a_retry(run):
    run.task_started((200, 400))
    run.reported("w1", 200, 150, now=101.0)
    run.worker_lost("w1", now=102.0)
    assert run.figures(102.0).triples_done == 200
    run.task_started((200, 400))
    run.task_finished((200, 400), "w2", now=103.0)
    run.task_finished((200, 400), "w2", now=104.0)  # its result was lost, too
    now = run.figures(104.0)
    assert (now.triples_done, now.tasks_done, now.tasks_retried, now.workers_lost) == (400, 1, 1, 1)
    assert "w1" in now.failures[0].worker


def test_a_failed_task_is_listed_with_its_message(run):
    run.task_failed((0, 200), "w1", "NonFiniteError('row 7')", now=101.0)
    now = run.figures(101.0)
    assert now.tasks_failed == 1
    assert now.failures[0].message == "NonFiniteError('row 7')"


def test_figures_stay_the_same_after_the_end_even_when_workers_leave(run):
    run.best([BEST])
    run.ended("finished", now=110.0)
    run.worker_lost("w1", now=111.0)
    now = run.figures(200.0)
    assert (now.outcome, now.seconds, now.seconds_left, now.workers_lost) == ("finished", 10.0, 0.0, 0)
    assert now.best[0].tail == "t"
    assert now.triples_per_second == 0.0


def test_the_speed_of_a_run_that_has_ended_is_that_of_the_whole_run(run):
    run.task_finished((200, 600), "w1", now=110.0)
    run.task_finished((600, 1_000), "w1", now=180.0)
    assert run.figures(180.0).triples_per_second == pytest.approx(400 / 70)
    run.ended("finished", now=180.0)
    assert run.figures(300.0).triples_per_second == pytest.approx(10.0)

"""What a run on Dask tells those who watch it: events, the page's figures, metrics."""

import logging

import numpy as np
import pytest
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, Job, MakeJob

from tracin_dask.influence.reductions.topk import Ranking, TopK
from tracin_dask.monitor.events import LISTS_TOPIC, TOPIC, progress_topic
from tracin_dask.runs.execute import announce, best_lists, on_dask, on_worker
from tracin_dask.runs.execute.best_lists import MOST_TRIPLES, BestLists

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}
NUM_TASKS = -(-NUM_ROWS // BATCH_SIZE)


@pytest.fixture
def events(client: Client):
    """Give the events of the last run, oldest first."""

    def last():
        told = [event for _, event in client.get_events(TOPIC)]
        run = [event["run"] for event in told if event["event"] == "start"][-1]
        return [event for event in told if event["run"] == run]

    return last


def made_top(job: Job) -> TopK:
    """Give five training triples of each of three test triples."""
    rows = np.arange(15)
    triples = job.prepared.store.read(0, 15).triples
    made = Ranking(test_index=rows // 5, influence=1.0 - rows / 15, train_index=rows, triples=triples)
    return TopK(k=5, highest=made, lowest=made.take(slice(0)))


def seen_by_scheduler(dask_scheduler):
    now = dask_scheduler.plugins["tracin-dask"]._figures()
    return {
        name: getattr(now, name)
        for name in ("outcome", "triples_done", "num_triples", "tasks_done", "num_tasks", "tasks_retried")
    } | {
        "scored": sum(now.scored_by_worker.values()),
        "best": [(triple.rank, triple.influence, triple.tail) for triple in now.best],
        "lists": [(one.test, [(triple.influence, triple.tail) for triple in one.triples]) for one in now.lists.lists],
    }


def test_a_run_sends_events_for_start_best_triples_and_end(make_job: MakeJob, client: Client, events, monkeypatch):
    monkeypatch.setattr(announce, "LEAST_SECONDS", 0.0)
    result = make_job(tests=make_job().prepared.test_triples[:1]).carry_out(client, **SMALL_TASKS)
    told = events()
    assert told[0] == {
        "event": "start",
        "run": told[0]["run"],
        "triples": NUM_ROWS,
        "tasks": NUM_TASKS,
        "resumed_triples": 0,
        "test_triples": 1,
    }
    assert told[-1] == {"event": "end", "run": told[0]["run"], "outcome": "finished"}
    bests = [event["triples"] for event in told if event["event"] == "best"]
    assert len(bests) > 1
    leaders = [entry["influence"] for entry in result.to_dict()["influences"]][: len(bests[-1])]
    assert [triple["influence"] for triple in bests[-1]] == leaders
    first = result.to_dict()["influences"][0]
    assert bests[-1][0]["tail"] == first.get("train_tail_name", first["train_tail_label"])


def test_the_dashboard_page_receives_the_events_of_a_run(make_job: MakeJob, client: Client, monkeypatch):
    monkeypatch.setattr(on_dask, "seconds_between_reports", lambda _: 0.0)
    make_job().carry_out(client, **SMALL_TASKS)
    seen = client.run_on_scheduler(seen_by_scheduler)
    assert seen["outcome"] == "finished"
    assert (seen["triples_done"], seen["num_triples"], seen["scored"]) == (NUM_ROWS, NUM_ROWS, NUM_ROWS)
    assert (seen["tasks_done"], seen["num_tasks"], seen["tasks_retried"]) == (NUM_TASKS, NUM_TASKS, 0)
    assert seen["best"]


def test_the_page_gets_the_list_of_every_test_triple_and_the_scheduler_keeps_none(make_job: MakeJob, client: Client):
    result = make_job().carry_out(client, **SMALL_TASKS)
    lists = client.run_on_scheduler(seen_by_scheduler)["lists"]
    assert len(lists) == len(result.rankings) == 3
    for (_, shown), ranking in zip(lists, result.rankings, strict=True):
        assert [influence for influence, _ in shown] == ranking.influence.tolist()[:MOST_TRIPLES]
    assert LISTS_TOPIC not in client.get_events()


def test_lists_are_bounded_in_number_and_bytes(make_job: MakeJob, monkeypatch):
    job = make_job()
    top = made_top(job)
    assert [len(one["triples"]) for one in BestLists(job.prepared).named(top)] == [5, 5, 5]
    monkeypatch.setattr(best_lists, "MOST_TRIPLES", 2)
    monkeypatch.setattr(best_lists, "MOST_TESTS", 2)
    few = BestLists(job.prepared).named(top)
    assert [len(one["triples"]) for one in few] == [2, 2]
    monkeypatch.setattr(best_lists, "MOST_LETTERS", 3)
    short = BestLists(job.prepared).named(top)
    assert {len(name) for one in short for _, *names in one["triples"] for name in names} == {3}
    monkeypatch.setattr(best_lists, "MOST_BYTES", 1)
    assert len(BestLists(job.prepared).named(top)) == 1


def test_lists_that_did_not_change_are_not_sent_again(make_job: MakeJob, client: Client, events, monkeypatch):
    monkeypatch.setattr(announce, "LEAST_SECONDS", 0.0)
    job = make_job()
    announcer = announce.Announcer(client, "same", job.prepared, job.plan)
    announcer.started(1, 0)
    for _ in range(3):
        announcer.finished(made_top(job))
    assert [event["event"] for event in events()] == ["start", "best", "end", "end", "end"]


def test_the_scheduler_does_not_keep_the_progress_of_runs_that_have_ended(make_job: MakeJob, client: Client):
    make_job().carry_out(client, **SMALL_TASKS)
    kept = client.get_events()
    assert TOPIC in kept
    assert not [name for name in kept if name.startswith(progress_topic(""))]


def test_the_end_event_of_a_failed_run_states_the_reason(make_job: MakeJob, client: Client, events, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("boom")

    monkeypatch.setattr(on_worker, "score", fail)
    with pytest.raises(ValueError, match="boom"):
        make_job().carry_out(client, **SMALL_TASKS)
    assert events()[-1]["outcome"] == "stopped: ValueError: boom"
    assert client.run_on_scheduler(seen_by_scheduler)["outcome"] == "stopped: ValueError: boom"


def test_a_run_works_if_the_scheduler_cannot_show_the_page(make_job: MakeJob, client: Client, monkeypatch, caplog):
    def fail(_: object) -> None:
        raise ModuleNotFoundError("No module named 'bokeh'")

    monkeypatch.setattr(client, "register_plugin", fail)
    with caplog.at_level(logging.WARNING):
        make_job().carry_out(client)
    assert "the dashboard shows no page of this run" in caplog.text

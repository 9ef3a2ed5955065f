"""What a run on Dask tells those who watch it: events, the page's figures, metrics."""

import logging

import pytest
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, MakeJob

from tracin_dask.monitor.events import TOPIC, progress_topic
from tracin_dask.runs.execute import announce, on_dask, on_worker

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


def seen_by_scheduler(dask_scheduler):
    now = dask_scheduler.plugins["tracin-dask"]._figures()
    return {
        name: getattr(now, name)
        for name in ("outcome", "triples_done", "num_triples", "tasks_done", "num_tasks", "tasks_retried")
    } | {
        "scored": sum(now.scored_by_worker.values()),
        "best": [(triple.rank, triple.influence, triple.tail) for triple in now.best],
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

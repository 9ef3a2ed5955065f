"""Figures of a run as Prometheus metrics."""

from prometheus_client import CollectorRegistry, generate_latest

from tracin_dask.monitor.metrics import RunMetrics
from tracin_dask.monitor.state import RunState

START = {"event": "start", "run": "a1", "triples": 1_000, "tasks": 4, "resumed_triples": 0, "test_triples": 1}


def exposed(run: RunState | None) -> list[str]:
    registry = CollectorRegistry()
    registry.register(RunMetrics(lambda: None if run is None else run.figures(102.0)))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_there_are_no_metrics_before_the_first_run():
    assert exposed(None) == []


def test_every_figure_of_a_run_has_a_metric():
    run = RunState(START, now=100.0)
    run.task_started((0, 500))
    run.task_finished((0, 500), "tcp://w1", now=101.0)
    run.worker_lost("tcp://w2", now=101.5)
    run.best([{"test": "a", "rank": 1, "influence": 0.25, "head": 'x "y"', "relation": "r", "tail": "t"}])
    assert set(exposed(run)) >= {
        "tracin_run_triples 1000.0",
        "tracin_run_triples_done 500.0",
        "tracin_run_tasks 4.0",
        "tracin_run_tasks_done 1.0",
        "tracin_run_triples_per_second 250.0",
        "tracin_run_seconds 2.0",
        "tracin_run_seconds_left 2.0",
        "tracin_run_workers_lost_total 1.0",
        "tracin_run_tasks_retried_total 0.0",
        "tracin_run_tasks_failed_total 0.0",
        'tracin_worker_triples_total{worker="tcp://w1"} 500.0',
        'tracin_worker_triples_per_second{worker="tcp://w1"} 250.0',
        'tracin_best_influence{head="x \\"y\\"",rank="1",relation="r",tail="t",test="a"} 0.25',
    }

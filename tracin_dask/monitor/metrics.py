"""Prometheus metrics of a run, computed at each scrape."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracin_dask.monitor.state import Figures


class RunMetrics(Collector):
    """Collects the metrics of the run that started last; before the first run there are none."""

    def __init__(self, figures: Callable[[], Figures | None]) -> None:
        """Store the function that returns the current figures."""
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield each figure as a metric."""
        now = self._figures()
        if now is None:
            return
        gauges = {
            "triples": ("Training triples of the run", now.num_triples),
            "triples_done": ("Training triples scored, each counted once", now.triples_done),
            "tasks": ("Tasks of the run", now.num_tasks),
            "tasks_done": ("Tasks finished", now.tasks_done),
            "triples_per_second": ("Training triples scored per second, recently", now.triples_per_second),
            "seconds": ("Seconds since the start of the run", now.seconds),
        }
        if now.seconds_left is not None:
            gauges["seconds_left"] = ("Seconds until the run is done, at the current speed", now.seconds_left)
        for name, (help_text, value) in gauges.items():
            yield GaugeMetricFamily(f"tracin_run_{name}", help_text, value)
        counters = {
            "tasks_retried": ("Tasks that were sent to a worker again", now.tasks_retried),
            "tasks_failed": ("Tasks that raised an error", now.tasks_failed),
            "workers_lost": ("Workers that left during the run", now.workers_lost),
        }
        for name, (help_text, value) in counters.items():
            yield CounterMetricFamily(f"tracin_run_{name}", help_text, value)
        scored = CounterMetricFamily("tracin_worker_triples", "Training triples scored by a worker", labels=["worker"])
        for worker, count in now.scored_by_worker.items():
            scored.add_metric([worker], count)
        yield scored
        rates = GaugeMetricFamily(
            "tracin_worker_triples_per_second",
            "Training triples scored per second by a worker, recently",
            labels=["worker"],
        )
        for worker, rate in now.by_worker.items():
            rates.add_metric([worker], rate)
        yield rates
        best = GaugeMetricFamily(
            "tracin_best_influence",
            "Influence of the strongest training triples so far",
            labels=["test", "rank", "head", "relation", "tail"],
        )
        for triple in now.best:
            best.add_metric(
                [triple.test, str(triple.rank), triple.head, triple.relation, triple.tail], triple.influence
            )
        yield best

"""One simulated run, carried out by the product's own driver, and what its orchestration cost."""

import math
import os
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import psutil
from distributed import Client

from simulated_cluster import work
from simulated_cluster.hosts import SimulatedCluster, usage
from tracin_dask.resources import Resources, of_client
from tracin_dask.runs.execute.driver import Execution, carry_out
from tracin_dask.runs.plan.plan import MOST_GROUPS, Plan, make_plan
from tracin_dask.runs.prepare import PreparedRun

WORKER_BYTES = 64 << 30
"""No plan of a simulation is refused for its memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured; seconds are of this machine's clock unless named CPU seconds."""

    num_triples: int
    num_workers: int
    num_tests: int
    top_k: int
    triples_per_second: float
    tasks: int
    task_rows: int
    groups: int
    plan_seconds: float
    """CPU seconds of planning: choosing tasks, and cutting the rows into them."""
    record_bytes: int
    """Of the records of all groups, on disk at the end."""
    graph_messages: int
    graph_bytes: int
    submit_seconds: float
    progress_calls: int
    ask_seconds: float
    before_first_task_seconds: float
    after_last_task_seconds: float
    wall_seconds: float
    task_seconds: float
    busy_share: float
    """Of the workers' time from the first task's start to the last one's end."""
    idle_scheduler_cpu_share: float
    scheduler_cpu_seconds: float
    scheduler_peak_bytes: int
    client_cpu_seconds: float
    client_peak_bytes: int
    hosts_cpu_seconds: float
    idle_hosts_cpu_share: float
    """CPUs that the simulated workers need for heartbeats alone."""
    machine_cpu_share: float
    """Of all CPUs while the run lasted; near 1, the figures are those of a machine that is too small."""
    others_cpu_share: float
    """Of all CPUs, taken by processes that do not belong to the simulation; not near 0, measure again."""

    @property
    def ideal_seconds(self) -> float:
        """The work divided by the workers."""
        return self.task_seconds / self.num_workers

    @property
    def overhead(self) -> float:
        """What the run took beyond the ideal, as a part of the ideal."""
        return self.wall_seconds / self.ideal_seconds - 1

    @property
    def scheduler_cpu_share(self) -> float:
        """Part of the scheduler's one CPU that was in use."""
        return self.scheduler_cpu_seconds / self.wall_seconds


def planned(prepared: PreparedRun, num_workers: int, task_rows: int | None) -> Plan:
    """Plan for workers of one thread."""
    resources = Resources(num_workers=num_workers, memory_bytes=WORKER_BYTES)
    plan = make_plan(prepared.model_config, prepared.workload, prepared.config, resources)
    if task_rows is None:
        return plan
    changed = replace(plan, task_rows=task_rows)
    return replace(changed, tasks_per_group=math.ceil(changed.num_tasks / MOST_GROUPS))


def measured_run(
    prepared: PreparedRun, plan: Plan, simulated: work.SimulatedWork, cluster: SimulatedCluster, folder: Path
) -> Figures:
    """Carry out the plan with the product's driver and measure all processes."""
    work.install_here()
    cluster.on_hosts(work.install, simulated)
    cluster.on_hosts(work.take_finished)
    idle = _idle_shares(cluster)
    plan_seconds = _plan_seconds(prepared, plan)
    records = folder / "records"
    progress = _Calls()
    with _messages(cluster.client) as messages:
        asked = time.time()
        of_client(cluster.client)
        before, started = _cpu_seconds(cluster), time.time()
        psutil.cpu_percent()
        execution = Execution(resources=plan.resources, record_directory=records, progress=progress)
        result = carry_out(prepared, plan, client=cluster.client, execution=execution)
        ended, machine = time.time(), psutil.cpu_percent() / 100
    used = _cpu_seconds(cluster) - before
    intervals = [interval for host in cluster.on_hosts(work.take_finished) for interval in host]
    first, last = min(start for start, _ in intervals), max(stop for _, stop in intervals)
    return Figures(
        num_triples=plan.num_triples,
        num_workers=plan.resources.num_workers,
        num_tests=plan.num_tests,
        top_k=prepared.config.ranking.top_k,
        triples_per_second=simulated.triples_per_second,
        tasks=len(intervals),
        task_rows=plan.task_rows,
        groups=sum(1 for _ in plan.groups()),
        plan_seconds=plan_seconds,
        record_bytes=sum(file.stat().st_size for file in records.iterdir()),
        graph_messages=len(messages.sizes),
        graph_bytes=sum(messages.sizes),
        submit_seconds=messages.seconds,
        progress_calls=progress.count,
        ask_seconds=started - asked,
        before_first_task_seconds=first - started,
        after_last_task_seconds=ended - last,
        wall_seconds=ended - started,
        task_seconds=result.run["statistics"]["task_seconds"],
        busy_share=sum(stop - start for start, stop in intervals) / (last - first) / plan.resources.num_workers,
        idle_scheduler_cpu_share=idle.scheduler,
        scheduler_cpu_seconds=used.scheduler,
        scheduler_peak_bytes=cluster.scheduler_usage().peak_bytes,
        client_cpu_seconds=used.client,
        client_peak_bytes=usage().peak_bytes,
        hosts_cpu_seconds=used.hosts,
        idle_hosts_cpu_share=idle.hosts,
        machine_cpu_share=machine,
        others_cpu_share=machine - used.total / (ended - started) / (os.cpu_count() or 1),
    )


def _plan_seconds(prepared: PreparedRun, plan: Plan) -> float:
    started = time.process_time()
    make_plan(prepared.model_config, prepared.workload, prepared.config, plan.resources)
    list(plan.groups())
    return time.process_time() - started


@dataclass(frozen=True, slots=True, kw_only=True)
class _CpuSeconds:
    scheduler: float
    client: float
    hosts: float

    def __sub__(self, other: "_CpuSeconds") -> "_CpuSeconds":
        return _CpuSeconds(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    @property
    def total(self) -> float:
        return self.scheduler + self.client + self.hosts


def _cpu_seconds(cluster: SimulatedCluster) -> _CpuSeconds:
    return _CpuSeconds(
        scheduler=cluster.scheduler_usage().cpu_seconds,
        client=usage().cpu_seconds,
        hosts=sum(host.cpu_seconds for host in cluster.on_hosts(usage)),
    )


def _idle_shares(cluster: SimulatedCluster, seconds: float = 5.0) -> _CpuSeconds:
    """Give the CPUs that are in use while nothing is to be done."""
    before = _cpu_seconds(cluster)
    time.sleep(seconds)
    used = _cpu_seconds(cluster) - before
    return _CpuSeconds(**{f.name: getattr(used, f.name) / seconds for f in fields(used)})


class _Calls:
    """Counts the calls of a progress function, which come from another thread."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, _done: int, _total: int) -> None:
        with self._lock:
            self.count += 1


@dataclass(slots=True)
class _Messages:
    """Graphs that the client sent: their sizes, and the seconds that making and sending them took."""

    sizes: list[int] = field(default_factory=list)
    seconds: float = 0.0


@contextmanager
def _messages(client: Client) -> Iterator[_Messages]:
    """Watch the one function by which a Dask client sends graphs."""
    sent, to_futures, send = _Messages(), client._graph_to_futures, client._send_to_scheduler  # noqa: SLF001 - Dask has no other way to see it

    def timed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - any arguments
        started = time.perf_counter()
        try:
            return to_futures(*arguments, **options)
        finally:
            sent.seconds += time.perf_counter() - started

    def weighed(message: dict[str, Any]) -> None:
        if message.get("op") == "update-graph":
            graph = message["expr_ser"]
            rest = {name: value for name, value in message.items() if isinstance(value, (set, dict))}
            sent.sizes.append(sum(memoryview(frame).nbytes for frame in graph.frames) + len(pickle.dumps(rest)))
        send(message)

    client._graph_to_futures, client._send_to_scheduler = timed, weighed  # noqa: SLF001 - Dask has no other way to see it
    try:
        yield sent
    finally:
        client._graph_to_futures, client._send_to_scheduler = to_futures, send  # noqa: SLF001 - Dask has no other way to see it

"""From a checked run to a plan and a place to carry it out: this process, local workers, or a running cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tracin_dask.cli.job_options import JobOptions
from tracin_dask.clusters.spec import ClusterSpec, open_cluster
from tracin_dask.errors import ConfigError, MemoryLimitError
from tracin_dask.runs.plan import Plan, make_plan
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.resources import MEMORY_SHARE, Resources, cpu_count, has_gpu, memory_limit, of_client

if TYPE_CHECKING:
    from distributed import Client

TASKS = "tracin_dask.runs.on_dask"
"""The module of what tasks call."""
SMALL_JOB_SECONDS = 15.0
"""A job that one process is guessed to finish in this time does not pay for worker processes."""
MOST_LOCAL_WORKERS = 8


@contextmanager
def open_place(
    prepared: PreparedRun, options: JobOptions, spec: ClusterSpec
) -> Iterator[tuple[Plan, "Client | None", str]]:
    """Give a plan, the client to carry it out with (None for this process), and where that is, in words."""
    if spec.kind == "address":
        if options["workers"] is not None:
            raise ConfigError(f"--workers is for local workers; the cluster at {spec.address} has its own")
        with open_cluster(spec, num_workers=0, memory_bytes=0) as client:
            resources = _overridden(of_client(client), options)
            yield _plan(prepared, resources), client, f"{resources.num_workers} worker(s) of {spec.address}"
        return
    plan, is_local, where = plan_here(prepared, options, spec)
    if not is_local:
        yield plan, None, where
        return
    resources = plan.resources
    sizes = {"num_workers": resources.num_workers, "memory_bytes": resources.memory_bytes}
    with open_cluster(spec, **sizes, preload=[TASKS]) as client:
        yield plan, client, where


def plan_only(prepared: PreparedRun, options: JobOptions, spec: ClusterSpec) -> tuple[Plan, str]:
    """Plan a run without starting workers; a running cluster is asked for its size."""
    if spec.kind == "address":
        with open_place(prepared, options, spec) as (plan, _, where):
            return plan, where
    plan, _, where = plan_here(prepared, options, spec)
    return plan, where


def plan_here(prepared: PreparedRun, options: JobOptions, spec: ClusterSpec) -> tuple[Plan, bool, str]:
    """Plan a run on this machine: whether it takes worker processes, and where that is, in words."""
    if spec.kind == "auto" and options["workers"] is None:
        alone = Resources(
            threads_per_worker=options["threads_per_worker"] or cpu_count(),
            memory_bytes=options["memory_per_worker"] or int(MEMORY_SHARE * memory_limit()),
        )
        plan = _plan(prepared, alone)
        if options["device"] != "cpu" and has_gpu():
            return plan, False, "this process, on its GPU"
        if plan.worker_seconds <= SMALL_JOB_SECONDS:
            return plan, False, "this process (a small job)"
    plan = _plan_local_workers(prepared, options)
    resources = plan.resources
    return plan, True, f"{resources.num_workers} local worker(s) × {resources.threads_per_worker} thread(s)"


def _plan_local_workers(prepared: PreparedRun, options: JobOptions) -> Plan:
    """Take one worker per CPU, fewer where their memory would not do."""
    most = options["workers"] or min(cpu_count(), MOST_LOCAL_WORKERS)
    for num_workers in range(most, 0, -1):
        resources = Resources(
            num_workers=num_workers,
            threads_per_worker=options["threads_per_worker"] or max(1, cpu_count() // num_workers),
            memory_bytes=options["memory_per_worker"] or int(MEMORY_SHARE * memory_limit() / num_workers),
        )
        try:
            return _plan(prepared, resources)
        except MemoryLimitError:
            if options["workers"] is not None or num_workers == 1:
                raise
    raise AssertionError("the loop returns or raises")


def _overridden(resources: Resources, options: JobOptions) -> Resources:
    return replace(
        resources,
        threads_per_worker=options["threads_per_worker"] or resources.threads_per_worker,
        memory_bytes=options["memory_per_worker"] or resources.memory_bytes,
    )


def _plan(prepared: PreparedRun, resources: Resources) -> Plan:
    return make_plan(prepared.checkpoint.config, prepared.workload, prepared.config, resources)

"""From a checked run to a plan and a place to carry it out: this process, workers here, or a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from tracin_dask.cli.options.job import JobOptions
from tracin_dask.clusters.open import LocalSizes, open_cluster
from tracin_dask.clusters.spec import NO_GPU, AddressSpec, AutoSpec, ClusterSpec, CudaSpec, LocalSpec, SlurmSpec
from tracin_dask.errors import ClusterError, ConfigError, MemoryLimitError
from tracin_dask.resources import MEMORY_SHARE, Resources, cpu_count, gpu_count, memory_limit, of_client
from tracin_dask.runs import TASKS
from tracin_dask.runs.plan.plan import Plan, make_plan
from tracin_dask.runs.prepare import PreparedRun

if TYPE_CHECKING:
    from distributed import Client

SMALL_JOB_SECONDS = 15.0
"""A job that one process is guessed to finish in this time does not pay for worker processes."""
MOST_LOCAL_WORKERS = 8


OF_A_CLUSTER = (AddressSpec, CudaSpec, SlurmSpec)
"""Kinds whose workers are known only once they run."""


@contextmanager
def open_place(
    prepared: PreparedRun, options: JobOptions, spec: ClusterSpec
) -> Iterator[tuple[Plan, "Client | None", str]]:
    """Give a plan, the client to carry it out with (None for this process), and where that is, in words."""
    spec = _chosen(spec, options)
    if isinstance(spec, OF_A_CLUSTER):
        if options["workers"] is not None:
            raise ConfigError(f"--workers is for workers on this machine's CPUs; {_named(spec)} says its own number")
        click.echo(f"waiting for workers of {_named(spec)}", err=True)
        with open_cluster(spec, LocalSizes(num_workers=0, memory_bytes=0), preload=[TASKS]) as client:
            resources = of_client(client, spec.device_memory_limit)
            if isinstance(spec, SlurmSpec):
                resources = replace(resources, num_workers=spec.num_workers, threads_per_worker=spec.threads_per_worker)
            resources = _overridden(resources, options)
            yield _plan(prepared, resources), client, f"{resources.num_workers} worker(s) of {_named(spec)}"
        return
    plan, is_local, where = plan_here(prepared, options, spec)
    if not is_local:
        yield plan, None, where
        return
    sizes = LocalSizes(num_workers=plan.resources.num_workers, memory_bytes=plan.resources.memory_bytes)
    with open_cluster(spec, sizes, preload=[TASKS]) as client:
        yield plan, client, where


def plan_only(prepared: PreparedRun, options: JobOptions, spec: ClusterSpec) -> tuple[Plan, str]:
    """Plan a run without starting workers; a running cluster is asked for its size."""
    spec = _chosen(spec, options)
    if isinstance(spec, AddressSpec):
        with open_place(prepared, options, spec) as (plan, _, where):
            return plan, where
    if isinstance(spec, SlurmSpec):
        resources = Resources(
            num_workers=spec.num_workers,
            threads_per_worker=spec.threads_per_worker,
            memory_bytes=spec.memory_per_job // spec.num_workers_per_job,
        )
        return _plan(prepared, _overridden(resources, options)), f"{resources.num_workers} worker(s) of {_named(spec)}"
    if isinstance(spec, CudaSpec):
        num_workers = len(spec.devices) or gpu_count()
        if num_workers == 0:
            raise ClusterError(NO_GPU)
        host = spec.memory_per_worker or int(MEMORY_SHARE * memory_limit() / num_workers)
        resources = Resources(
            num_workers=num_workers, threads_per_worker=max(1, cpu_count() // num_workers), memory_bytes=host
        )
        return _plan(prepared, _overridden(resources, options)), f"{num_workers} worker(s) of {_named(spec)}"
    plan, _, where = plan_here(prepared, options, spec)
    return plan, where


def plan_here(prepared: PreparedRun, options: JobOptions, spec: ClusterSpec) -> tuple[Plan, bool, str]:
    """Plan a run on this machine's CPUs, or in this process: whether it takes worker processes, and where that is."""
    if isinstance(spec, AutoSpec) and options["workers"] is None:
        alone = Resources(
            threads_per_worker=options["threads_per_worker"] or cpu_count(),
            memory_bytes=options["memory_per_worker"] or int(MEMORY_SHARE * memory_limit()),
        )
        plan = _plan(prepared, alone)
        if options["device"] != "cpu" and gpu_count() == 1:
            return plan, False, "this process, on its GPU"
        if plan.worker_seconds <= SMALL_JOB_SECONDS:
            return plan, False, "this process (a small job)"
    plan = _plan_local_workers(prepared, options, spec if isinstance(spec, LocalSpec) else LocalSpec())
    resources = plan.resources
    where = f"{resources.num_workers} local worker(s) × {resources.threads_per_worker} thread(s)"
    if isinstance(spec, AutoSpec) and options["device"] == "auto" and gpu_count() == 0:
        where += ", as there is no GPU here"
    return plan, True, where


def _chosen(spec: ClusterSpec, options: JobOptions) -> ClusterSpec:
    """Take the GPUs for `auto` where there are several and nothing speaks for the CPUs."""
    wants_cpu = options["device"] == "cpu" or options["workers"] is not None
    if isinstance(spec, AutoSpec) and not wants_cpu and gpu_count() > 1:
        return CudaSpec()
    return spec


def _named(spec: ClusterSpec) -> str:
    if isinstance(spec, AddressSpec):
        return f"the cluster at {spec.address}"
    return "Slurm" if isinstance(spec, SlurmSpec) else "this machine's GPUs"


def _plan_local_workers(prepared: PreparedRun, options: JobOptions, spec: LocalSpec) -> Plan:
    """Take one worker per CPU, fewer where their memory would not do; options come before the specification."""
    stated = options["workers"] or spec.workers
    threads = options["threads_per_worker"] or spec.threads_per_worker
    memory = options["memory_per_worker"] or spec.memory_per_worker
    for num_workers in range(stated or min(cpu_count(), MOST_LOCAL_WORKERS), 0, -1):
        resources = Resources(
            num_workers=num_workers,
            threads_per_worker=threads or max(1, cpu_count() // num_workers),
            memory_bytes=memory or int(MEMORY_SHARE * memory_limit() / num_workers),
        )
        try:
            return _plan(prepared, resources)
        except MemoryLimitError:
            if stated is not None or num_workers == 1:
                raise
    raise AssertionError("the loop returns or raises")


def _overridden(resources: Resources, options: JobOptions) -> Resources:
    return replace(
        resources,
        threads_per_worker=options["threads_per_worker"] or resources.threads_per_worker,
        memory_bytes=options["memory_per_worker"] or resources.memory_bytes,
    )


def _plan(prepared: PreparedRun, resources: Resources) -> Plan:
    return make_plan(prepared.model_config, prepared.workload, prepared.config, resources)

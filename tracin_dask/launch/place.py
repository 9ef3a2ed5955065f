"""Chooses where a run happens and with how many workers, and opens that place."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracin_dask.clusters.auto import Auto
from tracin_dask.clusters.cluster import Cluster, Start
from tracin_dask.errors import MemoryLimitError
from tracin_dask.patience import Patience
from tracin_dask.resources import Machine, Resources, WorkerOptions, on_own_gpu, this_machine
from tracin_dask.runs import TASKS
from tracin_dask.runs.plan.plan import Plan, make_plan
from tracin_dask.runs.prepare import PreparedRun

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

SMALL_JOB_SECONDS = 15.0
"""A job that one process is expected to finish in this time does not pay for worker processes."""
Say = Callable[[str], None]
"""Called with a message for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a plan is carried out."""

    plan: Plan
    where: str
    """In words: `this process (a small job)`, `2 workers × 4 threads on Slurm`."""
    is_here: bool = True
    """Whether all workers are processes of this machine."""
    client: "Client | None" = None
    """None in this process."""
    workers_return: bool = True
    """Whether workers may still come once all of them are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where a run would happen, before anything is started."""

    cluster: Cluster | None
    """None for this process."""
    plan: Plan | None
    """None if only the running cluster knows its workers."""
    note: str = ""
    """Why this place was chosen."""


def choose(prepared: PreparedRun, cluster: Cluster, asked: WorkerOptions, machine: Machine) -> Choice:
    """Choose the place, the workers and the plan of a run.

    Raises
    ------
    ConfigError
        If the cluster cannot have the workers that are asked for.
    MemoryLimitError
        If the run fits into none of the workers that the cluster would have.
    """
    if cluster != Auto():
        return Choice(cluster=cluster, plan=_plan_on(prepared, cluster, asked, machine))
    device = prepared.config.computing.device
    wants_cpus = device == "cpu" or asked.workers is not None
    if asked.workers is None and (wants_cpus or machine.num_gpus < 2):
        here = asked.applied_to(machine.shared_by(1))
        if device != "cpu" and machine.num_gpus == 1:
            return Choice(cluster=None, plan=_plan(prepared, on_own_gpu(here)), note=", on its GPU")
        alone = _plan(prepared, here)
        if alone.worker_seconds <= SMALL_JOB_SECONDS:
            return Choice(cluster=None, plan=alone, note=" (a small job)")
    note = ", which has no GPU" if device == "auto" and machine.num_gpus == 0 else ""
    chosen = Auto().choice(machine, wants_cpus=wants_cpus)  # Dask is slow to import: a small job does without
    return Choice(cluster=chosen, plan=_plan_on(prepared, chosen, asked, machine), note=note)


def plan_only(prepared: PreparedRun, cluster: Cluster, asked: WorkerOptions) -> Place:
    """Plan a run without starting workers; a cluster that runs already is asked for its size.

    Raises
    ------
    TracInDaskError
        As `choose`, or if a running cluster cannot be reached.
    """
    choice = choose(prepared, cluster, asked, this_machine())
    if choice.plan is not None:
        return Place(plan=choice.plan, where=_where(choice, choice.plan.resources), is_here=_is_here(choice))
    with open_place(prepared, cluster, asked) as place:
        return place


@contextmanager
def open_place(
    prepared: PreparedRun,
    cluster: Cluster,
    asked: WorkerOptions,
    *,
    say: Say = logger.info,
    patience: Patience | None = None,
) -> Iterator[Place]:
    """Start or reach the workers of a run, and stop at the end what was started.

    Raises
    ------
    TracInDaskError
        As `choose`, or if the cluster cannot be started or reached.
    """
    choice = choose(prepared, cluster, asked, this_machine())
    if choice.cluster is None:
        assert choice.plan is not None  # noqa: S101 - this process is chosen by its plan
        yield Place(plan=choice.plan, where=_where(choice, choice.plan.resources))
        return
    say(f"waiting for workers on {choice.cluster.title}")
    expected = None if choice.plan is None else choice.plan.resources
    start = Start(resources=expected, preload=(TASKS,), patience=patience or Patience())
    with choice.cluster.open(start) as opened:
        resources = asked.applied_to(opened.resources)
        yield Place(
            plan=_plan(prepared, resources),
            where=_where(choice, resources),
            is_here=_is_here(choice),
            client=opened.client,
            workers_return=opened.workers_return,
        )


def _plan_on(prepared: PreparedRun, cluster: Cluster, asked: WorkerOptions, machine: Machine) -> Plan | None:
    """Plan for the first of the expected workers that the run fits into."""
    refused: MemoryLimitError | None = None
    for resources in cluster.expected_resources(asked, machine):
        try:
            return _plan(prepared, resources)
        except MemoryLimitError as error:
            refused = error
    if refused is not None:
        raise refused
    return None


def _plan(prepared: PreparedRun, resources: Resources) -> Plan:
    return make_plan(prepared.model_config, prepared.workload, prepared.config, resources)


def _where(choice: Choice, resources: Resources) -> str:
    if choice.cluster is None:
        return f"this process{choice.note}"
    workers = _counted(resources.num_workers, "worker")
    return f"{workers} × {_counted(resources.threads_per_worker, 'thread')} on {choice.cluster.title}{choice.note}"


def _is_here(choice: Choice) -> bool:
    return choice.cluster is None or choice.cluster.title.startswith(Auto.title)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""`tracin_dask.run`: the influences of all training triples, in this process or on a cluster."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracin_dask.clusters.cluster import Cluster
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ConfigError
from tracin_dask.launch.place import open_place
from tracin_dask.monitor.progress_bar import console_bars, run_progress
from tracin_dask.places.registry import place_of
from tracin_dask.report.result import InfluenceResult
from tracin_dask.resources import Resources, gpu_count, of_client, of_this_process, on_own_gpu
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution, carry_out
from tracin_dask.runs.inputs.resolve import TestTriples
from tracin_dask.runs.plan.plan import make_plan
from tracin_dask.runs.prepare import PreparedRun, prepare
from tracin_dask.runs.sinks.records import is_empty

if TYPE_CHECKING:
    from distributed import Client

    from tracin_dask.models.checkpoints.checkpoint import Checkpoint
    from tracin_dask.triples.store import TripleStore


def run(  # noqa: PLR0913 - what, how and where
    store: "TripleStore",
    checkpoints: "Checkpoint | Sequence[Checkpoint] | Sequence[Sequence[Checkpoint]]",
    test_triples: TestTriples | None = None,
    *,
    config: RunConfig | None = None,
    cluster: "str | Path | Cluster | None" = None,
    client: "Client | None" = None,
    execution: Execution | None = None,
    progress: bool = False,
) -> InfluenceResult:
    """Find the most influential training triples of each test triple, exactly, over all training triples.

    Without test triples, find the training triples of the largest self-influence. Of several checkpoints, influences
    are summed before they are ranked. Sequences of checkpoints are those of several trainings, over which influences
    are averaged.

    The run happens in this process, or on the workers of `client`, or on `cluster`: `"auto"`, `"local"`, `"cuda"`, a
    specification file such as `"slurm.yaml"`, the address of a scheduler, or a value such as
    `tracin_dask.clusters.local.Local(workers=2)`. Workers that are started for the run are stopped at its end. A script
    that starts workers on this machine needs `if __name__ == "__main__":`, since they import it.

    Test triples are ids or labels: rows (head, relation, tail), an array, or a table with the columns `head`,
    `relation` and `tail`, such as one of pandas. `progress` shows a bar on a terminal and in a notebook (which needs
    ipywidgets), and else prints a line to standard error every half minute.

    Raises
    ------
    CheckpointError
        If a checkpoint does not fit the id maps of the store, or several are not models of one training.
    ClusterError
        If the cluster cannot be started or reached, or is lost during the run.
    ConfigError
        If options contradict each other, or a test triple is not of this graph.
    MemoryLimitError
        If the run cannot fit into the memory of a worker.
    NonFiniteError
        If an influence is NaN or infinite.
    ResumeError
        If the record directory belongs to another run.
    ScoresError
        If all influences are to be saved where something else is, or where they cannot be written.
    """
    execution = execution or Execution()
    chosen = _cluster(cluster)
    _refuse_two_places(chosen, client, execution)
    prepared = prepare(store, checkpoints, test_triples, config=config)
    with _with_progress(execution, progress=progress) as shown:
        return _run(prepared, chosen, client, shown)


def _run(
    prepared: PreparedRun, chosen: Cluster | None, client: "Client | None", execution: Execution
) -> InfluenceResult:
    if chosen is None:
        return _run_here(prepared, client, execution)
    with open_place(prepared, chosen, execution.workers, patience=execution.patience) as place:
        execution = replace(execution, workers_return=place.workers_return)
        return carry_out(prepared, place.plan, client=place.client, execution=execution)


@contextmanager
def _with_progress(execution: Execution, *, progress: bool) -> Iterator[Execution]:
    """Show the progress of a run, where that is wanted."""
    if not progress:
        yield execution
        return
    if execution.progress is not None:
        raise ConfigError("progress=True and Execution.progress both show the progress; give only one of them")
    folder = None if execution.record_directory is None else place_of(execution.record_directory)
    is_resumed = folder is not None and not execution.restart and not is_empty(folder)
    with run_progress(is_resumed=is_resumed, say=_say, bars=console_bars()) as report:
        yield replace(execution, progress=report)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _cluster(cluster: "str | Path | Cluster | None") -> Cluster | None:
    """Parse what is given as text; a path is that of a specification or scheduler file."""
    return parse_cluster(str(cluster)) if isinstance(cluster, str | Path) else cluster


def _refuse_two_places(cluster: Cluster | None, client: "Client | None", execution: Execution) -> None:
    if cluster is None:
        return
    if client is not None:
        raise ConfigError("cluster and client both say where to run; give only one of them")
    if execution.resources is not None:
        raise ConfigError(
            "cluster and Execution.resources both state workers; give Execution.workers=WorkerOptions(...) to choose "
            "their number and size"
        )


def _of_this_process(prepared: PreparedRun) -> Resources:
    """Give what this process may use, with its GPU where the run computes on it."""
    found = of_this_process()
    return on_own_gpu(found) if prepared.config.computing.device != "cpu" and gpu_count() else found


def _run_here(prepared: PreparedRun, client: "Client | None", execution: Execution) -> InfluenceResult:
    """Run in this process or on the workers of a client."""
    if execution.workers.workers is not None:
        raise ConfigError("Execution.workers asks for a number of workers, and this run starts none; give a cluster")
    found = execution.resources or (_of_this_process(prepared) if client is None else of_client(client))
    resources = execution.workers.applied_to(found)
    plan = make_plan(prepared.model_config, prepared.workload, prepared.config, resources)
    return carry_out(prepared, plan, client=client, execution=execution)

"""A Dask cluster that this process starts, until it is closed: however the run ends, closing takes bounded time."""

import logging
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

import psutil
from distributed import Client, Nanny
from distributed.diskutils import WorkSpace
from distributed.utils import LoopRunner

from tracin_dask.clusters.news import QuietEnd, hide_late_workers, hide_lost_clients
from tracin_dask.errors import ClusterError
from tracin_dask.monitor.origins import refuse_foreign_pages
from tracin_dask.patience import Patience

logger = logging.getLogger(__name__)

DaskCluster = Any
"""One of Dask's clusters, or its class: Dask has no types."""
OF_THE_COMMAND = (signal.SIGINT, signal.SIGTERM)
"""Signals that a terminal or a batch system sends to all processes of a group."""
KILL_SECONDS = 2.0
"""How long the system may take to end killed processes."""


@contextmanager
def started(
    kind: DaskCluster, options: Mapping[str, Any], *, title: str, patience: Patience
) -> Iterator[tuple[DaskCluster, Client]]:
    """Start a cluster and give it with its client, which computes nothing else of this process.

    Both are closed at the end. What goes wrong then is only logged: the results of the run are there. Worker processes
    do not see the signals that end this process, which closes them; else each of them would print an error of its own.

    Raises
    ------
    ClusterError
        If the cluster does not start.
    """
    runner = _start_loop()
    cluster, client = kind.__new__(kind), None  # known even if the start is interrupted
    seconds = patience.close_seconds
    try:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Port .* is already in use", category=UserWarning)
                with patience.telling(f"{title}: not all workers have started yet; the run waits for them"):
                    cluster.__init__(loop=runner.loop, **options)
            refuse_foreign_pages(cluster.scheduler)
            client = Client(cluster, set_as_default=False)
            client.register_plugin(QuietEnd())
        except (ValueError, RuntimeError, OSError) as error:
            raise ClusterError(f"{title}: the workers did not start: {_named(error)}") from error
        yield cluster, client
    except (KeyboardInterrupt, SystemExit):
        seconds = patience.stop_seconds
        _kill_workers(cluster)  # nobody wants what they are doing
        raise
    finally:
        with ExitStack() as steps:  # each is taken, even if another is interrupted
            steps.callback(_purge_scratch, cluster)
            steps.callback(runner.stop, timeout=patience.stop_seconds)
            steps.callback(_close_cluster, cluster, seconds)
            if client is not None:
                steps.callback(close_client, client, seconds)


def close_client(client: Client, seconds: float) -> None:
    """Close the connection to a scheduler, or leave it if that takes too long."""
    hide_lost_clients()  # Dask may give up after this returns
    try:
        client.close(timeout=seconds)
    except Exception as error:  # noqa: BLE001 - whatever Dask cannot end, the results of the run are there
        logger.warning("the connection to the scheduler could not be closed (%s)", _named(error))


def _start_loop() -> LoopRunner:
    """Start the thread of a cluster; it and the processes that it starts leave signals to the main thread."""
    resource_tracker.ensure_running()  # whose start would unblock signals in the thread of the cluster
    runner = LoopRunner()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_COMMAND)
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return runner


def _close_cluster(cluster: DaskCluster, seconds: float) -> None:
    """Close a cluster, and kill the workers that do not end in time."""
    hide_late_workers()
    try:
        cluster.close(timeout=seconds)
    except (KeyboardInterrupt, SystemExit):
        _give_up(cluster)
        raise
    except Exception as error:  # noqa: BLE001 - whatever Dask cannot end, the results of the run are there
        _give_up(cluster)
        logger.warning("the workers did not end in time and were killed (%s)", _named(error))


def _give_up(cluster: DaskCluster) -> None:
    """Kill the workers of a cluster that does not close; Dask would wait for it again when Python exits."""
    _kill_workers(cluster)
    cluster.shutdown_on_close = False


def _kill_workers(cluster: DaskCluster) -> None:
    """Kill worker processes without a restart, and wait until they are gone; jobs of a batch system are left to it."""
    killed = []
    for nanny in _nannies(cluster):
        nanny.close_gracefully()
        with suppress(psutil.NoSuchProcess):
            killed += [psutil.Process(nanny.pid)] if nanny.pid else []
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed, timeout=KILL_SECONDS)


def _purge_scratch(cluster: DaskCluster) -> None:
    """Remove what killed workers left on disk, which Dask does when it makes a folder in the same place."""
    for folder in {nanny.local_directory for nanny in _nannies(cluster)}:
        WorkSpace(folder).new_work_dir(prefix="purge-").release()


def _nannies(cluster: DaskCluster) -> list[Nanny]:
    """Give the parents of all worker processes, of those that are just starting, too."""
    return [worker for worker in getattr(cluster, "_created", ()) if isinstance(worker, Nanny)]


def _named(error: Exception) -> str:
    """Give the message of an error; some have none."""
    return str(error) or type(error).__name__

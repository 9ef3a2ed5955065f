"""Worker processes on this machine."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster

LOOPBACK = "127.0.0.1"
DASHBOARD_PORT = 8787


@contextmanager
def local_cluster(num_workers: int, memory_bytes: int) -> Iterator[Client]:
    """Start worker processes with one Dask thread each, and stop them at the end.

    `memory_bytes` is the limit of one worker. Scheduler and dashboard listen on the loopback interface only; the
    dashboard takes another port where 8787 is in use.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Port .* is already in use", category=UserWarning)
        cluster = LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            memory_limit=memory_bytes,
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:{DASHBOARD_PORT}",
        )
    with cluster, Client(cluster) as client:
        yield client

"""Worker processes on this machine."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster

from tracin_dask.clusters.spec import LocalSpec

LOOPBACK = "127.0.0.1"
SELDOM = {"distributed.admin.tick.interval": "200ms", "distributed.worker.profile.interval": "100ms"}
"""What Dask's processes do 50 and 100 times a second otherwise takes CPU from workers that use all there is."""


@contextmanager
def local_cluster(
    num_workers: int, memory_bytes: int, spec: LocalSpec, *, preload: Sequence[str] = ()
) -> Iterator[Client]:
    """Start worker processes with one Dask thread each, and stop them at the end.

    `memory_bytes` is the limit of one worker; `preload` names modules that its tasks need: they are imported while it
    starts. The scheduler listens on the loopback interface only; the dashboard takes another port where the stated one
    is in use.
    """
    with warnings.catch_warnings(), dask.config.set(SELDOM):
        warnings.filterwarnings("ignore", message="Port .* is already in use", category=UserWarning)
        cluster = LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            memory_limit=memory_bytes,
            host=LOOPBACK,
            dashboard_address=spec.dashboard_address,
            local_directory=spec.scratch,
            preload=list(preload),
        )
    with cluster, Client(cluster) as client:
        yield client

"""The client of a cluster that this process started, until both are closed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, SpecCluster

logger = logging.getLogger(__name__)


@contextmanager
def client_of(cluster: SpecCluster) -> Iterator[Client]:
    """Give a client, which computes nothing else of this process, and close it and the cluster at the end.

    A worker process that needs more than 5 seconds to end is killed, and Dask raises `TimeoutError` if even that takes
    long. It is only logged: the results of the run are there, and Dask closes the cluster again when Python exits.
    """
    try:
        with Client(cluster, set_as_default=False) as client:
            yield client
    finally:
        try:
            cluster.close()
        except TimeoutError:
            logger.warning("the workers took too long to end and were killed")

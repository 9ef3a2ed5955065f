"""A cluster that somebody else started, by its scheduler's address or its scheduler file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from tracin_dask.errors import ClusterError

TIMEOUT_SECONDS = 30


@contextmanager
def running_cluster(address: str) -> Iterator[Client]:
    """Connect to a scheduler and wait for its first worker; the cluster is left running.

    Raises
    ------
    ClusterError
        If the scheduler does not answer, or has no worker.
    """
    is_file = address.endswith(".json")
    if is_file and not Path(address).is_file():
        raise ClusterError(f"{address}: no such scheduler file; `dask scheduler --scheduler-file {address}` writes one")
    try:
        client = Client(scheduler_file=address, timeout=TIMEOUT_SECONDS) if is_file else _connect(address)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {address} within {TIMEOUT_SECONDS} s ({error}); start one with `dask scheduler` "
            "and workers with `dask worker ADDRESS --nthreads 1`, or check the address"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise ClusterError(
                f"the scheduler at {address} has no workers after {TIMEOUT_SECONDS} s; "
                "start some with `dask worker ADDRESS --nthreads 1`"
            ) from error
        yield client


def _connect(address: str) -> Client:
    return Client(address, timeout=TIMEOUT_SECONDS)

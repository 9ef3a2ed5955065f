"""A cluster that somebody else started, by its scheduler's address or its scheduler file."""

import json
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
    scheduler = _address_in(Path(address)) if address.endswith(".json") else address
    try:
        client = Client(scheduler, timeout=TIMEOUT_SECONDS)
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


def _address_in(scheduler_file: Path) -> str:
    try:
        return str(json.loads(scheduler_file.read_text())["address"])
    except FileNotFoundError as error:
        raise ClusterError(
            f"{scheduler_file}: no such scheduler file; `dask scheduler --scheduler-file {scheduler_file}` writes one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"{scheduler_file}: not the scheduler file of a Dask cluster ({error!r}); "
            f"`dask scheduler --scheduler-file {scheduler_file}` writes one"
        ) from error

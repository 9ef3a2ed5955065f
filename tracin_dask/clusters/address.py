"""A cluster that somebody else started, by its scheduler's address or its scheduler file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from tracin_dask.clusters.spec import AddressSpec
from tracin_dask.errors import ClusterError

TIMEOUT_SECONDS = 30
MINUTE = 60
"""In seconds."""


@contextmanager
def running_cluster(spec: AddressSpec) -> Iterator[Client]:
    """Connect to a scheduler and wait for its workers; the cluster is left running.

    Raises
    ------
    ClusterError
        If the scheduler does not answer, or has not the workers that were stated.
    """
    address = spec.address
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
            client.wait_for_workers(spec.workers, timeout=MINUTE * spec.wait_minutes)
        except TimeoutError as error:
            there = len(client.scheduler_info(n_workers=-1)["workers"])
            raise ClusterError(
                f"the scheduler at {address} has {there or 'no'} worker(s) after {spec.wait_minutes} minute(s), "
                f"not {spec.workers}; start some with `dask worker ADDRESS --nthreads 1`"
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

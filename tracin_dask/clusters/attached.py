"""A client of a scheduler that runs elsewhere, and the wait for its workers."""

import logging
import time
import warnings
from collections.abc import Callable

from distributed import Client
from distributed.versions import VersionMismatchWarning

from tracin_dask.clusters.scheduler_probe import refuse_no_scheduler
from tracin_dask.errors import ClusterError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
"""How long a scheduler may take to say who it is, and again to take this process as a client."""
DASHBOARD_LINK = "distributed.dashboard.link"
"""Dask's setting for where the dashboard is found, which the client of a remote scheduler cannot know."""
EXPLAIN_SECONDS = 30
"""How often it is said what is waited for."""
MINUTE = 60
"""In seconds."""


def attached_client(address: str) -> Client:
    """Connect to a scheduler, without Dask's own table of versions: they are compared later.

    Raises
    ------
    ClusterError
        If no scheduler answers there in time.
    """
    refuse_no_scheduler(address, TIMEOUT_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)
            return Client(address, timeout=TIMEOUT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ClusterError(
            f"the scheduler at {address} takes no clients ({error}); start it again, or look at its messages"
        ) from error


def wait_for_attached(client: Client, number: int, minutes: int, *, states: Callable[[], str]) -> None:
    """Wait for so many workers, and say every half minute in which states they are.

    Raises
    ------
    ClusterError
        If they do not come in time.
    """
    deadline = time.monotonic() + MINUTE * minutes
    while (left := deadline - time.monotonic()) > 0:
        try:
            client.wait_for_workers(number, timeout=min(left, EXPLAIN_SECONDS))
        except TimeoutError:
            logger.warning("waiting for workers: %s", states())
        else:
            return
    there = len(client.scheduler_info(n_workers=-1)["workers"])
    raise ClusterError(f"{there or 'no'} of {number} worker(s) after {minutes} minute(s); {states()}")

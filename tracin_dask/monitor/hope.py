"""Waits for tasks as long as there is hope for them, and says in words what happened to a cluster."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed

from tracin_dask.errors import ClusterError, TracInDaskError

CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)
"""Dask raises the one or the other for tasks that are lost with their scheduler."""
WAIT_SECONDS = 0.5
"""How long to wait for tasks before looking whether the cluster is still there."""


def finished(
    client: Client, futures: "Collection[Future[Any]]", look: Callable[[], None], *, with_results: bool = False
) -> Iterator[Any]:
    """Give each task when it has ended, or the pair of it and its outcome; `look` raises if the cluster is gone."""
    waiting = as_completed(futures, with_results=with_results, loop=client.loop)
    while not waiting.is_empty():
        if waiting.has_ready():
            yield next(waiting)
        else:
            with waiting.thread_condition:
                waiting.thread_condition.wait(timeout=WAIT_SECONDS)
            look()


@contextmanager
def explained(client: Client, remedy: str, lost: Callable[[], ClusterError]) -> Iterator[None]:
    """Say in words what happened to the cluster within the block.

    Raises
    ------
    ClusterError
        If workers die again and again at the same task, with the remedy; or what `lost` gives, if the cluster is lost.
    """
    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            f"workers died repeatedly at the same task ({error}); most often they ran out of memory: {remedy}"
        ) from error
    except TracInDaskError:
        raise
    except (*CANCELLED, Exception) as error:
        if isinstance(error, CANCELLED) or client.status != "running":  # Dask raises this and that then
            raise lost() from error
        raise

"""Functions that the workers of a Dask client call: submitted, and waited for as long as there is hope."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
from distributed import Client, Future, KilledWorker, as_completed

from tracin_dask.errors import ClusterError, TracInDaskError
from tracin_dask.monitor.watch import Watch

OutT = TypeVar("OutT")
_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)
"""Dask raises the one or the other for tasks that are lost with their scheduler."""
_WAIT_SECONDS = 0.5
"""How long to wait for tasks before looking whether the cluster is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """Calls functions on workers; a task whose worker is lost is given to another one."""

    client: Client
    watch: Watch
    remedy: str
    """What to do where workers die or the cluster is lost."""

    def submit(self, function: Callable[..., Any], *arguments: object, first: bool = False) -> "Future[Any]":
        """Let a worker call a function; arguments may be what earlier calls will give.

        Calls that go first do so before all others whose arguments are there.
        """
        return self.client.submit(function, *arguments, pure=False, priority=int(first))

    def send(self, value: object) -> "Future[Any]":
        """Put a value into a call, which can be repeated: what is scattered is lost with the workers that hold it."""
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self.submit(_same, value)

    def finished(self, futures: "Sequence[Future[Any]]") -> "Iterator[Future[Any]]":
        """Give each call when it has ended, whatever came of it.

        Raises
        ------
        ClusterError
            If the cluster is lost.
        """
        waiting = as_completed(futures, loop=self.client.loop)
        while not waiting.is_empty():
            if waiting.has_ready():
                yield next(waiting)
                continue
            with waiting.thread_condition:
                waiting.thread_condition.wait(timeout=_WAIT_SECONDS)
            with self._explained():
                self.watch.check()

    def result(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the function gives
        """Wait for what a call gives, and raise what it raises.

        Raises
        ------
        ClusterError
            If the cluster is lost, or workers die again and again at this call.
        """
        for _ in self.finished([future]):
            pass
        with self._explained():
            return future.result()

    def fetch(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the function gives
        """Wait as `result`, and let the workers forget it: it is not computed again where they are lost."""
        found = self.result(future)
        future.release()
        return found

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KilledWorker as error:
            raise ClusterError(
                f"workers died repeatedly at the same task ({error}); most often they ran out of memory: {self.remedy}"
            ) from error
        except ClusterError as error:
            raise ClusterError(f"the scheduler or all workers are gone; {self.remedy}") from error
        except TracInDaskError:
            raise
        except (*_CANCELLED, Exception) as error:
            if isinstance(error, _CANCELLED) or self.client.status != "running":  # Dask raises this and that then
                raise ClusterError(f"the cluster is lost; {self.remedy}") from error
            raise


def _same(value: OutT) -> OutT:
    return value

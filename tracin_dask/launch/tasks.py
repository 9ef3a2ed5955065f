"""Functions that the workers of a Dask client call: submitted, and waited for as long as there is hope."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
from distributed import Client, Future

from tracin_dask.errors import ClusterError
from tracin_dask.monitor.hope import explained, finished
from tracin_dask.monitor.watch import Watch

OutT = TypeVar("OutT")


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
        yield from finished(self.client, futures, self._look)

    def result(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the function gives
        """Wait for what a call gives, and raise what it raises.

        Raises
        ------
        ClusterError
            If the cluster is lost, or workers die again and again at this call.
        """
        for _ in self.finished([future]):
            pass
        with explained(self.client, self.remedy, lambda: ClusterError(f"the cluster is lost; {self.remedy}")):
            return future.result()

    def fetch(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the function gives
        """Wait as `result`, and let the workers forget it: it is not computed again where they are lost."""
        found = self.result(future)
        future.release()
        return found

    def _look(self) -> None:
        try:
            self.watch.check()
        except ClusterError as error:
            raise ClusterError(f"the scheduler or all workers are gone; {self.remedy}") from error


def _same(value: OutT) -> OutT:
    return value

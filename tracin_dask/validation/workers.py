"""Where the work of a study happens: in this process, or on the workers of a Dask client."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tracin_dask.errors import ClusterError
from tracin_dask.resources import cpu_count
from tracin_dask.types import Progress

if TYPE_CHECKING:
    from distributed import Client

SharedT = TypeVar("SharedT")
ItemT = TypeVar("ItemT")
OutT = TypeVar("OutT")
RETRIES = 3
"""How often work is given to another worker when its own is lost."""


def no_progress(_done: int, _total: int) -> None:
    """Report no progress."""


def say_nothing(_text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The workers of a study, and who hears of its progress."""

    client: "Client | None" = None
    """None for this process."""
    number: int = 1
    threads: int = 0
    """Threads of each; 0 for the CPUs of this process."""
    on_gpus: bool = False
    """Whether they train on GPUs, which take more models at a time."""
    progress: Progress = no_progress
    """Called with (trainings done, all trainings)."""
    say: Callable[[str], None] = say_nothing
    """Called with what a user should know."""

    @property
    def num_threads(self) -> int:
        """Count the threads of each worker."""
        return self.threads or cpu_count()

    def each(
        self, function: Callable[[SharedT, ItemT, int], OutT], shared: SharedT, items: Sequence[ItemT]
    ) -> Iterator[tuple[int, OutT]]:
        """Call `function(shared, item, threads)` for every item, and give each index and outcome when it is there.

        Raises
        ------
        ClusterError
            If the cluster loses the work.
        """
        if self.client is None:
            for index, item in enumerate(items):
                yield index, function(shared, item, self.num_threads)
        elif items:
            yield from _on_client(self.client, lambda: _submitted(self, function, shared, items))


def _submitted(
    workers: Workers, function: Callable[[SharedT, ItemT, int], OutT], shared: SharedT, items: Sequence[ItemT]
) -> dict[object, int]:
    """Hand out all work; what is shared is sent once, as the outcome of a task that can be repeated."""
    assert workers.client is not None  # noqa: S101 - the caller has a client
    everywhere = workers.client.submit(_same, shared, pure=False)
    threads = workers.num_threads
    return {
        workers.client.submit(function, everywhere, item, threads, pure=False, retries=RETRIES): index
        for index, item in enumerate(items)
    }


def _on_client(client: "Client", submit: Callable[[], dict[object, int]]) -> Iterator[tuple[int, OutT]]:
    import asyncio  # noqa: PLC0415 - only clusters need it
    import concurrent.futures  # noqa: PLC0415 - only clusters need it

    from distributed import KilledWorker, as_completed  # noqa: PLC0415 - distributed is slow to import

    try:
        places = submit()
        for future, outcome in as_completed(places, with_results=True, loop=client.loop):
            yield places.pop(future), outcome
    except (KilledWorker, OSError, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
        raise ClusterError(
            f"the cluster lost the work of the study ({type(error).__name__}: {error}); finished trainings are kept: "
            "give the same command again"
        ) from error


def _same(shared: SharedT) -> SharedT:
    return shared

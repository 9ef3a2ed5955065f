"""Makes what is needed next in a thread of its own, while the thread that scores uses what is there."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from tracin_dask.runs.plan.plan import Rows

Item = TypeVar("Item")


def one_ahead(items: Generator[Item, None, None], thread: str) -> Iterator[Item]:
    """Make each item, none of them None, in a thread while the one before is used; no more than these two are held."""
    with closing(items), ThreadPoolExecutor(max_workers=1, thread_name_prefix=thread) as maker:
        ahead = maker.submit(next, items, None)
        while (item := ahead.result()) is not None:
            ahead = maker.submit(next, items, None)
            yield item


def read_ahead(read: Callable[[int, int], Item], rows: Rows, step: int) -> Iterator[Item]:
    """Read rows block by block, the next one in a thread of its own while this one is scored.

    Reading takes a tenth of the time of one test triple, and more where the store is far away.
    """
    start, stop = rows
    return one_ahead((read(at, min(at + step, stop)) for at in range(start, stop, step)), "read-ahead")

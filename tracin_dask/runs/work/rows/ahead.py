"""Makes what is needed next in a thread of its own, while the thread that scores uses what is there."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

import torch

from tracin_dask.influence import devices
from tracin_dask.runs.plan.plan import Rows

Item = TypeVar("Item")


def one_ahead(items: Generator[Item, None, None], thread: str) -> Iterator[Item]:
    """Make each item, none of them None, in a thread while the one before is used; no more than these two are held."""
    with closing(items), ThreadPoolExecutor(max_workers=1, thread_name_prefix=thread) as maker:
        ahead = maker.submit(next, items, None)
        while (item := ahead.result()) is not None:
            ahead = maker.submit(next, items, None)
            yield item


def indexed_ahead(items: Generator[Item, None, None], device: torch.device) -> Iterator[Item]:
    """Make what batches need in a thread while a GPU scores the one before.

    On a CPU it is made in turn: a thread more than cores would hold up all threads that share a product.
    """
    return one_ahead(items, "index-ahead") if devices.computes_ahead(device) else items


def read_ahead(read: Callable[[int, int], Item], rows: Rows, step: int, ahead: int = 1) -> Iterator[Item]:
    """Read rows block by block, the next ones in threads of their own while this one is scored.

    Reading takes a tenth of the time of one test triple, and more where the store is far away: `ahead` blocks are then
    read at the same time.
    """
    start, stop = rows
    starts = iter(range(start, stop, step))
    with ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="read-ahead") as reader:

        def begin(number: int) -> list[Future[Item]]:
            return [reader.submit(read, at, min(at + step, stop)) for at in islice(starts, number)]

        blocks = deque(begin(ahead))
        while blocks:
            block = blocks.popleft().result()
            blocks.extend(begin(1))
            yield block

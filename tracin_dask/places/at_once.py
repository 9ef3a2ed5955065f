"""Does something with several files at the same time: one after another, each would wait for the place it lies in."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
AT_ONCE = 16
"""Files. A store that answers after 100 ms then takes 160 a second."""


def at_once(do: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """Give what `do` gives for each item, in the items' order, while it does the next ones in threads.

    At most `AT_ONCE` items are taken ahead. An error of `do` is raised here; what has begun ends first.
    """
    ahead = deque[Future[Answer]]()
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="at-once") as pool:
        try:
            for item in items:
                ahead.append(pool.submit(do, item))
                if len(ahead) == AT_ONCE:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

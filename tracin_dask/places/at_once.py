"""Does something with several files of an object store at the same time: one after another, each would wait for it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tracin_dask.places.place import Place

Item = TypeVar("Item")
Answer = TypeVar("Answer")
AT_ONCE = 16
"""Files. A store that answers after 100 ms then takes 160 a second."""


def at_once(do: Callable[[Item], Answer], items: Iterable[Item], folder: Place) -> Iterator[Answer]:
    """Give what `do` gives for each item, a file in `folder`, in the items' order, while it does the next in threads.

    At most `AT_ONCE` items are taken ahead. An error of `do` is raised here; what has begun ends first. In the file
    system, which answers sooner than threads take turns, they are done one after another.
    """
    if folder.local_path() is not None:
        yield from map(do, items)
        return
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

"""How this process gets its memory: freed blocks are kept for the next batch instead of returned to the system."""

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT_BYTES = (1 << 30, 32 << 20)
"""The first that the C library takes; older ones take no more than 32 MiB."""


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep and reuse the blocks that a batch frees; gives False where it cannot.

    A block that is returned comes back as fresh pages, which the system clears one by one at first touch: as slow as
    the arithmetic on it. Dask's nannies ask for early return (MALLOC_TRIM_THRESHOLD_), which this overrules. Peak
    memory stays what a batch takes. Only the GNU C library knows this call.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    options = (_MMAP_THRESHOLD, _TRIM_THRESHOLD)
    return all(any(set_option(option, size) == 1 for size in _LARGEST_KEPT_BYTES) for option in options)

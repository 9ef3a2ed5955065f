"""Sizes of memory as people write them."""

from tracin_dask.limits import MOST_BYTES


def bytes_of(text: str) -> int | None:
    """Read a size such as 16GiB; None if it is none, or larger than any memory."""
    from dask.utils import parse_bytes  # noqa: PLC0415 - Dask is slow to import

    if not text[:1].isdigit() and not text.startswith("."):  # Dask takes `GiB` for one of them
        return None
    try:
        size = int(parse_bytes(text))
    except (ValueError, OverflowError):
        return None
    return size if 1 <= size <= MOST_BYTES else None

"""The entities from which a walk of few training triples goes on, for many test triples at once."""

from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.triples.reach import Table, Walker


def open_within(walker: Walker, tests: Int64[ndarray, "test 3"], max_hops: int) -> Table:
    """Give the entities that a walk of fewer than `max_hops` triples from a test triple's head or tail may go on from.

    These are the head and the tail themselves, and what is reached from them through entities that walks may go
    through. A training triple is the last of a walk of at most `max_hops` triples if it starts at one of them.
    """
    found: Table = walker.table(tests[:, 0]) | walker.table(tests[:, 2])
    newest = found
    for hop in range(1, max_hops):
        newest = walker.passed(walker.ahead(newest, f"hop {hop} of {max_hops}")) & ~found
        if not newest.any():
            break
        found = found | newest
    return found

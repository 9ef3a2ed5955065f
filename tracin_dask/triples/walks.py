"""The entities on walks from the heads to the tails of many test triples at once, which may enter an entity twice."""

from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.triples.reach import Table, Walker, some


def walk_sets(walker: Walker, tests: Int64[ndarray, "test 3"], max_length: int) -> tuple[list[Table], list[Table]]:
    """Find the sets that tell which training triples lie on a walk of at most `max_length` triples.

    Gives, for each number of triples n below `max_length`, the entities at most n triples behind the head, and those at
    most n triples before the tail. A training triple lies on such a walk if and only if it leads from one of the n-th
    set of the first kind to one of the (max_length - 1 - n)-th of the second, for some n. Entities on no such walk are
    left out of all sets but those of the head and the tail themselves.
    """
    heads, tails = walker.table(tests[:, 0]), walker.table(tests[:, 2])
    always, behind, before = heads | tails, [heads], [tails]
    for length in range(1, max_length):
        rest = max_length - length
        near_tail, near_head = (some(sets[rest]) if rest < length else None for sets in (before, behind))
        reached = walker.ahead(behind[-1], f"{length} behind the heads", near_tail)
        reaching = walker.back(before[-1], f"{length} before the tails", near_head)
        for sets, found in ((behind, reached), (before, reaching)):
            ends = found & always  # walks may go through the head and the tail in any case
            sets.append(sets[-1] | walker.passed(found) | ends)
    return (
        [heads, *(behind[length] & before[max_length - length] for length in range(1, max_length))],
        [tails, *(before[length] & behind[max_length - length] for length in range(1, max_length))],
    )

"""The entities on simple paths from the heads to the tails of many test triples at once.

A simple path enters no entity twice. Up to four triples, h → a → b → c → t, a few sets of entities for each test triple
tell which training triples lie on one.
"""

from dataclasses import dataclass

from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.triples.reach import Table, Walker, counted_twice, some

LONGEST = 4
"""The longest paths that these sets describe."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathSets:
    """Sets of entities for each test triple; none has the head or the tail, but for those named after them."""

    head: Table
    """The head; nothing where head and tail are the same entity, since no simple path joins them."""
    tail: Table
    first: Table
    """What comes behind the head on some path."""
    last: Table
    """What comes before the tail on some path."""
    after_head: Table | None = None
    """What a triple joins to the head; None if no path has three triples."""
    before_tail: Table | None = None
    """What a triple joins to the tail."""
    middle: Table | None = None
    """What is one triple from `after_head` and one from `before_tail`; None if no path has four triples."""
    from_two: Table | None = None
    """Those of `middle` that are joined to two entities of `after_head`."""
    to_two: Table | None = None
    """Those of `middle` that are joined to two entities of `before_tail`."""
    both_ways: Int64[ndarray, " pair"] | None = None
    """Pairs, head · entities + tail, with triples both ways, where directed paths need them."""


def path_sets(walker: Walker, tests: Int64[ndarray, "test 3"], max_length: int) -> PathSets:
    """Find the sets that tell which training triples lie on a simple path of at most `max_length` triples."""
    differ = tests[:, 0] != tests[:, 2]
    head, tail = walker.table(tests[:, 0], differ), walker.table(tests[:, 2], differ)
    after = walker.passed(walker.ahead(head, "behind the heads")) & ~(head | tail)
    before = walker.passed(walker.back(tail, "before the tails")) & ~(head | tail)
    if max_length == 2:
        return PathSets(head=head, tail=tail, first=after & before, last=after & before)
    if max_length == 3:
        first = after & (before | walker.back(before, "from the heads on", some(after)))
        last = before & (after | walker.ahead(after, "up to the tails", some(before)))
        return PathSets(head=head, tail=tail, first=first, last=last, after_head=after, before_tail=before)
    return _of_four(walker, head, tail, after, before)


def _of_four(walker: Walker, head: Table, tail: Table, after: Table, before: Table) -> PathSets:
    """Find the sets for paths of up to four triples.

    The two triples in the middle of h → a → b → c → t lie on a simple path only if a and c can differ: b is joined to
    two entities before t, or to one that is not a.
    """
    from_one, from_two = _inside(walker, head, tail, after, ahead=True)
    to_one, to_two = _inside(walker, head, tail, before, ahead=False)
    middle = from_one & to_one
    first = after & (before | to_one | walker.back(middle, "from the heads on", some(after)))
    last = before & (after | from_one | walker.ahead(middle, "up to the tails", some(before)))
    return PathSets(
        head=head,
        tail=tail,
        first=first,
        last=last,
        after_head=after,
        before_tail=before,
        middle=middle,
        from_two=middle & from_two,
        to_two=middle & to_two,
        both_ways=walker.both_ways(some(after & before), "triples both ways") if walker.is_directed else None,
    )


def _inside(walker: Walker, head: Table, tail: Table, ends: Table, *, ahead: bool) -> tuple[Table, Table]:
    """Go one triple further than some ends; gives what is joined to one of them, and what is joined to two."""
    what = "two behind the heads" if ahead else "two before the tails"
    once, twice = counted_twice(ends, walker.pairs(some(ends), what, ahead=ahead))
    others = ~(head | tail)
    return walker.passed(once) & others, walker.passed(twice) & others

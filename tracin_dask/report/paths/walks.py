"""All simple paths between two entities through a list of triples, many at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.report.paths.options import PathOptions

GROWN_TOGETHER = 1 << 18
"""Walks that are made at once: bounds the memory of a search, not its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walks:
    """Walks of equally many hops."""

    entries: Int[ndarray, "walk hop"]
    """The triple of each hop, by its place in the list."""
    backwards: Bool[ndarray, "walk hop"]
    """Whether it is walked from its tail to its head."""
    nodes: Int[ndarray, "walk node"]
    """One more than there are hops."""

    def __len__(self) -> int:
        """Count the walks."""
        return len(self.nodes)

    def take(self, chosen: ndarray | slice) -> "Walks":
        """Keep the chosen walks (a mask, a slice, or indices in the wanted order)."""
        return Walks(entries=self.entries[chosen], backwards=self.backwards[chosen], nodes=self.nodes[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class Arcs:
    """The triples as steps from one entity to another, ordered by where they start; entities are numbered from 0."""

    start: Int[ndarray, " node_and_end"]
    """The first arc of each entity, and the number of all arcs."""
    source: Int[ndarray, " arc"]
    target: Int[ndarray, " arc"]
    entry: Int[ndarray, " arc"]
    backwards: Bool[ndarray, " arc"]

    def hops_to(self, node: int, most: int) -> Int[ndarray, " node"]:
        """Count the hops of the shortest walk from each entity to one; more than `most` where there is none."""
        hops = np.full(len(self.start) - 1, most + 1)
        hops[node] = 0
        for number in range(1, most + 1):
            reaching = self.source[hops[self.target] == number - 1]
            hops[reaching] = np.minimum(hops[reaching], number)
        return hops


def simple_paths(triples: Int[ndarray, "entry 3"], head: int, tail: int, options: PathOptions) -> Iterator[Walks]:
    """Yield all paths from `head` to `tail` that visit no entity twice, in batches of equally many hops, in any order.

    Parallel triples make different paths. Triples from an entity to itself are on no path.
    """
    ids, numbers = np.unique(np.concatenate([triples[:, [0, 2]].ravel(), [head, tail]]), return_inverse=True)
    *_, first, last = numbers.tolist()
    if first == last:
        return
    arcs = _arcs(numbers[:-2].reshape(-1, 2), len(ids), directed=options.directed)
    none = np.empty((1, 0), np.int64)
    start = Walks(entries=none, backwards=none.astype(bool), nodes=np.array([[first]]))
    hops_left = arcs.hops_to(last, options.most_hops)
    for found in _continued(start, arcs, hops_left, options):
        yield Walks(entries=found.entries, backwards=found.backwards, nodes=ids[found.nodes])


def _arcs(ends: Int[ndarray, "entry 2"], num_nodes: int, *, directed: bool) -> Arcs:
    entries = np.flatnonzero(ends[:, 0] != ends[:, 1])
    source, target = ends[entries].T
    backwards = np.zeros(len(entries), bool)
    if not directed:
        source, target = np.concatenate([source, target]), np.concatenate([target, source])
        entries, backwards = np.tile(entries, 2), np.repeat([False, True], len(entries))
    order = np.argsort(source, kind="stable")
    start = np.searchsorted(source[order], np.arange(num_nodes + 1))
    return Arcs(
        start=start, source=source[order], target=target[order], entry=entries[order], backwards=backwards[order]
    )


def _continued(walks: Walks, arcs: Arcs, hops_left: Int[ndarray, " node"], options: PathOptions) -> Iterator[Walks]:
    """Continue walks to their ends: depth first, so that few are held at once."""
    degree = np.diff(arcs.start)[walks.nodes[:, -1]]
    size = max(1, GROWN_TOGETHER // max(1, int(degree.max(initial=0))))
    for first in range(0, len(walks), size):
        grown = _grown(walks.take(slice(first, first + size)), arcs)
        done, left = hops_left[grown.nodes[:, -1]], options.most_hops - grown.entries.shape[1]
        if grown.entries.shape[1] >= options.fewest_hops:
            yield grown.take(done == 0)
        if left:
            yield from _continued(grown.take((done > 0) & (done <= left)), arcs, hops_left, options)


def _grown(walks: Walks, arcs: Arcs) -> Walks:
    """Make each walk one hop longer in all ways that lead to an entity which it has not visited."""
    begin, end = arcs.start[walks.nodes[:, -1]], arcs.start[walks.nodes[:, -1] + 1]
    number = end - begin
    walk = np.repeat(np.arange(len(walks)), number)
    arc = np.arange(number.sum()) + np.repeat(begin - np.cumsum(number) + number, number)
    is_new = (walks.nodes[walk] != arcs.target[arc][:, None]).all(axis=1)
    walk, arc = walk[is_new], arc[is_new]
    return Walks(
        entries=np.column_stack([walks.entries[walk], arcs.entry[arc]]),
        backwards=np.column_stack([walks.backwards[walk], arcs.backwards[arc]]),
        nodes=np.column_stack([walks.nodes[walk], arcs.target[arc]]),
    )

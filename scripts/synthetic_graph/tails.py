"""Distinct tails for each group of a head and a relation: popular ones often, hubs in most groups."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic_graph.entities import Entities

_POPULAR_ROUNDS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Popularity:
    """The entities of each type by popularity: those of type t are `ranking[starts[t] : starts[t + 1]]`."""

    ranking: NDArray[np.int64]
    starts: NDArray[np.int64]
    exponent: float

    @classmethod
    def draw(cls, entities: Entities, exponent: float, random: np.random.Generator) -> "Popularity":
        """Rank the entities of every type at random."""
        pieces = [
            start + random.permutation(size)
            for start, size in zip(entities.starts[:-1].tolist(), entities.sizes.tolist(), strict=True)
        ]
        return cls(ranking=np.concatenate(pieces), starts=entities.starts, exponent=exponent)

    def draw_tails(self, types: NDArray[np.int64], random: np.random.Generator, *, popular: bool) -> NDArray[np.int64]:
        """Draw one entity of each of these types, by popularity or evenly."""
        first = self.starts[types]
        sizes = self.starts[types + 1] - first
        uniform = random.random(len(types))
        ranks = _power_law_ranks(uniform, sizes, self.exponent) if popular else uniform * sizes
        return self.ranking[first + np.minimum(ranks.astype(np.int64), sizes - 1)]


def _power_law_ranks(uniform: NDArray[np.float64], sizes: NDArray[np.int64], exponent: float) -> NDArray[np.float64]:
    """Turn uniform numbers into ranks r from 0 to `sizes` with a density ∝ (r + 1)^-exponent, by its inverse."""
    power = 1 - exponent
    if abs(power) < 1e-6:
        return (sizes + 1.0) ** uniform - 1
    return (1 + uniform * ((sizes + 1.0) ** power - 1)) ** (1 / power) - 1


def draw_distinct_tails(
    heads: NDArray[np.int64],
    tail_types: NDArray[np.int64],
    sizes: NDArray[np.int64],
    popularity: Popularity,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw `sizes[g]` distinct tails of the type `tail_types[g]` for each group g, none of them its head.

    What repeats is drawn again: by popularity in the first rounds, then evenly, so that it ends soon. No group may
    ask for more than half of its type.

    Returns
    -------
    group, tail
        One row per tail, ascending.
    """
    bits = int(popularity.starts[-1]).bit_length()
    taken = np.empty(0, dtype=np.int64)
    missing = sizes
    draw = 0
    while missing.any():
        group = np.repeat(np.arange(len(sizes)), missing)
        tail = popularity.draw_tails(tail_types[group], random, popular=draw < _POPULAR_ROUNDS)
        found = (group << bits | tail)[tail != heads[group]]
        taken = _merge(taken, found)
        missing = sizes - np.bincount(taken >> bits, minlength=len(sizes))
        draw += 1
    return taken >> bits, taken & ((1 << bits) - 1)


def _merge(taken: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join two lists of keys, the first ascending and distinct, into one that is both."""
    found = np.unique(found)
    if not len(taken):
        return found
    places = np.searchsorted(taken, found)
    new = taken[np.minimum(places, len(taken) - 1)] != found
    return np.insert(taken, places[new], found[new])

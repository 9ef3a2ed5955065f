"""How many triples entities have, and which entities are connected at all."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int64
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NUM_HUBS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Degrees:
    """The number of triples that touch each entity; a triple of an entity with itself counts once.

    Entities without triples do not count for the minimum, the median and so on.
    """

    of_entity: Int64[ndarray, " entity"]
    least: int
    median: float
    mean: float
    percentile_90: float
    percentile_99: float
    most: int
    hubs: Int64[ndarray, " hub"]
    """The entities with the most triples, the largest first."""

    @property
    def unused(self) -> Int64[ndarray, " entity"]:
        """The entities that no triple has."""
        return np.flatnonzero(self.of_entity == 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """Parts of the graph between which no path leads, whatever the direction of triples; the largest first."""

    entities: Int64[ndarray, " component"]
    """The number of entities of each."""
    examples: Int64[ndarray, " component"]
    """An entity of each: the one with the lowest id."""


def degrees_of(triples: Int[ndarray, "row 3"], num_entities: int) -> Degrees:
    """Count the triples of each entity; there is at least one triple."""
    heads, tails = triples[:, 0], triples[:, 2]
    count = np.bincount(heads, minlength=num_entities) + np.bincount(tails, minlength=num_entities)
    count -= np.bincount(heads[heads == tails], minlength=num_entities)
    used = count[count > 0]
    hubs = np.argsort(-count, kind="stable")[:NUM_HUBS]
    return Degrees(
        of_entity=count,
        least=int(used.min()),
        median=float(np.median(used)),
        mean=float(used.mean()),
        percentile_90=float(np.percentile(used, 90)),
        percentile_99=float(np.percentile(used, 99)),
        most=int(used.max()),
        hubs=hubs[count[hubs] > 0],
    )


def components_of(triples: Int[ndarray, "row 3"], degrees: Degrees) -> Components:
    """Find the weakly connected components of the entities that have triples."""
    number = len(degrees.of_entity)
    links = coo_array((np.ones(len(triples), np.int8), (triples[:, 0], triples[:, 2])), shape=(number, number))
    _, label = connected_components(links.tocsr(), directed=True, connection="weak")
    used = np.flatnonzero(degrees.of_entity)
    _, first, sizes = np.unique(label[used], return_index=True, return_counts=True)
    order = np.lexsort((used[first], -sizes))
    return Components(entities=sizes[order], examples=used[first][order])

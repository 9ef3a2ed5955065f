"""Known explanations as ids: they mark training triples, without labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.report.truth.unmatched import Unmatched
from tracin_dask.report.truth.values import (
    IN_PATH,
    IS_GROUND_TRUTH,
    IS_GROUND_TRUTH_STRICT,
    IS_TRUE,
    ON_SPECIFIC_PATH,
    ON_SPECIFIC_PATH_STRICT,
)

TripleIds = tuple[int, int, int]
Keys = Int[ndarray, " _"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathIds:
    """One path from a drug to a disease; entities that the graph does not have are left out."""

    nodes: Int[ndarray, " node"]
    steps: tuple[tuple[int, int], ...]
    """The pairs of neighbours, from the drug to the disease."""
    relations: tuple[frozenset[int] | None, ...]
    """The relations that may make each step; None where all may."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownIds:
    """All that is known, by ids."""

    columns: tuple[str, ...]
    edges: Int[ndarray, "_ 3"]
    strict_edges: Int[ndarray, "_ 3"]
    paths: Mapping[tuple[int, int], tuple[PathIds, ...]]
    of_test: Mapping[TripleIds, Int[ndarray, "_ 3"]]
    everywhere: Int[ndarray, "_ 3"]
    limits: tuple[int, int]
    """Numbers of entities and relations, which all ids are below."""
    unmatched: Unmatched

    def of(self, asked: Iterable[TripleIds]) -> "Marks":
        """Choose what is known of test triples, of one or of a set; for self-influence there are none."""
        tests = list(asked)
        paths = [path for test in tests for path in self.paths_of(test)]
        own = [self.of_test[test] for test in tests if test in self.of_test]
        return Marks(
            columns=self.columns,
            limits=self.limits,
            triples={
                IS_GROUND_TRUTH: self._keys(self.edges),
                IS_GROUND_TRUTH_STRICT: self._keys(self.strict_edges),
                IS_TRUE: self._keys(np.concatenate([self.everywhere, *own])),
                ON_SPECIFIC_PATH_STRICT: self._keys(_certain_steps(paths)),
            },
            pairs={
                IN_PATH: self._pairs([pair for path in paths for pair in _all_pairs(path.nodes)]),
                ON_SPECIFIC_PATH: self._pairs(
                    [step for path in paths for one in path.steps for step in (one, one[::-1])]
                ),
                ON_SPECIFIC_PATH_STRICT: self._pairs(_free_steps(paths)),
            },
            num_paths=len(paths),
        )

    def paths_of(self, test: TripleIds) -> Sequence[PathIds]:
        """Give the paths of a test triple's pair, whichever of its ends is the drug."""
        head, _, tail = test
        backwards = () if head == tail else self.paths.get((tail, head), ())
        return (*self.paths.get((head, tail), ()), *backwards)

    def _keys(self, triples: Int[ndarray, "_ 3"]) -> Keys:
        return np.unique(triple_keys(triples, self.limits))

    def _pairs(self, pairs: Sequence[tuple[int, int]]) -> Keys:
        ends: Int[ndarray, "_ 2"] = np.array(pairs, np.int64).reshape(-1, 2)
        return np.unique(ends[:, 0] * self.limits[0] + ends[:, 1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marks:
    """What is known of one test triple, or of a set: whole triples, and pairs of ends, as sorted numbers."""

    columns: tuple[str, ...]
    limits: tuple[int, int]
    triples: Mapping[str, Keys]
    pairs: Mapping[str, Keys]
    num_paths: int

    def mark(self, triples: Int[ndarray, "row 3"]) -> dict[str, Bool[ndarray, " row"]]:
        """Tell which training triples are known, for every column."""
        whole = triple_keys(triples, self.limits)
        ends = pair_keys(triples, self.limits)
        found = {}
        for column in self.columns:
            is_known = np.zeros(len(triples), bool)
            for keys, known in ((whole, self.triples.get(column)), (ends, self.pairs.get(column))):
                if known is not None and len(known):
                    is_known |= np.isin(keys, known)
            found[column] = is_known
        return found

    def has_any(self, column: str) -> bool:
        """Tell whether anything is known in a column."""
        return any(len(known.get(column, ())) > 0 for known in (self.triples, self.pairs))

    def all_pairs(self) -> Keys:
        """Give the pairs of ends of all that may be marked."""
        num_entities, num_relations = self.limits
        whole = np.concatenate([*self.triples.values(), np.empty(0, np.int64)])
        head_relation, tail = np.divmod(whole, max(1, num_entities))
        of_triples = head_relation // max(1, num_relations) * num_entities + tail
        return np.unique(np.concatenate([of_triples, *self.pairs.values()]))


def triple_keys(triples: Int[ndarray, "row 3"], limits: tuple[int, int]) -> Int[ndarray, " row"]:
    """Give each triple a number of its own."""
    head, relation, tail = triples.T
    keys: Int[ndarray, " row"] = (head * limits[1] + relation) * limits[0] + tail
    return keys


def pair_keys(triples: Int[ndarray, "row 3"], limits: tuple[int, int]) -> Int[ndarray, " row"]:
    """Give each pair of head and tail a number of its own."""
    keys: Int[ndarray, " row"] = triples[:, 0] * limits[0] + triples[:, 2]
    return keys


def _all_pairs(nodes: Int[ndarray, " node"]) -> list[tuple[int, int]]:
    return [(head, tail) for head in nodes.tolist() for tail in nodes.tolist()]


def _certain_steps(paths: Sequence[PathIds]) -> Int[ndarray, "_ 3"]:
    """Give the steps whose relations are stated, as triples."""
    found = [
        (head, relation, tail)
        for path in paths
        for (head, tail), allowed in zip(path.steps, path.relations, strict=True)
        if allowed is not None
        for relation in allowed
    ]
    steps: Int[ndarray, "_ 3"] = np.array(found, np.int64).reshape(-1, 3)
    return steps


def _free_steps(paths: Sequence[PathIds]) -> list[tuple[int, int]]:
    """Give the steps that any relation may make."""
    return [step for path in paths for step, allowed in zip(path.steps, path.relations, strict=True) if allowed is None]

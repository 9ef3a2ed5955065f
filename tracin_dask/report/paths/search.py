"""Finds and scores the paths of one answer of a result."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.report.paths.options import MOST_HOPS, Measure, PathKeywords, PathOptions
from tracin_dask.report.paths.scores import scores
from tracin_dask.report.paths.walks import Walks, simple_paths
from tracin_dask.report.result import InfluenceResult, RankedTriples, join

SORTED_TOGETHER = 1 << 20
"""Paths that are collected before those beyond `most_paths` are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPath:
    """A path from the head of a test triple to its tail, which visits no entity twice.

    Attributes
    ----------
    entries
        Its training triples, in the order of the path: places in `listed(result, test_index)`.
    backwards
        Whether each is walked from its tail to its head.
    nodes
        The ids of its entities: the head first, the tail last.
    score
        None where the measure is not defined.
    """

    entries: tuple[int, ...]
    backwards: tuple[bool, ...]
    nodes: tuple[int, ...]
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPaths:
    """The paths of an answer, the best first."""

    paths: list[ScoredPath]
    num_found: int
    """How many there are, with those that were left out as more than `most_paths`."""


def listed(result: InfluenceResult, test_index: int = 0) -> RankedTriples:
    """Give all training triples that a result lists for an answer: its ranking, and behind it `further`."""
    return join([result.rankings[test_index], result.further[test_index]])


def paths_of(result: InfluenceResult, test_index: int = 0, **options: Unpack[PathKeywords]) -> list[ScoredPath]:
    """Find the paths from the head of a test triple to its tail through the training triples of its answer.

    All training triples that the result lists are walked, proponents and opponents. Paths visit no entity twice, so
    that the test triple itself, where it is a training triple, is a path of one hop and on no longer one. In an answer
    about a set of test triples, paths connect head and tail of each of its members. A contrast adds no paths.

    Parameters
    ----------
    result
        A result with test triples.
    test_index
        The answer.
    **options
        Those of `PathOptions`: `most_hops=3`, `fewest_hops=2`, `directed=False`, `measure="mean"`,
        `proponents_only=False`, `most_paths=None`.

    Returns
    -------
    list of ScoredPath
        By score, the highest first and those without a score last; ties by `entries`.

    Raises
    ------
    ConfigError
        If an option is not allowed, the result has no such answer, or it is one of self-influence.
    """
    return find_paths(result, test_index, PathOptions(**options)).paths


def find_paths(result: InfluenceResult, test_index: int, options: PathOptions) -> FoundPaths:
    """Find the paths of an answer, and count them; raises as `paths_of`."""
    ranked = listed(result, _checked(result, test_index))
    places = np.arange(len(ranked))
    if options.proponents_only:
        places = np.flatnonzero(ranked.influence > 0)
    best, num_found = _Best(options.most_paths), 0
    for head, tail in _ends(result, test_index):
        for walks in simple_paths(ranked.triples[places], head, tail, options):
            num_found += len(walks)
            entries = places[walks.entries]
            best.add(Walks(entries=entries, backwards=walks.backwards, nodes=walks.nodes), ranked, options.measure)
    return FoundPaths(paths=list(best.paths()), num_found=num_found)


def refuse_self_influence(result: InfluenceResult) -> None:
    """Refuse a result without test triples.

    Raises
    ------
    ConfigError
        If the result is one of self-influence.
    """
    if result.test_triples is None:
        raise ConfigError(
            "a result of self-influence has no test triple to find paths for; expected a result with test triples "
            "(tracin-dask run --test-triple or --test)"
        )


def _checked(result: InfluenceResult, test_index: int) -> int:
    refuse_self_influence(result)
    if not 0 <= test_index < len(result.rankings):
        raise ConfigError(f"no answer has index {test_index}: the result has {len(result.rankings):,}, counted from 0")
    return test_index


def _ends(result: InfluenceResult, test_index: int) -> list[tuple[int, int]]:
    """Give the head and tail of a test triple, or those of the members of a set, each pair once."""
    assert result.test_triples is not None  # noqa: S101 - `refuse_self_influence` comes first
    members = [test_index] if result.sets is None else result.sets.members(test_index)
    return [(head, tail) for head, tail in dict.fromkeys(map(tuple, result.test_triples[members][:, [0, 2]].tolist()))]


class _Best:
    """Collects paths, and drops those beyond a number."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._rows = np.empty((0, 3 * MOST_HOPS + 1), np.int64)
        """Entries, backwards, nodes; -1 where a path has fewer."""
        self._scores = np.empty(0)
        self._waiting: list[tuple[ndarray, ndarray]] = []

    def add(self, walks: Walks, ranked: RankedTriples, measure: Measure) -> None:
        """Add paths of equally many hops."""
        parts = [(walks.entries, MOST_HOPS), (walks.backwards, MOST_HOPS), (walks.nodes, MOST_HOPS + 1)]
        self._waiting.append(
            (np.hstack([_wide(part, width) for part, width in parts]), scores(ranked.influence[walks.entries], measure))
        )
        if sum(len(found) for _, found in self._waiting) > SORTED_TOGETHER:
            self._sort()

    def paths(self) -> Iterator[ScoredPath]:
        """Yield the best, in order."""
        self._sort()
        for row, score in zip(self._rows.tolist(), self._scores.tolist(), strict=True):
            hops = next((hop for hop in range(MOST_HOPS) if row[hop] < 0), MOST_HOPS)
            yield ScoredPath(
                entries=tuple(row[:hops]),
                backwards=tuple(map(bool, row[MOST_HOPS : MOST_HOPS + hops])),
                nodes=tuple(row[2 * MOST_HOPS : 2 * MOST_HOPS + hops + 1]),
                score=None if np.isnan(score) else score,
            )

    def _sort(self) -> None:
        rows, found = zip((self._rows, self._scores), *self._waiting, strict=True)
        self._waiting = []
        self._rows, self._scores = np.concatenate(rows), np.concatenate(found)
        order = _order(self._rows[:, :MOST_HOPS], self._scores)[: self._most]
        self._rows, self._scores = self._rows[order], self._scores[order]


def _wide(part: ndarray, width: int) -> Int[ndarray, "path width"]:
    return np.pad(part.astype(np.int64), [(0, 0), (0, width - part.shape[1])], constant_values=-1)


def _order(entries: Int[ndarray, "path hop"], found: Float[ndarray, " path"]) -> Int[ndarray, " path"]:
    """Order by score, the highest first and NaN last; ties by entries."""
    return np.lexsort([*entries.T[::-1], -np.nan_to_num(found, nan=0.0), np.isnan(found)])

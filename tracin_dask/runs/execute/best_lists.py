"""The strongest training triples of the first test triples by their names, few enough to be sent every few seconds."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.topk import Ranking, TopK
from tracin_dask.report.labels import Labels
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.result import labels_of

MOST_TESTS = 100
MOST_TRIPLES = 20
"""Of each test triple."""
MOST_BYTES = 100_000
"""Of all names together: the lists of the first test triples that fit are sent."""
MOST_LETTERS = 300
"""Of one name."""


class BestLists:
    """Names what is best so far in one run."""

    def __init__(self, prepared: PreparedRun) -> None:
        """Look up the names of the first test triples, or of the sets of them."""
        self._prepared = prepared
        self._tests = _tests(prepared)
        self.total = prepared.num_answers
        self.word = (
            "" if prepared.test_triples is None else "test triple" if prepared.sets is None else "set of test triple"
        )

    def named(self, top: TopK) -> list[dict[str, Any]]:
        """Give the lists as an event sends them: `test`, and `triples` as (influence, head, relation, tail)."""
        rank_by = self._prepared.config.ranking.rank_by
        rankings = [topk.ranked(top, index, rank_by).take(slice(MOST_TRIPLES)) for index in range(len(self._tests))]
        labels = labels_of(self._prepared.store, np.concatenate([ranking.triples for ranking in rankings]))
        lists: list[dict[str, Any]] = []
        left = MOST_BYTES
        for test, ranking in zip(self._tests, rankings, strict=True):
            triples = list(_named(ranking, labels))
            left -= len(test.encode()) + sum(len(name.encode()) for _, *names in triples for name in names)
            if left < 0 and lists:
                break
            lists.append({"test": test, "triples": triples})
        return lists


def a_few(lists: Sequence[dict[str, Any]], *, tests: int, triples: int) -> list[dict[str, Any]]:
    """Give the best of the first lists in one list, each with its test triple and rank."""
    some = lists[:tests]
    return [
        {
            "test": one["test"],
            "rank": rank,
            "influence": influence,
            "head": head,
            "relation": relation,
            "tail": tail,
        }
        for one in some
        for rank, (influence, head, relation, tail) in enumerate(one["triples"][: triples // len(some)], start=1)
    ]


def _named(ranking: Ranking, labels: Labels) -> Iterator[tuple[float, str, str, str]]:
    for influence, triple in zip(ranking.influence.tolist(), ranking.triples.tolist(), strict=True):
        head, relation, tail = map(_short, labels.call(triple))
        yield influence, head, relation, tail


def _tests(prepared: PreparedRun) -> list[str]:
    """Name the first test triples, each with the other tail that it is compared with, or the sets of them."""
    if prepared.sets is not None:
        return [_short(name) for name in prepared.sets.names[:MOST_TESTS]]
    if prepared.test_triples is None:
        return ["itself"]
    triples = prepared.test_triples[:MOST_TESTS]
    others = triples if prepared.contrast_tails is None else triples.copy()
    if prepared.contrast_tails is not None:
        others[:, 2] = prepared.contrast_tails[:MOST_TESTS]
    labels = labels_of(prepared.store, np.concatenate([triples, others]))
    names = []
    for triple, other in zip(triples.tolist(), others.tolist(), strict=True):
        name = " · ".join(map(_short, labels.call(triple)))
        names.append(name if triple == other else f"{name}, not {_short(labels.call(other)[2])}")
    return names


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"

"""Finds known training triples in the whole training set, and those near a test triple."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.cli.actions.counted_scores import Asked, SavedInfluences
from tracin_dask.errors import ConfigError
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.truth.columns import asked, marks_of
from tracin_dask.report.truth.comparisons import Counts
from tracin_dask.report.truth.evaluation import InGraph
from tracin_dask.report.truth.known import KnownIds, TripleIds, pair_keys
from tracin_dask.report.truth.relations import Relations
from tracin_dask.report.truth.vocabulary import Vocabulary
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.hops import TrainingGraph
from tracin_dask.triples.store import TripleStore

STEP_ROWS = 131_072
"""Rows of the store that are read at a time."""


def refuse_other_store(result: InfluenceResult, store: TripleStore) -> None:
    """Refuse a store that the result is not of.

    Raises
    ------
    ConfigError
        Naming both.
    """
    stated = result.run.get("store", {})
    fingerprint = stated.get("fingerprint")
    if fingerprint is not None and fingerprint != store.info.fingerprint:
        raise ConfigError(
            f"--train {store.path}: holds other training triples than those of the result, which were read from "
            f"{stated.get('path')}; give that store"
        )


def vocabulary_of_store(store: TripleStore) -> Vocabulary:
    """Take the labels of the whole graph."""
    labels = store.relations.labels.to_pylist()
    names = [None] * len(labels) if store.relation_names is None else store.relation_names.to_pylist()
    return Vocabulary(
        find_entities=store.entities.ids,
        relations=Relations.of(np.arange(len(labels)), labels, names),
        relation_ids=frozenset(range(len(labels))),
        num_entities=len(store.entities),
        num_relations=len(labels),
        has_integer_labels=any(map(str.isdecimal, [*labels, *store.entities.labels.to_pylist()])),
        what="the training set",
    )


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property keeps the graph
class Neighbours:
    """Who is connected with whom, in either direction."""

    store: TripleStore
    hops: int

    @cached_property
    def _graph(self) -> TrainingGraph:
        return TrainingGraph.of(self.store)

    def near(self, tests: Sequence[TripleIds]) -> Bool[ndarray, " entity"]:
        """Mark the entities whose training triples are within so many hops of a head or tail of test triples.

        One hop leads to the training triples of head and tail, so entities are up to `hops - 1` steps away.
        """
        ends = np.array([end for head, _, tail in tests for end in (head, tail)], np.int64)
        return self._graph.near(ends, self.hops - 1)


def read_all(store: TripleStore) -> Iterator[tuple[int, TripleBlock]]:
    """Read all training triples in blocks, each with its first row."""
    for start in range(0, len(store), STEP_ROWS):
        yield start, store.read(start, min(start + STEP_ROWS, len(store)))


def in_graph(
    result: InfluenceResult,
    known: KnownIds,
    store: TripleStore,
    *,
    columns: Sequence[str],
    saved: SavedInfluences | None = None,
    hops: int | None = None,
) -> Iterator[InGraph]:
    """Look at every test triple in the whole training set; influences are read in blocks, for some tests at a time."""
    block, rows = _candidates(result, known, store)
    neighbours = None if hops is None else Neighbours(store=store, hops=hops)
    size = 1 if saved is None else saved.tests_at_a_time
    for start in range(0, len(result.rankings), size):
        together = range(start, min(start + size, len(result.rankings)))
        questions = [
            Asked(
                marks=marks_of(result, known, index).mark(block.triples),
                block=block,
                rows=rows,
                near=None if neighbours is None else neighbours.near(asked(result, index)),
            )
            for index in together
        ]
        counted = repeat({}) if saved is None else saved.count(store, start, questions, hops)
        for index, question, counts in zip(together, questions, counted, strict=False):
            yield _found(result, index, question, columns, counts)


def _found(
    result: InfluenceResult,
    index: int,
    question: Asked,
    columns: Sequence[str],
    counts: Mapping[str, Mapping[str, Counts]],
) -> InGraph:
    chosen = {name: question.marks[name] for name in columns}
    found = InGraph(
        num_known={name: int(is_true.sum()) for name, is_true in chosen.items()},
        counts={ranking: {name: of[name] for name in columns} for ranking, of in counts.items()},
    )
    if question.near is None:
        return found
    is_near = question.touches(question.block.triples)
    return replace(
        found,
        is_near=question.touches(result.rankings[index].triples),
        num_near={name: int((is_true & is_near).sum()) for name, is_true in chosen.items()},
    )


def _candidates(
    result: InfluenceResult, known: KnownIds, store: TripleStore
) -> tuple[TripleBlock, Int[ndarray, " row"]]:
    """Find the training triples that may be known for any test triple, and their rows in the store."""
    pairs = known.of([]).all_pairs()
    for index in range(len(result.rankings)):
        pairs = np.union1d(pairs, marks_of(result, known, index).all_pairs())
    blocks: list[TripleBlock] = []
    rows: list[Int[ndarray, " row"]] = []
    for start, block in read_all(store):
        chosen = np.flatnonzero(np.isin(pair_keys(block.triples, known.limits), pairs))
        blocks.append(block.where(chosen))
        rows.append(chosen + start)
    return concatenate(blocks), np.concatenate(rows)

"""Compares a result with known explanations: measures every test triple in every ranking, and averages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from jaxtyping import Bool
from numpy import ndarray

from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.truth.columns import marks_of
from tracin_dask.report.truth.comparisons import Counts
from tracin_dask.report.truth.known import KnownIds, Marks
from tracin_dask.report.truth.means import Overall, summarise
from tracin_dask.report.truth.measures import PRECISION, About, Row, hits_of, measure
from tracin_dask.report.truth.permutations import Permutations, Weighted
from tracin_dask.report.truth.places import TrueRanks, in_counts, in_list, in_listed_ranks, order_of

LIST, LISTED, ALL = "list", "rank_of", "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to compare.

    Attributes
    ----------
    order
        `absolute`, `signed` or `opponents`; None for that of the run.
    strict
        Measure the strict columns in place of their loose twins.
    seed, permutations
        Of permutation tests (0 permutations: none) and of the bootstrap.
    """

    order: str | None = None
    strict: bool = False
    seed: int = 0
    permutations: int = 10_000

    def order_for(self, result: InfluenceResult) -> str:
        """Choose the order in which the training triples of a result rank."""
        return self.order or order_of(str(result.run["rank_by"]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InGraph:
    """What the training set says of one test triple.

    Attributes
    ----------
    num_known
        Known training triples in it, by column.
    counts
        What was counted among all influences, by ranking and column; empty without saved influences.
    is_near
        Which entries of the list are near the test triple, where that was asked for.
    num_near
        Known training triples near it, by column.
    """

    num_known: Mapping[str, int]
    counts: Mapping[str, Mapping[str, Counts]] = field(default_factory=dict)
    is_near: Bool[ndarray, " entry"] | None = None
    num_near: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that was measured."""

    order: str
    columns: tuple[str, ...]
    hits: tuple[int, ...]
    rows: tuple[Row, ...]
    overall: tuple[Overall, ...]
    settings: Settings


def within(ranking: str, hops: int) -> str:
    """Name the part of a ranking that is near the test triple."""
    return f"{ranking}_within_{hops}_hops"


def evaluate(
    result: InfluenceResult,
    known: KnownIds,
    *,
    columns: Sequence[str],
    settings: Settings | None = None,
    in_graph: Iterable[InGraph] | None = None,
    hops: int | None = None,
) -> Evaluation:
    """Measure how the training triples that are known rank.

    Parameters
    ----------
    columns
        Those of `known` to measure.
    in_graph
        What the training set says of every test triple, in their order; None where it was not looked at.
    hops
        How far near triples are away, where `in_graph` says which these are.
    """
    settings = settings or Settings()
    permutations = Permutations(number=settings.permutations, seed=settings.seed)
    hits = hits_of(result.top_k)
    rows: list[Row] = []
    graphs = repeat(None) if in_graph is None else in_graph
    for test_index, graph in zip(range(len(result.rankings)), graphs, strict=False):
        marks = marks_of(result, known, test_index)
        for column, ranking, true in _rankings(result, marks, test_index, columns, (settings, graph, hops)):
            about = About(test_index=test_index, column=column, ranking=ranking, has_truth=marks.has_any(column))
            rows.append(measure(true, about, hits=hits, permutations=permutations))
    return Evaluation(
        order=settings.order_for(result),
        columns=tuple(columns),
        hits=hits,
        rows=tuple(rows),
        overall=tuple(_overall(rows, permutations)),
        settings=settings,
    )


def _rankings(
    result: InfluenceResult,
    marks: Marks,
    test_index: int,
    columns: Sequence[str],
    how: tuple[Settings, InGraph | None, int | None],
) -> Iterator[tuple[str, str, TrueRanks]]:
    """Give what is known in every ranking of a test triple, by column and ranking."""
    settings, graph, hops = how
    order, ranking = settings.order_for(result), result.rankings[test_index]
    in_entries = marks.mark(ranking.triples)
    is_whole = len(ranking) >= _num_ranked(result, test_index)
    for column in columns:
        num_known = None if graph is None else graph.num_known[column]
        yield column, LIST, in_list(ranking, in_entries[column], order=order, num_known=num_known, is_whole=is_whole)
        if result.ranks is not None and order == order_of(result.run["rank_by"]):
            is_true = marks.mark(result.ranks.triples)[column]
            yield column, LISTED, in_listed_ranks(result.ranks, is_true, test_index, num_known=num_known)
        if graph is None:
            continue
        if graph.is_near is not None and hops is not None:
            near = ranking.take(graph.is_near)
            is_true = in_entries[column][graph.is_near]
            found = in_list(near, is_true, order=order, num_known=graph.num_near[column])
            yield column, within(LIST, hops), found
        for name, counts in graph.counts.items():
            yield column, name, in_counts(counts[column], order)


def _num_ranked(result: InfluenceResult, test_index: int) -> int:
    if result.num_ranked is None:
        return int(result.run["num_training_triples"])
    return int(result.num_ranked[test_index])


def _overall(rows: Sequence[Row], permutations: Permutations) -> Iterator[Overall]:
    """Average over test triples, for every column and ranking."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        together.setdefault((row.column, row.ranking), []).append(row)
    for part in together.values():
        weighted = [found for row in part if (found := _weighted(row)) is not None]
        yield summarise(part, seed=permutations.seed, permutation_p=permutations.overall(weighted))


def _weighted(row: Row) -> Weighted | None:
    """Give what a row adds to MAP; None where nothing is known of its test triple."""
    value = row.numbers[PRECISION]
    if value is None or row.num_true == 0:
        return None
    weight = row.num_true / (row.num_known or row.num_true)
    return Weighted(average_precision=value / weight, weight=weight, num_ranked=row.num_ranked, num_true=row.num_true)

"""The paths between head and tail, and their metapaths, as the rows of tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from tracin_dask.report.page.listed import Listed
from tracin_dask.report.page.names import Named
from tracin_dask.report.page.numbers import Scale
from tracin_dask.report.paths.metapaths import table_of_metapaths
from tracin_dask.report.paths.options import PathOptions
from tracin_dask.report.paths.search import FoundPaths, ScoredPath, find_paths
from tracin_dask.report.result import InfluenceResult

MOST_ROWS = 40
"""Rows of each table."""
OPTIONS = PathOptions(fewest_hops=1, most_hops=3, most_paths=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A training triple of a path, and the entity that it leads to."""

    relation: Named
    is_backwards: bool
    entity: Named
    sign: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRow:
    """A path."""

    place: int
    start: Named
    steps: Sequence[Step]
    score: str
    value: float
    is_known: bool
    """Whether all its training triples are known reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetapathRow:
    """Paths through the same types by the same relations."""

    text: str
    paths: int
    score: str
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """The tables of paths and metapaths."""

    num_paths: int
    rows: Sequence[PathRow]
    num_metapaths: int
    metapaths: Sequence[MetapathRow]
    unit: str


def found_paths(result: InfluenceResult, index: int) -> FoundPaths | None:
    """Find the paths of at most three training triples; None for self-influence."""
    return None if result.test_triples is None else find_paths(result, index, OPTIONS)


def chains_of(result: InfluenceResult, index: int, found: Listed, paths: FoundPaths | None) -> Chains | None:
    """Write the best paths, and count their metapaths; None where no paths were looked for, or nothing is listed."""
    if paths is None or not len(found):
        return None
    scale = Scale.of(found.ranked.influence.tolist())
    counted = table_of_metapaths(result, {index: paths}, None)
    return Chains(
        num_paths=paths.num_found,
        rows=[_row(found, path, place, scale) for place, path in enumerate(paths.paths[:MOST_ROWS], start=1)],
        num_metapaths=len(counted),
        metapaths=[
            MetapathRow(
                text=row["metapath"],
                paths=row["num_paths"],
                score="" if row["score_sum"] is None else scale.signed(row["score_sum"]),
                value=row["score_sum"],
            )
            for row in counted.slice(0, MOST_ROWS).to_pylist()
        ],
        unit=scale.unit,
    )


def _row(found: Listed, path: ScoredPath, place: int, scale: Scale) -> PathRow:
    triples = [found.names[entry] for entry in path.entries]
    starts = [triple.tail if back else triple.head for triple, back in zip(triples, path.backwards, strict=True)]
    ends = [triple.head if back else triple.tail for triple, back in zip(triples, path.backwards, strict=True)]
    influences = [float(found.ranked.influence[entry]) for entry in path.entries]
    score = path.score if path.score is not None and isfinite(path.score) else 0.0
    return PathRow(
        place=place,
        start=starts[0],
        steps=[
            Step(
                relation=triple.relation,
                is_backwards=back,
                entity=end,
                sign="o" if influence < 0 else "p",
                title=f"{triple}: {scale.signed(influence)}",
            )
            for triple, back, end, influence in zip(triples, path.backwards, ends, influences, strict=True)
        ],
        score=scale.signed(score),
        value=score,
        is_known=found.known is not None and bool(found.known[list(path.entries)].all()),
    )

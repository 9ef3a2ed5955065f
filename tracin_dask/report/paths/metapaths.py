"""Metapaths: the types of the entities of a path, and its relations with their directions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Unpack

import pyarrow as pa

from tracin_dask.report.arrow import flag_array, known_array, table_of, text_array
from tracin_dask.report.labels import Texts, prefix
from tracin_dask.report.paths.options import PathKeywords, PathOptions
from tracin_dask.report.paths.search import FoundPaths, ScoredPath, listed
from tracin_dask.report.paths.table import find_in_answers, lists, numbers
from tracin_dask.report.result import InfluenceResult, RankedTriples
from tracin_dask.report.words import Words, chain
from tracin_dask.visible import visible

NO_TYPE = "(no type)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metapath:
    """What paths have in common that lead through entities of the same types, by the same relations."""

    types: tuple[str, ...]
    relations: tuple[int, ...]
    backwards: tuple[bool, ...]


@dataclass(slots=True)
class _Count:
    """The paths of a metapath."""

    num_paths: int = 0
    answers: set[int] = field(default_factory=set)
    scores: list[float] = field(default_factory=list)


def metapath_counts(
    result: InfluenceResult,
    test_indices: Iterable[int] | None = None,
    *,
    types: Mapping[str, str] | None = None,
    **options: Unpack[PathKeywords],
) -> pa.Table:
    """Count the paths of some answers, or of all, by their metapaths.

    Parameters
    ----------
    result
        A result with test triples.
    test_indices
        The answers; None for all.
    types
        The types of entities by their labels; an entity that is missing has the type `(no type)`. None: the type is
        the prefix of the label before `:` or `::`, as in `CHEBI:34911`.
    **options
        Those of `PathOptions`.

    Returns
    -------
    pyarrow.Table
        `metapath` (text), `hops`, `num_paths`, `num_answers` (with such a path), `score_sum` (of the paths that have a
        score; null if none has), and lists, in the order of the path: `types`, `relations`, `relation_labels`,
        `backwards`. The largest `score_sum` is first; those without are last; ties by `num_paths`, then by text.

    Raises
    ------
    ConfigError
        As `paths_of`.
    """
    return table_of_metapaths(result, find_in_answers(result, test_indices, PathOptions(**options)), types)


def table_of_metapaths(
    result: InfluenceResult, found: Mapping[int, FoundPaths], types: Mapping[str, str] | None
) -> pa.Table:
    """Count paths that were found by their metapaths."""
    counts, type_of = dict[Metapath, _Count](), entity_types(result.labels.entities, types)
    for test_index, answer in found.items():
        ranked = listed(result, test_index)
        for path in answer.paths:
            count = counts.setdefault(_metapath(path, ranked, type_of), _Count())
            count.num_paths += 1
            count.answers.add(test_index)
            count.scores += [] if path.score is None else [path.score]
    return _table(result, counts)


def entity_types(entities: Texts, types: Mapping[str, str] | None) -> dict[int, str]:
    """Give the type of each entity of a result by its id: as stated by its label, or else the prefix of the label."""
    labels = entities.labels.to_pylist()
    named = (
        (prefix(label) or NO_TYPE for label in labels)
        if types is None
        else (types.get(label, NO_TYPE) for label in labels)
    )
    return dict(zip(entities.ids.tolist(), named, strict=True))


def _metapath(path: ScoredPath, ranked: RankedTriples, type_of: Mapping[int, str]) -> Metapath:
    return Metapath(
        types=tuple(type_of[node] for node in path.nodes),
        relations=tuple(ranked.triples[list(path.entries), 1].tolist()),
        backwards=path.backwards,
    )


def _table(result: InfluenceResult, counts: Mapping[Metapath, _Count]) -> pa.Table:
    relations = Words.of(result.labels).relations
    text = {
        found: chain([*map(visible, found.types)], [relations[one] for one in found.relations], found.backwards)
        for found in counts
    }
    score_sum = {found: sum(count.scores) if count.scores else None for found, count in counts.items()}

    def order(found: Metapath) -> tuple[bool, float, int, str]:
        return score_sum[found] is None, -(score_sum[found] or 0.0), -counts[found].num_paths, text[found]

    rows = sorted(counts, key=order)
    known = result.labels.relations
    label_of = dict(zip(known.ids.tolist(), known.labels.to_pylist(), strict=True))
    return table_of(
        {
            "metapath": text_array([text[row] for row in rows]),
            "hops": numbers([len(row.relations) for row in rows]),
            "num_paths": numbers([counts[row].num_paths for row in rows]),
            "num_answers": numbers([len(counts[row].answers) for row in rows]),
            "score_sum": known_array([score_sum[row] for row in rows]),
            "types": lists([row.types for row in rows], text_array),
            "relations": lists([row.relations for row in rows], numbers),
            "relation_labels": lists([[label_of[one] for one in row.relations] for row in rows], text_array),
            "backwards": lists([row.backwards for row in rows], flag_array),
        }
    )

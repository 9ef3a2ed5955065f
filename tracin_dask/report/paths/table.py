"""The paths of a result as a table: a row per answer and path, the best first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from tracin_dask.report.arrow import flag_array, known_array, number_array, ragged_array, table_of, text_array
from tracin_dask.report.labels import Texts
from tracin_dask.report.paths.options import PathKeywords, PathOptions
from tracin_dask.report.paths.search import FoundPaths, find_paths, listed
from tracin_dask.report.paths.words import Words
from tracin_dask.report.result import InfluenceResult


def path_table(
    result: InfluenceResult, test_indices: Iterable[int] | None = None, **options: Unpack[PathKeywords]
) -> pa.Table:
    """Give the paths of some answers, or of all, as one table.

    Parameters
    ----------
    result
        A result with test triples.
    test_indices
        The answers; None for all.
    **options
        Those of `PathOptions`.

    Returns
    -------
    pyarrow.Table
        `test_index`, `path` (1 is the best of its answer), `hops`, `score` (null where there is none), `text`; lists,
        in the order of the path: `nodes`, `node_labels`, `node_names`, `relations`, `relation_labels`,
        `relation_names` (names only where the result knows some), `backwards`, `influences`, `train_index`.

    Raises
    ------
    ConfigError
        As `paths_of`.
    """
    return table_of_paths(result, find_in_answers(result, test_indices, PathOptions(**options)))


def find_in_answers(
    result: InfluenceResult, test_indices: Iterable[int] | None, options: PathOptions
) -> dict[int, FoundPaths]:
    """Find the paths of some answers, or of all, by test_index; raises as `paths_of`."""
    chosen = range(len(result.rankings)) if test_indices is None else dict.fromkeys(test_indices)
    return {test_index: find_paths(result, test_index, options) for test_index in chosen}


def table_of_paths(result: InfluenceResult, found: Mapping[int, FoundPaths]) -> pa.Table:
    """Give paths that were found as one table."""
    words, rows = Words.of(result.labels), list[dict[str, Any]]()
    for test_index, answer in found.items():
        ranked = listed(result, test_index)
        for number, path in enumerate(answer.paths, start=1):
            places = list(path.entries)
            rows.append(
                {
                    "test_index": test_index,
                    "path": number,
                    "hops": len(places),
                    "score": path.score,
                    "text": words.path(path, ranked),
                    "nodes": path.nodes,
                    "relations": ranked.triples[places, 1].tolist(),
                    "backwards": path.backwards,
                    "influences": ranked.influence[places].tolist(),
                    "train_index": ranked.train_index[places].tolist(),
                }
            )
    return _columns(result, rows)


def _columns(result: InfluenceResult, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    columns = {name: numbers([row[name] for row in rows]) for name in ("test_index", "path", "hops")}
    columns |= {"score": known_array([row["score"] for row in rows]), "text": text_array([row["text"] for row in rows])}
    columns |= _called("node", [row["nodes"] for row in rows], result.labels.entities)
    columns |= _called("relation", [row["relations"] for row in rows], result.labels.relations)
    columns["backwards"] = lists([row["backwards"] for row in rows], flag_array)
    columns["influences"] = lists([row["influences"] for row in rows], known_array)
    columns["train_index"] = lists([row["train_index"] for row in rows], numbers)
    return table_of(columns)


def _called(role: str, ids: Sequence[Sequence[int]], texts: Texts) -> dict[str, pa.Array]:
    """Give lists of ids, and what these are called."""
    lengths = [len(row) for row in ids]
    labels, names = texts.take(np.array([*chain.from_iterable(ids)], np.int64))
    columns = {f"{role}s": lists(ids, numbers), f"{role}_labels": ragged_array(labels, lengths)}
    return columns | ({f"{role}_names": ragged_array(names, lengths)} if texts.has_names else {})


def numbers(values: Sequence[int]) -> pa.Array:
    """Make an array of whole numbers."""
    return number_array(np.array(values, np.int64))


def lists(rows: Sequence[Sequence[Any]], make: Callable[[list[Any]], pa.Array]) -> pa.Array:
    """Make an array of lists, whose values `make` turns into an array."""
    return ragged_array(make([*chain.from_iterable(rows)]), [len(row) for row in rows])

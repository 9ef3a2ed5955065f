"""How far the training triples of a result are from its test triples, in the graph of a store."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.places.place import Place
from tracin_dask.report.arrow import number_array
from tracin_dask.report.exports.base import ExtraColumn
from tracin_dask.report.result import InfluenceResult
from tracin_dask.triples.hops import BEYOND, TrainingGraph
from tracin_dask.triples.store import TripleStore, open_store

ENDS = [0, 2]
"""Head and tail of a triple."""


def hop_columns(result: InfluenceResult, path: Place, *, most_hops: int) -> dict[str, ExtraColumn]:
    """Count the hops of each listed training triple, of its nearer end, to the head and the tail of its test triple.

    Raises
    ------
    ConfigError
        If the store is not the one of the run, or the answers are not about single test triples.
    StoreError
        If it cannot be read.
    """
    if result.test_triples is None or result.sets is not None:
        raise ConfigError(
            "--train counts hops to the head and the tail of a test triple, and the answers of this result are not "
            "about single ones; leave --train out"
        )
    store = open_store(str(path))
    _refuse_other(result, store)
    found = _distances(result, TrainingGraph.of(store), most_hops)
    return {
        f"hops_to_{role}": ExtraColumn(values=tuple(_of_entity(result, found, end)))
        for role, end in (("head", 0), ("tail", 2))
    }


def _refuse_other(result: InfluenceResult, store: TripleStore) -> None:
    fingerprint = result.run.get("store", {}).get("fingerprint")
    if fingerprint != store.info.fingerprint:
        raise ConfigError(
            f"--train {store.path}: the store is not the one of the run (fingerprint {store.info.fingerprint[:12]}, "
            f"expected {str(fingerprint)[:12]}): its ids may mean other entities; give the store of the run"
        )


def _distances(result: InfluenceResult, graph: TrainingGraph, most_hops: int) -> Mapping[int, Int64[ndarray, "_ 2"]]:
    """Give, for each entity of the test triples, the ids of entities and their distances from it."""
    assert result.test_triples is not None  # noqa: S101 - `hop_columns` refuses self-influence
    targets: dict[int, list[ndarray]] = defaultdict(list)
    for test, ranking in zip(result.test_triples[:, ENDS].tolist(), result.rankings, strict=True):
        for entity in test:
            targets[entity].append(ranking.triples[:, ENDS].ravel())
    found = {}
    for entity, lists in targets.items():
        ids = np.unique(np.concatenate(lists))
        found[entity] = np.column_stack([ids, graph.distances(entity, ids, most_hops).astype(np.int64)])
    return found


def _of_entity(result: InfluenceResult, found: Mapping[int, Int64[ndarray, "_ 2"]], end: int) -> Iterator[pa.Array]:
    """Give the hops to one end of each test triple; null where there are too many."""
    assert result.test_triples is not None  # noqa: S101 - `hop_columns` refuses self-influence
    for test, ranking in zip(result.test_triples, result.rankings, strict=True):
        ids, distances = found[int(test[end])].T
        hops = distances[np.searchsorted(ids, ranking.triples[:, ENDS])]
        hops = np.where(hops == BEYOND, np.iinfo(np.int64).max, hops).min(axis=1, initial=np.iinfo(np.int64).max)
        known = number_array(hops)
        yield pc.if_else(pc.less(known, np.iinfo(np.int64).max), known, None)

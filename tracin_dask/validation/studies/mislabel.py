"""Mislabelled triples: does self-influence find the training triples whose tails were replaced?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.validation.baselines import OF_TRAINING_TRIPLES
from tracin_dask.validation.folder import GRAPH
from tracin_dask.validation.graph import StudyGraph, store_of_triples
from tracin_dask.validation.influences import Explained, blocks
from tracin_dask.validation.methods import Method
from tracin_dask.validation.models import full_trainings
from tracin_dask.validation.seeds import generator_for, seed_for
from tracin_dask.validation.statistics import area_under_curve, of_rows, precision_at
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import Row, StudyTable

NUM_TESTS = 10
"""Models are measured on so many test triples, which this study does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MislabelPlan:
    """How many tails are replaced, in how many copies of the graph.

    Attributes
    ----------
    fraction
        Of the training triples that get a wrong tail.
    num_graphs
        Copies of the graph, each with wrong tails of its own.
    top_k
        Precision is told among so many triples of the largest self-influence.
    """

    fraction: float = 0.1
    num_graphs: int = 3
    top_k: tuple[int, ...] = (100,)


def mislabel(study: Study, plan: MislabelPlan | None = None) -> StudyTable:
    """Rank training triples by self-influence; raises as `tracin_dask.run` and `StudyFolder.claim`."""
    plan = plan or MislabelPlan()
    study.claim("mislabel", fraction=plan.fraction)
    methods, notes = applicable(study)
    samples: dict[str, list[tuple[ndarray, ndarray]]] = {method.name: [] for method in methods}
    for explained, is_wrong in _mislabelled(study, plan):
        for method in methods:
            samples[method.name].append((_self_influences(explained, method), is_wrong))
    seed, rows = seed_for(study.seed, "bootstrap"), []
    for name, found in samples.items():
        rows.append(Row(method=name, measure="AUC", estimate=of_rows(found, area_under_curve, seed=seed)))
        rows += [
            Row(method=name, measure=f"precision at {k}", estimate=of_rows(found, _precision(k), seed=seed))
            for k in plan.top_k
        ]
    note = (
        f"{plan.fraction:.0%} of {len(study.graph.triples):,} training triples have a wrong tail, in {plan.num_graphs} "
        "copies of the graph; 95 % intervals by a bootstrap over training triples"
    )
    title = "Mislabelled training triples by self-influence"
    return StudyTable(title=title, rows=tuple(rows), notes=(note, *notes), about=study.about())


def applicable(study: Study) -> tuple[list[Method], list[str]]:
    """Choose the methods that say something of a training triple alone, and say which are left out.

    Raises
    ------
    ConfigError
        If none is left.
    """
    kept = [method for method in study.methods if _is_applicable(method)]
    left_out = [method for method in study.methods if not _is_applicable(method)]
    if not kept:
        raise ConfigError("no method says anything of a training triple without a test triple; choose other methods")
    names = ", ".join(method.name for method in left_out)
    return kept, [f"left out, because they compare with test triples: {names}"] if left_out else []


def _is_applicable(method: Method) -> bool:
    if not method.is_run:
        return method.baseline in OF_TRAINING_TRIPLES
    options = dict(method.options)
    return bool(options.get("normalize", "none") == "none" and options.get("explain", "loss") == "loss")


def with_wrong_tails(
    graph: StudyGraph, fraction: float, seed: int
) -> tuple[Int[ndarray, "row 3"], Bool[ndarray, " row"]]:
    """Replace the tails of random training triples such that the new triple is known nowhere."""
    generator, triples = generator_for(seed, "wrong tails"), graph.triples.astype(np.int64)
    rows = np.sort(generator.permutation(len(triples))[: round(fraction * len(triples))])
    true = {tuple(triple) for triple in np.concatenate([triples, graph.known]).tolist()}
    for row in rows.tolist():
        head, relation, _ = triples[row].tolist()
        tails = generator.permutation(graph.store.info.num_entities).tolist()
        triples[row, 2] = next(tail for tail in tails if (head, relation, tail) not in true)
    is_wrong = np.zeros(len(triples), dtype=bool)
    is_wrong[rows] = True
    return triples, is_wrong


def _mislabelled(study: Study, plan: MislabelPlan) -> Iterator[tuple[Explained, Bool[ndarray, " row"]]]:
    """Train on each copy of the graph, and tell which rows of its store are wrong."""
    maps = (study.graph.store.entities, study.graph.store.relations)
    for index in range(plan.num_graphs):
        seed = seed_for(study.seed, "copy", index)
        triples, is_wrong = with_wrong_tails(study.graph, plan.fraction, seed)
        store = store_of_triples(triples, maps, study.folder.path / f"{GRAPH}-{index}")
        line = store.read(0, len(store)).train_index
        copy = replace(study, graph=StudyGraph.of(store, study.graph.test, study.graph.valid))
        bench = copy.bench(study.graph.sample(NUM_TESTS, study.seed))
        full = full_trainings(study.num_explained, seed, study.settings.num_epochs, study.checkpoint_epochs)
        bench.measured(full)
        yield Explained(bench=bench, store=store, tests=None, trainings=full, seed=seed), is_wrong[line]


def _self_influences(explained: Explained, method: Method) -> Float[ndarray, " row"]:
    influences, num_rows = explained.by(method), len(explained.store)
    return np.concatenate([influences.read(start, stop)[0] for start, stop in blocks(num_rows, 1)])


def _precision(number: int) -> Callable[[ndarray, ndarray], float]:
    return lambda scores, is_wrong: precision_at(scores, is_wrong, number)

"""Sufficient explanations: do the facts that explain a prediction make the model predict the same of other heads?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.models.training.evaluation import KnownTails, tail_ranks
from tracin_dask.validation.measured import Measured
from tracin_dask.validation.rows import AllRows, ChangedRows
from tracin_dask.validation.seeds import generator_for, seed_for
from tracin_dask.validation.statistics import over_axes
from tracin_dask.validation.studies.deletion import Predicted, measures, ranked_first
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import Row, StudyTable
from tracin_dask.validation.trainings import Training

NOTHING_ADDED = "nothing added"
TRIED = 20
"""So many entities are drawn for each one that is wanted: some are predicted already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SufficientPlan:
    """Which facts are added to which entities.

    Attributes
    ----------
    num_entities
        For each test triple (h, r, t), so many entities e for which the model does not rank t first get the facts of h.
    """

    num_tests: int = 100
    top_k: tuple[int, ...] = (1, 3)
    num_seeds: int = 5
    num_entities: int = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Converted:
    """The triples (e, r, t) that should become predictions, and the test triple that each belongs to."""

    triples: Int[ndarray, "converted 3"]
    test: Int[ndarray, " converted"]


def sufficient(study: Study, plan: SufficientPlan | None = None) -> StudyTable:
    """Add the facts that explain a head to other entities; raises as `tracin_dask.run` and `StudyFolder.claim`."""
    plan = plan or SufficientPlan()
    study.claim("sufficient")
    predicted = ranked_first(study, np.unique(study.graph.test, axis=0), plan.num_tests)
    converted = converted_triples(study, predicted, plan.num_entities)
    before = study.bench(converted.triples).measured(_trainings(study, plan, num_added=0))
    rows, added = _rows_of(NOTHING_ADDED, "", before, before, study), []
    for method in study.methods:
        best = predicted.proponents(study, method, max(plan.top_k), "head")
        for k in plan.top_k:
            facts = added_facts(study, predicted, converted, [found[:k] for found in best])
            added.append(len(facts))
            bench = study.bench(converted.triples, extra=facts)
            after = bench.measured(_trainings(study, plan, num_added=len(facts)))
            rows += _rows_of(method.name, f"k = {k}", after, before, study)
    note = (
        f"{len(predicted.places)} test triples of filtered rank 1, {len(converted.triples)} pairs with an entity that "
        f"gets the facts of the head; {plan.num_seeds} trainings each with {min(added)} to {max(added)} facts added in "
        "all; 95 % intervals by a bootstrap over these pairs and seeds"
    )
    return StudyTable(
        title="Sufficient explanations: predictions for other heads",
        rows=tuple(rows),
        notes=(note,),
        about=study.about(),
    )


def converted_triples(study: Study, predicted: Predicted, number: int) -> Converted:
    """Draw entities e for each test triple (h, r, t), such that (e, r, t) is not known and t not ranked first.

    Raises
    ------
    ConfigError
        If the model ranks every drawn tail first.
    """
    tests, every = predicted.tests, np.concatenate([study.graph.triples, study.graph.known]).astype(np.int64)
    drawn = generator_for(study.seed, "entities").integers(study.model.num_entities, size=(len(tests), number * TRIED))
    candidates = np.repeat(tests, number * TRIED, axis=0)
    candidates[:, 0] = drawn.ravel()
    of_test = np.repeat(np.arange(len(tests)), number * TRIED)
    is_new = ~_is_in(candidates, every) & (candidates[:, 0] != candidates[:, 2])
    candidates, of_test = candidates[is_new], of_test[is_new]
    candidates, first = np.unique(candidates, axis=0, return_index=True)
    known = KnownTails.from_triples(every, study.model.num_relations)
    is_open = tail_ranks(predicted.explained.model().eval(), candidates, known) > 1
    if not is_open.any():
        raise ConfigError("the model ranks the tail first for every entity that was drawn; explain other test triples")
    candidates, of_test, first = candidates[is_open], of_test[first][is_open], first[is_open]
    order = np.argsort(first)
    candidates, of_test = candidates[order], of_test[order]
    place = np.arange(len(of_test)) - np.searchsorted(of_test, of_test)
    return Converted(triples=candidates[place < number], test=of_test[place < number])


def added_facts(
    study: Study, predicted: Predicted, converted: Converted, rows: Sequence[Int[ndarray, " _"]]
) -> Int[ndarray, "added 3"]:
    """Give the facts of each head with the other entity in its place, but for those that are known already."""
    found = [np.empty((0, 3), dtype=np.int64)]
    for triple, test in zip(converted.triples, converted.test.tolist(), strict=True):
        facts = study.graph.triples[rows[test]].astype(np.int64)
        ends = facts[:, [0, 2]]
        facts[:, [0, 2]] = np.where(ends == predicted.tests[test, 0], triple[0], ends)
        found.append(facts)
    facts = np.unique(np.concatenate(found), axis=0)
    forbidden = np.concatenate([study.graph.triples, study.graph.known, converted.triples]).astype(np.int64)
    added: ndarray = facts[~_is_in(facts, forbidden)]
    return added


def _is_in(triples: Int[ndarray, "row 3"], others: Int[ndarray, "other 3"]) -> ndarray:
    """Tell which triples are among others."""
    _, places = np.unique(np.concatenate([triples, others]), axis=0, return_inverse=True)
    found: ndarray = np.isin(places[: len(triples)], places[len(triples) :])
    return found


def _trainings(study: Study, plan: SufficientPlan, *, num_added: int) -> list[Training]:
    num_rows = len(study.graph.triples)
    rows = ChangedRows(extra=num_rows + np.arange(num_added), stop=num_rows) if num_added else AllRows()
    return [Training(rows=rows, seed=seed_for(study.seed, "retraining", index)) for index in range(plan.num_seeds)]


def _rows_of(method: str, condition: str, after: Measured, before: Measured, study: Study) -> list[Row]:
    seed, values = seed_for(study.seed, "bootstrap"), measures(after)
    if method != NOTHING_ADDED:
        values = {**values, "rise of MRR": 1 / after.rank - 1 / before.rank}
    return [
        Row(
            method=method, condition=condition, measure=name, estimate=over_axes(found, np.mean, axes=(0, 1), seed=seed)
        )
        for name, found in values.items()
    ]

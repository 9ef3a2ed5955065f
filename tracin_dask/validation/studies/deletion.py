"""Deletion: how far do predictions fall when their strongest proponents are deleted and models are trained again?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.influence.masks.touching import Touching
from tracin_dask.validation.facts import Facts, common_predictions
from tracin_dask.validation.influences import Explained
from tracin_dask.validation.measured import Measured, said_of_quality
from tracin_dask.validation.methods import Method
from tracin_dask.validation.models import Bench, full_trainings
from tracin_dask.validation.proponents import proponents
from tracin_dask.validation.rows import AllRows, ChangedRows, Rows
from tracin_dask.validation.seeds import generator_for, seed_for
from tracin_dask.validation.statistics import over_axes
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import Row, StudyTable
from tracin_dask.validation.trainings import Training

NOTHING_DELETED, ALL_FACTS = "nothing deleted", "all facts"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionPlan:
    """Which training triples are deleted, and how often models are trained again.

    Attributes
    ----------
    num_tests
        Test triples, drawn among those that the explained model ranks first.
    top_k
        How many proponents of each test triple are deleted; one table column for each.
    num_seeds
        Trainings without the deleted triples.
    singly
        Delete the proponents of each test triple alone, with trainings of its own; else those of all together.
    touching
        Only training triples that touch the head (tail, either, both) of the test triple may be deleted.
    facts
        Explanations made elsewhere: their predictions are the test triples.
    """

    num_tests: int = 100
    top_k: tuple[int, ...] = (1, 3)
    num_seeds: int = 5
    singly: bool = False
    touching: Touching | None = None
    facts: tuple[Facts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deletion:
    """What one method deletes: rows for each test triple."""

    method: str
    condition: str
    rows: Sequence[Int[ndarray, " _"]]

    def choices(self, *, singly: bool) -> list[Rows]:
        """Give the rows of the trainings: one for all test triples together, or one for each."""
        if singly:
            return [ChangedRows(without=rows) for rows in self.rows]
        return [ChangedRows(without=np.concatenate(self.rows))]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predicted:
    """The test triples of a study: those that the explained model ranks first.

    Attributes
    ----------
    places
        Their places among the test triples that models are measured on.
    quality
        How well the explained model predicts all of those.
    """

    bench: Bench
    explained: Explained
    places: Int[ndarray, " test"]
    quality: Mapping[str, float]

    @property
    def tests(self) -> Int[ndarray, "test 3"]:
        """Their ids."""
        found: ndarray = self.bench.material.tests[self.places]
        return found

    def proponents(
        self, study: Study, method: Method, top_k: int, touching: Touching | None
    ) -> list[Int[ndarray, " proponent"]]:
        """Find the rows of the strongest proponents of each of them by a method; raises as `tracin_dask.run`."""
        found = self.explained.by(method)
        return proponents(found, study.graph.triples, self.tests, top_k=top_k, touching=touching)

    def measured(self, trainings: Sequence[Training]) -> Measured:
        """Measure trainings on these test triples."""
        return self.bench.measured(trainings).of_tests(self.places)


def deletion(study: Study, plan: DeletionPlan | None = None) -> StudyTable:
    """Delete the strongest proponents by every method; raises as `tracin_dask.run` and `StudyFolder.claim`."""
    plan = plan or DeletionPlan()
    study.claim("deletion")
    pool = common_predictions(plan.facts) if plan.facts else np.unique(study.graph.test, axis=0)
    predicted = ranked_first(study, pool, plan.num_tests)
    deletions = [*_by_methods(study, plan, predicted), *_by_facts(plan, predicted)]
    before = predicted.measured(_trainings(study, plan, [AllRows()]))
    wanted = {id(one): one.choices(singly=plan.singly) for one in deletions}
    every = [training for choices in wanted.values() for training in _trainings(study, plan, choices)]
    predicted.bench.measured(every)
    rows = _rows_of(NOTHING_DELETED, "", before, before, study)
    for one in deletions:
        after = _after(predicted, _trainings(study, plan, wanted[id(one)]), plan)
        rows += _rows_of(one.method, one.condition, after, before, study)
    return StudyTable(
        title=f"Deletion of the strongest proponents, {'each test triple alone' if plan.singly else 'all together'}",
        rows=tuple(rows),
        notes=_notes(study, plan, predicted, deletions),
        about={
            **study.about(),
            "num_tests": len(predicted.places),
            "num_seeds": plan.num_seeds,
            "explained model": predicted.quality,
        },
    )


def ranked_first(study: Study, pool: Int[ndarray, "pool 3"], number: int) -> Predicted:
    """Train the models to explain, and draw test triples that the first one ranks first.

    Raises
    ------
    ConfigError
        If there are none.
    """
    bench = study.bench(pool)
    full = full_trainings(study.num_explained, study.seed, study.settings.num_epochs, study.checkpoint_epochs)
    bench.measured(full)
    explained_model = bench.measured(full[:1])
    first = np.flatnonzero(explained_model.rank[0] == 1)
    if not len(first):
        raise ConfigError(
            f"the model ranks none of {len(pool):,} test triples first, so that there is nothing to explain; train it "
            "longer (--num-epochs, --learning-rate)"
        )
    drawn = generator_for(study.seed, "test triples").permutation(len(first))[:number]
    places = np.sort(first[drawn])
    explained = Explained(bench=bench, store=study.graph.store, tests=pool[places], trainings=full, seed=study.seed)
    explained.write_question()
    return Predicted(bench=bench, explained=explained, places=places, quality=explained_model.quality())


def _by_methods(study: Study, plan: DeletionPlan, predicted: Predicted) -> list[Deletion]:
    found = []
    for method in study.methods:
        best = predicted.proponents(study, method, max(plan.top_k), plan.touching)
        found += [
            Deletion(method=method.name, condition=f"k = {k}", rows=[rows[:k] for rows in best]) for k in plan.top_k
        ]
    return found


def _by_facts(plan: DeletionPlan, predicted: Predicted) -> list[Deletion]:
    tests = [(head, relation, tail) for head, relation, tail in predicted.tests.tolist()]
    return [
        Deletion(method=facts.name, condition=ALL_FACTS, rows=[np.array(facts.rows[test]) for test in tests])
        for facts in plan.facts
    ]


def _trainings(study: Study, plan: DeletionPlan, choices: Sequence[Rows]) -> list[Training]:
    seeds = [seed_for(study.seed, "retraining", index) for index in range(plan.num_seeds)]
    return [Training(rows=rows, seed=seed) for rows in choices for seed in seeds]


def _after(predicted: Predicted, trainings: Sequence[Training], plan: DeletionPlan) -> Measured:
    """Give the measurements [seed, test]; singly, those of each test triple by its own trainings."""
    found = predicted.measured(trainings)
    return found.diagonal(plan.num_seeds) if plan.singly else found


def measures(measured: Measured) -> dict[str, Float[ndarray, "seed test"]]:
    """Give what is reported of predictions, for every seed and test triple."""
    return {
        "MRR": 1 / measured.rank,
        "Hits@1": (measured.rank == 1).astype(np.float64),
        "margin": measured.margin,
    }


def _rows_of(method: str, condition: str, after: Measured, before: Measured, study: Study) -> list[Row]:
    """Give means over seeds and test triples, and the falls, in which models of the same seed are compared."""
    seed, values = seed_for(study.seed, "bootstrap"), measures(after)
    if method != NOTHING_DELETED:
        falls = {"fall of MRR": 1 / before.rank - 1 / after.rank, "fall of margin": before.margin - after.margin}
        values = {**values, **falls}
    return [
        Row(
            method=method, condition=condition, measure=name, estimate=over_axes(found, np.mean, axes=(0, 1), seed=seed)
        )
        for name, found in values.items()
    ]


def _notes(study: Study, plan: DeletionPlan, predicted: Predicted, deletions: Sequence[Deletion]) -> tuple[str, ...]:
    numbers = [len(np.unique(np.concatenate(one.rows))) for one in deletions]
    touching = f" that touch {plan.touching}" if plan.touching else ""
    num_pool = len(predicted.bench.material.tests)
    model = f"explained model, over {num_pool:,} test triples: {said_of_quality(predicted.quality)}"
    trained = (
        f"{len(predicted.places)} test triples of filtered rank 1 under the explained model; {plan.num_seeds} "
        "trainings with other seeds each; 95 % intervals by a bootstrap over test triples and seeds"
    )
    deleted = (
        f"proponents among {len(study.graph.triples):,} training triples{touching}; the methods delete "
        f"{min(numbers, default=0)} to {max(numbers, default=0)} distinct ones in all"
    )
    return (model, trained, deleted)

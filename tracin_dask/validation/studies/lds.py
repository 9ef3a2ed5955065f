"""Linear datamodeling score: do summed influences tell how models of random subsets differ?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.validation.influences import Explained, Influences, blocks
from tracin_dask.validation.measured import QUANTITIES, Measured, said_of_quality
from tracin_dask.validation.models import full_trainings
from tracin_dask.validation.rows import STRATUM_ROWS, RandomSubset
from tracin_dask.validation.seeds import seed_for
from tracin_dask.validation.statistics import Estimate, datamodeling_score, noise_ceiling
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import Row, StudyTable
from tracin_dask.validation.trainings import Training

CEILING, MARGIN_OF_ONE = "noise ceiling", "margin of one model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What influences are compared with: a quantity, averaged over so many models of each subset."""

    measure: str
    quantity: str
    models: int

    def worth(self, trained: Sequence[Measured]) -> Float[ndarray, "subset test"]:
        """Average over the first models of each subset."""
        return _mean(trained[: self.models], self.quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetPlan:
    """Which trainings a linear datamodeling score is made of.

    Attributes
    ----------
    num_subsets
        Random subsets.
    models_per_subset
        Trainings on each, with other seeds. What their models say is averaged, which takes the noise of single
        trainings out of the score.
    fraction
        Of the training triples in each subset.
    num_tests
        Test triples, drawn at random.
    num_repeated, repeats
        So many of the subsets (at most all) are trained on so often, where that is more often than the others, for the
        noise ceiling.
    """

    num_subsets: int = 64
    models_per_subset: int = 1
    fraction: float = 0.5
    num_tests: int = 100
    num_repeated: int = 16
    repeats: int = 2

    def __post_init__(self) -> None:
        """Refuse numbers that give no score.

        Raises
        ------
        ConfigError
            With the number and what is allowed.
        """
        if self.num_subsets < 3:
            raise ConfigError(f"{self.num_subsets} subsets give no rank correlation; expected at least 3")
        if not 0 < self.fraction < 1:
            raise ConfigError(f"fraction is {self.fraction}; expected a number above 0 and below 1")
        if self.models_per_subset < 1:
            raise ConfigError(f"models_per_subset is {self.models_per_subset}; expected at least 1")
        if self.repeats < 1 or self.num_repeated < 1:
            raise ConfigError(
                f"{self.num_repeated} subsets are to be trained on {self.repeats} times; expected at least 1 of both"
            )

    def subsets(self, seed: int) -> list[RandomSubset]:
        """Choose the subsets, as seeds."""
        return [
            RandomSubset(fraction=self.fraction, seed=seed_for(seed, "subset", index))
            for index in range(self.num_subsets)
        ]

    @property
    def targets(self) -> list[Target]:
        """Choose what influences are compared with; where models are averaged, also the margin of one model."""
        found = [Target(measure=name, quantity=name, models=self.models_per_subset) for name in QUANTITIES]
        if self.models_per_subset > 1:
            found.append(Target(measure=MARGIN_OF_ONE, quantity="margin", models=1))
        return found

    @property
    def repetitions(self) -> tuple[int, ...]:
        """How many subsets are trained on, time after time."""
        more = max(0, self.repeats - self.models_per_subset)
        return (self.num_subsets,) * self.models_per_subset + (min(self.num_repeated, self.num_subsets),) * more

    def every_training(self, seed: int) -> list[Training]:
        """Plan the trainings of all repetitions."""
        return [one for repeat in range(len(self.repetitions)) for one in self.trainings(seed, repeat)]

    def trainings(self, seed: int, repeat: int) -> list[Training]:
        """Plan the trainings of one repetition."""
        subsets = self.subsets(seed)[: self.repetitions[repeat]]
        return [
            Training(rows=rows, seed=seed_for(seed, "training", index, repeat)) for index, rows in enumerate(subsets)
        ]


def lds(study: Study, plan: SubsetPlan | None = None) -> StudyTable:
    """Measure the linear datamodeling score of every method; raises as `tracin_dask.run` and `StudyFolder.claim`."""
    plan = plan or SubsetPlan()
    study.claim("lds")
    tests = study.graph.sample(plan.num_tests, study.seed)
    bench = study.bench(tests)
    full = full_trainings(study.num_explained, study.seed, study.settings.num_epochs, study.checkpoint_epochs)
    bench.measured([*full, *plan.every_training(study.seed)])
    explained = Explained(bench=bench, store=study.graph.store, tests=tests, trainings=full, seed=study.seed)
    explained.write_question()
    return table_of(study, plan, explained, [(method.name, explained.by(method)) for method in study.methods])


def table_of(
    study: Study, plan: SubsetPlan, explained: Explained, influences: Sequence[tuple[str, Influences]]
) -> StudyTable:
    """Correlate influences with what the models of the subsets say, and add the noise ceiling."""
    bench, quality = explained.bench, explained.bench.measured(explained.trainings).quality()
    trained = [bench.measured(plan.trainings(study.seed, repeat)) for repeat in range(len(plan.repetitions))]
    rows = [
        Row(method=name, measure=quantity, estimate=estimate)
        for name, found in influences
        for quantity, estimate in _scores(study, plan, found, trained)
    ]
    rows += _ceiling(study, plan, trained)
    num_tests, num_rows, times = len(bench.material.tests), len(study.graph.triples), plan.models_per_subset
    each = "1 training" if times == 1 else f"the mean of {times} trainings"
    note = (
        f"{each} on each of {plan.num_subsets} random parts, {plan.fraction:.0%} of {num_rows:,} training triples; "
        f"{num_tests} test triples; mean rank correlation, 95 % intervals by a bootstrap over test triples and parts"
    )
    about = {
        **study.about(),
        "num_subsets": plan.num_subsets,
        "models_per_subset": plan.models_per_subset,
        "num_repeated": plan.num_repeated,
        "repeats": plan.repeats,
        "fraction": plan.fraction,
        "num_tests": num_tests,
        "models of all training triples": quality,
    }
    models = f"models of all training triples: {said_of_quality(quality)}"
    return StudyTable(title="Linear datamodeling score (LDS)", rows=tuple(rows), notes=(note, models), about=about)


def _scores(
    study: Study, plan: SubsetPlan, influences: Influences, trained: Sequence[Measured]
) -> list[tuple[str, Estimate]]:
    subsets, num_rows, num_tests = plan.subsets(study.seed), len(study.graph.triples), trained[0].margin.shape[1]
    sums = subset_sums(influences, subsets, num_rows=num_rows, num_tests=num_tests)
    seed = seed_for(study.seed, "bootstrap")
    return [(one.measure, datamodeling_score(sums, one.worth(trained).T, seed=seed)) for one in plan.targets]


def subset_sums(
    influences: Influences, subsets: Sequence[RandomSubset], *, num_rows: int, num_tests: int
) -> Float[ndarray, "test subset"]:
    """Sum the influences of each subset's triples; only a part of the rows is held at a time."""
    sums = np.zeros((num_tests, len(subsets)))
    stratum, is_chosen = -1, np.empty(0)
    for start, stop in blocks(num_rows, num_tests):
        if start // STRATUM_ROWS != stratum:
            stratum = start // STRATUM_ROWS
            is_chosen = np.stack([subset.stratum(stratum, num_rows) for subset in subsets], axis=1)
        first = start - stratum * STRATUM_ROWS
        sums += influences.read(start, stop) @ is_chosen[first : first + stop - start].astype(np.float64)
    return sums


def _ceiling(study: Study, plan: SubsetPlan, trained: Sequence[Measured]) -> list[Row]:
    """Tell what a perfect prediction would score, given the noise of trainings."""
    if len(trained) == 1:
        return []
    seed, rows, averaged = seed_for(study.seed, "bootstrap"), [], plan.models_per_subset
    for one in plan.targets:
        worth = [measured.worth(one.quantity).T for measured in trained]
        repeated = np.full((len(worth[0]), len(worth), plan.num_subsets), np.nan)
        for repeat, values in enumerate(worth):
            repeated[:, repeat, : values.shape[1]] = values
        means = _mean(trained[:averaged], one.quantity).T
        estimate = noise_ceiling(means, repeated, averaged=averaged, models=one.models, seed=seed)
        rows.append(Row(method=CEILING, measure=one.measure, estimate=estimate))
    return rows


def _mean(trained: Sequence[Measured], quantity: str) -> Float[ndarray, "subset test"]:
    mean: ndarray = np.mean([one.worth(quantity) for one in trained], axis=0)
    return mean

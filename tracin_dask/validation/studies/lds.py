"""Linear datamodeling score: do summed influences tell how models of random subsets differ?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.validation.influences import Explained, Influences, blocks
from tracin_dask.validation.measured import QUANTITIES, Measured
from tracin_dask.validation.models import Bench, full_trainings
from tracin_dask.validation.rows import STRATUM_ROWS, RandomSubset
from tracin_dask.validation.seeds import seed_for
from tracin_dask.validation.statistics import Estimate, datamodeling_score, noise_ceiling
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import Row, StudyTable
from tracin_dask.validation.trainings import Training

CEILING = "noise ceiling"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetPlan:
    """Which trainings a linear datamodeling score is made of.

    Attributes
    ----------
    num_subsets
        Random subsets, each trained on once.
    fraction
        Of the training triples in each subset.
    num_tests
        Test triples, drawn at random.
    num_repeated, repeats
        So many of the subsets are trained on so often, with other seeds, for the noise ceiling.
    """

    num_subsets: int = 64
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
        if self.repeats < 1 or self.num_repeated < 1 or self.num_repeated > self.num_subsets:
            raise ConfigError(
                f"{self.num_repeated} subsets are to be trained on {self.repeats} times; expected at least 1 of both, "
                f"and at most all {self.num_subsets} subsets"
            )

    def subsets(self, seed: int) -> list[RandomSubset]:
        """Choose the subsets, as seeds."""
        return [
            RandomSubset(fraction=self.fraction, seed=seed_for(seed, "subset", index))
            for index in range(self.num_subsets)
        ]

    def trainings(self, seed: int, repeat: int) -> list[Training]:
        """Plan the trainings of one repetition; the first has all subsets."""
        number = self.num_subsets if repeat == 0 else self.num_repeated
        subsets = self.subsets(seed)[:number]
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
    bench.measured([*full, *plan.trainings(study.seed, 0)])
    explained = Explained(bench=bench, store=study.graph.store, tests=tests, trainings=full, seed=study.seed)
    return table_of(study, plan, bench, [(method.name, explained.by(method)) for method in study.methods])


def table_of(study: Study, plan: SubsetPlan, bench: Bench, influences: Sequence[tuple[str, Influences]]) -> StudyTable:
    """Correlate influences with what the models of the subsets say, and add the noise ceiling."""
    repetitions = [bench.measured(plan.trainings(study.seed, repeat)) for repeat in range(plan.repeats)]
    rows = [
        Row(method=name, measure=quantity, estimate=estimate)
        for name, found in influences
        for quantity, estimate in _scores(study, plan, bench, found, repetitions[0])
    ]
    rows += _ceiling(study, plan, repetitions)
    num_tests, num_rows = len(bench.material.tests), len(study.graph.triples)
    note = (
        f"{plan.num_subsets} trainings on random {plan.fraction:.0%} of {num_rows:,} training triples, {num_tests} "
        "test triples; mean rank correlation with 95 % intervals by a bootstrap over test triples and subsets"
    )
    about = {**study.about(), "num_subsets": plan.num_subsets, "fraction": plan.fraction, "num_tests": num_tests}
    return StudyTable(title="Linear datamodeling score (LDS)", rows=tuple(rows), notes=(note,), about=about)


def _scores(
    study: Study, plan: SubsetPlan, bench: Bench, influences: Influences, measured: Measured
) -> list[tuple[str, Estimate]]:
    subsets, num_rows = plan.subsets(study.seed), len(study.graph.triples)
    sums = subset_sums(influences, subsets, num_rows=num_rows, num_tests=len(bench.material.tests))
    seed = seed_for(study.seed, "bootstrap")
    return [(name, datamodeling_score(sums, measured.worth(name).T, seed=seed)) for name in QUANTITIES]


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


def _ceiling(study: Study, plan: SubsetPlan, repetitions: Sequence[Measured]) -> list[Row]:
    """Tell what a perfect prediction would score, given the noise of single trainings."""
    if plan.repeats < 2:
        return []
    seed, rows = seed_for(study.seed, "bootstrap"), []
    for name in QUANTITIES:
        worth = [measured.worth(name) for measured in repetitions]
        repeated = np.stack([values[: plan.num_repeated].T for values in worth], axis=1)
        rows.append(Row(method=CEILING, measure=name, estimate=noise_ceiling(worth[0].T, repeated, seed=seed)))
    return rows

"""Stability: do trainings with other seeds, and other checkpoints, give the same strongest proponents?"""

from dataclasses import dataclass, replace
from itertools import combinations

from jaxtyping import Float
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.validation.baselines import OF_MODELS
from tracin_dask.validation.influences import Explained, largest
from tracin_dask.validation.methods import Method
from tracin_dask.validation.models import Bench, full_trainings
from tracin_dask.validation.seeds import seed_for
from tracin_dask.validation.statistics import mean_with_interval, overlaps
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import Row, StudyTable
from tracin_dask.validation.trainings import Training

BETWEEN_SEEDS = "seeds"


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityPlan:
    """Which lists are compared.

    Attributes
    ----------
    num_tests
        Test triples, drawn at random.
    num_seeds
        Trainings (or sets of trainings, for methods with several) whose lists are compared.
    top_k
        Entries of a list: the largest influences.
    """

    num_tests: int = 100
    num_seeds: int = 3
    top_k: int = 10

    def __post_init__(self) -> None:
        """Refuse a single seed.

        Raises
        ------
        ConfigError
            Since there is nothing to compare.
        """
        if self.num_seeds < 2:
            raise ConfigError(f"{self.num_seeds} seed gives no lists to compare; expected at least 2")


def stability(study: Study, plan: StabilityPlan | None = None) -> StudyTable:
    """Compare top lists of every method; raises as `tracin_dask.run` and `StudyFolder.claim`."""
    plan = plan or StabilityPlan()
    study.claim("stability")
    tests = study.graph.sample(plan.num_tests, study.seed)
    bench, number = study.bench(tests), plan.num_seeds * study.num_explained
    full = full_trainings(number, study.seed, study.settings.num_epochs, study.checkpoint_epochs)
    bench.measured(full)
    seed, rows = seed_for(study.seed, "bootstrap"), []
    for method in (method for method in study.methods if _reads_models(method)):
        compared = {BETWEEN_SEEDS: _between_seeds(study, plan, bench, method, full)}
        compared |= _between_checkpoints(study, plan, bench, method, full[0])
        rows += [
            Row(method=method.name, condition=name, measure="overlap", estimate=mean_with_interval(found, seed=seed))
            for name, found in compared.items()
        ]
    if not rows:
        raise ConfigError("no method reads a trained model, so that all lists are equal; choose other methods")
    chance = plan.top_k / len(study.graph.triples)
    note = (
        f"share of the top {plan.top_k} that two lists have in common, mean over {len(tests)} test triples and pairs "
        f"of {plan.num_seeds} seeds, or of one checkpoint and the last; random lists would share {chance:.2g}; 95 % "
        "intervals by a bootstrap over test triples"
    )
    notes = (
        note,
        "baselines that read no model, and scores made elsewhere, are left out: their lists are always equal",
    )
    return StudyTable(title="Overlap of top lists", rows=tuple(rows), notes=notes, about=study.about())


def _reads_models(method: Method) -> bool:
    return method.is_run or method.baseline in OF_MODELS


def _lists(study: Study, plan: StabilityPlan, bench: Bench, method: Method, trainings: list[Training]) -> list[ndarray]:
    tests = bench.material.tests
    explained = Explained(bench=bench, store=study.graph.store, tests=tests, trainings=trainings, seed=study.seed)
    rows, _ = largest(explained.by(method), len(study.graph.triples), len(tests), plan.top_k)
    return list(rows)


def _between_seeds(
    study: Study, plan: StabilityPlan, bench: Bench, method: Method, full: list[Training]
) -> Float[ndarray, " test"]:
    number = method.trainings
    lists = [
        _lists(study, plan, bench, method, full[index * number : (index + 1) * number])
        for index in range(plan.num_seeds)
    ]
    return overlaps(lists, list(combinations(range(plan.num_seeds), 2)), plan.top_k)


def _between_checkpoints(
    study: Study, plan: StabilityPlan, bench: Bench, method: Method, training: Training
) -> dict[str, Float[ndarray, " test"]]:
    """Compare each checkpoint with the last one, where a method takes the last one of a single training."""
    if not method.is_run or method.checkpoints != "last" or method.trainings > 1:
        return {}
    *others, last = [
        (epoch, _lists(study, plan, bench, replace(method, checkpoints=(epoch,)), [training]))
        for epoch in training.checkpoint_epochs
    ]
    return {f"epochs {epoch}, {last[0]}": overlaps([found, last[1]], [(0, 1)], plan.top_k) for epoch, found in others}

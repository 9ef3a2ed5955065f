"""Carries out `tracin-dask validate deletion`, of necessary and of sufficient explanations."""

from tracin_dask.cli.actions.validate import run_study
from tracin_dask.cli.validate import DeletionFlags
from tracin_dask.errors import ConfigError
from tracin_dask.validation.facts import read_facts
from tracin_dask.validation.studies.deletion import DeletionPlan, deletion
from tracin_dask.validation.studies.sufficient import SufficientPlan, sufficient
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import StudyTable


def run_deletion(options: DeletionFlags) -> None:
    """Measure what deleted or added facts change; raises as `run_study`.

    Raises
    ------
    ConfigError
        If options contradict each other.
    """
    _refuse_contradictions(options)
    run_study(options, lambda study: _carried_out(study, options))


def _carried_out(study: Study, options: DeletionFlags) -> StudyTable:
    if options["sufficient"]:
        return sufficient(
            study,
            SufficientPlan(
                num_tests=options["num_tests"],
                top_k=options["top_k"],
                num_seeds=options["num_seeds"],
                num_entities=options["num_entities"],
            ),
        )
    plan = DeletionPlan(
        num_tests=options["num_tests"],
        top_k=options["top_k"],
        num_seeds=options["num_seeds"],
        singly=options["singly"],
        touching=options["touching"],
        facts=tuple(read_facts(path, study.graph) for path in options["facts"]),
    )
    return deletion(study, plan)


def _refuse_contradictions(options: DeletionFlags) -> None:
    others = {"--singly": options["singly"], "--touching": options["touching"], "--facts": options["facts"]}
    given = [name for name, value in others.items() if value]
    if options["sufficient"] and given:
        raise ConfigError(f"--sufficient adds facts of heads, and {', '.join(given)} is about deletions; give only one")

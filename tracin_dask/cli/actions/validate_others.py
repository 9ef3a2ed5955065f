"""Carries out `tracin-dask validate mislabel`, `stability` and `replay`."""

from tracin_dask.cli.actions.validate import run_study, subset_plan
from tracin_dask.cli.validate import MislabelFlags, ReplayFlags, StabilityFlags
from tracin_dask.validation.studies.mislabel import MislabelPlan, mislabel
from tracin_dask.validation.studies.replay import replay_study
from tracin_dask.validation.studies.stability import StabilityPlan, stability


def run_mislabel(options: MislabelFlags) -> None:
    """Look for wrong tails; raises as `run_study`."""
    plan = MislabelPlan(fraction=options["fraction"], num_graphs=options["num_graphs"], top_k=options["top_k"])
    run_study(options, lambda study: mislabel(study, plan))


def run_stability(options: StabilityFlags) -> None:
    """Compare top lists; raises as `run_study`."""
    plan = StabilityPlan(num_tests=options["num_tests"], num_seeds=options["num_seeds"], top_k=options["top_k"])
    run_study(options, lambda study: stability(study, plan))


def run_replay(options: ReplayFlags) -> None:
    """Replay a training; raises as `run_study`."""
    plan = subset_plan(options)
    run_study(options, lambda study: replay_study(study, plan, quantity=options["quantity"]))

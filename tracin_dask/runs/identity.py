"""What finished work depends on: inputs, options and code. A run never goes on with the work of another one."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TypeAlias

from tracin_dask.identity import Effect, Json, declared
from tracin_dask.runs.code_digest import scoring_code_digest
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.plan.plan import Plan
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.provenance import about_curvature, one_or_all
from tracin_dask.turn import usual_turn

Identity: TypeAlias = Mapping[str, Json]
"""What identifies a run: names and their values, as JSON. Runs whose values differ are different runs."""


def score_identity(prepared: PreparedRun, plan: Plan) -> Identity:
    """State all that the bits of influences depend on; raises as `scoring_code_digest`."""
    stated = {**_inputs(prepared), **_cut(plan)}
    return {**stated, **option_identity(prepared.config, "scores", stated)}


def record_identity(prepared: PreparedRun, plan: Plan) -> Identity:
    """State all that recorded work depends on: the influences, and what is kept of them; raises as `score_identity`."""
    kept = {reduction.name: reduction.identity for reduction in prepared.reductions()}
    return {**kept, **score_identity(prepared, plan), **option_identity(prepared.config, "records", kept)}


def result_identity(prepared: PreparedRun) -> Identity:
    """State all that a result depends on, to find a finished one again; how the work was cut changes rounding only.

    Raises
    ------
    TypeError
        As `option_identity`.
    """
    with usual_turn():
        return _result_identity(prepared)


def _result_identity(prepared: PreparedRun) -> Identity:
    config = prepared.config
    kept = {reduction.name: reduction.identity for reduction in prepared.reductions()}
    digests = prepared.store.info.digests
    names = [digests.get(name) for name in ("entity_name", "relation_name")]
    stated = {**_inputs(prepared), **kept, "names": names, "batch_size": config.computing.batch_size}
    effects: tuple[Effect, ...] = ("scores", "records", "result")
    return {
        **stated,
        **{name: value for each in effects for name, value in option_identity(config, each, stated).items()},
    }


def option_identity(config: RunConfig, effect: Effect, stated: Identity) -> Identity:
    """State the options that have an effect, except those that have it through what is `stated` already.

    Raises
    ------
    TypeError
        If an option does not declare what it changes, or has its effect through what is not stated.
    """
    found: dict[str, Json] = {}
    for group in (getattr(config, field.name) for field in fields(config)):
        for option in fields(group):
            known, value = declared(type(group), option), getattr(group, option.name)
            if known.effect == effect and known.through is None:
                found[option.name] = known.by(value)
            elif known.effect == effect and known.through not in stated and value != option.default:
                raise TypeError(
                    f"{option.name} changes {effect} through {known.through}, which this run does not state"
                )
    return found


def _cut(plan: Plan) -> Identity:
    """State how the work is cut, as far as bits depend on it."""
    return {
        "batches_per_segment": plan.batches_per_segment,
        "batch_size": plan.batch_size,
        "threads_per_worker": plan.resources.threads_per_worker,
    }


def _inputs(prepared: PreparedRun) -> Identity:
    """State the code, the inputs, and what was settled of the options, by the names of these."""
    targets, checkpoints = prepared.targets, prepared.checkpoints
    return {
        "scoring_code": scoring_code_digest(),
        "store": prepared.store.info.fingerprint,
        "checkpoint": one_or_all([checkpoint.sha256 for checkpoint in checkpoints]),
        "dtype": str(checkpoints[0].dtype),
        "model": repr(prepared.model_config),
        "test_triples": "none" if targets is None else targets.identity,
        "parameters": sorted(prepared.tracked),
        "trainings": list(prepared.trainings),
        "learning_rate": one_or_all(prepared.learning_rates),
        "curvature": about_curvature(prepared.config.scoring),
    }
